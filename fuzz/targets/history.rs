// SPDX-License-Identifier: Apache-2.0
//! Plays any bytes as a history of the chain, see `runtime/tests/grid/history.rs`.

#![no_main]

#[allow(dead_code)]
#[path = "../../runtime/tests/grid/chain.rs"]
mod chain;
#[allow(dead_code)]
#[path = "../../runtime/tests/grid/history.rs"]
mod history;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| history::play(bytes));
