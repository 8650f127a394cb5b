#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Writes the checksums of a release and signs them with a key of SSH, which also may be on a hardware token. Packages
# are signed only if their chain node has the runtime beside them, which `make release` builds for all the same.
# Verified by: ssh-keygen -Y verify -f allowed_signers -I release -n file -s SHA256SUMS.sig <SHA256SUMS

set -euo pipefail

scripts=$(dirname "$(realpath "$0")")
usage="usage: scripts/sign.sh FOLDER KEY"
folder=${1:?$usage}
key=$(realpath -e "${2:?$usage}")
cd "$folder"

shopt -s nullglob
files=(*.deb *.cdx.json *.wasm *.img)
((${#files[@]})) || { echo "sign: nothing to sign in $folder: run make packages first" >&2; exit 1; }
node=(tfgrid-node_*.deb)
if ((${#node[@]})); then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    dpkg-deb --extract "${node[0]}" "$work"
    "$scripts/runtime.sh" --check "$PWD/tfgrid_runtime.wasm" "$work/usr/bin/tfgrid-node"
fi
sha256sum -- "${files[@]}" >SHA256SUMS
rm -f SHA256SUMS.sig
ssh-keygen -q -Y sign -f "$key" -n file SHA256SUMS
# Without the comment, which names a person or a machine.
ssh-keygen -y -f "$key" | awk '{ print "release", $1, $2 }' >allowed_signers
