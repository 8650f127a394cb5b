#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the Debian packages of built programs. Nothing is compiled, so that any build can be packed.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage="usage: packaging/build.sh PROGRAMS EXPLORER OUTPUT"
programs=${1:?$usage}
explorer=${2:?$usage}
output=${3:?$usage}
readonly usage programs explorer output

say() { echo "packages: $*" >&2; }
die() { say "$@"; exit 1; }

for tool in dpkg-deb dpkg-shlibdeps help2man strip gzip; do
    command -v "$tool" >/dev/null || die "$tool is missing: apt-get install dpkg-dev help2man binutils"
done
for program in tfgrid-node zos-agent threebot dev; do
    [[ -x $programs/$program ]] || die "$programs/$program is missing: run make build, or make release"
done
[[ -f $explorer/index.html ]] || die "$explorer/index.html is missing: run make explorer"
# Other targets with PROFILE=release build the node with a runtime that holds paths of this machine.
[[ $(basename "$programs") != release ]] ||
    scripts/runtime.sh --check "$output/tfgrid_runtime.wasm" "$programs/tfgrid-node"

version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n1)
architecture=$(dpkg --print-architecture)
# Times in packages are that of the commit, so that the same programs give the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
readonly version architecture

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# put MODE SOURCE TARGET: copies a file into the package.
put() { install -D -m "$1" "$2" "$root/$3"; }

program() {
    put 755 "$programs/$1" "$2"
    strip "$root/$2"
}

man_page() { # NAME WHAT [FOLDER]
    local program=$1 what=$2
    help2man --no-info --name "$what" "${3:-$programs}/$program" >"$work/$program.1" || die "$program has no help"
    put 644 "$work/$program.1" "usr/share/man/man1/$program.1"
}

# A guide, in which links lead to the other guides of the package alone.
guide() {
    sed --null-data --regexp-extended 's,\[([^]]*)\]\(\.\./[^)]*\),\1,g' "docs/$1.md" >"$work/$1.md"
    put 644 "$work/$1.md" "usr/share/doc/tfgrid-node/$1.md"
}

# Libraries whose packages the programs of the package need.
libraries() {
    mkdir -p "$work/debian"
    printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$1" "$1" >"$work/debian/control"
    (cd "$work" && dpkg-shlibdeps -O "${@:2}" 2>/dev/null) | sed -n 's/^shlibs:Depends=//p'
}

scripts() {
    local unit=$1.service script
    for script in postinst prerm postrm; do
        { printf '#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\nset -e\nunit=%s\n' "$unit"; cat "packaging/$script"; } \
            >"$root/DEBIAN/$script"
        chmod 755 "$root/DEBIAN/$script"
    done
}

# Writes what all packages have, and packs.
pack() {
    local name=$1 needs=$2 kind=$architecture
    put 644 packaging/copyright "usr/share/doc/$name/copyright"
    put 644 CHANGELOG.md "usr/share/doc/$name/CHANGELOG.md"
    [[ ! -f packaging/$name/conffiles ]] || put 644 "packaging/$name/conffiles" DEBIAN/conffiles
    find "$root/usr/share/man" "$root/usr/share/doc/$name/CHANGELOG.md" -type f -exec gzip -9n {} + 2>/dev/null || true
    sed -n 's/^Architecture: *//p' "packaging/$name/control" | grep -q . && kind=all
    {
        grep -v '^Architecture:' "packaging/$name/control" | sed -n '/^Description:/q;p' |
            sed "s/\${libraries}/$needs/; s/\${version}/$version/g"
        printf 'Version: %s\nArchitecture: %s\nMaintainer: %s\nPriority: optional\n' "$version" "$kind" \
            'TF Grid Ledger contributors <packages@tfgrid.invalid>'
        printf 'Installed-Size: %s\n' "$(du -sk --apparent-size "$root" | cut -f1)"
        sed -n '/^Description:/,$p' "packaging/$name/control"
    } >"$work/control"
    put 644 "$work/control" DEBIAN/control
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -print0 | sort -z | xargs -0 md5sum | sed 's, \./, ,') \
        >"$work/md5sums"
    put 644 "$work/md5sums" DEBIAN/md5sums
    find "$root" -type d -exec chmod 755 {} +
    dpkg-deb --root-owner-group -Zxz --build "$root" "$output/${name}_${version}_$kind.deb" >/dev/null
    say "$output/${name}_${version}_$kind.deb"
}

begin() {
    root=$work/$1
    mkdir -p "$root/DEBIAN"
}

node() {
    begin tfgrid-node
    program tfgrid-node usr/bin/tfgrid-node
    man_page tfgrid-node "node of the ThreeFold Grid's ledger"
    put 644 packaging/tfgrid-node/tfgrid-node.service usr/lib/systemd/system/tfgrid-node.service
    put 644 packaging/tfgrid-node/sysusers.conf usr/lib/sysusers.d/tfgrid-node.conf
    put 644 packaging/tfgrid-node/default etc/default/tfgrid-node
    put 644 packaging/tfgrid-node/validator-sysctl.conf usr/share/tfgrid-node/validator-sysctl.conf
    put 755 packaging/tfgrid-node/checkpoint usr/share/tfgrid-node/checkpoint
    put 644 chain-spec/main.json usr/share/tfgrid-node/chain-spec.json
    put 644 packaging/prometheus/tfgrid.yml usr/share/tfgrid-node/prometheus.yml
    put 644 packaging/prometheus/alerts.yml usr/share/tfgrid-node/alerts.yml
    put 644 packaging/grafana/tfgrid.json usr/share/tfgrid-node/grafana.json
    install -d "$root/etc/tfgrid-node"
    local name
    for name in OPERATORS VALIDATORS IMAGE; do
        guide "$name"
    done
    scripts tfgrid-node
    pack tfgrid-node "$(libraries tfgrid-node "$root/usr/bin/tfgrid-node")"
}

agent() {
    begin zos-agent
    program zos-agent usr/bin/zos-agent
    man_page zos-agent 'agent of a ThreeFold Grid node'
    put 644 packaging/zos-agent/zos-agent.service usr/lib/systemd/system/zos-agent.service
    put 600 packaging/zos-agent/default etc/default/zos-agent
    install -d "$root/etc/zos-agent"
    scripts zos-agent
    pack zos-agent "$(libraries zos-agent "$root/usr/bin/zos-agent")"
}

threebot() {
    begin threebot
    program threebot usr/bin/threebot
    "$programs/threebot" man "$root/usr/share/man/man1" >/dev/null
    install -d "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" \
        "$root/usr/share/fish/vendor_completions.d"
    "$programs/threebot" completions bash >"$root/usr/share/bash-completion/completions/threebot"
    "$programs/threebot" completions zsh >"$root/usr/share/zsh/vendor-completions/_threebot"
    "$programs/threebot" completions fish >"$root/usr/share/fish/vendor_completions.d/threebot.fish"
    local example
    for example in docs/examples/*; do
        put 644 "$example" "usr/share/doc/threebot/examples/${example##*/}"
    done
    pack threebot "$(libraries threebot "$root/usr/bin/threebot")"
}

explorer() {
    begin tfgrid-explorer
    mkdir -p "$root/usr/share/tfgrid-explorer" "$root/etc/tfgrid-explorer"
    cp -r "$explorer/." "$root/usr/share/tfgrid-explorer"
    find "$root/usr/share" -type f -exec chmod 644 {} +
    mv "$root/usr/share/tfgrid-explorer/endpoints.json" "$root/etc/tfgrid-explorer/endpoints.json"
    ln -s /etc/tfgrid-explorer/endpoints.json "$root/usr/share/tfgrid-explorer/endpoints.json"
    put 644 packaging/tfgrid-explorer/nginx.conf usr/share/doc/tfgrid-explorer/examples/nginx.conf
    pack tfgrid-explorer ''
}

# The programs are found beside `dev`, scripts and explorer in a folder like the repository.
development() {
    begin tfgrid-dev
    program dev usr/lib/tfgrid-dev/dev
    local name
    for name in tfgrid-node zos-agent threebot; do
        ln -s "/usr/bin/$name" "$root/usr/lib/tfgrid-dev/$name"
    done
    put 755 scripts/clean-run.sh usr/share/tfgrid-dev/scripts/clean-run.sh
    mkdir -p "$root/usr/share/tfgrid-dev/explorer"
    ln -s /usr/share/tfgrid-explorer "$root/usr/share/tfgrid-dev/explorer/dist"
    put 755 packaging/tfgrid-dev/tfgrid-dev usr/bin/tfgrid-dev
    # Its help is that of the repository's `make dev`.
    mkdir "$work/help"
    cat >"$work/help/tfgrid-dev" <<END
#!/bin/sh
case \$1 in
--version) echo "tfgrid-dev $version" ;;
*) "$programs/dev" --help |
    sed 's/^Usage: dev$/Usage: tfgrid-dev/; s/\`make explorer\` has built it/it is installed/' ;;
esac
END
    chmod +x "$work/help/tfgrid-dev"
    man_page tfgrid-dev 'development grid of the ThreeFold Grid on one machine' "$work/help"
    pack tfgrid-dev "$(libraries tfgrid-dev "$root/usr/lib/tfgrid-dev/dev")"
}

umask 022
mkdir -p "$output"
rm -f "$output"/*.deb
node
agent
threebot
explorer
development
