#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Ensures that the runtime can be compiled for wasm32v1-none. Three ways, cheapest first:
#
#   1. the active toolchain has the target (or an earlier run made one that has it);
#   2. rustup downloads it;
#   3. the distribution's compiler builds `core` and `alloc` for it, and rustup gets to know the
#      result as the toolchain `tfgrid-wasm`. Needs no download beyond distribution packages.
#
# On stdout, and in $XDG_CACHE_HOME/tfgrid-ledger/wasm.env, it leaves the variables that a build
# needs, one KEY=VALUE a line and none if the active toolchain suffices: `make` includes the file,
# a shell says `export $(scripts/setup-wasm.sh)`. Everything else goes to stderr.
#
# --distro goes straight to the third way.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly target=wasm32v1-none
readonly toolchain=tfgrid-wasm
readonly prefix=/usr
readonly packages=(rustc-web cargo-web rust-web-src lld)
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/tfgrid-ledger
readonly sysroot=$cache/wasm-toolchain
# Part of the stamp: raise it when the way in which the std is built changes.
readonly recipe=1

say() { printf 'setup-wasm: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

has_target() {
    local libdir
    libdir=$(rustc --print target-libdir --target "$target" 2>/dev/null) &&
        compgen -G "$libdir/libcore-*.rlib" >/dev/null
}

# Ends the script with the lines given. The file is rewritten only on change, so that make doesn't
# see a newer one at each run.
publish() {
    local text=''
    (($# == 0)) || text=$(printf '%s\n' "$@")$'\n'
    [[ -f $cache/wasm.env ]] && cmp -s <(printf '%s' "$text") "$cache/wasm.env" ||
        printf '%s' "$text" >"$cache/wasm.env"
    printf '%s' "$text"
    exit 0
}
publish_native() { publish; }
publish_distro() { publish "WASM_BUILD_TOOLCHAIN=$toolchain" CARGO_TARGET_WASM32V1_NONE_LINKER=wasm-ld; }

distro_compiler() { "$prefix/bin/rustc" -vV 2>/dev/null; }
stamp() { printf 'recipe %s\n%s\n' "$recipe" "$(distro_compiler)"; }

# The stamp names the compiler: a std built by another version is of no use to it.
distro_ready() {
    [[ -f $sysroot/stamp && $(<"$sysroot/stamp") == "$(stamp)" ]] &&
        command -v wasm-ld >/dev/null &&
        [[ $(readlink -f "$(rustup_home)/toolchains/$toolchain") == "$(readlink -f "$sysroot")" ]]
}

rustup_home() { printf '%s' "${RUSTUP_HOME:-$HOME/.rustup}"; }

# The oldest compiler that the workspace accepts, e.g. 1.95.
wanted_version() { sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml; }

at_least() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n1) == "$1" ]]; }

distro_complete() {
    local found
    found=$(distro_compiler | sed -n 's/^release: //p')
    [[ -n $found ]] && at_least "$(wanted_version)" "$found" &&
        [[ -x $prefix/bin/cargo && -d $prefix/lib/rustlib/src/rust/library ]] &&
        command -v wasm-ld >/dev/null
}

install_distro() {
    command -v apt-get >/dev/null || die "no apt-get here, and no rustc >= $(wanted_version) with cargo," \
        "the library sources and wasm-ld under $prefix. Install these, or add the target by hand:" \
        "rustup target add $target"
    local as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || die "needs root to install ${packages[*]}: run as root: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    say "installing ${packages[*]}"
    { "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "${packages[@]}"; } >&2 ||
        die "apt-get could not install ${packages[*]}: see its message above"
    distro_complete || die "the packages ${packages[*]} are installed, but do not give rustc >=" \
        "$(wanted_version), cargo, $prefix/lib/rustlib/src/rust/library and wasm-ld." \
        "The distribution is too old: add the target where rustup can download it (rustup target add $target)"
}

# Compiles `core`, `alloc` and `compiler_builtins` into the folder $1, with the dependencies that
# the library sources bring along, so without a network.
build_std() {
    local work=$1 library=$prefix/lib/rustlib/src/rust/library
    mkdir -p "$work/src"
    printf '[package]\nname = "std-seed"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n' >"$work/Cargo.toml"
    printf '#![no_std]\n' >"$work/src/lib.rs"

    # -Zbuild-std is a nightly flag, hence RUSTC_BOOTSTRAP. The bitcode is for the runtime's LTO.
    # An own CARGO_HOME keeps the user's cargo settings (wrappers, flags, mirrors) out.
    (
        cd "$work"
        env -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET -u RUSTC_WRAPPER -u RUSTC_WORKSPACE_WRAPPER \
            CARGO_HOME="$work/cargo-home" CARGO_TARGET_DIR="$work/target" \
            RUSTC="$prefix/bin/rustc" RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes \
            "$prefix/bin/cargo" build --release --offline -Zbuild-std=core,alloc --target "$target" \
            --config 'source.crates-io.replace-with="vendored"' \
            --config "source.vendored.directory='$library/vendor'" >&2
    ) || die "$prefix/bin/cargo could not build core and alloc for $target from $library: see its message above"
}

# The distribution's compiler with the new std beside its own. rustc takes the folder it lies in as
# its sysroot, through links too, hence the wrapper.
assemble() {
    local new=$1 built=$2 entry crate
    mkdir -p "$new/bin" "$new/lib/rustlib/$target/lib"
    printf '#!/bin/sh\nexec "%s" --sysroot "%s" "$@"\n' "$prefix/bin/rustc" "$sysroot" >"$new/bin/rustc"
    chmod +x "$new/bin/rustc"
    ln -s "$prefix/bin/cargo" "$new/bin/cargo"
    for entry in "$prefix"/lib/rustlib/*; do
        [[ ${entry##*/} == "$target" ]] || ln -s "$entry" "$new/lib/rustlib/"
    done
    for crate in core alloc compiler_builtins; do
        cp "$built/target/$target/release/deps/lib$crate"-*.rlib "$new/lib/rustlib/$target/lib/"
    done
}

# A library that allocates, linked with LTO as the runtime is.
prove() {
    rustup run "$toolchain" rustc --edition 2021 --target "$target" --crate-type cdylib -Copt-level=2 \
        -Clto -Cpanic=abort -Clinker=wasm-ld -o "$1" - <<'RUST'
#![no_std]
extern crate alloc;
use core::alloc::{GlobalAlloc, Layout};
struct Never;
unsafe impl GlobalAlloc for Never {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 { core::ptr::null_mut() }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
#[global_allocator]
static ALLOCATOR: Never = Never;
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
#[no_mangle]
pub extern "C" fn digits(n: u32) -> usize { alloc::format!("{n}").len() }
RUST
}

make_distro_toolchain() {
    # Not local: the trap outlives the function.
    work=$(mktemp -d "$cache/wasm-build.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    say "building core and alloc for $target with $("$prefix/bin/rustc" --version)"
    build_std "$work/seed"
    assemble "$work/toolchain" "$work/seed"
    rm -rf "$sysroot"
    mv "$work/toolchain" "$sysroot"
    rustup toolchain link "$toolchain" "$sysroot" >&2 ||
        die "rustup could not link $sysroot as the toolchain $toolchain: see its message above"
    prove "$work/proof.wasm" >&2 ||
        die "the toolchain $toolchain in $sysroot can't compile a small library for $target: see its message above"
    # Last, as it declares the folder fit for use.
    stamp >"$sysroot/stamp"
    say "toolchain $toolchain is ready. A runtime built with an earlier one must be built anew: remove debug/wbuild in cargo's target folder"
}

mkdir -p "$cache"
distro_only=false
case ${1-} in
    '') ;;
    --distro) distro_only=true ;;
    *) die "unknown argument $1: usage: scripts/setup-wasm.sh [--distro]" ;;
esac

if ! $distro_only && has_target; then publish_native; fi
command -v rustup >/dev/null || die "the active rustc has no $target and there is no rustup to add it." \
    "Install rustup (https://rustup.rs, or the distribution's package) and run this again," \
    "or install the target's library from wherever this rustc came from"
if distro_ready; then publish_distro; fi
if ! $distro_only; then
    say "asking rustup for $target"
    if RUST_BACKTRACE=0 rustup target add "$target" >&2 && has_target; then publish_native; fi
    say "rustup could not add $target: falling back on the distribution's compiler"
fi
distro_complete || install_distro
make_distro_toolchain
publish_distro
