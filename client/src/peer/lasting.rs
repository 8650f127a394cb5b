// SPDX-License-Identifier: Apache-2.0
//! Endpoints that are opened again where they end.
//!
//! After a change of the machine's network, iroh closes its sockets and binds them anew. Where that fails, as it does
//! while a program that is being started has copies of the old ones, or while the address is away, the endpoint goes on
//! without them, and nothing says so. So it is asked whether it hears: any QUIC server answers an unknown version.

use iroh::{Endpoint, endpoint::Incoming};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::watch,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

/// Delays before an endpoint that has ended is opened again: each is twice the one before.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(30);
/// Limit for what is left of it to end. Where the other ends don't answer, that takes 3 s.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// An endpoint that has answered is asked so often, and has so much time for an answer.
const ASK_EVERY: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How often the question is sent meanwhile. Where somebody floods the address, most packets are lost: that is no reason
/// to end everybody's connections.
const SEND_EVERY: Duration = Duration::from_millis(100);
/// Answers that are missing in a row before it is closed.
const MISSES: u32 = 3;
/// The least that a server takes for the beginning of a connection.
const PACKET_BYTES: usize = 1_200;
/// One of the versions that are kept for this.
const UNKNOWN_VERSION: [u8; 4] = [0x1a; 4];
const CONNECTION_ID: [u8; 8] = *b"no call!";

/// Opens an endpoint, or says why it can't be opened.
type Open = dyn Fn() -> Pin<Box<dyn Future<Output = Result<Endpoint, String>> + Send>> + Send + Sync;

/// An endpoint that is opened again where it ends, or no longer hears. Clones are the same.
#[derive(Clone)]
pub struct LastingEndpoint(Arc<Lasting>);

struct Lasting {
    open: Box<Open>,
    now: watch::Sender<Result<Opened, String>>,
}

/// An endpoint from when it was opened until it ends or no longer hears; the next one has the same key, and may have
/// other addresses.
pub struct Opened {
    endpoint: Endpoint,
    /// Why it is to be closed.
    deaf: watch::Receiver<Option<String>>,
    _asking: JoinSet<()>,
}

impl Opened {
    /// The addresses at which it listens.
    pub fn sockets(&self) -> Vec<SocketAddr> {
        self.endpoint.bound_sockets()
    }

    fn new(endpoint: Endpoint) -> Self {
        let (sender, deaf) = watch::channel(None);
        let (sockets, mut asking) = (endpoint.bound_sockets(), JoinSet::new());
        asking.spawn(async move {
            let at = until_deaf(&sockets, ASK_EVERY, heard).await;
            sender.send_replace(Some(format!("nothing that is sent to {at} arrives any more")));
        });
        Self { endpoint, deaf, _asking: asking }
    }
}

impl LastingEndpoint {
    /// Opens an endpoint, now and whenever it has ended.
    ///
    /// # Errors
    /// As `open`, the first time.
    pub async fn open<F>(open: impl Fn() -> F + Send + Sync + 'static) -> Result<Self, String>
    where
        F: Future<Output = Result<Endpoint, String>> + Send + 'static,
    {
        let open: Box<Open> = Box::new(move || Box::pin(open()));
        let now = watch::Sender::new(Ok(Opened::new(open().await?)));
        Ok(Self(Arc::new(Lasting { open, now })))
    }

    /// The endpoint that there is now.
    ///
    /// # Errors
    /// With why there is none.
    pub fn current(&self) -> Result<Endpoint, String> {
        self.0.now.borrow().as_ref().map(|opened| opened.endpoint.clone()).map_err(Clone::clone)
    }

    /// The open endpoint at each moment, or why there is none.
    pub fn changes(&self) -> watch::Receiver<Result<Opened, String>> {
        self.0.now.subscribe()
    }

    /// The next connection that comes in, however often the endpoint must be opened again until then. For one caller at
    /// a time.
    pub async fn accept(&self) -> Incoming {
        loop {
            match self.next().await {
                Ok(incoming) => return incoming,
                Err(why) => self.reopen(why).await,
            }
        }
    }

    /// The next connection, or why there can't be one.
    async fn next(&self) -> Result<Incoming, String> {
        let (endpoint, mut deaf) = match &*self.0.now.borrow() {
            Ok(opened) => (opened.endpoint.clone(), opened.deaf.clone()),
            // Opening it was interrupted.
            Err(why) => return Err(why.clone()),
        };
        tokio::select! {
            incoming = endpoint.accept() => incoming.ok_or_else(|| "it has ended".to_owned()),
            why = deaf.wait_for(Option::is_some) => {
                Err(why.ok().and_then(|why| why.clone()).unwrap_or_default())
            }
        }
    }

    /// Ends it with its connections, and opens another one, as soon as that can be.
    async fn reopen(&self, why: String) {
        if let Ok(Opened { endpoint, .. }) = self.0.now.send_replace(Err(why)) {
            // It keeps its port until it is dropped.
            let _ = timeout(CLOSE_WITHIN, endpoint.close()).await;
        }
        let mut delay = FIRST_DELAY;
        loop {
            sleep(delay).await;
            delay = (delay * 2).min(MAX_DELAY);
            let opened = (self.0.open)().await.map(Opened::new);
            let is_open = opened.is_ok();
            drop(self.0.now.send_replace(opened));
            if is_open {
                return;
            }
        }
    }
}

/// Waits until one of these addresses has answered and then doesn't any more, as `heard` says.
async fn until_deaf<F: Future<Output = Option<bool>>>(
    sockets: &[SocketAddr],
    every: Duration,
    mut heard: impl FnMut(SocketAddr) -> F,
) -> SocketAddr {
    let mut missed = BTreeMap::new();
    loop {
        for at in sockets {
            let Some(is_heard) = heard(*at).await else { continue };
            if is_heard {
                missed.insert(at, 0);
            } else if let Some(misses) = missed.get_mut(at) {
                *misses += 1;
                if *misses == MISSES {
                    return *at;
                }
            }
        }
        sleep(every).await;
    }
}

/// Whether an endpoint hears what this machine sends to this address of its own.
pub async fn hears(at: SocketAddr) -> bool {
    heard(at).await == Some(true)
}

/// The same; `None` if this machine has no socket left to ask with, which says nothing of those that are open.
async fn heard(at: SocketAddr) -> Option<bool> {
    let any: IpAddr = match at {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    Some(matches!(timeout(ANSWER_WITHIN, ask(&socket, at)).await, Ok(Ok(()))))
}

async fn ask(socket: &UdpSocket, at: SocketAddr) -> io::Result<()> {
    let loopback: IpAddr = match at {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let ip = if at.ip().is_unspecified() { loopback } else { at.ip() };
    socket.connect((ip, at.port())).await?;
    let (mut sends, mut answer) = (interval(SEND_EVERY), [0; PACKET_BYTES]);
    loop {
        tokio::select! {
            _ = sends.tick() => {
                socket.send(&question()).await?;
            }
            bytes = socket.recv(&mut answer) => {
                if is_answer(&answer[..bytes?]) {
                    return Ok(());
                }
            }
        }
    }
}

/// The header of a first packet, in a version that no server has.
fn question() -> [u8; PACKET_BYTES] {
    let id = connection_id();
    let header = [&[0xc0][..], &UNKNOWN_VERSION[..], &id[..], &id[..]].concat();
    let mut packet = [0; PACKET_BYTES];
    packet[..header.len()].copy_from_slice(&header);
    packet
}

/// Whether a server says which versions it has.
fn is_answer(packet: &[u8]) -> bool {
    let rest = [&[0; 4][..], &connection_id()[..]].concat();
    packet.split_first().is_some_and(|(first, packet)| first & 0x80 != 0 && packet.starts_with(&rest))
}

/// With its length, as headers have it.
fn connection_id() -> Vec<u8> {
    [&[CONNECTION_ID.len() as u8][..], &CONNECTION_ID[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Device, NodeAddress, PeerAddresses, protocol::ALPN};
    use iroh::{RelayMode, SecretKey, endpoint::presets};
    use std::future::ready;
    use tokio::sync::Semaphore;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn bind(device: &Device, at: SocketAddr) -> Result<Endpoint, String> {
        let builder = Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&device.seed()))
            .alpns(vec![ALPN.to_vec()])
            .relay_mode(RelayMode::Disabled)
            .clear_ip_transports()
            .bind_addr(at)
            .map_err(|why| why.to_string())?;
        builder.bind().await.map_err(|why| format!("{why:#}"))
    }

    fn free_address() -> SocketAddr {
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn an_endpoint_comes_back_at_its_port_once_that_is_free() {
        let (device, at) = (Device::generate(), free_address());
        let (key, may_open) = (device.public(), Arc::new(Semaphore::new(1)));
        let allowed = may_open.clone();
        let open = move || {
            let (device, allowed) = (device.clone(), allowed.clone());
            async move {
                allowed.acquire().await.unwrap().forget();
                bind(&device, at).await
            }
        };
        let endpoint = LastingEndpoint::open(open).await.unwrap();
        let mut changes = endpoint.changes();
        let accepting = endpoint.clone();
        let accepted = tokio::spawn(async move { accepting.accept().await.accept().unwrap().await });
        endpoint.current().unwrap().close().await;

        // Nothing of it keeps the port, which another program gets.
        let taken = async {
            loop {
                match UdpSocket::bind(at).await {
                    Ok(taken) => break taken,
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let taken = timeout(LIMIT, taken).await.unwrap();
        may_open.add_permits(1);
        let is_taken = |now: &Result<Opened, String>| now.as_ref().is_err_and(|why| why.contains("in use"));
        drop(timeout(LIMIT, changes.wait_for(is_taken)).await.unwrap().unwrap());
        assert!(endpoint.current().unwrap_err().contains("in use"));
        drop(taken);
        may_open.add_permits(100);
        drop(timeout(LIMIT, changes.wait_for(Result::is_ok)).await.unwrap().unwrap());

        let caller = bind(&Device::generate(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addresses = PeerAddresses { relays: Vec::new(), direct: vec![at] };
        let to = NodeAddress { key, addresses }.endpoint().unwrap();
        let dialled = timeout(LIMIT, caller.connect(to, ALPN)).await.unwrap();
        assert_eq!(*dialled.unwrap().remote_id().as_bytes(), key);
        assert!(timeout(LIMIT, accepted).await.unwrap().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_deaf_endpoint_is_opened_again() {
        let (device, at) = (Device::generate(), free_address());
        let (deaf_tx, deaf) = watch::channel(None);
        let first = bind(&device, at).await.unwrap();
        let opened = Opened { endpoint: first.clone(), deaf, _asking: JoinSet::new() };
        let open: Box<Open> = Box::new(move || {
            let device = device.clone();
            Box::pin(async move { bind(&device, (Ipv4Addr::LOCALHOST, 0).into()).await })
        });
        let now = watch::Sender::new(Ok(opened));
        let endpoint = LastingEndpoint(Arc::new(Lasting { open, now }));
        let mut changes = endpoint.changes();
        let accepting = tokio::spawn(async move { endpoint.accept().await });
        deaf_tx.send_replace(Some("it is deaf".to_owned()));
        let is_told = |now: &Result<Opened, String>| now.as_ref().is_err_and(|why| why == "it is deaf");
        drop(timeout(LIMIT, changes.wait_for(is_told)).await.unwrap().unwrap());
        drop(timeout(LIMIT, changes.wait_for(Result::is_ok)).await.unwrap().unwrap());
        assert!(first.is_closed());
        accepting.abort();
    }

    #[tokio::test]
    async fn an_endpoint_hears_until_it_is_closed() {
        let at = free_address();
        assert!(!hears(at).await);
        let endpoint = bind(&Device::generate(), at).await.unwrap();
        assert!(hears(at).await);
        endpoint.close().await;
        drop(endpoint);
        assert!(!hears(at).await);
    }

    #[tokio::test]
    async fn what_has_answered_and_no_longer_does_is_deaf() {
        let (silent, server) = (free_address(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let at = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut packet = [0; PACKET_BYTES];
            for _ in 0..2 {
                let (_, from) = server.recv_from(&mut packet).await.unwrap();
                packet[1..5].fill(0);
                server.send_to(&packet, from).await.unwrap();
            }
        });
        let sockets = [silent, at];
        let deaf = until_deaf(&sockets, Duration::from_millis(10), heard);
        assert_eq!(timeout(LIMIT, deaf).await.unwrap(), at);
    }

    #[tokio::test]
    async fn what_can_not_be_asked_is_not_deaf() {
        let mut answers =
            [Some(true), None, None, None, Some(false), None, Some(false), Some(false)].into_iter();
        let heard = |_| ready(answers.next().unwrap());
        let at: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
        assert_eq!(until_deaf(&[at], Duration::ZERO, heard).await, at);
        assert_eq!(answers.next(), None);
    }

    #[tokio::test]
    async fn an_endpoint_that_loses_most_packets_is_heard() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut packet = [0; PACKET_BYTES];
            for _ in 0..4 {
                server.recv_from(&mut packet).await.unwrap();
            }
            let (_, from) = server.recv_from(&mut packet).await.unwrap();
            packet[1..5].fill(0);
            server.send_to(&packet, from).await.unwrap();
        });
        assert!(hears(at).await);
    }

    #[test]
    fn an_answer_is_told_from_other_packets() {
        let mut packet = question();
        assert!(!is_answer(&packet), "it is the question");
        packet[1..5].fill(0);
        assert!(is_answer(&packet) && !is_answer(&packet[..9]) && !is_answer(&[]));
        packet[0] = 0x40;
        assert!(!is_answer(&packet));
    }
}
