#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Usage: tree.sh FOLDER
#
# Unpacks the Debian packages of packages.txt and all that they need into FOLDER, unless it holds them already, as they
# were within the last DAYS, one without it: kernel and engine have security updates. MIRROR names another archive, such
# as a day of snapshot.debian.org, for the same packages as in an earlier build.

set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
readonly here folder=$1 suite=bookworm

packages=$(grep -v '^#' "$here/packages.txt" | paste -sd,)
wanted="$suite ${MIRROR:-} $packages"
fetched=$(stat -c %Y "$folder.wanted" 2>/dev/null || echo 0)
if (($(date +%s) - fetched < ${DAYS:-1} * 24 * 60 * 60)) && [[ $(<"$folder.wanted") == "$wanted" ]]; then
    exit 0
fi

echo "image: fetching Debian's packages" >&2
rm -rf "$folder.new"
mmdebstrap --quiet --variant=essential --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$folder.new" ${MIRROR:+"$MIRROR"}
# First what calls the tree whole: removing that takes a while.
rm -f "$folder.wanted"
rm -rf "$folder"
mv "$folder.new" "$folder"
echo "$wanted" >"$folder.wanted"
