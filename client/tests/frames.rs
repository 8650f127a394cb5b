// SPDX-License-Identifier: Apache-2.0
//! Any bytes as frames of the peer protocol; `fuzz/targets/peer.rs` tries the same under libFuzzer.

#[path = "frames/check.rs"]
mod check;

use check::check;
use proptest::{collection::vec, prelude::*};

/// Texts of messages, whole ones and parts of them.
const TEXTS: [&str; 15] = [
    r#"{"contract":7,"ask":{"status":{}}}"#,
    r#"{"contract":7,"ask":{"exec":{"workload":"web","command":["sh"],"terminal":{"rows":1,"columns":1}}}}"#,
    r#"{"contract":7,"ask":{"forward":{"workload":"web","protocol":"udp","port":53}}}"#,
    r#"{"contract":7,"ask":{"snapshot":{"workload":"data"}}}"#,
    r#"{"contract":7,"ask":{"restore":{"workload":"data","once":true}}}"#,
    r#"{"volumes":{"data":{"size_bytes":1,"used_bytes":0,"restored":true}}}"#,
    r#"{"resize":{"rows":65535,"columns":0}}"#,
    r#"{"signal":-1}"#,
    r#"{"end-input":{}}"#,
    r#"{"failed":{"code":"later","message":""}}"#,
    r#"{"event":{"at_ms":18446744073709551615,"what":"é"}}"#,
    r#"{"stats":{"web":{"cpu_ms":1,"memory_bytes":2,"received_bytes":3,"sent_bytes":4}}}"#,
    r#"{"id":"000102030405060708090a0b0c0d0e0f","from":7,"to":9,"expires_ms":2,"text":"\u0001","file":{"name":"a","bytes":2}}"#,
    r#"{"answer":{"text":"é"}}"#,
    r#"{"refused":{"code":"later","message":""}}"#,
];

/// A frame whose header needn't be true.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let text = (0..TEXTS.len()).prop_map(|index| TEXTS[index].as_bytes().to_vec());
    let content = prop_oneof![text, vec(any::<u8>(), 0..64)];
    (content, any::<prop::sample::Index>(), 0u8..4, -1i32..2).prop_map(|(mut content, at, kind, off)| {
        if kind == 3 && !content.is_empty() {
            let at = at.index(content.len());
            content[at] ^= 1;
        }
        let length = (content.len() as i32).saturating_add(if kind == 2 { off } else { 0 });
        [&length.to_be_bytes()[..], &[kind % 3], &content].concat()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in vec(any::<u8>(), 0..256)) {
        check(&bytes);
    }

    #[test]
    fn damaged_frames_are_frames_or_an_error(frames in vec(frame(), 0..8)) {
        check(&frames.concat());
    }
}
