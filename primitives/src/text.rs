// SPDX-License-Identifier: Apache-2.0
//! Text that machines write and people are shown.

use alloc::string::String;

/// Whether people can be shown this as it is: UTF-8 on one line that can't change what is around it.
pub fn is_printable(bytes: &[u8]) -> bool {
    core::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(is_control))
}

/// `text` with a space for each control character, without spaces at its ends, cut to `most` bytes.
pub fn printable(text: &str, most: u32) -> String {
    let text: String = text.chars().map(|c| if is_control(c) { ' ' } else { c }).collect();
    let text = text.trim();
    text[..text.floor_char_boundary(most as usize)].into()
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and those that change the direction of what
/// follows.
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_on_one_line_is_printable() {
        for text in
            ["", "exit code 1: no such file", "Grüße, 世界 🙂", "\u{a0}\u{2027}\u{202f}\u{2065}\u{206a}"]
        {
            assert!(is_printable(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn control_characters_are_not_printable() {
        let controls = ('\0'..' ').chain('\u{7f}'..'\u{a0}');
        for c in controls.chain('\u{2028}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            assert!(!is_printable(alloc::format!("a{c}b").as_bytes()), "{c:?}");
        }
        for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\x80"] {
            assert!(!is_printable(bytes), "{bytes:?} isn't UTF-8");
        }
    }

    #[test]
    fn any_text_can_be_made_printable() {
        assert_eq!(printable("\x1b[31mout of\r\n memory\u{202e}\n", 128), "[31mout of   memory");
        assert_eq!(printable("aé世", 6), "aé世");
        assert_eq!(["aé世"; 4].map(|text| printable(text, 5).len()), [3; 4]);
        assert_eq!(printable("aé", 2), "a");
        assert_eq!(printable("\n\t", 9), "");
    }
}
