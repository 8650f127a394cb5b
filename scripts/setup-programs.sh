#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Ensures that there is a folder with nginx, Redis and PostgreSQL and all that they need, from
# Debian's packages, of which the tests make images. Prints its path.

set -euo pipefail

readonly programs=(nginx-light redis-server postgresql-15)
# They depend on these and run without them: a compiler of queries, tools for administrators.
readonly unneeded='^(libllvm|libz3|libperl|perl|locales|dpkg|passwd|iproute2|tar$)'
readonly documents=(usr/share/{doc,info,lintian,locale,man} usr/lib/postgresql/15/lib/bitcode)
# Raise it when anything above changes.
readonly recipe=1

readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/tfgrid-ledger/programs
readonly folder=$cache/$recipe

say() { echo "setup-programs: $*" >&2; }
die() { say "$@"; exit 1; }

if [[ ! -d $folder ]]; then
    command -v apt-get >/dev/null || die "this isn't Debian: make $folder by hand, with ${programs[*]}"
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
fi
if [[ ! -d $folder ]]; then
    say "downloading ${programs[*]}"
    work=$(mktemp -d "$cache/work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    # As if nothing were installed.
    mapfile -t packages < <(apt-get --simulate --no-install-recommends -o Dir::State::status=/dev/null \
        install "${programs[@]}" | awk '/^Inst / { print $2 }' | grep -Ev "$unneeded")
    ((${#packages[@]})) || die "apt-get knows no ${programs[*]}: run apt-get update"
    mkdir "$work/packages" "$work/root"
    (cd "$work/packages" && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}") >&2 ||
        die "apt-get can't download the packages: see its message above"
    for package in "$work"/packages/*.deb; do
        dpkg-deb --extract "$package" "$work/root"
    done
    (cd "$work/root" && rm -rf "${documents[@]}")
    chmod 755 "$work/root"
    mv "$work/root" "$folder"
fi
echo "$folder"
