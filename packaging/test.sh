#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the packages in a Debian of their own, and tries there what their users do first. Needs root, and a mirror of
# Debian that apt-get reaches.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=$(realpath "${1:?usage: packaging/test.sh PACKAGES}")
suite=$(. /etc/os-release; echo "$VERSION_CODENAME")
# The longest that a node may take to answer.
readonly packages suite start_limit=120

say() { echo "test-packages: $*" >&2; }
die() { say "$@"; exit 1; }

((EUID == 0)) || die "needs root: it makes and enters a Debian of its own"
command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: apt-get install mmdebstrap"
compgen -G "$packages/*.deb" >/dev/null || die "no packages in $packages: run make packages"

work=$(mktemp -d)
root=$work/root
node=''
end() {
    [[ -z $node ]] || kill "$node" 2>/dev/null || true
    [[ -z $node ]] || wait "$node" 2>/dev/null || true
    ! mountpoint --quiet "$root/proc" || umount "$root/proc"
    rm -rf "$work"
}
trap end EXIT

inside() { chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"; }

says() {
    local text=$1 answer
    shift
    answer=$(inside "$@" 2>&1) || die "$* failed in the new Debian: $answer"
    [[ $answer == *"$text"* ]] || die "$* says \"$answer\", not \"$text\""
}

say "installing the packages in a new Debian $suite"
mmdebstrap --quiet --mode=root --variant=minbase \
    --aptopt='APT::Install-Recommends "false"' --include=systemd,procps,curl,man-db \
    --customize-hook="mkdir -p \"\$1/packages\" && cp \"$packages\"/*.deb \"\$1/packages/\"" \
    --customize-hook='chroot "$1" sh -c "apt-get install -qq -y /packages/*.deb" >"$1/install.log" 2>&1 ||
        { cat "$1/install.log" >&2; exit 1; }' \
    "$suite" "$root" || die "they can't be installed: see the messages above"
mount -t proc proc "$root/proc"

version=$(dpkg-deb --field "$packages"/threebot_*.deb Version)
for program in threebot zos-agent tfgrid-node; do
    says "$version" "$program" --version
    inside man --where "$program" >/dev/null || die "there is no man page of $program"
done
says 'threebot' bash -c '. /usr/share/bash-completion/completions/threebot && complete -p threebot'
says 'Starts a grid' tfgrid-dev --help
says 'TF Grid Explorer' cat /usr/share/tfgrid-explorer/index.html
says 'ws' cat /usr/share/tfgrid-explorer/endpoints.json
says 'tfgrid-node' getent passwd tfgrid-node

for unit in tfgrid-node zos-agent; do
    faults=$(inside systemd-analyze verify "/usr/lib/systemd/system/$unit.service" 2>&1) ||
        die "systemd refuses $unit.service: $faults"
    [[ $faults != *"$unit.service:"* ]] || die "systemd complains of $unit.service: $faults"
done
# Exposure in tenths: 3.0 is what the node may have. The agent's unit says what it needs, and why.
for limit in tfgrid-node:30 zos-agent:75; do
    inside systemd-analyze security --offline=true --no-pager --threshold="${limit#*:}" \
        "/usr/lib/systemd/system/${limit%:*}.service" >"$work/security" ||
        { cat "$work/security" >&2; die "${limit%:*}.service is more exposed than $limit"; }
done

# As the service starts it, but for its user and its sandbox.
say "starting a node"
chroot "$root" setpriv --reuid=tfgrid-node --regid=tfgrid-node --clear-groups \
    /usr/bin/tfgrid-node --dev --tmp --rpc-port 19944 --prometheus-port 19615 --listen-addr /ip4/127.0.0.1/tcp/19333 \
    >"$work/node.log" 2>&1 &
node=$!
block() {
    curl -sS -m 5 --noproxy '*' -H 'Content-Type: application/json' \
        -d '{"jsonrpc":"2.0","id":1,"method":"chain_getHeader","params":[]}' http://127.0.0.1:19944 2>/dev/null |
        grep -o '"number":"0x[0-9a-f]*"' || true
}
for ((second = 0; second < start_limit; second++)); do
    kill -0 "$node" 2>/dev/null || { tail -n 20 "$work/node.log" >&2; die "the node has ended"; }
    number=$(block)
    [[ -z $number || $number == '"number":"0x0"' ]] || break
    sleep 1
done
((second < start_limit)) || { tail -n 20 "$work/node.log" >&2; die "no block in $start_limit s"; }

# What rules and dashboard read is what the node has.
metrics=$(curl -sS -m 5 --noproxy '*' http://127.0.0.1:19615/metrics)
while read -r name; do
    grep -q "^$name[{ ]" <<<"$metrics" || die "the dashboard or a rule reads $name, which the node doesn't have"
done < <(grep -rhoE 'substrate_[a-z0-9_]+' "$root"/usr/share/tfgrid-node/ | sort -u)
says '0x' /usr/share/tfgrid-node/checkpoint http://127.0.0.1:19944
says 'twin ' threebot --chain ws://127.0.0.1:19944 --key //Alice twin create

say "removing the packages"
inside apt-get purge -qq -y tfgrid-dev tfgrid-explorer threebot zos-agent tfgrid-node >/dev/null 2>&1 ||
    die "they can't be removed"
[[ ! -e $root/usr/bin/tfgrid-node && ! -e $root/etc/default/tfgrid-node ]] || die "files of a removed package are left"
say "all is well"
