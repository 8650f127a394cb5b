// SPDX-License-Identifier: Apache-2.0
//! Connections of callers, and the requests on their streams.

use super::{
    EventLog, Known, Own, PeerEndpoint,
    places::{Handshakes, Origin},
    streams::Streams,
};
use crate::{
    chain::Snapshot,
    drivers::WorkloadId,
    engine::{Holds, Standings, observed::Observed},
    links::{LINKS_ALPN, TunnelEnds},
};
use anyhow::Error;
use iroh::endpoint::{Connection, Incoming, IncomingAddr, RecvStream, SendStream};
use serde::Serialize;
use std::{future::pending, sync::Arc, time::Duration};
use tfgrid_client::peer::{
    BROKEN_OFF, Counts, IDLE, Place, TOO_MANY, UNKNOWN_CALLER,
    frame::{Frame, FrameError},
    protocol::{Ask, Failed, FailedCode, Message, Request},
};
use tfgrid_primitives::{ContractId, PublicKey, TwinId};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    task::JoinSet,
    time::timeout,
};
use tracing::debug;

/// Connections at the same time, and of one key.
const MAX_CONNECTIONS: usize = 1_024;
const MAX_CONNECTIONS_OF_KEY: usize = 4;
/// Answers at the same time about one contract, about the node itself, and to all keys of one twin. Each about the node
/// has the log in memory, and looks at the machine.
const MAX_ANSWERS_OF_CONTRACT: usize = 512;
const MAX_ANSWERS_OF_NODE: usize = 16;
const MAX_ANSWERS_OF_TWIN: usize = 1_024;
/// Limit for a handshake: a caller who doesn't go on keeps its place for so long.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(3);
/// Limit for the request on a stream that was opened.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);
/// Time for the reasons with which streams end before their connection is closed.
const REASONS_WITHIN: Duration = Duration::from_secs(2);
/// A reader that takes nothing for so long is left.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);

/// What callers can ask of.
#[derive(Clone)]
pub struct Sources {
    /// Who may ask.
    pub known: watch::Receiver<Arc<Known>>,
    /// What the chain wants.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// What is here.
    pub observed: watch::Receiver<Arc<Observed>>,
    /// How far the engine is.
    pub standings: watch::Receiver<Arc<Standings>>,
    /// Tunnels of private networks.
    pub tunnels: watch::Receiver<Arc<TunnelEnds>>,
    /// What has happened.
    pub log: watch::Receiver<EventLog>,
    /// What owners have stopped.
    pub holds: Holds,
    /// The node itself.
    pub own: Arc<Own>,
    /// What owners do to machines, as an event. Some is lost where nobody takes it.
    pub done: mpsc::Sender<(WorkloadId, String)>,
}

/// Serves callers.
pub struct Server {
    endpoint: PeerEndpoint,
    caller: Caller,
    links: Option<mpsc::Sender<Connection>>,
}

/// What every connection needs.
struct Caller {
    streams: Streams,
    sources: Sources,
    connections: Counts<PublicKey>,
    /// `None` is the node itself.
    of_contract: Counts<Option<ContractId>>,
    of_twin: Counts<TwinId>,
    /// Whether requests about contracts have to wait.
    is_untested: bool,
}

impl Server {
    /// Serves on this endpoint once it runs.
    pub fn new(endpoint: &PeerEndpoint, streams: Streams, sources: Sources) -> Self {
        let (connections, of_contract, of_twin) = Default::default();
        let caller = Caller { streams, sources, connections, of_contract, of_twin, is_untested: false };
        Self { endpoint: endpoint.clone(), caller, links: None }
    }

    /// The same on a node that hasn't passed its self-test: it answers its farmer alone.
    #[must_use]
    pub fn untested(mut self) -> Self {
        self.caller.is_untested = true;
        self
    }

    /// The same, which passes on connections of other nodes.
    #[must_use]
    pub fn with_links(mut self, links: mpsc::Sender<Connection>) -> Self {
        self.links = Some(links);
        self
    }

    /// Answers callers until it is dropped, which ends all connections.
    pub async fn run(self) {
        let Self { endpoint, caller, links } = self;
        let (caller, handshakes) = (Arc::new(caller), Handshakes::default());
        let mut connections = JoinSet::new();
        loop {
            let incoming = endpoint.accept().await;
            while connections.try_join_next().is_some() {}
            let is_room = connections.len() < MAX_CONNECTIONS;
            // Nobody makes the node work with a forged address.
            if matches!(incoming.remote_addr(), IncomingAddr::Ip(_)) && !incoming.remote_addr_validated() {
                if let Err(error) = incoming.retry() {
                    error.into_incoming().ignore();
                }
                continue;
            }
            let Some(origin) = Origin::of(incoming.remote_addr()).filter(|_| is_room) else {
                // Connections may last, so waiting is no help.
                incoming.refuse();
                continue;
            };
            let known = caller.sources.known.borrow().clone();
            let Some(places) = handshakes.begin(origin, &known) else {
                // It comes again by itself: QUIC repeats the beginning of a connection that nobody answers.
                incoming.ignore();
                continue;
            };
            let (caller, links) = (caller.clone(), links.clone());
            connections.spawn(async move {
                let connection = handshake(incoming).await;
                drop(places);
                match connection {
                    Ok(connection) if connection.alpn() == LINKS_ALPN => pass_on(connection, links),
                    Ok(connection) => caller.serve(connection).await,
                    Err(error) => debug!("a caller's handshake failed: {error:#}"),
                }
            });
        }
    }
}

/// Gives the connection of another node to whom it concerns.
fn pass_on(connection: Connection, links: Option<mpsc::Sender<Connection>>) {
    let refused = match links {
        Some(links) => links.try_send(connection).err().map(TrySendError::into_inner),
        None => Some(connection),
    };
    if let Some(connection) = refused {
        connection.close(TOO_MANY.into(), b"");
    }
}

async fn handshake(incoming: Incoming) -> Result<Connection, Error> {
    Ok(timeout(HANDSHAKE_WITHIN, incoming.accept()?).await??)
}

impl Caller {
    async fn serve(self: Arc<Self>, connection: Connection) {
        let key = *connection.remote_id().as_bytes();
        let mut known = self.sources.known.clone();
        if !known.borrow_and_update().knows(&key) {
            return connection.close(UNKNOWN_CALLER.into(), b"");
        }
        let Some(_place) = Place::take(&self.connections, key, MAX_CONNECTIONS_OF_KEY) else {
            return connection.close(TOO_MANY.into(), b"");
        };
        let mut requests = JoinSet::new();
        loop {
            tokio::select! {
                stream = connection.accept_bi() => {
                    let Ok((send, receive)) = stream else { return };
                    while requests.try_join_next().is_some() {}
                    requests.spawn(self.clone().answer(key, send, receive));
                }
                changed = known.changed() => {
                    if changed.is_err() || !known.borrow_and_update().knows(&key) {
                        let reasons = async { while requests.join_next().await.is_some() {} };
                        // A caller that doesn't take them gets none.
                        let _ = timeout(REASONS_WITHIN, reasons).await;
                        return connection.close(UNKNOWN_CALLER.into(), b"");
                    }
                }
            }
        }
    }

    /// Answers the request on a stream.
    async fn answer(self: Arc<Self>, key: PublicKey, send: SendStream, mut receive: RecvStream) {
        let mut reply = Reply { stream: send, is_open: false };
        let answered = match timeout(BEGIN_WITHIN, Frame::<Request>::read(&mut receive)).await {
            Ok(Ok(Some(Frame::Message(request)))) => self.permitted(key, request, &mut reply, receive).await,
            Ok(Ok(None)) | Err(_) => return,
            Ok(Ok(Some(_))) => Err(failed(FailedCode::BadRequest, "a stream begins with a request")),
            Ok(Err(error)) => Err(failed(FailedCode::BadRequest, &error.to_string())),
        };
        if let Err(failed) = answered {
            reply.fail(failed).await;
        } else {
            reply.finish().await;
        }
    }

    /// Answers while the key is one of the contract's owner, or of the farmer.
    async fn permitted(
        &self,
        key: PublicKey,
        Request { contract, ask }: Request,
        reply: &mut Reply,
        receive: RecvStream,
    ) -> Result<(), Failed> {
        let mut known = self.sources.known.clone();
        let Some(owner) = known.borrow_and_update().owner(&key, contract) else {
            return Err(unknown(contract));
        };
        if self.is_untested && contract.is_some() {
            let message =
                "the node hasn't passed its self-test since its start, and answers its farmer alone";
            return Err(failed(FailedCode::Failed, message));
        }
        let (most, what) = match contract {
            Some(_) => (MAX_ANSWERS_OF_CONTRACT, "a contract"),
            None => (MAX_ANSWERS_OF_NODE, "itself"),
        };
        let of_contract = Place::take(&self.of_contract, contract, most);
        let of_twin = Place::take(&self.of_twin, owner, MAX_ANSWERS_OF_TWIN);
        let (Some(_of_contract), Some(_of_twin)) = (of_contract, of_twin) else {
            let message = format!(
                "the node answers {most} requests about {what} and {MAX_ANSWERS_OF_TWIN} of a twin at the same time: \
                 end some that last, such as those that follow"
            );
            return Err(failed(FailedCode::TooMany, &message));
        };
        let ends = known.wait_for(|known| known.owner(&key, contract).is_none());
        let stopped = reply.stream.stopped();
        let stopped = async {
            // What is finished and received isn't stopped: the other direction may go on.
            if let Ok(None) = stopped.await {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = stopped => Err(failed(FailedCode::Closed, "the caller has gone")),
            answered = self.answer_ask(contract, ask, reply, receive) => answered,
            _ = ends => {
                let is_closed = contract.is_some_and(|contract| !self.sources.known.borrow().has(contract));
                let (closed, removed) = ("the contract has closed", "this device is none of its owner's any more");
                Err(failed(FailedCode::Closed, if is_closed { closed } else { removed }))
            }
        }
    }

    async fn answer_ask(
        &self,
        contract: Option<ContractId>,
        ask: Ask,
        reply: &mut Reply,
        receive: RecvStream,
    ) -> Result<(), Failed> {
        let Self { streams, sources, .. } = self;
        let (contract, ask) = match (contract, ask) {
            (None, Ask::Node(ask)) => return sources.node(ask, reply).await,
            (Some(contract), ask) => (contract, ask),
            (None, _) => {
                return Err(failed(FailedCode::BadRequest, "a contract is named for all but the node"));
            }
        };
        match ask {
            Ask::Status {} => reply.message(Message::Status(sources.status(contract)?)).await,
            Ask::Stats {} => reply.message(Message::Stats(streams.stats(sources, contract).await?)).await,
            Ask::Events { follow } => sources.events(contract, follow, reply).await,
            Ask::Logs(logs) => streams.logs(sources, contract, logs, reply).await,
            Ask::Exec(exec) => streams.exec(sources, contract, exec, reply, receive).await,
            Ask::CopyOut { workload, path } => {
                streams.copy_out(sources, contract, &workload, &path, reply).await
            }
            Ask::CopyIn { workload, path } => {
                streams.copy_in(sources, contract, &workload, &path, reply, receive).await
            }
            Ask::Restart { workload } => streams.restart(sources, contract, workload, reply).await,
            Ask::Stop { workload } => sources.stop(contract, &workload, reply).await,
            Ask::Start { workload } => streams.start(sources, contract, &workload, reply).await,
            Ask::Network { network } => {
                reply.message(Message::Network(sources.joining(contract, &network).await?)).await
            }
            Ask::Volumes { roots } => {
                let volumes = streams.snapshots.volumes(sources, contract, roots).await?;
                reply.message(Message::Volumes(volumes)).await
            }
            Ask::Snapshot { workload } => streams.snapshots.take(contract, workload, reply, receive).await,
            Ask::Restore { workload, once } => {
                streams.snapshots.restore(sources, contract, workload, once, reply, receive).await
            }
            Ask::Forward(forward) => streams.forward(sources, contract, forward, reply, receive).await,
            Ask::Node(_) => Err(failed(FailedCode::BadRequest, "no contract is named for the node")),
        }
    }
}

/// The node's direction of a stream.
pub struct Reply {
    stream: SendStream,
    /// Whether the other end would take a message for something else: within a frame, or without frames.
    is_open: bool,
}

impl Reply {
    /// Sends a message.
    ///
    /// # Errors
    /// If the caller doesn't take it.
    pub async fn message(&mut self, message: Message) -> Result<(), Failed> {
        self.frame(Frame::Message(message)).await
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// If the caller doesn't take it.
    pub async fn frame<M: Serialize>(&mut self, frame: Frame<M>) -> Result<(), Failed> {
        self.is_open = true;
        let sent = timeout(TAKEN_WITHIN, frame.write(&mut self.stream)).await;
        sent.map_err(|_| failed(FailedCode::Closed, "nothing is read at the other end"))?.map_err(gone)?;
        self.is_open = false;
        Ok(())
    }

    /// The stream without frames.
    pub fn raw(&mut self) -> &mut SendStream {
        self.is_open = true;
        &mut self.stream
    }

    async fn finish(mut self) {
        // An error says that the caller has gone.
        let _ = self.stream.finish();
        let _ = timeout(TAKEN_WITHIN, self.stream.stopped()).await;
    }

    /// Ends with the reason, or breaks off where that would be taken for something else.
    async fn fail(mut self, why: Failed) {
        let code = if why.code == FailedCode::Idle { IDLE } else { BROKEN_OFF };
        if self.is_open || self.message(Message::Failed(why)).await.is_err() {
            // An error says that the caller has gone.
            let _ = self.stream.reset(code.into());
            return;
        }
        self.finish().await;
    }
}

/// A contract of another looks like none.
fn unknown(contract: Option<ContractId>) -> Failed {
    let message = match contract {
        Some(contract) => format!("your twin has no contract {contract} on this node"),
        None => "your twin doesn't own this node's farm".into(),
    };
    failed(FailedCode::NotFound, &message)
}

/// The caller is gone, and needs no reason.
fn gone(error: FrameError) -> Failed {
    failed(FailedCode::Closed, &error.to_string())
}

/// A failure to be told.
pub fn failed(code: FailedCode, message: &str) -> Failed {
    Failed { code, message: message.to_owned() }
}
