// SPDX-License-Identifier: Apache-2.0
//! Reads any bytes as frames of the peer protocol, see `client/tests/frames/check.rs`.

#![no_main]

#[path = "../../client/tests/frames/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
