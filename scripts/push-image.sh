#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Puts a folder as an image of one layer into a registry, and prints the reference with its digest.

set -euo pipefail

usage="usage: scripts/push-image.sh REGISTRY-URL NAME TAG FOLDER [COMMAND ARGUMENT …]"
repository=${1:?$usage}/v2/${2:?$usage} tag=${3:?$usage} root=${4:?$usage}
name=$2
shift 4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

digest() { echo "sha256:$(sha256sum <"$work/$1" | cut -d' ' -f1)"; }
# Registries are asked for by tests, on the same machine.
ask() { curl -fsS --noproxy '*' --max-time 60 "$@"; }
push() {
    local place
    place=$(ask -X POST -o /dev/null -w '%header{location}' "$repository/blobs/uploads/")
    ask -X PUT -H 'Content-Type: application/octet-stream' --data-binary @"$work/$1" "$place&digest=$(digest "$1")"
}

tar --owner=0 --group=0 --mtime=@0 -C "$root" -cf "$work/layer" .
jq -nc --arg layer "$(digest layer)" '{
    architecture: "amd64", os: "linux", config: { Cmd: $ARGS.positional },
    rootfs: { type: "layers", diff_ids: [$layer] } }' --args -- "$@" >"$work/config"
push layer
push config
jq -nc --arg layer "$(digest layer)" --arg config "$(digest config)" --argjson size "$(stat -c %s "$work/layer")" \
    --argjson of "$(stat -c %s "$work/config")" '{
    schemaVersion: 2, mediaType: "application/vnd.docker.distribution.manifest.v2+json",
    config: { mediaType: "application/vnd.docker.container.image.v1+json", digest: $config, size: $of },
    layers: [{ mediaType: "application/vnd.docker.image.rootfs.diff.tar", digest: $layer, size: $size }] }' \
    >"$work/manifest"
ask -X PUT -H 'Content-Type: application/vnd.docker.distribution.manifest.v2+json' \
    --data-binary @"$work/manifest" "$repository/manifests/$tag"
echo "docker.io/$name@$(digest manifest)"
