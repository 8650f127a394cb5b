// SPDX-License-Identifier: Apache-2.0
//! Shows messages to people and scripts, and takes what scripts say (`docs/MESSAGES.md`).

use super::{
    Mailbox, Outbox, Outcome, Queued,
    mailbox::{Key, Received},
    message,
};
use crate::{output, time::exact_moment};
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};
use tfgrid_client::{
    peer::msg::{MAX_LIFE, MessageId},
    primitives::TwinId,
};

/// What a script says, one in a line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Order {
    /// A message is dealt with.
    Done(Key),
    /// The answer to a request.
    Answer { id: Key, text: String },
    /// A message to be sent.
    Send {
        to: TwinId,
        #[serde(default)]
        text: String,
        #[serde(default)]
        file: Option<PathBuf>,
        #[serde(default)]
        at: Vec<SocketAddr>,
        #[serde(default)]
        id: Option<MessageId>,
    },
}

/// Reads a mailbox.
pub struct Reader {
    pub twin: TwinId,
    pub mailbox: Arc<Mailbox>,
    pub outbox: Arc<Outbox>,
    pub json: bool,
    /// Whether a message is unread until a script says that it isn't.
    pub waits: bool,
    /// What was shown since this program was started, and is unread.
    pub shown: BTreeSet<Key>,
}

impl Reader {
    /// Shows what is new.
    ///
    /// # Errors
    /// If nobody reads it, which leaves it unread.
    pub fn show(&mut self) -> Result<()> {
        for received in self.mailbox.unread(&self.shown)? {
            let key = Key::of(&received.message);
            print(&text(&received), &value(&received), self.json)?;
            if self.waits {
                self.shown.insert(key);
            } else {
                self.mailbox.done(&key)?;
            }
        }
        Ok(())
    }

    /// Shows what became of a message that waited in the outbox.
    pub fn tell(&self, Outcome { message, sent }: &Outcome) -> Result<()> {
        let (id, to) = (message.id, message.to);
        match sent {
            Ok(()) => print(
                &format!("message {id} is in the mailbox of twin {to}"),
                &json!({ "delivered": { "id": id, "to": to } }),
                self.json,
            ),
            Err(error) => print(
                &format!("message {id} isn't sent: {error:#}"),
                &json!({ "undelivered": { "id": id, "to": to, "error": format!("{error:#}") } }),
                self.json,
            ),
        }
    }

    /// Does what a line of a script says.
    pub fn obey(&mut self, line: &str) -> Result<()> {
        let order: Order = serde_json::from_str(line).with_context(|| format!("{line:?} can't be read"))?;
        match order {
            Order::Done(key) => self.mailbox.done(&key)?,
            Order::Answer { id, text } => self.mailbox.answer(&id, text)?,
            Order::Send { to, text, file, at, id } => {
                let message = message((self.twin, to), id, text, file.as_deref(), MAX_LIFE)?;
                return self.outbox.put(&Queued { message, at }, file.as_deref());
            }
        }
        // It isn't shown again, and needn't be remembered.
        let unread = self.mailbox.unread(&BTreeSet::new())?;
        let keys: BTreeSet<Key> = unread.iter().map(|received| Key::of(&received.message)).collect();
        self.shown.retain(|key| keys.contains(key));
        Ok(())
    }
}

fn print(text: &str, value: &Value, json: bool) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{}", output::line(text, value, json))?;
    Ok(out.flush()?)
}

fn text(Received { message, at_ms, file }: &Received) -> String {
    let what = if message.request { " asks" } else { "" };
    let file = file.as_ref().map_or_else(String::new, |file| format!("\n  file: {}", file.display()));
    let text = message.text.replace('\n', "\n  ");
    format!("{}  twin {}{what}: {text}{file}", exact_moment(at_ms / 1_000), message.from)
}

fn value(Received { message, at_ms, file }: &Received) -> Value {
    json!({
        "message": {
            "id": Key::of(message),
            "from": message.from,
            "at_ms": at_ms,
            "text": message.text,
            "file": file.as_ref().map(|file| file.display().to_string()),
            "request": message.request,
            "expires_ms": message.expires_ms,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::mailbox::{Begun, tests::message as received_message};
    use std::path::Path;
    use tfgrid_client::peer::msg::TwinMessage;

    fn reader(folder: &Path, waits: bool) -> Reader {
        Reader {
            twin: 9,
            mailbox: Mailbox::open(folder).unwrap(),
            outbox: Arc::new(Outbox::open(folder).unwrap()),
            json: true,
            waits,
            shown: BTreeSet::new(),
        }
    }

    fn receive(reader: &Reader, message: &TwinMessage) {
        let Ok(Begun::New(arrival)) = reader.mailbox.begin(message) else { panic!("it isn't new") };
        arrival.store(message.clone(), None).unwrap();
    }

    fn unread(reader: &Reader) -> usize {
        reader.mailbox.unread(&BTreeSet::new()).unwrap().len()
    }

    #[test]
    fn a_message_that_a_script_has_not_done_is_shown_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = reader(folder.path(), true);
        receive(&first, &received_message(1));
        first.show().unwrap();
        assert_eq!((unread(&first), first.shown.len()), (1, 1));
        // Killed.
        drop(first);
        let mut second = reader(folder.path(), true);
        assert!(second.shown.is_empty() && unread(&second) == 1);
        second.show().unwrap();
        let key = Key::of(&received_message(1));
        second.obey(&format!(r#"{{"done":"{key}"}}"#)).unwrap();
        assert!(second.shown.is_empty() && unread(&second) == 0);
    }

    #[test]
    fn a_message_is_read_once_it_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = reader(folder.path(), false);
        let request = TwinMessage { request: true, ..received_message(1) };
        receive(&reader, &request);
        reader.show().unwrap();
        assert_eq!(unread(&reader), 0);
        let key = Key::of(&request);
        reader.obey(&format!(r#"{{"answer":{{"id":"{key}","text":"yes"}}}}"#)).unwrap();
        assert_eq!(reader.mailbox.answer_of(&key).unwrap().as_deref(), Some("yes"));
    }

    #[test]
    fn what_a_script_sends_waits_in_the_outbox() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = reader(folder.path(), false);
        reader.obey(r#"{"send":{"to":7,"text":"hello","at":["192.0.2.7:9618"]}}"#).unwrap();
        let queued = reader.outbox.list().unwrap().pop().unwrap();
        assert_eq!((queued.message.from, queued.message.to, &*queued.message.text), (9, 7, "hello"));
        assert_eq!(queued.at, ["192.0.2.7:9618".parse::<SocketAddr>().unwrap()]);
    }

    #[test]
    fn a_line_that_cannot_be_obeyed_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = reader(folder.path(), false);
        for (line, why) in [
            ("hello", "can't be read"),
            (r#"{"dance":{}}"#, "unknown variant"),
            (r#"{"done":"7"}"#, "named by its sender's twin"),
            (r#"{"done":"7-000102030405060708090a0b0c0d0e0f"}"#, "no message 7-0001"),
            (r#"{"send":{"to":7,"file":"/nothing"}}"#, "can't read /nothing"),
            (r#"{"send":{"to":7,"subject":"x"}}"#, "unknown field"),
        ] {
            let error = format!("{:#}", reader.obey(line).unwrap_err());
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn a_message_is_shown_to_people_and_scripts() {
        let message = TwinMessage { text: "two\nlines".into(), request: true, ..received_message(1) };
        let received = Received { message, at_ms: 1_700_000_000_000, file: Some("/box/a".into()) };
        let shown = "2023-11-14 22:13:20 UTC  twin 7 asks: two\n  lines\n  file: /box/a";
        assert_eq!(text(&received), shown);
        let value = value(&received);
        assert_eq!(value["message"]["id"], format!("7-{}", "01".repeat(16)));
        assert_eq!(
            (&value["message"]["file"], &value["message"]["request"]),
            (&json!("/box/a"), &json!(true))
        );
    }
}
