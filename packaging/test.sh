#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the packages in a Debian of their own, boots it in a container with a network of its own, and does there what
# docs/OPERATORS.md tells: a development grid, a validator, a chain, and a farmer's node on a blank disk, on which a
# user deploys the example of a web gateway, with a computer that joins its network. Needs root, and a mirror of Debian
# that apt-get reaches.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=$(realpath "${1:?usage: packaging/test.sh PACKAGES}")
suite=$(. /etc/os-release; echo "$VERSION_CODENAME")
# The longest that a program may take for what takes it seconds on a machine that does nothing else.
readonly packages suite limit=300
# The machine's address in the internet, and that of a laptop there, which is its router, too.
readonly address=185.69.166.10 laptop=185.69.166.1 domain=gw.example.org

disk='' machine=''

say() { echo "test-packages: $*" >&2; }
die() {
    say "$@"
    if [[ -n $machine ]]; then
        cat "$work/console" >&2
        inside journalctl --boot --no-pager --lines=20 --unit=grid --unit=tfgrid-node >&2 || true
        inside journalctl --boot --no-pager --lines=40 --unit=zos-agent >&2 || true
    fi
    exit 1
}

((EUID == 0)) || die "needs root: it makes and boots a Debian of its own"
for tool in mmdebstrap:mmdebstrap systemd-nspawn:systemd-container ip:iproute2 losetup:mount jq:jq; do
    command -v "${tool%:*}" >/dev/null || die "${tool%:*} is missing: apt-get install ${tool#*:}"
done
compgen -G "$packages/*.deb" >/dev/null || die "no packages in $packages: run make packages"

work=$(mktemp -d)
root=$work/root network=packages-$$
end() {
    if [[ -n $machine ]] && kill "$machine" 2>/dev/null; then
        timeout 30 tail --pid="$machine" --follow /dev/null || kill -KILL "$machine"
        wait "$machine" || true
    fi
    for name in "$network" "$network-laptop"; do
        [[ ! -e /run/netns/$name ]] || ip netns delete "$name"
    done
    [[ -z $disk ]] || losetup --detach "$disk"
    rm -rf "$work"
}
trap end EXIT

environment=(/usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8)
inside() {
    nsenter --target "$(pgrep --parent "$machine")" --mount --uts --ipc --net --pid --cgroup "${environment[@]}" "$@"
}
# On the laptop, which has the same files.
outside() {
    ip netns exec "$network-laptop" \
        nsenter --target "$(pgrep --parent "$machine")" --mount --pid "${environment[@]}" "$@"
}
farmer() { inside threebot --key //Alice "$@"; }
user() { inside threebot --key //Bob "$@"; }

says() {
    local text=$1 answer
    shift
    answer=$(inside "$@" 2>&1) || die "$* failed in the new Debian: $answer"
    [[ $answer == *"$text"* ]] || die "$* says \"$answer\", not \"$text\""
}

wait_for() { # WHAT COMMAND…
    local what=$1 since=$SECONDS
    shift
    until "$@" >/dev/null 2>&1; do
        kill -0 "$machine" 2>/dev/null || die "the new Debian has ended"
        ((SECONDS - since < limit)) || die "not within $limit s: $what"
        sleep 1
    done
    say "$what"
}

say "installing the packages in a new Debian $suite"
mmdebstrap --quiet --mode=root --variant=minbase \
    --aptopt='APT::Install-Recommends "false"' --include=systemd,procps,curl,man-db,age \
    --customize-hook="mkdir -p \"\$1/packages\" && cp \"$packages\"/*.deb \"\$1/packages/\"" \
    --customize-hook='chroot "$1" sh -c "apt-get install -qq -y /packages/*.deb" >"$1/install.log" 2>&1 ||
        { cat "$1/install.log" >&2; exit 1; }' \
    "$suite" "$root" || die "they can't be installed: see the messages above"

ip netns add "$network"
ip netns add "$network-laptop"
ip -netns "$network" -batch - <<END
link set lo up
link add eth0 type veth peer name eth0 netns $network-laptop
link set eth0 up
address add $address/24 dev eth0
route add default via $laptop
END
ip -netns "$network-laptop" -batch - <<END
link set lo up
link set eth0 up
address add $laptop/24 dev eth0
END
truncate --size=12G "$work/disk"
disk=$(losetup --find --show "$work/disk")

# What confines the programs is their units alone. Where systemd doesn't run, nobody registers machines.
registration=()
[[ -d /run/systemd/system ]] || registration=(--register=no --keep-unit)
SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes systemd-nspawn --quiet --directory="$root" --machine="$network" --boot \
    --capability=all --system-call-filter=@known --network-namespace-path="/run/netns/$network" --resolv-conf=off \
    --bind="$disk" --bind=/dev/btrfs-control --bind=/dev/net/tun --console=pipe "${registration[@]}" \
    </dev/null >"$work/console" 2>&1 &
machine=$!
is_up() { [[ $(inside systemctl is-system-running) == @(running|degraded) ]]; }
wait_for "the new Debian has booted" is_up
# Of the control groups' first version, a container may write to systemd's alone.
inside findmnt --types cgroup --noheadings --output TARGET | while read -r group; do
    inside mount -o remount,bind,rw "$group"
done

version=$(dpkg-deb --field "$packages"/threebot_*.deb Version)
for program in threebot zos-agent tfgrid-node tfgrid-dev; do
    [[ $program == tfgrid-dev ]] || says "$version" "$program" --version
    inside man --where "$program" >/dev/null || die "there is no man page of $program"
done
says 'threebot' bash -c '. /usr/share/bash-completion/completions/threebot && complete -p threebot'
says 'Starts a grid' tfgrid-dev --help
says 'TF Grid Explorer' cat /usr/share/tfgrid-explorer/index.html
says 'ws' cat /usr/share/tfgrid-explorer/endpoints.json
says 'tfgrid-node' getent passwd tfgrid-node
guides=$root/usr/share/doc/tfgrid-node
while read -r page; do
    [[ -f $guides/$page ]] || die "a guide in tfgrid-node links to $page, which isn't there"
done < <(grep -ohE '\]\([^)#]+' "$guides"/*.md | sed 's/^](//' | sort -u)

for unit in tfgrid-node zos-agent; do
    faults=$(inside systemd-analyze verify "/usr/lib/systemd/system/$unit.service" 2>&1) ||
        die "systemd refuses $unit.service: $faults"
    [[ $faults != *"$unit.service:"* ]] || die "systemd complains of $unit.service: $faults"
done
# Exposure in tenths: 3.0 is what the node may have. The agent's unit says what it needs, and why.
for limit_of in tfgrid-node:30 zos-agent:75; do
    inside systemd-analyze security --offline=true --no-pager --threshold="${limit_of#*:}" \
        "/usr/lib/systemd/system/${limit_of%:*}.service" >"$work/security" ||
        { cat "$work/security" >&2; die "${limit_of%:*}.service is more exposed than $limit_of"; }
done

# A development grid has its pools in files, and a container has no loop devices of itself.
for number in {0..31}; do
    inside mknod "/dev/loop$number" b 7 "$number" 2>/dev/null || true
done
inside mknod /dev/loop-control c 10 237
inside systemd-run --quiet --unit=grid --setenv=TMPDIR=/var/tmp tfgrid-dev
has_grid() { inside journalctl --boot --no-pager --unit=grid | grep "Ctrl-C ends the grid"; }
wait_for "tfgrid-dev has a grid" has_grid
says 'online' threebot --key //Alice node list
says 'TF Grid Explorer' curl -sS -m 5 http://127.0.0.1:9940/
inside systemctl kill --kill-whom=main --signal=INT grid
has_no_grid() { ! inside systemctl is-active grid && ! inside pgrep --full /run/zos; }
wait_for "Ctrl-C has ended it" has_no_grid

inside systemctl start tfgrid-node 2>/dev/null || true
! inside systemctl is-active --quiet tfgrid-node || die "tfgrid-node.service starts without options"
says 'set OPTIONS' journalctl --boot --no-pager --unit=tfgrid-node

# A network of one validator, by the steps for three.
inside bash -euo pipefail -s <<'END' >"$work/keys" 2>&1 || die "no keys of a validator: $(<"$work/keys")"
install -m 644 /usr/share/tfgrid-node/validator-sysctl.conf /etc/sysctl.d/60-tfgrid-node.conf
sysctl -q -p /etc/sysctl.d/60-tfgrid-node.conf
(umask 077; tfgrid-node key generate | sed -n 's/^Secret phrase: *//p' >/root/SEED)
tfgrid-node key generate-node-key --file /etc/tfgrid-node/node.key
chown tfgrid-node: /etc/tfgrid-node/node.key && chmod 600 /etc/tfgrid-node/node.key
END
address_of() { inside tfgrid-node key inspect --scheme "$1" /root/SEED | sed -n 's/^ *SS58 Address: *//p'; }
peer=$(inside tfgrid-node key inspect-node-key --file /etc/tfgrid-node/node.key)
jq --arg account "$(address_of sr25519)" --arg grandpa "$(address_of ed25519)" --arg peer "$peer" '
    .name = "Packaged" | .id = "packaged" | .bootNodes = ["/ip4/127.0.0.1/tcp/30333/p2p/" + $peer] |
    .genesis.runtimeGenesis.patch |= (
        .balances.balances = [[$account, 10000000000]] | .councilMembership.members = [$account] |
        .billing.policy.foundation = $account | .billing.policy.staking = $account | .clock.price = 500000 |
        .session.keys = [[$account, $account, { aura: $account, grandpa: $grandpa }]])' \
    "$root/usr/share/tfgrid-node/chain-spec.json" >"$root/root/my-network.json"
inside bash -euo pipefail -s <<'END' >"$work/validator" 2>&1 || die "no validator: $(<"$work/validator")"
tfgrid-node export-chain-spec --chain /root/my-network.json --raw --output /etc/tfgrid-node/spec.json
for key in "aura sr25519" "gran ed25519"; do
    read -r type scheme <<< "$key"
    tfgrid-node key insert --chain /etc/tfgrid-node/spec.json --base-path /var/lib/tfgrid-node \
        --key-type "$type" --scheme "$scheme" --suri /root/SEED
done
chown -R tfgrid-node: /var/lib/tfgrid-node
echo 'OPTIONS="--chain /etc/tfgrid-node/spec.json --validator --name one --node-key-file /etc/tfgrid-node/node.key"' \
    > /etc/default/tfgrid-node
systemctl enable --quiet --now tfgrid-node
END
has_final_block() {
    inside curl -sS -m 5 http://127.0.0.1:9615/metrics | grep -E '^substrate_block_height.*status="finalized".* [1-9]'
}
wait_for "a validator's blocks are final" has_final_block
inside systemctl disable --quiet --now tfgrid-node

echo 'OPTIONS="--dev"' >"$root/etc/default/tfgrid-node"
inside systemctl enable --quiet --now tfgrid-node
wait_for "the chain answers" farmer twin create --yes
# What rules and dashboard read is what the node has.
metrics=$(inside curl -sS -m 5 http://127.0.0.1:9615/metrics)
while read -r name; do
    grep -q "^$name[{ ]" <<<"$metrics" || die "the dashboard or a rule reads $name, which the node doesn't have"
done < <(grep -rhoE 'substrate_[a-z0-9_]+' "$root"/usr/share/tfgrid-node/ | sort -u)
says '0x' /usr/share/tfgrid-node/checkpoint http://127.0.0.1:9944
! inside journalctl --boot --no-pager --unit=tfgrid-node | grep "40 ms longer" ||
    die "the node doesn't find its RPC sockets"

farmer farm create packaged --yes >/dev/null
farmer --json farm ticket --farm 1 | jq --raw-output .ticket | install -m 600 /dev/stdin "$root/etc/zos-agent/ticket"
sed -i "s|^#ZOS_CHAIN=|ZOS_CHAIN=|; s|^#ZOS_POOL=.*|ZOS_POOL=$disk|" "$root/etc/default/zos-agent"
echo ZOS_REGISTRY_MIRROR=http://127.0.0.1:5001 >>"$root/etc/default/zos-agent"
inside systemctl enable --quiet --now zos-agent
is_online() { [[ $(farmer --json node show 1 | jq --raw-output .state) == online ]]; }
wait_for "the node is online" is_online
rm "$root/etc/zos-agent/ticket"
farmer node public-config 1 --ipv4 "$address/24" --gateway "$laptop" --domain "$domain" >/dev/null

printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /srv/registry}}\nhttp: {addr: "127.0.0.1:5001"}\n' \
    >"$root/etc/docker/registry/test.yml"
inside systemd-run --quiet docker-registry serve /etc/docker/registry/test.yml
wait_for "a registry" inside curl -fsS http://127.0.0.1:5001/v2/
mkdir -p "$work/image/bin"
cp "$root/bin/busybox" "$work/image/bin/busybox"
for name in sh mkdir httpd; do
    ln -s busybox "$work/image/bin/$name"
done
ip netns exec "$network" scripts/push-image.sh http://127.0.0.1:5001 library/busybox 1.36 "$work/image" >/dev/null

user twin create --yes >/dev/null
user deposit 100 >/dev/null
user --json name reserve shop >/dev/null
(umask 077 && inside wg genkey >"$work/wireguard.key")
inside wg pubkey <"$work/wireguard.key" >"$work/wireguard.pub"
sed "s|range: 10.20.1.0/24|&, peers: [{ name: laptop, public_key: \"$(<"$work/wireguard.pub")\" }]|" \
    "$root/usr/share/doc/threebot/examples/shop.yaml" >"$root/root/shop.yaml"
contract=$(user --json deploy -f /root/shop.yaml --node 1 --yes --no-pin --timeout 10m | jq .contract) ||
    die "the example isn't deployed"
say "contract $contract is deployed"

# From the internet, over the gateway and over WireGuard; over the peer endpoint.
site=https://shop.$domain/
serves_site() { [[ $(outside curl -sS -k -m 5 --connect-to "::$address:" "$site") == hello ]]; }
wait_for "its site, from outside" serves_site
install -m 600 "$work/wireguard.key" "$root/root/wireguard.key"
user net join backend --private-key /root/wireguard.key --out /root/backend.conf >/dev/null
# The laptop has no program that takes name servers.
sed -i '/^DNS/d' "$root/root/backend.conf"
outside wg-quick up /root/backend.conf >"$work/wg-quick" 2>&1 || die "WireGuard: $(<"$work/wg-quick")"
serves_network() { [[ $(outside curl -sS -m 5 http://10.20.1.5:8080/) == hello ]]; }
wait_for "its machine, over WireGuard" serves_network
! outside curl -sS -m 5 "http://$address:9616/metrics" >/dev/null 2>&1 || die "the agent's metrics answer from outside"
says 'uid=0' threebot --key //Bob exec "$contract" web -- /bin/busybox id

inside age-keygen -o /root/identity 2>/dev/null
kept=(--place /root/snapshots --identity /root/identity)
page() { outside curl -sS -m 5 http://10.20.1.5:8080/page; }
user exec "$contract" web -- /bin/sh -c 'echo first >/www/page'
snapshot=$(user --json snapshot take "$contract" web "${kept[@]}" | jq --raw-output .snapshots[0].snapshot) ||
    die "no snapshot of a machine"
user exec "$contract" web -- /bin/sh -c 'echo second >/www/page'
[[ $(page) == second ]] || die "the machine's page isn't another"
says '' threebot --key //Bob restore "$contract" "$snapshot" "${kept[@]}" --yes
has_first_page() { [[ $(page) == first ]]; }
wait_for "its page, restored from a snapshot" has_first_page

# Machines outlive the service's program.
machines() { inside pgrep --full 'httpd -f -p 8080'; }
before=$(machines) || die "no machine runs"
says '' sh -c 'DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --reinstall /packages/*.deb'
wait_for "the node, installed again" serves_site
[[ $(machines) == "$before" ]] || die "installing the packages again has ended machines"
wait_for "its self-test, installed again" inside sh -c 'set -a; . /etc/default/zos-agent; zos-agent doctor'

say "removing all of it"
inside systemctl stop zos-agent
says '' zos-agent purge --yes
! inside pgrep --full 'httpd -f -p 8080|/run/zos' >/dev/null || die "zos-agent purge leaves $(inside ps ax)"
says '' apt-get purge -qq -y tfgrid-dev tfgrid-explorer threebot zos-agent tfgrid-node
[[ ! -e $root/usr/bin/tfgrid-node && ! -e $root/etc/default/tfgrid-node ]] || die "files of a removed package are left"
! inside pgrep tfgrid-node >/dev/null || die "the node runs on without its package"
say "all is well"
