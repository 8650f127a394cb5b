// SPDX-License-Identifier: Apache-2.0
//! A tunnel's packets in datagrams of the connection with another node.

use crate::drivers::NetworkId;
use anyhow::{Context, Result};
use iroh::endpoint::Connection;
use sp_core::{Blake2Hasher, Hasher};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};
use tokio::{net::UdpSocket, sync::watch, task::JoinSet};
use tracing::debug;

/// Bytes before those of the packet: tag of the network, number of the packet, part.
const HEADER_BYTES: usize = 11;
/// More than a packet of any tunnel has.
const MAX_PACKET_BYTES: usize = 9_216;

/// Which part of a packet a datagram has.
const WHOLE: u8 = 0;
const FIRST: u8 = 1;
const SECOND: u8 = 2;

/// Names a network in datagrams.
pub type Tag = u64;

/// The tag of a network, the same on all nodes.
pub fn tag(id: &NetworkId) -> Tag {
    let hash = Blake2Hasher::hash(format!("{}-{}", id.twin, id.name).as_bytes());
    u64::from_be_bytes(hash.0.first_chunk().copied().unwrap_or_default())
}

/// The tag of a datagram.
pub fn tag_of(datagram: &[u8]) -> Option<Tag> {
    Some(u64::from_be_bytes(*datagram.first_chunk()?))
}

/// Stands for another node on this machine: what a tunnel sends here goes over the connection with that node.
pub struct Relay {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    tunnel: Arc<AtomicU16>,
    joiner: Mutex<Joiner>,
    _sending: JoinSet<()>,
}

impl Relay {
    /// For a network, over the connection that there is at each moment.
    ///
    /// # Errors
    /// If no port of this machine is free.
    pub async fn open(id: &NetworkId, connection: watch::Receiver<Option<Connection>>) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free port on loopback")?;
        let address = socket.local_addr()?;
        let (socket, tunnel) = (Arc::new(socket), Arc::<AtomicU16>::default());
        let mut sending = JoinSet::new();
        sending.spawn(send(socket.clone(), tunnel.clone(), tag(id), connection));
        Ok(Self { socket, address, tunnel, joiner: Mutex::default(), _sending: sending })
    }

    /// Where the tunnel sends packets for the other node.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The tunnel has this port now.
    pub fn set_tunnel(&self, port: u16) {
        self.tunnel.store(port, Ordering::Relaxed);
    }

    /// Gives the tunnel a datagram of the other node. As in any network, it may be lost.
    pub fn deliver(&self, datagram: &[u8]) {
        let packet = self.joiner.lock().unwrap_or_else(PoisonError::into_inner).join(datagram);
        if let Some(packet) = packet {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, self.tunnel.load(Ordering::Relaxed)));
            if let Err(why) = self.socket.try_send_to(&packet, to) {
                debug!("a packet of a private network is lost: {why}");
            }
        }
    }
}

/// Sends a tunnel's packets over the connection, for ever.
async fn send(
    socket: Arc<UdpSocket>,
    tunnel: Arc<AtomicU16>,
    tag: Tag,
    connection: watch::Receiver<Option<Connection>>,
) {
    let mut bytes = vec![0; MAX_PACKET_BYTES];
    let mut number = 0u16;
    loop {
        // An unreachable port is an error of one packet.
        let Ok((length, from)) = socket.recv_from(&mut bytes).await else { continue };
        // Others on this machine can send here, too.
        if from.port() != tunnel.load(Ordering::Relaxed) {
            continue;
        }
        let Some(connection) = connection.borrow().clone() else { continue };
        number = number.wrapping_add(1);
        let most = connection.max_datagram_size().unwrap_or_default();
        for datagram in split(tag, number, &bytes[..length], most) {
            if let Err(why) = connection.send_datagram(datagram.into()) {
                debug!("a packet of a private network is lost: {why}");
            }
        }
    }
}

/// The datagrams of a packet: one, or two halves. None if those are longer than `most`, too.
fn split(tag: Tag, number: u16, packet: &[u8], most: usize) -> Vec<Vec<u8>> {
    let datagram = |part: u8, bytes: &[u8]| {
        let (tag, number) = (tag.to_be_bytes(), number.to_be_bytes());
        [&tag[..], &number, &[part], bytes].concat()
    };
    let room = most.saturating_sub(HEADER_BYTES);
    let (first, second) = packet.split_at(packet.len().div_ceil(2));
    if packet.len() <= room {
        vec![datagram(WHOLE, packet)]
    } else if first.len() <= room {
        vec![datagram(FIRST, first), datagram(SECOND, second)]
    } else {
        Vec::new()
    }
}

/// Joins halves of packets. It keeps one that waits for its other half.
#[derive(Default)]
struct Joiner {
    number: u16,
    part: u8,
    half: Vec<u8>,
}

impl Joiner {
    /// The packet that is complete with this datagram.
    fn join(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (header, bytes) = datagram.split_at_checked(HEADER_BYTES)?;
        let [.., high, low, part] = *header else { return None };
        let number = u16::from_be_bytes([high, low]);
        if part == WHOLE {
            return Some(bytes.to_vec());
        }
        if part > SECOND || bytes.len() > MAX_PACKET_BYTES {
            return None;
        }
        let half = std::mem::take(&mut self.half);
        if !half.is_empty() && self.number == number {
            match (self.part, part) {
                (FIRST, SECOND) => return Some([&half, bytes].concat()),
                (SECOND, FIRST) => return Some([bytes, &half].concat()),
                _ => {}
            }
        }
        *self = Self { number, part, half: bytes.to_vec() };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: [u8; 1_001] = {
        let mut packet = [0; 1_001];
        packet[0] = 1;
        packet[1_000] = 2;
        packet
    };

    #[test]
    fn a_packet_goes_in_one_datagram_or_two() {
        for (most, datagrams) in [(1_012, 1), (1_011, 2), (512, 2), (511, 0), (0, 0)] {
            let split = split(7, 1, &PACKET, most);
            assert_eq!(split.len(), datagrams, "{most}");
            assert!(split.iter().all(|datagram| datagram.len() <= most && tag_of(datagram) == Some(7)));
            let mut joiner = Joiner::default();
            let joined: Vec<_> = split.iter().filter_map(|datagram| joiner.join(datagram)).collect();
            assert_eq!(joined.len(), datagrams.min(1));
            assert!(joined.iter().all(|joined| joined[..] == PACKET));
        }
    }

    #[test]
    fn halves_are_joined_in_any_order_and_never_with_others() {
        let halves = |number| split(7, number, &PACKET, 512);
        let (one, two) = (halves(1), halves(2));
        let mut joiner = Joiner::default();
        assert_eq!(joiner.join(&one[1]), None);
        assert_eq!(joiner.join(&one[0]).as_deref(), Some(&PACKET[..]));
        assert_eq!(joiner.join(&one[0]), None);
        assert_eq!(joiner.join(&two[1]), None, "halves of two packets are joined");
        assert_eq!(joiner.join(&two[1]), None, "a half is joined with itself");
        assert_eq!(joiner.join(&two[0]).as_deref(), Some(&PACKET[..]));
    }

    #[test]
    fn what_is_no_datagram_of_a_network_is_dropped() {
        let mut joiner = Joiner::default();
        for bytes in [&[][..], &[0; 10], &[3; 20]] {
            assert_eq!(joiner.join(bytes), None);
        }
        assert_eq!(tag_of(&[0; 7]), None);
    }

    #[test]
    fn networks_have_different_tags() {
        let id = |twin, name: &str| NetworkId { twin, name: name.into() };
        let tags = [id(1, "a"), id(2, "a"), id(1, "b")].map(|id| tag(&id));
        assert!(tags[0] != tags[1] && tags[0] != tags[2] && tags[1] != tags[2]);
    }
}
