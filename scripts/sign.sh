#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Writes the checksums of a release and signs them with a key of SSH, which also may be on a hardware token.
# Verified by: ssh-keygen -Y verify -f allowed_signers -I release -n file -s SHA256SUMS.sig <SHA256SUMS

set -euo pipefail

usage="usage: scripts/sign.sh FOLDER KEY"
cd "${1:?$usage}"
key=${2:?$usage}

shopt -s nullglob
files=(*.deb *.cdx.json *.wasm)
((${#files[@]})) || { echo "sign: nothing to sign in $1: run make packages first" >&2; exit 1; }
sha256sum -- "${files[@]}" >SHA256SUMS
rm -f SHA256SUMS.sig
ssh-keygen -q -Y sign -f "$key" -n file SHA256SUMS
printf 'release %s\n' "$(ssh-keygen -y -f "$key")" >allowed_signers
