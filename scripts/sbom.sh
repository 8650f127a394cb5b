#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Writes what each program is made of, as CycloneDX: OUTPUT/PROGRAM.cdx.json.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

output=$(realpath --canonicalize-missing "${1:?usage: scripts/sbom.sh OUTPUT}")
readonly output programs=(tfgrid-node:node zos-agent:zos-agent threebot:threebot)

# It writes beside every manifest.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive HEAD | tar -x -C "$work"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
(cd "$work" && cargo cyclonedx --quiet --format json --target x86_64-unknown-linux-gnu)

mkdir -p "$output"
for program in "${programs[@]}"; do
    cp "$work/${program#*:}/${program%:*}.cdx.json" "$output/${program%:*}.cdx.json"
done
