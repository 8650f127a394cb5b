#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Ends a run of the test grid and takes back what it did to the machine. Each run has a process
# that calls this when the run's owner ends, however that comes about; by hand it does no harm,
# neither twice nor half-way. The run's folder says it all:
#
#   pids/NAME           pid and start time of a process
#   agent/ agent-2/ …   the agents' data
#   zos-agent           a link to their program
#   engine              the address of the Docker engine that images are built on
#   agent-engine        the address of the node's engine, if it isn't the node's own
#   image               an image that the run's node pulled into it
#   docker/             data of the first, if it is the run's own
#   iptables ip_forward the firewall before, if the run or its node has an engine of its own

set -uo pipefail

run=${1:?usage: scripts/clean-run.sh RUN-FOLDER}
[[ -d $run/pids ]] || exit 0
failed=0

complain() { echo "clean-run: $*"; failed=1; }

# A zombie is gone, and so is a process whose number now belongs to a younger one.
alive() {
    local pid=$1 started=$2 stat
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
    # Fields from the third on: a name may hold spaces and brackets.
    read -ra stat <<<"${stat##*) }"
    [[ ${stat[0]} != Z && ${stat[19]} == "$started" ]]
}

stop() {
    local pid started tries
    [[ -f $run/pids/$1 ]] && read -r pid started <"$run/pids/$1" || return 0
    alive "$pid" "$started" && kill "$pid"
    for ((tries = 0; tries < 150; tries++)); do
        alive "$pid" "$started" || { rm -f "$run/pids/$1"; return 0; }
        sleep 0.1
    done
    echo "clean-run: $1 ignores SIGTERM"
    kill -KILL "$pid"
    rm -f "$run/pids/$1"
}

engine() { timeout 30 docker --host "$(<"$run/engine")" "$@"; }

purge_agent() {
    local data=$run/$1 engine=()
    [[ -f $data/identity.json && -e $run/zos-agent ]] || return 0
    [[ ! -f $run/agent-engine ]] || engine=(--engine "$(<"$run/agent-engine")" --unsafe-engine)
    timeout 90 "$run/zos-agent" purge --data "$data" "${engine[@]}" --yes ||
        complain "the agent could not purge $data"
}

empty_engine() {
    local containers networks
    engine version >/dev/null 2>&1 || return 0
    mapfile -t containers < <(engine ps --all --quiet)
    ((${#containers[@]} == 0)) || engine rm --force --volumes "${containers[@]}" >/dev/null
    mapfile -t networks < <(engine network ls --quiet --filter type=custom)
    ((${#networks[@]} == 0)) || engine network rm "${networks[@]}" >/dev/null
}

restore_firewall() {
    local table
    for table in filter nat; do
        if grep -q "^\*$table\$" "$run/iptables"; then
            iptables-restore --table "$table" <"$run/iptables"
        else
            nft delete table ip "$table" 2>/dev/null
        fi
    done
    cat "$run/ip_forward" >/proc/sys/net/ipv4/ip_forward
}

unmount_all() {
    local place device
    # The node's pool is a file of the run, mounted elsewhere.
    while read -r device; do
        while read -r place; do
            umount "$place" || umount --lazy "$place" || complain "can't unmount $place"
        done < <(awk -v device="$device" '$1 == device { print $2 }' /proc/mounts | tac)
    done < <(loop_devices)
    # Newest first: one may lie on another.
    while read -r place; do
        umount "$place" || umount --lazy "$place" || complain "can't unmount $place"
    done < <(awk -v run="$run/" 'index($2, run) == 1 { print $2 }' /proc/mounts | tac)
    while read -r device; do
        losetup --detach "$device" || complain "can't detach $device"
    done < <(loop_devices)
}

loop_devices() {
    losetup --list --noheadings --output NAME,BACK-FILE | awk -v run="$run/" 'index($2, run) == 1 { print $1 }'
}

remove_image() {
    [[ ! -f $run/image ]] || engine image rm --force "$(<"$run/image")" >/dev/null 2>&1
}

for name in agent agent-2 agent-3; do
    stop "$name"
    purge_agent "$name"
done
for name in "$run"/pids/*; do
    [[ ! -f $name || $name == */dockerd ]] || stop "${name##*/}"
done
if [[ -d $run/docker ]]; then
    empty_engine
    stop dockerd
else
    remove_image
fi
[[ ! -f $run/iptables ]] || restore_firewall
unmount_all
rm -rf --one-file-system "$run" || complain "can't remove $run"
exit "$failed"
