#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Usage: build.sh AGENT INIT CACHE OUT
#
# Makes the boot image of a node from the agent's and the first process's programs:
#
#   OUT/zos.img                      a disk with boot loader and image, for sticks, disks and virtual machines
#   OUT/zos.efi                      that image, a signed UEFI program, for UEFI HTTP boot
#   OUT/channel                      the same with a signed manifest, as an update of machines that run an older one
#   OUT/vmlinuz, initrd, cmdline     the same, for netboot without UEFI
#   OUT/packages, files              the Debian packages of its files, and all files with their hashes
#   OUT/SHA256SUMS
#
# KEY and CERTIFICATE name the PEM files that sign it; without them, a key of this machine's own is made in CACHE.
# NUMBER orders images: a node takes none with a lower one. Without it, it is the time of the last commit.
# Debian's packages are unpacked in CACHE and used again, for a day or DAYS. Needs root: it runs Debian's programs in
# the unpacked tree.

set -euo pipefail

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
here=$(dirname "$(readlink -f "$0")")
agent=$(readlink -f "$1") init=$(readlink -f "$2")
mkdir -p "$3" "$4"
cache=$(readlink -f "$3") out=$(readlink -f "$4")
readonly here agent init cache out
readonly tree=$cache/tree
readonly loader=/usr/lib/systemd/boot/efi/systemd-bootx64.efi stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub
# No parameter of these can be read or changed by whoever boots the signed image.
readonly cmdline="console=tty0 console=ttyS0,115200 quiet loglevel=3 panic=10 lockdown=integrity \
module.sig_enforce=1 sysctl.kernel.sysrq=0 rdinit=/init"
# The smallest FAT32 that holds an image and the next one.
readonly esp_mib=384 start_mib=1
export SOURCE_DATE_EPOCH LC_ALL=C
SOURCE_DATE_EPOCH=$(git -C "$here" log -1 --format=%ct)
readonly ordinal=${NUMBER:-$SOURCE_DATE_EPOCH}

say() { echo "image: $*" >&2; }
die() { say "$@"; exit 1; }

((EUID == 0)) || die "needs root"
"$here/requirements.sh"
"$here/tree.sh" "$tree"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# Programs and their libraries, by their paths in the tree.
with_libraries() {
    local file
    while read -r file; do
        echo "$file"
        chroot "$tree" ldd "$file" 2>/dev/null | grep -oE '/[^ ]+\.so[^ ]*' || true
    done
}

listed() { grep -vE '^(#|$)' "$1"; }

copy() { # FILE…: from the tree, links followed
    local file
    for file; do
        mkdir -p "$root$(dirname "$file")"
        cp -L --preserve=mode "$tree$file" "$root$file"
    done
}

key=${KEY:-$cache/image.key} certificate=${CERTIFICATE:-$cache/image.pem}
if [[ -z ${KEY:-} && ! -e $key ]]; then
    openssl req -quiet -new -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj "/CN=Zero-OS image" \
        -keyout "$key" -out "$certificate" 2>/dev/null
    chmod 600 "$key"
fi

say "files"
mkdir -p "$root"/{dev,proc,sys,run,tmp,root,var/{lib,log,cache},usr/{bin,sbin,lib64,lib/zos,lib/dhcpcd},etc/ssl/certs}
for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
install -m 755 "$agent" "$tree/usr/bin/zos-agent"
strip "$tree/usr/bin/zos-agent"
mapfile -t files < <(listed "$here/files.txt" | while read -r path; do
    [[ -e $tree$path ]] || die "Debian's packages have no $path"
    (cd "$tree" && find ".$path" \( -type f -o -type l \) | sed 's/^\.//')
done)
mapfile -t files < <(printf '%s\n' "${files[@]}" /usr/bin/zos-agent | with_libraries | sed 's#^/lib#/usr/lib#' | sort -u)
copy "${files[@]}"
install -m 755 "$init" "$root/usr/sbin/zos-init"
ln -s zos-init "$root/usr/sbin/zos-lease"
# The engine calls the agent with a script, which is all that this one runs.
ln -s ../sbin/zos-init "$root/usr/bin/sh"
ln -s ../bin/kmod "$root/usr/sbin/modprobe"
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s xtables-nft-multi "$root/usr/sbin/$name"
done
cp -a "$here/etc/." "$root/etc/"
chown -R 0:0 "$root/etc"
chmod 600 "$root/etc/shadow"
listed "$here/modules.txt" >"$root/etc/zos/modules"
ln -s /run/zos-lease/resolv.conf "$root/etc/resolv.conf"
ln -s /proc/self/mounts "$root/etc/mtab"
ln -s /run/docker "$root/etc/docker"
ln -s /run "$root/var/run"
ln -s /run/dhcpcd-state "$root/var/lib/dhcpcd"
mkdir "$root/var/lib/zos"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml" | head -1)
release="$version ($(git -C "$here" log -1 --format=%h), $ordinal)"
echo "$release" >"$root/etc/zos/release"
echo "$ordinal" >"$root/etc/zos/number"
# Of updates, it takes those alone that this key has signed.
openssl x509 -in "$certificate" -noout -pubkey |
    openssl rsa -pubin -RSAPublicKey_out -outform DER -out "$root/etc/zos/key.der" 2>/dev/null
printf 'NAME="Zero-OS"\nID=zos\nVERSION_ID="%s"\nPRETTY_NAME="Zero-OS %s"\n' "$version" "$release" >"$root/etc/os-release"

say "drivers"
kernel=$(basename "$(ls -d "$tree"/usr/lib/modules/*)")
modules=usr/lib/modules/$kernel
wanted=$(listed "$here/drivers.txt" | while read -r path; do
    [[ -e $tree/$modules/kernel/$path ]] || die "Debian's kernel has no driver $path"
    (cd "$tree/$modules" && find "kernel/$path" -name '*.ko')
done)
# Those that they need are in its list, too.
needed=$(awk -F: 'NR == FNR { wanted[$1]; next } $1 in wanted { print $1; n = split($2, m, " "); for (i = 1; i <= n; i++) print m[i] }' \
    <(echo "$wanted") "$tree/$modules/modules.dep" | sort -u)
(cd "$tree/$modules" && echo "$needed" | cpio --quiet -pdm "$root/$modules")
cp "$tree/$modules"/modules.{order,builtin,builtin.modinfo} "$root/$modules/"
depmod -b "$root" "$kernel"

# The image must have no way to type a command.
[[ $(readlink "$root/usr/bin/sh") == ../sbin/zos-init ]] || die "the image has a shell"
for name in bash dash busybox login getty agetty su sshd; do
    found=$(find "$root/usr" -name "$name")
    [[ -z $found ]] || die "the image has $found"
done
shells=$(find "$root" -type f -perm /111 -exec sh -c 'head -c 64 "$1" | grep -aq "^#!" && echo "$1"' _ {} \;)
[[ -z $shells ]] || die "the image has scripts: $shells"

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$root" && find . -type f -printf '%P\n' | sort | xargs -d '\n' sha256sum) >"$out/files"
# Without its folder of numbers: they are those of the build.
chroot "$tree" dpkg-query -W -f '${Package} ${Version}\n' >"$work/versions"
printf '%s\n' "${files[@]}" "/boot/vmlinuz-$kernel" | while read -r file; do
    grep -lxF -e "$file" -e "${file#/usr}" "$tree"/var/lib/dpkg/info/*.list || true
done | sed 's#.*/##; s/\(:amd64\)\?\.list$//' | sort -u |
    join - <(sort "$work/versions") >"$out/packages"

say "system"
mksquashfs "$root" "$work/root.squashfs" -quiet -no-progress -noappend -all-root -no-xattrs -comp zstd \
    -Xcompression-level "${LEVEL:-19}"
first=$work/first
mkdir -p "$first"/{dev,proc,sys,root,modules}
install -m 755 "$init" "$first/init"
number=10
for module in loop squashfs; do
    file=$(cd "$tree/$modules" && find kernel -name "$module.ko")
    install -m 644 "$tree/$modules/$file" "$first/modules/$number-$module.ko"
    number=$((number + 10))
done
mv "$work/root.squashfs" "$first/"
find "$first" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$first" && find . -printf '%P\n' | grep . | sort | cpio --quiet --reproducible -o -H newc -R 0:0) >"$out/initrd"
cp "$tree/boot/vmlinuz-$kernel" "$out/vmlinuz"
echo "$cmdline" >"$out/cmdline"

say "UEFI program"
sign() { sbsign --key "$key" --cert "$certificate" --output "$2" "$1" 2>/dev/null; }
align() { echo $((($1 + 4095) / 4096 * 4096)); }
printf '%s' "$cmdline" >"$work/cmdline"
# The stub's last section ends there.
read -r size address < <(objdump -h "$stub" | awk '$2 ~ /^\./ { size = $3; address = $4 } END { print size, address }')
offset=$((16#$size + 16#$address))
sections=()
for section in "osrel:$root/etc/os-release" "cmdline:$work/cmdline" "linux:$out/vmlinuz" "initrd:$out/initrd"; do
    file=${section#*:} name=.${section%%:*}
    offset=$(align "$offset")
    sections+=(--add-section "$name=$file" --change-section-vma "$name=$(printf '0x%x' "$offset")")
    offset=$((offset + $(stat -c %s "$file")))
done
objcopy "${sections[@]}" "$stub" "$work/unsigned.efi"
sign "$work/unsigned.efi" "$out/zos.efi"
sign "$loader" "$work/loader.efi"
cp "$certificate" "$out/zos.pem"

say "channel"
rm -rf "$out/channel"
mkdir "$out/channel"
cp "$out/zos.efi" "$out/channel/zos-$ordinal.efi"
printf '{"release":"%s","number":%d,"bytes":%d,"sha256":"%s"}\n' "$release" "$ordinal" "$(stat -c %s "$out/zos.efi")" \
    "$(sha256sum <"$out/zos.efi" | cut -d' ' -f1)" >"$work/manifest"
openssl dgst -sha256 -sign "$key" -out "$work/signature" "$work/manifest"
{
    od -An -v -tx1 "$work/signature" | tr -d ' \n'
    echo
    cat "$work/manifest"
} >"$out/channel/manifest"

say "disk"
# The farmer's settings, which `threebot farm image` replaces in place: one page that nothing else looks like.
{ cat "$here/settings"; head -c 4096 /dev/zero | tr '\0' '\n'; } | head -c 4096 >"$work/zos.cred"
truncate -s "${esp_mib}M" "$work/esp"
mkfs.vfat -F 32 -n ZOS -i "$(printf '%08x' $((SOURCE_DATE_EPOCH & 0xffffffff)))" --invariant "$work/esp" >/dev/null
# Nobody chooses or edits anything at the machine. The agent writes entries for updates as this one.
printf 'timeout 0\neditor no\nauto-entries no\nauto-firmware no\n' >"$work/loader.conf"
printf 'title Zero-OS\nsort-key zos\nversion %d\nefi /zos/%d.efi\n' "$ordinal" "$ordinal" >"$work/entry.conf"
mmd -i "$work/esp" ::/EFI ::/EFI/BOOT ::/loader ::/loader/credentials ::/loader/entries ::/zos
touch -d "@$SOURCE_DATE_EPOCH" "$work"/{zos.cred,loader.conf,entry.conf,loader.efi} "$out/zos.efi"
mcopy -m -i "$work/esp" "$work/loader.efi" ::/EFI/BOOT/BOOTX64.EFI
mcopy -m -i "$work/esp" "$work/loader.conf" ::/loader/loader.conf
mcopy -m -i "$work/esp" "$work/entry.conf" "::/loader/entries/zos-$ordinal.conf"
mcopy -m -i "$work/esp" "$work/zos.cred" ::/loader/credentials/zos.cred
mcopy -m -i "$work/esp" "$out/zos.efi" "::/zos/$ordinal.efi"
rm -f "$out/zos.img"
truncate -s "$((start_mib + esp_mib + 1))M" "$out/zos.img"
sgdisk -n "1:${start_mib}M:+${esp_mib}M" -t 1:ef00 -c 1:zos -U 7a6f7300-0000-4000-8000-000000000000 \
    -u 1:7a6f7300-0000-4000-8000-000000000001 "$out/zos.img" >/dev/null
dd if="$work/esp" of="$out/zos.img" bs=1M seek=$start_mib conv=notrunc,sparse status=none
(cd "$out" && sha256sum channel/* cmdline files initrd packages vmlinuz zos.efi zos.img >SHA256SUMS)
say "$out/zos.img, $(du -h --apparent-size "$out/zos.efi" | cut -f1) of it used"
