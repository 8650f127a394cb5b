#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Ensures that the programs are there that make and try the boot image, by installing the Debian packages of those that
# are missing.

set -euo pipefail

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

readonly needs=(
    cpio:cpio
    mcopy:mtools
    mkfs.vfat:dosfstools
    mksquashfs:squashfs-tools
    mmdebstrap:mmdebstrap
    objcopy:binutils
    nmap:nmap
    openssl:openssl
    qemu-system-x86_64:qemu-system-x86
    sbsign:sbsigntool
    sgdisk:gdisk
    socat:socat
)

say() { echo "image: $*" >&2; }
die() { say "$@"; exit 1; }

[[ $(uname -m) == x86_64 ]] || die "the image is for x86_64, and made on x86_64"
missing=()
for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
done
[[ -e /usr/lib/systemd/boot/efi/linuxx64.efi.stub ]] || missing+=(systemd-boot-efi)
[[ -e /usr/share/OVMF/OVMF_CODE_4M.secboot.fd ]] || missing+=(ovmf)
((${#missing[@]})) || exit 0

command -v apt-get >/dev/null ||
    die "this isn't Debian: install by hand what these Debian packages hold: ${missing[*]}"
((EUID == 0)) || die "needs root: run as root: apt-get install ${missing[*]}"
say "installing ${missing[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get could not install ${missing[*]}: see its message above"
