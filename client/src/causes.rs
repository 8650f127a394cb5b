// SPDX-License-Identifier: Apache-2.0
//! Messages that name a cause after each other, `can't start: runtime failed: no such file`.

use tfgrid_primitives::text::printable;

/// Between a message and its cause.
const BEFORE_CAUSE: &str = ": ";
/// Stands for causes that are left out.
const LEFT_OUT: &str = "… ";

/// The message, printable and of at most `most` bytes. Where it is longer, its begin and its last causes are kept: the
/// reason is the last one.
pub fn shortened(message: &str, most: u32) -> String {
    let message = printable(message, u32::MAX);
    let length = most as usize;
    if message.len() <= length {
        return message;
    }
    let begin = &message[..message.floor_char_boundary(length / 4)];
    let begin = begin.rfind(BEFORE_CAUSE).map_or("", |at| &begin[..at + BEFORE_CAUSE.len()]);
    let room = length.saturating_sub(begin.len() + LEFT_OUT.len());
    let causes: Vec<&str> =
        message.match_indices(BEFORE_CAUSE).map(|(at, separator)| &message[at + separator.len()..]).collect();
    match causes.iter().find(|causes| causes.len() <= room).or(causes.last()) {
        Some(causes) => printable(&format!("{begin}{LEFT_OUT}{causes}"), most),
        None => printable(&message, most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tfgrid_primitives::text::is_printable;

    #[test]
    fn the_reason_survives_where_a_message_is_too_long() {
        let message = "5 times: can't start: failed to create task for container: failed to create shim task: OCI \
                       runtime create failed: runc create failed: unable to start container process: exec: \
                       \"/nothing\": stat /nothing: no such file or directory";
        assert_eq!(
            shortened(message, 128),
            "5 times: can't start: … unable to start container process: exec: \"/nothing\": stat /nothing: no such \
             file or directory"
        );
        assert_eq!(shortened(message, 256), message);
    }

    #[test]
    fn a_message_without_short_causes_is_cut_at_its_end() {
        assert_eq!(shortened(&"x".repeat(200), 100), "x".repeat(100));
        let long = format!("can't start: {}", "x".repeat(200));
        assert_eq!(shortened(&long, 100), format!("can't start: … {}", "x".repeat(100 - 17)));
    }

    proptest! {
        #[test]
        fn no_message_is_longer_than_its_limit(message in "(.{0,40}: ){0,8}.{0,80}", most in 0u32..300) {
            let short = shortened(&message, most);
            prop_assert!(short.len() <= most as usize && is_printable(short.as_bytes()));
        }
    }
}
