// SPDX-License-Identifier: Apache-2.0
//! What a bot tells its owner: on stderr, in its journal, and at an address.

use super::Journal;
use crate::{
    output::{message, note},
    webhook::post,
};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tfgrid_client::primitives::{ContractId, UnixSeconds};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel, error::TrySendError},
    time::sleep,
};

/// Pauses before a message is sent again.
const AGAIN_AFTER: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];
/// The most messages that wait for their receiver.
const MAX_WAITING: usize = 1_000;

/// What was done or wasn't, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub at: UnixSeconds,
    /// `moving`, `empty`, `moved`, `restored`, `failed`, `lost`, `held`, `funds` or `trouble`.
    pub kind: String,
    pub contract: Option<ContractId>,
    pub text: String,
}

/// Tells messages.
pub struct Teller {
    /// Prints a text, as JSON or not.
    print: fn(&str, bool),
    is_json: bool,
    webhook: Option<Sender<Message>>,
}

impl Teller {
    /// Also sends to this address, from a task of its own.
    pub fn new(webhook: Option<String>, is_json: bool) -> Self {
        let webhook = webhook.map(|address| {
            let (sender, receiver) = channel(MAX_WAITING);
            tokio::spawn(deliver(address, receiver, is_json));
            sender
        });
        Self { print: note, is_json, webhook }
    }

    #[cfg(test)]
    pub fn silent() -> Self {
        Self { print: |_, _| (), is_json: false, webhook: None }
    }

    pub fn tell(&self, journal: &Journal, message: Message) -> Result<()> {
        journal.log(&message)?;
        (self.print)(&message.text, self.is_json);
        if let Some(Err(TrySendError::Full(lost))) = self.webhook.as_ref().map(|hook| hook.try_send(message))
        {
            (self.print)(
                &format!("the webhook is too slow, this isn't sent to it: {}", lost.text),
                self.is_json,
            );
        }
        Ok(())
    }
}

/// Sends messages one after the other, each again where it isn't taken.
async fn deliver(address: String, mut messages: Receiver<Message>, is_json: bool) {
    while let Some(next) = messages.recv().await {
        let mut pauses = AGAIN_AFTER.into_iter();
        while let Err(error) = send(&address, &next).await {
            note(&format!("the webhook didn't take a message: {}", message(&error)), is_json);
            let Some(pause) = pauses.next() else { break };
            sleep(pause).await;
        }
    }
}

async fn send(address: &str, message: &Message) -> Result<()> {
    post(address, serde_json::to_string(message)?).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    /// A server that answers with these statuses; what it was sent.
    fn receiver(statuses: [&'static str; 2]) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/hook", listener.local_addr().unwrap());
        let serve = move || {
            let one = |status| {
                let (mut stream, _) = listener.accept().unwrap();
                let (mut text, mut chunk) = (String::new(), [0; 4096]);
                while !text.ends_with('}') {
                    let count = stream.read(&mut chunk).unwrap();
                    text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
                }
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .unwrap();
                text
            };
            statuses.into_iter().map(one).collect()
        };
        (address, thread::spawn(serve))
    }

    fn told(text: &str) -> Message {
        Message { at: 1, kind: "moved".into(), contract: Some(7), text: text.into() }
    }

    #[tokio::test]
    async fn a_message_is_posted_as_json() {
        let (address, served) = receiver(["200 OK", "500 Failed"]);
        send(&address, &told("moved")).await.unwrap();
        assert!(send(&address, &told("again")).await.is_err());
        let texts = served.join().unwrap();
        assert!(texts[0].starts_with("POST /hook") && texts[0].to_lowercase().contains("application/json"));
        let (_, body) = texts[0].split_once("\r\n\r\n").unwrap();
        assert_eq!(serde_json::from_str::<Message>(body).unwrap(), told("moved"));
    }

    #[tokio::test]
    async fn what_was_told_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let teller = Teller::silent();
        for text in ["one", "two", "three"] {
            teller.tell(&journal, told(text)).unwrap();
        }
        assert_eq!(journal.messages(2).unwrap(), [told("two"), told("three")]);
    }
}
