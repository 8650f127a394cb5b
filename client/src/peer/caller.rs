// SPDX-License-Identifier: Apache-2.0
//! The caller's half.

use super::{
    NodeAddress,
    frame::{Frame, FrameError},
    protocol::{
        ALPN, Ask, Control, Failed, Forward, Joining, Message, NodeAsk, NodeLogs, NodeStatus, Request, Stats,
        Status, Volume,
    },
};
use iroh::{
    Endpoint, KeyParsingError, SecretKey, TransportAddr,
    endpoint::{
        BindError, ConnectError, ConnectingError, Connection, ConnectionError, ReadError, RecvStream,
        SendStream, TransportErrorCode, VarInt, presets,
    },
};
use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};
use tfgrid_primitives::{ContractId, PublicKey};
use tokio::{
    io::{self, AsyncRead, AsyncWrite},
    time::timeout,
};

/// The time that a node has to be reached.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// Time for a node to hear that its caller goes; else a timeout tells it.
const CLOSE_WITHIN: Duration = Duration::from_millis(100);
/// The time that a node has to begin an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Bytes that are copied at a time in each direction of a forwarded port.
const COPY_BYTES: usize = 64 * 1024;

/// The secret half of a peer key, of a person's device or a bot. Debug output doesn't have it.
#[derive(Clone)]
pub struct Device(SecretKey);

impl Device {
    /// A new random key.
    pub fn generate() -> Self {
        Self(SecretKey::generate())
    }

    /// The key of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SecretKey::from_bytes(seed))
    }

    /// Its seed, to be kept.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half: one of the peer keys of a twin.
    pub fn public(&self) -> PublicKey {
        *self.0.public().as_bytes()
    }

    /// Its signature under this message (ed25519).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", hex::encode(self.public()))
    }
}

/// A node that can't be asked, or refuses.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The node has reported no address.
    #[error("the node has no peer endpoint that the chain knows: its agent hasn't reported one yet")]
    NoAddress,
    /// Its key on the chain can't be dialled.
    #[error("the node's peer key isn't one: {0}")]
    Key(#[from] KeyParsingError),
    /// This machine can't dial.
    #[error("can't open a socket to dial the node: {0}")]
    Bind(#[from] BindError),
    /// The node can't be reached.
    #[error("can't reach the node at {at}: {source}")]
    Connect {
        /// Addresses that were tried.
        at: String,
        /// What is wrong.
        source: Box<ConnectError>,
    },
    /// The node can't be reached in time.
    #[error(
        "the node can't be reached at {at} within {CONNECT_WITHIN:?}: is it online, does UDP pass, or has it too many \
         callers?"
    )]
    NotReached {
        /// Addresses that were tried.
        at: String,
    },
    /// Something else than this node is there.
    #[error(
        "what answers at {at} hasn't the key that the chain has of this node: its agent has a new identity, or another \
         machine has its address"
    )]
    AnotherKey {
        /// Addresses that were tried.
        at: String,
    },
    /// The node closed the connection: it doesn't know the key.
    #[error(
        "the node doesn't know this device: its key must be one of your twin's on the chain (`threebot device list`), \
         and the node must have a contract of yours or be in your farm"
    )]
    Unknown,
    /// The node has enough connections of this caller.
    #[error("this device has as many connections to the node as it allows: end another command first")]
    TooMany,
    /// The node closed the connection.
    #[error("the node has ended the connection: its agent stops, and may start again")]
    Ended,
    /// The node broke off what nobody used.
    #[error("the node has ended it: nothing passed in either direction for an hour")]
    Idle,
    /// The connection broke.
    #[error("the connection to the node broke: {0}")]
    Broken(#[from] ConnectionError),
    /// The answer ends early, or isn't one.
    #[error("the node's answer can't be read: {0}")]
    Stream(#[from] FrameError),
    /// The node didn't answer in time.
    #[error("the node doesn't answer within {ANSWER_WITHIN:?}")]
    NoAnswer,
    /// The answer ends too early, or is another one.
    #[error("the node gave another answer than the one that was asked for")]
    Unexpected,
    /// The node can't do what was asked.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// A connection to a node's peer endpoint.
pub struct NodePeer {
    endpoint: Endpoint,
    connection: Connection,
}

impl NodePeer {
    /// Dials a node.
    ///
    /// # Errors
    /// If it can't be reached.
    pub async fn connect(device: &Device, node: &NodeAddress) -> Result<Self, PeerError> {
        if node.addresses.is_empty() {
            return Err(PeerError::NoAddress);
        }
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(device.0.clone())
            .relay_mode(node.addresses.relay_mode())
            .bind()
            .await?;
        let at = node.addresses.to_string();
        match timeout(CONNECT_WITHIN, endpoint.connect(node.endpoint()?, ALPN)).await {
            Ok(Ok(connection)) => Ok(Self { endpoint, connection }),
            Ok(Err(source)) if is_another(&source) => Err(PeerError::AnotherKey { at }),
            Ok(Err(source)) => Err(PeerError::Connect { at, source: source.into() }),
            Err(_) => Err(PeerError::NotReached { at }),
        }
    }

    /// Asks on a stream of its own.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn ask(&self, contract: ContractId, ask: Ask) -> Result<Call<'_>, PeerError> {
        self.request(Request { contract: Some(contract), ask }).await
    }

    async fn request(&self, request: Request) -> Result<Call<'_>, PeerError> {
        let (send, receive) = self.connection.open_bi().await.map_err(broken)?;
        let mut call = Call { peer: self, send, receive };
        let request = Frame::Message(request);
        request.write(&mut call.send).await.map_err(|error| cause(&self.connection, error))?;
        Ok(call)
    }

    /// Asks for a single message.
    ///
    /// # Errors
    /// If the connection breaks, or the node refuses.
    pub async fn answer(&self, contract: ContractId, ask: Ask) -> Result<Message, PeerError> {
        self.ask(contract, ask).await?.message().await
    }

    /// How a contract's workloads fare.
    ///
    /// # Errors
    /// If the connection breaks, or the node refuses.
    pub async fn status(&self, contract: ContractId) -> Result<Status, PeerError> {
        match self.answer(contract, Ask::Status {}).await? {
            Message::Status(status) => Ok(status),
            _ => Err(PeerError::Unexpected),
        }
    }

    /// How the node itself fares, for its farmer: findings and warnings, and nothing of tenants.
    ///
    /// # Errors
    /// If the connection breaks, or the node refuses, as it does where the caller isn't the twin that owns its farm.
    pub async fn node_status(&self) -> Result<NodeStatus, PeerError> {
        let request = Request { contract: None, ask: Ask::Node(NodeAsk::Status {}) };
        match self.request(request).await?.message().await? {
            Message::Node(status) => Ok(status),
            _ => Err(PeerError::Unexpected),
        }
    }

    /// The log of the node's agent, for its farmer: a [`Message::Line`] each, then [`Message::Done`].
    ///
    /// # Errors
    /// If the connection breaks. The call says whether the node refuses.
    pub async fn node_logs(&self, logs: NodeLogs) -> Result<Call<'_>, PeerError> {
        self.request(Request { contract: None, ask: Ask::Node(NodeAsk::Logs(logs)) }).await
    }

    /// What a contract's machines use.
    ///
    /// # Errors
    /// If the connection breaks, or the node refuses.
    pub async fn stats(&self, contract: ContractId) -> Result<BTreeMap<String, Stats>, PeerError> {
        match self.answer(contract, Ask::Stats {}).await? {
            Message::Stats(stats) => Ok(stats),
            _ => Err(PeerError::Unexpected),
        }
    }

    /// A contract's volumes; with `roots` also its machines, for their roots, and what their images declare as
    /// `VOLUME`.
    ///
    /// # Errors
    /// If the connection breaks, or the node refuses.
    pub async fn volumes(
        &self,
        contract: ContractId,
        roots: bool,
    ) -> Result<BTreeMap<String, Volume>, PeerError> {
        match self.answer(contract, Ask::Volumes { roots }).await? {
            Message::Volumes(volumes) => Ok(volumes),
            _ => Err(PeerError::Unexpected),
        }
    }

    /// What a peer joins a private network of a contract with.
    ///
    /// # Errors
    /// If the connection breaks, or the node refuses.
    pub async fn joining(&self, contract: ContractId, network: &str) -> Result<Joining, PeerError> {
        match self.answer(contract, Ask::Network { network: network.to_owned() }).await? {
            Message::Network(joining) => Ok(joining),
            _ => Err(PeerError::Unexpected),
        }
    }

    /// The address at which the node answers directly, if it does.
    pub fn direct_ip(&self) -> Option<IpAddr> {
        let paths = self.connection.paths();
        let path = paths.iter().find(|path| path.is_selected())?;
        match path.remote_addr() {
            TransportAddr::Ip(address) => Some(address.ip().to_canonical()),
            _ => None,
        }
    }

    /// Connects `local` with a TCP port of a machine until both sides have ended. A side that breaks breaks the other
    /// one off; `local`, given by reference, is left to be closed as broken.
    ///
    /// # Errors
    /// If either side breaks, or nothing listens there.
    pub async fn forward(
        &self,
        contract: ContractId,
        to: Forward,
        mut local: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<(), PeerError> {
        let mut call = self.ask(contract, Ask::Forward(to)).await?;
        call.ready().await?;
        let (mut input, output) = call.split();
        let mut remote = io::join(output.stream, &mut input.stream);
        io::copy_bidirectional_with_sizes(&mut local, &mut remote, COPY_BYTES, COPY_BYTES)
            .await
            .map_err(|error| cause(&self.connection, error.into()))?;
        input.finish();
        Ok(())
    }

    /// Resolves when the connection has ended.
    pub async fn closed(&self) {
        self.connection.closed().await;
    }

    /// Says goodbye, so that the node needs no timeout.
    pub async fn close(&self) {
        self.connection.close(0u32.into(), b"");
        // What is said has left by then. A path that wasn't used, as that over a relay, would be waited for longer.
        let _ = timeout(CLOSE_WITHIN, self.endpoint.close()).await;
    }
}

/// TLS's alert for a key that nobody vouches for, which is any but the one that was dialled.
const UNKNOWN_CA: u8 = 48;

/// Whether something with another key answered.
fn is_another(error: &ConnectError) -> bool {
    let (ConnectError::Connection { source, .. }
    | ConnectError::Connecting { source: ConnectingError::ConnectionError { source, .. }, .. }) = error
    else {
        return false;
    };
    let unknown = TransportErrorCode::crypto(UNKNOWN_CA);
    matches!(source, ConnectionError::TransportError(error) if error.code == unknown)
}

/// Why a connection has ended, by the code with which it was closed.
fn broken(error: ConnectionError) -> PeerError {
    let ConnectionError::ApplicationClosed(close) = &error else { return PeerError::Broken(error) };
    match u32::try_from(close.error_code.into_inner()) {
        Ok(0) => PeerError::Ended,
        Ok(UNKNOWN_CALLER) => PeerError::Unknown,
        Ok(TOO_MANY) => PeerError::TooMany,
        _ => PeerError::Broken(error),
    }
}

/// Why a stream broke: for the reason of its connection, if this has ended.
fn cause(connection: &Connection, error: FrameError) -> PeerError {
    match (connection.close_reason(), error) {
        (Some(reason), _) => broken(reason),
        (None, FrameError::Stream(stream)) if reset_code(&stream) == Some(IDLE.into()) => PeerError::Idle,
        (None, error) => PeerError::Stream(error),
    }
}

/// The code with which the node has broken the stream off.
fn reset_code(error: &io::Error) -> Option<VarInt> {
    match error.get_ref()?.downcast_ref::<ReadError>()? {
        ReadError::Reset(code) => Some(*code),
        _ => None,
    }
}

/// Code with which a node closes the connection of a caller that it doesn't know.
pub const UNKNOWN_CALLER: u32 = 1;
/// Code with which a node closes a connection of a caller who has as many as it allows.
pub const TOO_MANY: u32 = 2;
/// Code with which either end breaks a stream off.
pub const BROKEN_OFF: u32 = 3;
/// Code with which a node breaks a stream off on which nothing has passed for an hour.
pub const IDLE: u32 = 4;

/// A request and its answer, on a stream of their own.
pub struct Call<'a> {
    peer: &'a NodePeer,
    send: SendStream,
    receive: RecvStream,
}

impl Call<'_> {
    /// The next frame of the answer, `None` at its end.
    ///
    /// # Errors
    /// If the connection breaks, or the node says that it can't go on.
    pub async fn next(&mut self) -> Result<Option<Frame<Message>>, PeerError> {
        let frame = Frame::read(&mut self.receive).await;
        received(frame.map_err(|error| cause(&self.peer.connection, error))?)
    }

    /// A message that must come soon.
    ///
    /// # Errors
    /// Beside those of [`Self::next`], if it doesn't come.
    pub async fn message(&mut self) -> Result<Message, PeerError> {
        match timeout(ANSWER_WITHIN, self.next()).await.map_err(|_| PeerError::NoAnswer)?? {
            Some(Frame::Message(message)) => Ok(message),
            _ => Err(PeerError::Unexpected),
        }
    }

    /// Waits until the stream is open in both directions.
    ///
    /// # Errors
    /// Those of [`Self::message`].
    pub async fn ready(&mut self) -> Result<(), PeerError> {
        match self.message().await? {
            Message::Ready {} => Ok(()),
            _ => Err(PeerError::Unexpected),
        }
    }

    /// Both directions, to be used at the same time.
    pub fn split(self) -> (Input, Output) {
        let connection = self.peer.connection.clone();
        let output = Output { stream: self.receive, connection: connection.clone() };
        (Input { stream: self.send, connection, is_finished: false }, output)
    }
}

/// What the caller sends. Dropped before [`Self::finish`], it breaks off, which isn't its end.
pub struct Input {
    stream: SendStream,
    connection: Connection,
    is_finished: bool,
}

impl Input {
    /// Sends bytes of the standard input, of an archive, or a datagram.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn data(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
        self.send(&Frame::Data(bytes.to_vec())).await
    }

    /// Tells the program or its terminal something.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn control(&mut self, control: Control) -> Result<(), PeerError> {
        self.send(&Frame::Message(control)).await
    }

    async fn send(&mut self, frame: &Frame<Control>) -> Result<(), PeerError> {
        frame.write(&mut self.stream).await.map_err(|error| cause(&self.connection, error))
    }

    /// Ends what is sent.
    pub fn finish(&mut self) {
        self.is_finished = true;
        // An error says that it has ended already.
        let _ = self.stream.finish();
    }

    /// Ends what is sent, and waits until the node has it or has gone.
    pub async fn delivered(&mut self) {
        self.finish();
        drop(self.stream.stopped().await);
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if !self.is_finished {
            // An error says that it has ended already.
            let _ = self.stream.reset(BROKEN_OFF.into());
        }
    }
}

/// What the node sends.
pub struct Output {
    stream: RecvStream,
    connection: Connection,
}

impl Output {
    /// The next frame, `None` at the end.
    ///
    /// # Errors
    /// If the connection breaks, or the node says that it can't go on.
    pub async fn next(&mut self) -> Result<Option<Frame<Message>>, PeerError> {
        let frame = Frame::read(&mut self.stream).await;
        received(frame.map_err(|error| cause(&self.connection, error))?)
    }
}

/// A failure as an error; other messages fit to be shown.
fn received(frame: Option<Frame<Message>>) -> Result<Option<Frame<Message>>, PeerError> {
    match frame {
        Some(Frame::Message(message)) => match message.printable() {
            Message::Failed(failed) => Err(failed.into()),
            message => Ok(Some(Frame::Message(message))),
        },
        frame => Ok(frame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::PeerAddresses;
    use iroh::RelayMode;
    use std::net::Ipv4Addr;

    const LIMIT: Duration = Duration::from_secs(20);

    /// An endpoint that speaks the protocol, and its address.
    async fn node() -> (Endpoint, NodeAddress) {
        let secret = SecretKey::generate();
        let key = *secret.public().as_bytes();
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(secret)
            .alpns(vec![ALPN.to_vec()])
            .relay_mode(RelayMode::Disabled)
            .clear_ip_transports()
            .bind_addr((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .bind()
            .await
            .unwrap();
        let addresses = PeerAddresses { relays: Vec::new(), direct: endpoint.bound_sockets() };
        (endpoint, NodeAddress { key, addresses })
    }

    /// What a caller gets when the node does `end` to its stream.
    async fn told(end: impl FnOnce(&Connection, SendStream) + Send + 'static) -> PeerError {
        let (endpoint, address) = node().await;
        let serving = tokio::spawn(async move {
            let connection = endpoint.accept().await.unwrap().accept().unwrap().await.unwrap();
            let (send, _receive) = connection.accept_bi().await.unwrap();
            end(&connection, send);
            connection.closed().await;
            endpoint
        });
        let peer = NodePeer::connect(&Device::generate(), &address).await.unwrap();
        let (_input, mut output) = peer.ask(7, Ask::Status {}).await.unwrap().split();
        let error = timeout(LIMIT, output.next()).await.unwrap().unwrap_err();
        peer.close().await;
        timeout(LIMIT, serving).await.unwrap().unwrap().close().await;
        error
    }

    #[tokio::test]
    async fn each_code_of_a_node_is_told_as_its_reason() {
        let closed = |code: u32| told(move |connection, _| connection.close(code.into(), b""));
        assert!(matches!(closed(0).await, PeerError::Ended));
        assert!(matches!(closed(UNKNOWN_CALLER).await, PeerError::Unknown));
        assert!(matches!(closed(TOO_MANY).await, PeerError::TooMany));
        assert!(matches!(closed(99).await, PeerError::Broken(_)));
        let reset = |code: u32| told(move |_, mut send| send.reset(code.into()).unwrap());
        assert!(matches!(reset(IDLE).await, PeerError::Idle));
        assert!(matches!(reset(BROKEN_OFF).await, PeerError::Stream(_)));
    }

    #[tokio::test]
    async fn a_node_with_another_peer_key_is_told_as_such() {
        let (endpoint, mut address) = node().await;
        address.key = Device::generate().public();
        let serving = tokio::spawn(async move {
            let accepted = endpoint.accept().await.unwrap().accept().unwrap().await;
            assert!(accepted.is_err());
            endpoint
        });
        match NodePeer::connect(&Device::generate(), &address).await {
            Err(PeerError::AnotherKey { at }) => assert_eq!(at, address.addresses.to_string()),
            other => panic!("{:?}", other.err()),
        }
        timeout(LIMIT, serving).await.unwrap().unwrap().close().await;
    }
}
