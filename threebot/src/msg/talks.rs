// SPDX-License-Identifier: Apache-2.0
//! Bots that talk on this machine.

use super::{
    mailbox::{Key, tests::message as new_message},
    *,
};
use iroh::{
    Endpoint,
    endpoint::{Connection, ConnectionError, VarInt},
};
use std::{collections::BTreeSet, fs, net::Ipv4Addr, path::PathBuf, sync::Arc};
use tempfile::TempDir;
use tfgrid_client::peer::{
    Device, NodeAddress, PeerAddresses, TOO_MANY, UNKNOWN_CALLER,
    frame::Frame,
    msg::{MSG_ALPN, Reply},
};
use tokio::{task::JoinHandle, time::Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// Twin 9, and twin 7 that writes to it.
struct Bots {
    folder: TempDir,
    receiver: Device,
    sender: Endpoint,
    book: Arc<Book>,
    mailbox: Arc<Mailbox>,
    at: PeerAddresses,
    serving: JoinHandle<()>,
}

impl Bots {
    /// `allowed` may write to twin 9, and the chain says that `sender` is a device of twin 7.
    async fn start(allowed: Allowed, sender: &Device, of_seven: &Device) -> Self {
        let (folder, receiver) = (tempfile::tempdir().unwrap(), Device::generate());
        let book = Arc::new(Book::of([(7, of_seven.public()), (9, receiver.public())]));
        let mailbox = Mailbox::open(folder.path()).unwrap();
        let endpoint = listening(&receiver, (Ipv4Addr::LOCALHOST, 0).into(), &[]).await.unwrap();
        let at = PeerAddresses { relays: Vec::new(), direct: endpoint.current().unwrap().bound_sockets() };
        let server = Server::new(9, allowed, book.clone(), mailbox.clone());
        let serving = tokio::spawn(server.run(endpoint));
        let sender = dialling(sender, &at).await.unwrap();
        Self { folder, receiver, sender, book, mailbox, at, serving }
    }

    async fn of_friends() -> Self {
        let device = Device::generate();
        Self::start(Allowed::Twins([7].into()), &device, &device).await
    }

    async fn send(&self, message: &TwinMessage, file: Option<&Path>) -> Result<Option<String>, SendError> {
        let sender = Sender { endpoint: &self.sender, book: &self.book };
        sender.send(message, file, &self.at, Instant::now() + LIMIT).await
    }

    /// A connection of twin 7's device to twin 9.
    async fn connect(&self) -> Connection {
        let to = NodeAddress { key: self.receiver.public(), addresses: self.at.clone() };
        self.sender.connect(to.endpoint().unwrap(), MSG_ALPN).await.unwrap()
    }

    /// Without contacts and relays.
    fn ways(&self) -> Ways {
        let contacts = self.folder.path().join("contacts.json");
        fs::write(&contacts, "{}").unwrap();
        Ways { relay: Vec::new(), contacts: Contacts { contacts: Some(contacts) } }
    }

    fn texts(&self) -> Vec<String> {
        let unread = self.mailbox.unread(&BTreeSet::new()).unwrap();
        unread.into_iter().map(|received| received.message.text).collect()
    }
}

impl Drop for Bots {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tokio::test]
async fn a_message_is_in_the_mailbox_once_it_is_acknowledged() {
    let bots = Bots::of_friends().await;
    for number in [1, 2, 1] {
        assert_eq!(bots.send(&new_message(number), None).await.unwrap(), None);
    }
    assert_eq!(bots.texts(), ["message 1", "message 2"]);
}

#[tokio::test]
async fn a_file_goes_with_a_message() {
    let bots = Bots::of_friends().await;
    let path = bots.folder.path().join("offer.bin");
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    fs::write(&path, &bytes).unwrap();
    let with_file = TwinMessage { file: Some(head(&path).unwrap()), ..new_message(1) };
    // Sent twice: the second time, the bytes aren't wanted.
    for _ in 0..2 {
        bots.send(&with_file, Some(&path)).await.unwrap();
    }
    let received = bots.mailbox.unread(&BTreeSet::new()).unwrap();
    let places: Vec<PathBuf> = received.into_iter().filter_map(|received| received.file).collect();
    assert_eq!(places.len(), 1);
    assert!(fs::read(&places[0]).unwrap() == bytes && places[0].to_string_lossy().ends_with("-offer.bin"));

    // Cut since it was announced.
    fs::write(&path, "short").unwrap();
    let cut = TwinMessage { id: MessageId([2; 16]), ..with_file };
    let error = bots.send(&cut, Some(&path)).await.unwrap_err();
    assert!(
        error.to_string().contains("199995 bytes of its file are missing") && error.is_final(),
        "{error}"
    );
    // Longer than it was announced.
    fs::write(&path, [0; 200_001]).unwrap();
    let error = bots.send(&cut, Some(&path)).await.unwrap_err();
    assert!(error.to_string().contains("more bytes of the file") && error.is_final(), "{error}");
    assert_eq!(bots.texts().len(), 1);
}

#[tokio::test]
async fn an_answer_reaches_who_asked_also_after_a_break() {
    let bots = Bots::of_friends().await;
    let request = TwinMessage { request: true, ..new_message(1) };
    let key = Key::of(&request);
    let mailbox = bots.mailbox.clone();
    let answering = async {
        let mut changes = mailbox.changes();
        while mailbox.unread(&BTreeSet::new()).unwrap().is_empty() {
            changes.changed().await.unwrap();
        }
        mailbox.answer(&key, "yes".into()).unwrap();
    };
    let (answer, ()) = tokio::join!(bots.send(&request, None), answering);
    assert_eq!(answer.unwrap().as_deref(), Some("yes"));
    // It is asked again, as after a broken connection.
    assert_eq!(bots.send(&request, None).await.unwrap().as_deref(), Some("yes"));
    let late = TwinMessage { request: true, expires_ms: now_ms() + 1_000, ..new_message(2) };
    let error = bots.send(&late, None).await.unwrap_err();
    assert!(error.is_final() && error.to_string().contains("nobody has answered in time"), "{error}");
}

#[tokio::test]
async fn strangers_get_no_word() {
    let device = Device::generate();
    for (allowed, of_seven) in [
        // Twin 7 isn't allowed; the device isn't its, or not any more.
        (Allowed::Twins([8].into()), device.clone()),
        (Allowed::Twins([7].into()), Device::generate()),
        (Allowed::Anyone, Device::generate()),
    ] {
        let bots = Bots::start(allowed, &device, &of_seven).await;
        let error = bots.send(&new_message(1), None).await.unwrap_err();
        assert!(matches!(error, SendError::Stranger(9)), "{error}");
        assert!(bots.texts().is_empty());
    }
}

/// Waits until the receiver has closed a connection with this code.
async fn until_closed(connection: &Connection, code: u32) {
    let ended = tokio::time::timeout(LIMIT, connection.closed()).await.unwrap();
    let is_closed = matches!(
        &ended,
        ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(code)
    );
    assert!(is_closed, "{ended}");
}

#[tokio::test]
async fn what_no_message_is_ends_the_connection() {
    let bots = Bots::of_friends().await;
    let connection = bots.connect().await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    Frame::Message(Reply::Accepted {}).write(&mut send).await.unwrap();
    until_closed(&connection, UNKNOWN_CALLER).await;
}

#[tokio::test]
async fn who_says_nothing_keeps_no_connection() {
    let bots = Bots::of_friends().await;
    for begun in [&b""[..], b"\0"] {
        let connection = bots.connect().await;
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(begun).await.unwrap();
        send.finish().unwrap();
        until_closed(&connection, UNKNOWN_CALLER).await;
    }
}

#[tokio::test]
async fn a_device_has_few_connections_at_a_time() {
    let bots = Bots::of_friends().await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let connection = bots.connect().await;
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        Frame::Message(new_message(1)).write(&mut send).await.unwrap();
        let reply = tokio::time::timeout(LIMIT, Frame::<Reply>::read(&mut receive)).await.unwrap().unwrap();
        assert_eq!(reply, Some(Frame::Message(Reply::Accepted {})));
        open.push(connection);
    }
    until_closed(&bots.connect().await, TOO_MANY).await;
}

#[tokio::test]
async fn a_message_for_another_twin_is_refused() {
    let bots = Bots::of_friends().await;
    let book = Book::of([(8, bots.receiver.public())]);
    let sender = Sender { endpoint: &bots.sender, book: &book };
    let other = TwinMessage { to: 8, ..new_message(1) };
    let error = sender.send(&other, None, &bots.at, Instant::now() + LIMIT).await.unwrap_err();
    assert!(error.is_final() && error.to_string().contains("for twin 8, and here is 9"), "{error}");
}

#[tokio::test]
async fn a_sender_beyond_its_rate_waits() {
    let bots = Bots::of_friends().await;
    let connection = bots.connect().await;
    let mut refused = 0;
    // The same message each time: nothing but the rate is used up.
    let same = new_message(1);
    for _ in 0..40 {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        Frame::Message(same.clone()).write(&mut send).await.unwrap();
        let reply = tokio::time::timeout(LIMIT, Frame::<Reply>::read(&mut receive)).await.unwrap().unwrap();
        if let Some(Frame::Message(Reply::Refused(refusal))) = reply {
            assert!(!refusal.code.is_final() && refusal.message.contains("30 messages at once"), "{refusal}");
            refused += 1;
        }
    }
    assert!((1..=10).contains(&refused), "{refused}");
    assert_eq!(bots.texts().len(), 1);
}

#[tokio::test]
async fn a_bot_is_found_among_the_devices_of_its_twin() {
    let bots = Bots::of_friends().await;
    let absent = Device::generate();
    let book = Book::of_devices([(9, vec![absent.public(), bots.receiver.public()])]);
    let sender = Sender { endpoint: &bots.sender, book: &book };
    sender.send(&new_message(1), None, &bots.at, Instant::now() + LIMIT).await.unwrap();
    assert_eq!(bots.texts(), ["message 1"]);
    let error = sender.send(&new_message(2), None, &PeerAddresses::default(), Instant::now() + LIMIT).await;
    assert!(matches!(error, Err(SendError::NoAddress(9))));
}

#[tokio::test]
async fn a_bot_is_found_where_its_twin_publishes_that_it_is() {
    let bots = Bots::of_friends().await;
    let book = Book::of([(9, bots.receiver.public())]).with_addresses(9, bots.at.clone());
    let at = bots.ways().to(9, &[], &book).await.unwrap();
    let sender = Sender { endpoint: &bots.sender, book: &book };
    sender.send(&new_message(1), None, &at, Instant::now() + LIMIT).await.unwrap();
    assert_eq!(bots.texts(), ["message 1"]);
}

#[tokio::test]
async fn what_waits_is_sent_once_its_receiver_is_there() {
    let device = Device::generate();
    let bots = Bots::start(Allowed::Twins([7].into()), &device, &device).await;
    let outbox = Arc::new(Outbox::open(bots.folder.path()).unwrap());
    let PeerAddresses { direct, .. } = bots.at.clone();
    let ways = Arc::new(bots.ways());
    let endpoint = listening(&device, (Ipv4Addr::LOCALHOST, 0).into(), &[]).await.unwrap();
    let book = bots.book.clone();
    let flusher = Flusher { outbox: outbox.clone(), endpoint, book, ways };
    let (sender, mut outcomes) = tokio::sync::mpsc::channel(8);
    let flushing = tokio::spawn(flusher.run(sender));
    let expired = TwinMessage { expires_ms: 1, ..new_message(2) };
    for message in [new_message(1), expired] {
        outbox.put(&Queued { message, at: direct.clone() }, None).unwrap();
    }
    for _ in 0..2 {
        let Outcome { message, sent } = tokio::time::timeout(LIMIT, outcomes.recv()).await.unwrap().unwrap();
        assert_eq!(sent.is_ok(), message.id == MessageId([1; 16]), "{sent:?}");
    }
    flushing.abort();
    assert_eq!(bots.texts(), ["message 1"]);
    assert!(outbox.list().unwrap().is_empty());
}
