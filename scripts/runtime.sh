#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the runtime of the last commit so that everyone with the same compiler gets the same bytes, and prints its
# hashes.
#
#   scripts/runtime.sh OUTPUT             build, write OUTPUT/tfgrid_runtime.wasm, print
#   scripts/runtime.sh --hash FILE        print
#   scripts/runtime.sh --check FILE NODE  fail unless the program NODE makes chains with this runtime
#
# Names of functions in a build depend on the absolute path of the sources, hence one path for all. Texts of panics
# would hold paths of cargo's folder, hence the other names for these.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly place=/var/tmp/tfgrid-runtime-build
readonly built=target/release/wbuild/tfgrid-runtime/tfgrid_runtime.compact.compressed.wasm

readonly usage="usage: scripts/runtime.sh OUTPUT, --hash FILE, or --check FILE NODE"

die() { echo "runtime: $*" >&2; exit 1; }

hashes() {
    [[ -f $1 ]] || die "$1 is missing: run make runtime"
    python3 - "$1" <<'PYTHON'
import hashlib, sys

def blake2(data):
    return hashlib.blake2b(data, digest_size=32).digest()

code = open(sys.argv[1], "rb").read()
# The call `system.authorizeUpgrade`: pallet 0, call 9.
proposal = bytes([0, 9]) + blake2(code)
print(f"size      {len(code)}")
print(f"sha256    {hashlib.sha256(code).hexdigest()}")
print(f"wasm      0x{blake2(code).hex()}")
print(f"proposal  0x{blake2(proposal).hex()}")
PYTHON
}

check() { # FILE NODE
    [[ -f $1 ]] || die "$1 is missing, which $2 should hold: run make release packages"
    local held
    held=$("$2" export-chain-spec --chain dev --raw | python3 -c '
import json, sys
print(json.load(sys.stdin)["genesis"]["raw"]["top"]["0x3a636f6465"])') ||
        die "$2 exports no chain spec: see the messages above"
    [[ $held == "0x$(python3 -c 'import sys; print(open(sys.argv[1], "rb").read().hex())' "$1")" ]] ||
        die "$2 has another runtime than $1: run make release packages"
}

case ${1-} in
    --hash) hashes "${2:?$usage}"; exit ;;
    --check) check "${2:?$usage}" "${3:?$usage}"; exit ;;
    '') die "$usage" ;;
esac
output=$(realpath --canonicalize-missing "$1")

[[ -z $(git status --porcelain --untracked-files=no) ]] || die "there are changes that aren't committed: they wouldn't be built"
mkdir "$place" 2>/dev/null || die "$place exists: another build runs, or remove what one has left"
trap 'rm -rf "$place"' EXIT
git archive HEAD | tar -x -C "$place"

cargo_home=${CARGO_HOME:-$HOME/.cargo}
export WASM_BUILD_RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$place=/build"
export SOURCE_DATE_EPOCH CARGO_TARGET_DIR=$place/target CARGO_INCREMENTAL=0
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
(cd "$place" && cargo build --locked --release --package tfgrid-runtime --features metadata-hash) ||
    die "the runtime doesn't build: see the messages above"

mkdir -p "$output"
cp "$place/$built" "$output/tfgrid_runtime.wasm"
# The bytes before compression: what is in there could be read by anybody.
raw=$place/target/release/wbuild/tfgrid-runtime/tfgrid_runtime.compact.wasm
for secret in "$HOME" "$cargo_home"; do
    ! grep -qaF -- "$secret" "$raw" || die "the runtime holds the path $secret"
done
rustc --version
hashes "$output/tfgrid_runtime.wasm"
