// SPDX-License-Identifier: Apache-2.0
//! Messages between bots (`docs/FORMATS.md` §10).

mod book;
mod endpoint;
mod mailbox;
mod outbox;
mod reader;
mod sender;
mod serve;
#[cfg(test)]
mod talks;

pub use book::{Allowed, Book};
pub use endpoint::{Contacts, Listening, Ways, dialling, listening, parse_address};
pub use mailbox::Mailbox;
pub use outbox::{Flusher, Outbox, Outcome, Queued};
pub use reader::Reader;
pub use sender::{SendError, Sender};
pub use serve::Server;

use anyhow::{Context, Result};
use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};
use tfgrid_client::{
    peer::msg::{FileHead, MAX_NAME_BYTES, MessageId, TwinMessage},
    primitives::TwinId,
};

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A message that one may send, with a new id if none is given.
pub fn message(
    (from, to): (TwinId, TwinId),
    id: Option<MessageId>,
    text: String,
    file: Option<&Path>,
    life: Duration,
) -> Result<TwinMessage> {
    let now = now_ms();
    let expires_ms = now.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
    let id = id.unwrap_or_else(|| MessageId(rand::random()));
    let file = file.map(head).transpose()?;
    let message = TwinMessage { id, from, to, expires_ms, text, file, request: false };
    message.check(to, now)?;
    Ok(message)
}

fn head(file: &Path) -> Result<FileHead> {
    let unread = || format!("can't read {}", file.display());
    let name = file.file_name().with_context(unread)?.to_string_lossy();
    let bytes = fs::metadata(file).with_context(unread)?.len();
    Ok(FileHead { name: safe_name(&name), bytes })
}

/// A name that a sender gave a file, as a name on this computer.
fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_safe = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
    let safe = last.chars().take(MAX_NAME_BYTES).map(|c| if is_safe(c) { c } else { '_' });
    let safe: String = safe.collect();
    match safe.trim_start_matches('.') {
        "" => "file".into(),
        name => name.into(),
    }
}

/// The time before the next try after so many failures in a row.
pub fn delay(failures: u32, most: Duration) -> Duration {
    const FIRST: Duration = Duration::from_millis(500);
    FIRST.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1))).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_no_bot_would_take_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("large file");
        let made = |text: &str, file: Option<&Path>, days: u64| {
            let life = Duration::from_secs(days * 86_400);
            message((7, 9), None, text.into(), file, life).map_err(|error| format!("{error:#}"))
        };
        assert!(made("", Some(&file), 1).unwrap_err().contains("can't read"));
        fs::File::create(&file).unwrap().set_len((16 << 20) + 1).unwrap();
        assert!(made("", Some(&file), 1).unwrap_err().contains("16777216 bytes at most"));
        assert!(made(&"x".repeat(8_193), None, 1).unwrap_err().contains("send a file instead"));
        assert!(made("", None, 8).unwrap_err().contains("7 days"));
        fs::write(&file, "small").unwrap();
        let (first, second) = (made("", Some(&file), 7).unwrap(), made("", None, 7).unwrap());
        assert_eq!(first.file, Some(FileHead { name: "large_file".into(), bytes: 5 }));
        assert_ne!(first.id, second.id);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for (name, safe) in [
            ("offer.json", "offer.json"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\a b.txt", "a_b.txt"),
            ("..", "file"),
            ("dir/", "file"),
            (".bashrc", "bashrc"),
            ("a\u{1b}[2J\0b", "a__2J_b"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        assert_eq!(safe_name(&"é".repeat(300)).len(), MAX_NAME_BYTES);
    }

    #[test]
    fn delays_double_up_to_a_limit() {
        let delays = [1, 2, 3, 60].map(|failures| delay(failures, Duration::from_secs(5)).as_millis());
        assert_eq!(delays, [500, 1_000, 2_000, 5_000]);
    }
}
