#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Usage: tree.sh FOLDER
#
# Unpacks the Debian packages of packages.txt and all that they need into FOLDER, unless it holds them already. MIRROR
# names another archive, such as a day of snapshot.debian.org, for the same packages as in an earlier build.

set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
readonly here folder=$1 suite=bookworm

packages=$(grep -v '^#' "$here/packages.txt" | paste -sd,)
wanted="$suite ${MIRROR:-} $packages"
[[ $(cat "$folder.wanted" 2>/dev/null) != "$wanted" ]] || exit 0

rm -rf "$folder" "$folder.wanted"
mmdebstrap --quiet --variant=essential --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$folder" ${MIRROR:+"$MIRROR"}
echo "$wanted" >"$folder.wanted"
