#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Usage: test.sh PROGRAMS INIT CACHE IMAGE
#
# Boots images, which it makes as build.sh does, under emulation with Secure Boot, beside a development chain and a
# registry of this machine, with a clock that is a day late, which a time server of this machine corrects, and with two
# disks that hold somebody's data: the node says so on its console, and waits until one of them is blanked. Then it
# joins, runs a deployment that is opened over the peer endpoint and one in a private network, which this machine joins
# by WireGuard, and has both again after the power button and a start without a ticket, and the former after a power cut
# and a start over the network; its farmer sees its state and its log; its console takes no input, no other port
# answers, and the other disk is as it was. Then the node updates itself to a newer image, and rolls back an image that
# doesn't work. The image of the folder IMAGE, which another key has signed, doesn't start. Leaves nothing.
#
# ACCEL=kvm makes it quicker, where KVM has the System Management Mode that Secure Boot needs. Elsewhere, SECURE_BOOT=no
# with it leaves Secure Boot out: that the image of another key doesn't start, and that the node reports Secure Boot.
#
# Waits are for an emulation on two processors that others use, too: each is several times what it takes there alone.

set -euo pipefail

if (($# != 4)); then
    echo "usage: test.sh PROGRAMS INIT CACHE IMAGE, as make test-image calls it" >&2
    exit 2
fi
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
readonly ovmf=/usr/share/OVMF
case ${SECURE_BOOT:-yes} in
yes)
    readonly code=$ovmf/OVMF_CODE_4M.secboot.fd variables=$ovmf/OVMF_VARS_4M.snakeoil.fd with_smm=on
    ;;
no)
    readonly code=$ovmf/OVMF_CODE_4M.fd variables=$ovmf/OVMF_VARS_4M.fd with_smm=off
    ;;
*)
    echo "image: SECURE_BOOT is $SECURE_BOOT: it is yes or no" >&2
    exit 2
    ;;
esac
here=$(dirname "$(readlink -f "$0")")
programs=$(readlink -f "$1") init=$(readlink -f "$2") cache=$(readlink -f "$3") image=$(readlink -f "$4")
work=$(mktemp -d)
readonly here programs init cache image work
readonly chain=19944 registry=15000 peer=19617 metrics=19616 channel=15001
# Nodes don't name loopback addresses to anybody: this one of the host is where the emulated machine is reached.
readonly router=10.98.76.54
# Another machine on the wire of the emulated one reaches all of its ports; QEMU alone passes on some.
readonly neighbour=zos-image-$$ wire=zos-$$
# A machine in a private network.
readonly subnet=10.98.77.0/24 address=10.98.77.5
export TFGRID_CHAIN=ws://127.0.0.1:$chain TFGRID_KEY=//Bob TFGRID_DEVICE=$work/device.key HOME=$work
# Named after the interface.
readonly tunnel=$work/zos-image.conf
pids=()

leave_network() {
    [[ -e $work/joined ]] || return 0
    wg-quick down "$tunnel" >/dev/null 2>&1 || true
    rm "$work/joined"
}
end() {
    leave_network
    for pid in "${pids[@]}"; do
        kill -9 "$pid" 2>/dev/null || continue
        wait "$pid" 2>/dev/null || true
    done
    ip netns delete "$neighbour" 2>/dev/null || true
    ip address del "$router/32" dev lo 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT
ip address add "$router/32" dev lo
ip netns add "$neighbour"

begun=$SECONDS
say() { printf 'image: %4d s  %s\n' $((SECONDS - begun)) "$*" >&2; }
die() {
    say "$@"
    tail -c 3000 "$work/serial.log" 2>/dev/null | tr -d '\0' | tail -25 >&2 || true
    exit 1
}

start() { # NAME COMMAND…
    local name=$1
    shift
    "$@" </dev/null >"$work/$name.log" 2>&1 &
    pids+=($!)
}

wait_for() { # SECONDS WHAT COMMAND…
    local limit=$1 what=$2 since=$SECONDS
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS - since < limit)) || die "no $what within $limit s"
        sleep 1
    done
    say "$what"
}

threebot() { "$programs/threebot" "$@"; }

# The page of a web server, as an image in a registry.
push_image() {
    local root=$work/page
    mkdir -p "$root/bin" "$root/www"
    cp /bin/busybox "$root/bin/busybox"
    ln -s busybox "$root/bin/httpd"
    echo "hello from an image" >"$root/www/index.html"
    "$here/../push-image.sh" "http://127.0.0.1:$registry" library/page 1 "$root" /bin/httpd -f -p 80 -h /www
}

# An image that the firmware of the emulation takes.
make_image() { # NUMBER AGENT
    env NUMBER="$1" LEVEL=3 KEY="$work/firmware.key" CERTIFICATE=/usr/share/ovmf/PkKek-1-snakeoil.pem \
        "$here/build.sh" "$2" "$init" "$cache" "$work/image-$1" >"$work/build.log" 2>&1 ||
        die "no image: $(cat "$work/build.log")"
}

# The machine, until it switches itself off. Its stick can be read alone, unless the machine may update itself; over the
# network it has none, and no firmware that checks signatures.
boot() { # STICK [updates|neighbour], or IMAGE network
    local medium=(-no-reboot -drive "file=$1,format=raw,if=virtio,readonly=on")
    local firmware=(-global "driver=cfi.pflash01,property=secure,value=$with_smm"
        -drive "if=pflash,format=raw,unit=0,readonly=on,file=$code"
        -drive "if=pflash,format=raw,unit=1,file=$work/vars.fd")
    local user="user,hostfwd=udp:$router:$peer-:9617,hostfwd=tcp:127.0.0.1:$metrics-:9616"
    local wires=(-nic "$user,model=virtio-net-pci") clock=()
    case ${2:-} in
    updates)
        medium=(-drive "file=$1,format=raw,if=virtio")
        ;;
    neighbour)
        wires=(-netdev "$user,id=user" -netdev "hubport,hubid=0,id=user-port,netdev=user"
            -netdev "tap,id=neighbour,ifname=$wire,script=no,downscript=no"
            -netdev "hubport,hubid=0,id=neighbour-port,netdev=neighbour"
            -netdev "hubport,hubid=0,id=machine-port" -device "virtio-net-pci,netdev=machine-port")
        clock=(-rtc "base=$(date --utc --date '1 day ago' +%FT%T)")
        ;;
    network)
        medium=(-no-reboot -kernel "$1/vmlinuz" -initrd "$work/initrd" -append "$(<"$1/cmdline")")
        firmware=()
        ;;
    esac
    cp "$variables" "$work/vars.fd"
    rm -f "$work/serial" "$work/monitor"
    start "machine-$SECONDS" qemu-system-x86_64 -machine q35,smm=$with_smm -m 2048 -smp 2 -accel "${ACCEL:-tcg,thread=multi}" \
        -display none "${firmware[@]}" "${clock[@]}" \
        -chardev "socket,id=serial,path=$work/serial,server=on,wait=off,logfile=$work/serial.log,logappend=on" \
        -serial chardev:serial -monitor "unix:$work/monitor,server=on,wait=off" "${medium[@]}" \
        -drive "file=$work/blank,format=raw,if=virtio" -drive "file=$work/taken,format=raw,if=virtio" "${wires[@]}"
    machine=${pids[-1]}
    sleep 1
    ! has_ended && ! grep -q "KVM internal error" "$work"/machine-*.log ||
        die "it can't be emulated: $(cat "$work"/machine-*.log)"
    [[ ${2:-} != neighbour ]] || connect_neighbour
}
connect_neighbour() {
    wait_for 30 "a neighbour of the machine" test -e "/sys/class/net/$wire"
    ip link set "$wire" netns "$neighbour"
    ip -n "$neighbour" address add 10.0.2.77/24 dev "$wire"
    ip -n "$neighbour" link set lo up
    ip -n "$neighbour" link set "$wire" up
    # QEMU's router takes up any connection on the wire, in the machine's name.
    ip netns exec "$neighbour" nft -f - <<RULES
table netdev wire {
    chain router {
        type filter hook ingress device "$wire" priority 0
        ether saddr 52:55:0a:00:02:02 drop
    }
}
RULES
}
scan() { # OPTIONS…: the machine's ports, as its neighbour finds them
    ip netns exec "$neighbour" timeout 600 nmap -n -Pn --max-retries 1 -oG - "$@" 10.0.2.15
}

cut_power() { { kill -9 "$machine" && wait "$machine"; } 2>/dev/null || true; }
has_secure_boot() { threebot node show 1 | grep -q ", secure boot"; }
is_online() { [[ $(threebot --json node show 1 | jq -r .state) == online ]]; }
monitor() { socat - "UNIX-CONNECT:$work/monitor" <<<"$1"; }
serves_page() { # a page that is opened over the peer endpoint
    "$programs/threebot" forward "$contract" 18080:web:80 </dev/null >"$work/forward.log" 2>&1 &
    local forward=$! page
    page=$(curl -fsS --retry 20 --retry-delay 1 --retry-connrefused --max-time 30 http://127.0.0.1:18080/ || true)
    kill "$forward" 2>/dev/null || true
    wait "$forward" 2>/dev/null || true
    [[ $page == "hello from an image" ]]
}
in_machine() { timeout 60 "$programs/threebot" exec "$contract" web -- /bin/busybox "$@" </dev/null; }
takes_no_drivers() { [[ $(in_machine cat /proc/sys/kernel/modules_disabled) == 1 ]]; }
has_time() { # as far as such a call can tell
    local off
    off=$(($(in_machine date +%s) - $(date +%s)))
    ((${off#-} <= 30))
}
tells_state() { threebot --json node status 1 | jq -e '.findings | length > 0'; }
tells_log() { [[ -n $(threebot node logs 1 --tail 5) ]]; }
finds_itself() { # from inside, by the name server of the network
    [[ $(timeout 60 "$programs/threebot" exec "$inner" inner -- \
        /bin/busybox nslookup -type=a inner.backend.internal </dev/null) == *"Address: $address"* ]]
}
join_network() { # by WireGuard, whose port the emulator passes on
    local endpoint
    endpoint=$(threebot --json net join backend --private-key "$work/wireguard.key" --out "$tunnel" | jq -r .endpoint)
    [[ $endpoint == "$router":* ]] || die "the network's node is at $endpoint, not at $router"
    monitor "hostfwd_add udp:$endpoint-:${endpoint##*:}" >/dev/null
    # This machine may have no program that takes name servers.
    sed -i '/^DNS/d' "$tunnel"
    touch "$work/joined"
    wg-quick up "$tunnel" >"$work/wg-quick.log" 2>&1 || die "no tunnel: $(cat "$work/wg-quick.log")"
}
serves_network() { [[ $(curl -fsS --noproxy '*' --max-time 10 "http://$address/") == "hello from an image" ]]; }
runs_image() { [[ $(threebot --json node show 1 | jq -r .version) == *", $1)" ]]; }
# Entries of the boot loader on the stick, as loader and node have left them.
entries() { mdir -b -i "$work/again.img@@1M" ::/loader/entries | sort | xargs -n1 basename | paste -sd' '; }
has_entries() { [[ $(entries) == "$1" ]]; }
offer() { # NUMBER
    rm -rf "$work/channel"
    cp -r "$work/image-$1/channel" "$work/channel"
}
has_ended() { ! kill -0 "$machine" 2>/dev/null; }
said() { grep -aq "$1" "$work/serial.log"; }

# The development chain's, except that contracts of a node stay open while an image fails.
"$programs/tfgrid-node" export-chain-spec --chain dev 2>/dev/null |
    jq '.genesis.runtimeGenesis.patch.initialIntervals.longOfflineMs = 86400000' >"$work/spec.json"
start chain "$programs/tfgrid-node" --chain "$work/spec.json" --alice --unsafe-force-node-key-generation \
    --no-prometheus --no-telemetry --base-path "$work/chain" --rpc-port $chain --rpc-cors all \
    --listen-addr /ip4/127.0.0.1/tcp/0
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: "%s"}}\nhttp: {addr: "127.0.0.1:%d"}\n' \
    "$work/registry" $registry >"$work/registry.yml"
start registry docker-registry serve "$work/registry.yml"
wait_for 120 "registry" curl -fsS "http://127.0.0.1:$registry/v2/"
page=$(push_image)
wait_for 300 "chain" threebot twin create --yes
threebot deposit 100 >/dev/null
threebot farm create emulated --yes >/dev/null

openssl rsa -in /usr/share/ovmf/PkKek-1-snakeoil.key -passin pass:snakeoil -out "$work/firmware.key" 2>/dev/null
make_image 1 "$programs/zos-agent"
make_image 2 "$programs/zos-agent"
# Its agent is another program, which fails.
make_image 3 "$programs/threebot"
say "images"
mkdir "$work/channel"
start channel python3 -m http.server "$channel" --bind 127.0.0.1 --directory "$work"
# A server of NTP: a machine's setting names no port.
start clock python3 -c '
import socket, struct, time
clock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
clock.bind(("127.0.0.1", 123))
while True:
    asked, sender = clock.recvfrom(1024)
    now = int((time.time() + 2208988800) * 2**32).to_bytes(8, "big")
    clock.sendto(struct.pack("!BBbbII4s", 0x24, 1, 6, -20, 0, 0, b"TEST") + now + asked[40:48] + now + now, sender)'

settings=("ZOS_CHANNEL=http://10.0.2.2:$channel/channel" "ZOS_UPDATE_WITHIN=10s"
    "ZOS_REGISTRY_MIRROR=http://10.0.2.2:$registry" "ZOS_PEER_EXTERNAL=$router:$peer" "ZOS_NTP=10.0.2.2")
threebot farm image --yes --farm 1 --image "$work/image-1/zos.img" --out "$work/stick.img" \
    --node-chain "ws://10.0.2.2:$chain" "${settings[@]/#/--set=}" >/dev/null
ticket=$(grep -ao 'ZOS_TICKET=[^[:cntrl:]]*' "$work/stick.img")
truncate -s 12G "$work/blank"
# Not blank yet: it holds a byte.
write_byte() { dd if="$1" of="$work/blank" bs=1 seek=700000 count=1 conv=notrunc status=none; }
write_byte <(printf x)
truncate -s 9G "$work/taken"
mkfs.ext4 -q "$work/taken"
held=$(sha256sum <"$work/taken")

if [[ $with_smm == on ]]; then
    boot "$image/zos.img"
    wait_for 600 "an image with another key doesn't start" said "Access Denied"
    cut_power
fi

boot "$work/stick.img" neighbour
wait_for 900 "it leaves disks alone that hold data" said "none is blank, and none is touched: "
said "holds data without a known format" && said "holds ext4" || die "its console doesn't say what the disks hold"
write_byte /dev/zero
wait_for 900 "the node is online" is_online
said "disk      /dev/vd[a-z], 12 GiB" || die "its console doesn't say which disk it has taken"
! said "/dev/vd[a-z], 9 GiB" || die "it has taken the smaller disk"
[[ $with_smm == off ]] || wait_for 300 "it reports Secure Boot" has_secure_boot
curl -s --max-time 5 "http://127.0.0.1:$metrics/metrics" | grep -q . && die "the node's metrics answer from outside"

jq -n --arg image "$page" '{ version: 1, workloads: [{ name: "web", type: "zmachine",
    data: { image: $image, cpu: 1, memory: 67108864, rootfs: 67108864 } }] }' >"$work/page.json"
contract=$(threebot --json deploy -f "$work/page.json" --node 1 --yes --no-pin --timeout 15m | jq -r .contract)
say "contract $contract is deployed"
wait_for 300 "its page, over the peer endpoint" serves_page
wait_for 120 "its kernel takes no more drivers" takes_no_drivers
wait_for 120 "its clock, which was a day late, is right" has_time
wait_for 120 "its farmer sees its state" tells_state
wait_for 120 "its farmer sees its log" tells_log

(umask 077 && wg genkey >"$work/wireguard.key")
jq -n --arg image "$page" --arg subnet "$subnet" --arg ip "$address" --arg key "$(wg pubkey <"$work/wireguard.key")" '
    { version: 1, workloads: [
        { name: "backend", type: "network", data: { subnet: $subnet, peers: [{ name: "laptop", public_key: $key }] } },
        { name: "inner", type: "zmachine", data: { image: $image, cpu: 0.1, memory: 67108864, rootfs: 67108864,
            interfaces: [{ network: "backend", ip: $ip }] } }] }' >"$work/inner.json"
inner=$(threebot --json deploy -f "$work/inner.json" --node 1 --yes --no-pin --timeout 15m | jq -r .contract)
wait_for 120 "a machine in a private network finds itself by its name" finds_itself
join_network
wait_for 120 "its page, over WireGuard" serves_network
leave_network
ports=$(scan -sS -p- --min-rate 2000)
[[ $ports == *"Ignored State: filtered (65535)"* ]] || die "TCP ports answer: $ports"
ports=$(scan -sU -p 53,67,68,69,111,123,161,323,514,546,547,1900,5353,9616)
[[ $ports == *"Status: Up"* && ! $ports =~ /(open|closed)/udp ]] || die "UDP ports answer: $ports"
say "no other port answers"

before=$(stat -c %s "$work/serial.log")
printf '\r\nroot\r\nid; echo mark-$((6*7))\r\n\003\004\032\034' | socat -u - "UNIX-CONNECT:$work/serial"
sleep 5
tail -c "+$((before + 1))" "$work/serial.log" | grep -aqE 'mark-|login|assword|uid=' && die "the console takes input"
say "the console takes no input"
[[ ${ticket#*=} && -z $(grep -aF "${ticket#*=}" "$work/serial.log") ]] || die "the console shows the ticket"

monitor system_powerdown >/dev/null
wait_for 300 "off, by its power button" has_ended
[[ $(sha256sum <"$work/taken") == "$held" ]] || die "it has written on a disk that holds data"

# Without a ticket, the disk has all.
cp "$work/stick.img" "$work/again.img"
python3 - "$work/again.img" "$ticket" <<'END'
import sys
with open(sys.argv[1], "r+b") as image:
    content = image.read()
    ticket = sys.argv[2].encode()
    image.seek(content.index(ticket))
    image.write(b"#" * len(ticket))
END
boot "$work/again.img"
wait_for 900 "started again without a ticket, its page is back" serves_page
[[ $(threebot --json node show 2 2>&1 | jq -r .state 2>/dev/null) != online ]] || die "it has joined a second time"
wait_for 300 "it is online" is_online
wait_for 300 "its private network is back" finds_itself
threebot cancel "$inner" --yes >/dev/null

# A crash is a power cut. Over the network, the settings are a second archive.
cut_power
printf '%s\n' "ZOS_CHAIN=ws://10.0.2.2:$chain" "${settings[@]}" >"$work/zos.cred"
(cd "$work" && echo zos.cred | cpio --quiet -o -H newc | cat image-1/initrd - >initrd)
boot "$work/image-1" network
wait_for 900 "after a power cut, started over the network, its page is back" serves_page
wait_for 300 "it tells its version" runs_image 1

cut_power
offer 2
boot "$work/again.img" updates
wait_for 1800 "it has updated itself" runs_image 2
wait_for 600 "after the update, its page is back" serves_page
wait_for 120 "it keeps the new image" has_entries "zos-1.conf zos-2.conf"

cut_power
offer 3
boot "$work/again.img" updates
wait_for 1800 "it tries an image that doesn't work" said "Zero-OS [0-9.]* ([0-9a-f]*, 3)"
wait_for 1800 "it has rolled back by itself, its page is back" serves_page
wait_for 600 "it doesn't try that image again" said "only a newer one is tried"
runs_image 2 || die "it runs another image"
cut_power
has_entries "zos-2.conf zos-3+0-1.conf" || die "its boot loader has $(entries)"
if [[ $with_smm == on ]]; then say "done"; else say "done, without what needs Secure Boot"; fi
