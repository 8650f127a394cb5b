#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Memory and processor time of a running agent over a minute, for docs/BENCHMARKS.md:
#
#   scripts/measure-agent.sh [PID [SECONDS]]
#
# Without a pid it is the only zos-agent on the machine, such as that of `make dev`.

set -euo pipefail

die() { echo "measure-agent: $*" >&2; exit 1; }

pid=${1:-}
seconds=${2:-60}
if [[ -z $pid ]]; then
    mapfile -t found < <(pgrep -x zos-agent || true)
    ((${#found[@]} == 1)) || die "${#found[@]} agents run: start one with \`make dev\`, or give a pid"
    pid=${found[0]}
fi
[[ -d /proc/$pid ]] || die "there is no process $pid"

# Of all threads since its start, in clock ticks: fields 14 and 15 of stat, counted from the third.
ticks() {
    local stat
    stat=$(<"/proc/$pid/stat")
    read -ra stat <<<"${stat##*) }"
    echo $((stat[11] + stat[12]))
}
kib() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$pid/status"; }

before=$(ticks)
sleep "$seconds"
after=$(ticks)

awk -v rss="$(kib VmRSS)" -v peak="$(kib VmHWM)" -v ticks=$((after - before)) \
    -v hertz="$(getconf CLK_TCK)" -v seconds="$seconds" 'BEGIN {
    printf "RSS %.1f MiB (peak %.1f MiB), CPU %.2f %% of one core over %d s\n",
        rss / 1024, peak / 1024, 100 * ticks / hertz / seconds, seconds
}'
