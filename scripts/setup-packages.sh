#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Ensures that the programs are there that the build, the node agent and the tests call, by
# installing the Debian packages of those that are missing.

set -euo pipefail

# Where root's programs are, also when a user calls this.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

readonly needs=(
    cc:build-essential
    protoc:protobuf-compiler
    clang:clang
    cmake:cmake
    dockerd:docker.io
    docker:docker.io
    docker-registry:docker-registry
    ip:iproute2
    nft:nftables
    iptables-save:iptables
    haproxy:haproxy
    pebble:pebble
    curl:curl
    mkfs.ext4:e2fsprogs
    mkfs.btrfs:btrfs-progs
    mount:mount
    losetup:mount
    wg:wireguard-tools
    wireguard-go:wireguard-go
    tcpdump:tcpdump
    jq:jq
)

say() { echo "setup: $*" >&2; }
die() { say "$@"; exit 1; }

has() { command -v "$1" >/dev/null; }

# The image of the demo holds nothing else, so no libraries.
has_static_busybox() { [[ -x /bin/busybox ]] && ! ldd /bin/busybox >/dev/null 2>&1; }

has node && has npm || die "node and npm are missing: install Node.js 20 or newer (Debian: apt-get install nodejs npm)"

# Debian splits Python's module `venv` from Python.
has_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

missing=()
for need in "${needs[@]}"; do
    has "${need%%:*}" || missing+=("${need#*:}")
done
has_static_busybox || missing+=(busybox-static)
has_venv || missing+=(python3-venv)
[[ -s /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
((${#missing[@]})) || exit 0

mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
command -v apt-get >/dev/null ||
    die "this isn't Debian: install by hand what these Debian packages hold: ${missing[*]}"

as_root=()
if ((EUID != 0)); then
    command -v sudo >/dev/null || die "needs root: run as root: apt-get install ${missing[*]}"
    as_root=(sudo)
fi
say "installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get could not install ${missing[*]}: see its message above"
