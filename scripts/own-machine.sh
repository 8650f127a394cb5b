#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a program in a network of its own, with /run, /etc and mounts of its own, so that several grids run beside each
# other: uplink, bridges, firewall, ports, names of network namespaces and users that an engine adds are theirs alone.
# Other things are shared, but have names that don't clash: processes, cgroups, loop devices, folders of runs, and
# nodes' folders below /run/zos, by which a node knows that others are left. The machine ends with its last process.

set -euo pipefail

if [[ ${1:?usage: scripts/own-machine.sh PROGRAM [ARGUMENT …]} != --inside ]]; then
    exec unshare --net --mount "$0" --inside "$@"
fi
shift

mkdir -p /run/zos
work=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work"/{zos,lock,sys,own-machine}
mount --bind /run/zos "$work/zos"
# What other grids have mounted must not stay in use here, nor be listed without being found.
awk -v runs="${TMPDIR:-/tmp}/tfgrid-" 'index($2, "/run/") == 1 || index($2, runs) == 1 { print $2 }' /proc/self/mounts |
    tac | xargs --no-run-if-empty umount --no-mtab --lazy
# A copy: the tools of user accounts replace files, which a mount on each would forbid.
cp -a /etc "$work/etc"
# /etc/resolv.conf may be a link to a file below /run.
cp --remove-destination -L /etc/resolv.conf "$work/etc/" 2>/dev/null || true
mount --bind "$work/etc" /etc
# A sysfs shows the links of the network in which it is mounted. All of it is mounted: if a part were hidden, the kernel
# would let no container mount its own.
mount -t sysfs sysfs "$work/sys"
awk '$2 ~ "^/sys/." { print $2 }' /proc/self/mounts | while read -r place; do
    mount --bind "$place" "$work$place"
done
umount --no-mtab --lazy --recursive /sys
mount --no-mtab --move "$work/sys" /sys
mount --no-mtab --move "$work" /run
rmdir "$work"
# An uplink behind which nobody answers.
ip -batch - <<'END'
link set lo up
link add eth0 type veth peer name tfgrid-uplink
link set tfgrid-uplink up
link set eth0 arp off
link set eth0 up
address add 192.0.2.2/24 dev eth0
address add fd00::2/64 dev eth0 nodad
route add default via 192.0.2.1
route add default via fd00::1
END
exec "$@"
