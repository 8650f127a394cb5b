// SPDX-License-Identifier: Apache-2.0
//! Asks the kernel itself what a network namespace has. A node has hundreds of them, and a program for each takes
//! longer than all answers.

use super::namespace::Link;
use ipnet::Ipv4Net;
use netlink_sys::{
    Socket,
    protocols::{NETLINK_NETFILTER, NETLINK_ROUTE},
};
use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::Ipv4Addr,
};

/// Bytes of the header of a message, and of those of links, addresses and nftables in it.
const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const RULES_HEADER: usize = 4;
/// Flags of a request, and of one for all there are.
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
/// Flag of an answer: something was changed while it was made, so that there may be more than it has.
const INTERRUPTED: u16 = 0x10;
/// How often a request is made until nothing was changed meanwhile.
const TRIES: u32 = 20;
/// Kinds of messages.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_GENERATION: u16 = 0xa0f;
const GET_GENERATION: u16 = 0xa10;
const NEW_OBJECT: u16 = 0xa12;
const GET_OBJECT: u16 = 0xa13;
/// Attributes.
const LINK_NAME: u16 = 3;
const LINK_ALIAS: u16 = 20;
const ADDRESS_LOCAL: u16 = 2;
const GENERATION: u16 = 1;
const OBJECT_TABLE: u16 = 1;
const OBJECT_NAME: u16 = 2;
const OBJECT_KIND: u16 = 3;
const OBJECT_DATA: u16 = 4;
const COUNTER: [u8; 4] = 1u32.to_be_bytes();
const COUNTER_BYTES: u16 = 1;
/// The attribute of a request for links without their statistics.
const NO_STATISTICS: [u8; 8] = [8, 0, 29, 0, 8, 0, 0, 0];
const FLAG_UP: u32 = 1;
const AF_INET: u8 = 2;
const FAMILY_INET: u8 = 1;
/// More than the kernel puts in one answer.
const ANSWER_BYTES: usize = 64 * 1024;

/// The links of this thread's network namespace with their first IPv4 addresses, and the aliases of links.
///
/// # Errors
/// If the kernel doesn't answer.
pub fn links() -> io::Result<(Vec<Link>, Vec<String>)> {
    let mut body = [0; LINK_HEADER + NO_STATISTICS.len()];
    body[LINK_HEADER..].copy_from_slice(&NO_STATISTICS);
    let links = ask(NETLINK_ROUTE, GET_LINK, REQUEST | DUMP, &body)?;
    let mut body = [0; ADDRESS_HEADER];
    body[0] = AF_INET;
    let addresses = ask(NETLINK_ROUTE, GET_ADDRESS, REQUEST | DUMP, &body)?;
    Ok(joined(&links, &addresses))
}

/// The generation of the rules of nftables in this thread's network namespace: each change makes another one.
///
/// # Errors
/// If the kernel doesn't say it.
pub fn generation() -> io::Result<u32> {
    let answer = ask(NETLINK_NETFILTER, GET_GENERATION, REQUEST, &[0; RULES_HEADER])?;
    let message = answer.iter().find(|message| message.kind == NEW_GENERATION);
    let id = message.and_then(|message| message.attribute(RULES_HEADER, GENERATION));
    let id = id.and_then(|id| id.first_chunk());
    id.map(|id| u32::from_be_bytes(*id)).ok_or_else(|| damaged("no generation of the rules"))
}

/// A named counter of nftables.
pub struct Counter {
    pub table: String,
    pub name: String,
    pub bytes: u64,
}

/// The named counters of `inet` tables in this thread's network namespace.
///
/// # Errors
/// If the kernel doesn't answer.
pub fn counters() -> io::Result<Vec<Counter>> {
    let mut body = [0; RULES_HEADER];
    body[0] = FAMILY_INET;
    let objects = ask(NETLINK_NETFILTER, GET_OBJECT, REQUEST | DUMP, &body)?;
    Ok(objects.iter().filter(|message| message.kind == NEW_OBJECT).filter_map(counter).collect())
}

fn counter(message: &Message) -> Option<Counter> {
    let kind = message.attribute(RULES_HEADER, OBJECT_KIND);
    let data = message.attribute(RULES_HEADER, OBJECT_DATA).filter(|_| kind == Some(&COUNTER[..]))?;
    Some(Counter {
        table: message.text(RULES_HEADER, OBJECT_TABLE)?,
        name: message.text(RULES_HEADER, OBJECT_NAME)?,
        bytes: u64::from_be_bytes(*attribute(data, COUNTER_BYTES)?.first_chunk()?),
    })
}

struct Message {
    kind: u16,
    body: Vec<u8>,
}

impl Message {
    /// The value of the first attribute of this kind, behind a header of so many bytes.
    fn attribute(&self, header: usize, kind: u16) -> Option<&[u8]> {
        attribute(self.body.get(header..)?, kind)
    }

    fn text(&self, header: usize, kind: u16) -> Option<String> {
        let value = self.attribute(header, kind)?;
        let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Index of the link that it is about.
    fn index(&self) -> Option<u32> {
        long(&self.body, 4)
    }
}

/// The value of the first of these attributes that is of this kind.
fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(number(attributes, 0)?);
        let value = attributes.get(4..length)?;
        // The two highest bits say how the value is to be read.
        if number(attributes, 2)? & 0x3fff == kind {
            return Some(value);
        }
        attributes = attributes.get(aligned(length)..)?;
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the kernel's answer can't be understood: {what}"))
}

/// The messages of the answer to a request.
fn ask(protocol: isize, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Message>> {
    until_whole(|| ask_once(protocol, kind, flags, body))
}

/// An answer that nothing has interrupted. What it lacked would look as if it weren't there.
fn until_whole<T>(mut ask: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match ask() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
    ask()
}

fn ask_once(protocol: isize, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Message>> {
    let socket = Socket::new(protocol)?;
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let (sequence, sender) = ([1u8, 0, 0, 0], [0u8; 4]);
    let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &sequence, &sender];
    socket.send(&[&header.concat()[..], body].concat(), 0)?;
    let mut messages = Vec::new();
    loop {
        let mut answer = Vec::with_capacity(ANSWER_BYTES);
        if socket.recv(&mut answer, 0)? == 0 {
            return Err(damaged("it is empty"));
        }
        if take(&answer, &mut messages)? || flags & DUMP == 0 {
            return Ok(messages);
        }
    }
}

/// Takes the messages of a part of an answer; returns whether it is the last one.
fn take(mut answer: &[u8], messages: &mut Vec<Message>) -> io::Result<bool> {
    while !answer.is_empty() {
        let (length, kind) = long(answer, 0).zip(number(answer, 4)).ok_or_else(|| damaged("its header"))?;
        let length = length as usize;
        let body = answer.get(HEADER..length).ok_or_else(|| damaged("its length"))?;
        if number(answer, 6).unwrap_or_default() & INTERRUPTED != 0 {
            return Err(io::Error::new(ErrorKind::Interrupted, "what the kernel tells changes meanwhile"));
        }
        match kind {
            DONE | ERROR => {
                let code = long(body, 0).unwrap_or_default().wrapping_neg();
                if kind == DONE && code == 0 {
                    return Ok(true);
                }
                return Err(io::Error::from_raw_os_error(code.cast_signed()));
            }
            kind => messages.push(Message { kind, body: body.to_vec() }),
        }
        answer = answer.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

fn joined(links: &[Message], addresses: &[Message]) -> (Vec<Link>, Vec<String>) {
    let mut networks: BTreeMap<u32, Ipv4Net> = BTreeMap::new();
    for (index, network) in addresses.iter().filter_map(network) {
        networks.entry(index).or_insert(network);
    }
    let links = || links.iter().filter(|message| message.kind == NEW_LINK);
    let link = |message: &Message| {
        let is_up = long(&message.body, 8)? & FLAG_UP != 0;
        let network = networks.get(&message.index()?).copied();
        Some(Link { name: message.text(LINK_HEADER, LINK_NAME)?, is_up, network })
    };
    let aliases = links().filter_map(|message| message.text(LINK_HEADER, LINK_ALIAS));
    (links().filter_map(link).collect(), aliases.collect())
}

/// The link that has an address, and the address with its prefix.
fn network(message: &Message) -> Option<(u32, Ipv4Net)> {
    let local = message.attribute(ADDRESS_HEADER, ADDRESS_LOCAL).filter(|_| message.kind == NEW_ADDRESS)?;
    let local: &[u8; 4] = local.first_chunk()?;
    Some((message.index()?, Ipv4Net::new(Ipv4Addr::from(*local), *message.body.get(1)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_its_loopback() {
        let (links, _) = links().unwrap();
        let loopback = links.iter().find(|link| link.name == "lo").unwrap();
        let expected = loopback.is_up.then(|| "127.0.0.1/8".parse().unwrap());
        assert_eq!(loopback.network, expected);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let message = [&20u32.to_ne_bytes()[..], &NEW_LINK.to_ne_bytes(), &[0; 10], &[0; 4]].concat();
        let mut messages = Vec::new();
        assert!(!take(&message, &mut messages).unwrap());
        assert_eq!((messages.len(), messages[0].body.len()), (1, 4));
        assert_eq!(joined(&messages, &[]).0.len(), 0, "it has no name");
        for length in 1..message.len() {
            assert!(take(&message[..length], &mut messages).is_err(), "{length}");
        }
    }

    #[test]
    fn what_changes_meanwhile_is_asked_for_again() {
        let interrupted =
            [&20u32.to_ne_bytes()[..], &DONE.to_ne_bytes(), &0x12u16.to_ne_bytes(), &[0; 12]].concat();
        let answer = || take(&interrupted, &mut Vec::new());
        assert_eq!(answer().unwrap_err().kind(), ErrorKind::Interrupted);
        let mut asked = 0;
        let mut until = |tries| {
            asked = 0;
            until_whole(|| {
                asked += 1;
                if asked < tries { answer() } else { Ok(true) }
            })
        };
        assert!(until(TRIES).unwrap());
        assert!(until(TRIES + 1).is_err());
        assert_eq!(asked, TRIES);
    }

    #[test]
    fn a_list_that_ends_early_is_an_error() {
        let done = |code: i32| {
            [&20u32.to_ne_bytes()[..], &DONE.to_ne_bytes(), &[0; 10], &code.to_ne_bytes()].concat()
        };
        assert!(take(&done(0), &mut Vec::new()).unwrap());
        let early = take(&done(-12), &mut Vec::new()).unwrap_err();
        assert_eq!(early.raw_os_error(), Some(12));
    }

    #[test]
    fn a_link_that_the_kernel_does_not_know_is_an_error() {
        // Not for all: that with the index 0, which no link has.
        let refused = ask(NETLINK_ROUTE, GET_LINK, REQUEST, &[0; LINK_HEADER]).err().unwrap();
        assert!(refused.raw_os_error().is_some_and(|code| code > 0), "{refused}");
    }

    #[test]
    fn counters_are_read_as_nftables_sends_them() {
        let body = "01000002100001007a6f732d747261666669630013000200636f6e74726163742d372d6f757400000800030000000001\
                    0c000600000000000000000308000500000000001c0004000c000100000000121beab4710c0002000000000000000001";
        let mut message = Message { kind: NEW_OBJECT, body: hex::decode(body).unwrap() };
        let Counter { table, name, bytes } = counter(&message).unwrap();
        assert_eq!((&*table, &*name, bytes), ("zos-traffic", "contract-7-out", 77_777_777_777));
        // Of another kind.
        message.body[47] = 2;
        assert!(counter(&message).is_none());
    }

    #[test]
    fn attributes_are_found_by_their_kind() {
        let encoded = |kind: u16, value: &[u8]| {
            let length = u16::try_from(value.len() + 4).unwrap();
            let padding = vec![0; aligned(value.len()) - value.len()];
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value, &padding].concat()
        };
        let header = [&[0; 4][..], &7u32.to_ne_bytes(), &FLAG_UP.to_ne_bytes(), &[0; 4]].concat();
        let body = [header, encoded(LINK_NAME, b"zb1\0"), encoded(LINK_ALIAS, b"7 web\0")].concat();
        let link = Message { kind: NEW_LINK, body };
        let local = encoded(ADDRESS_LOCAL, &[10, 1, 0, 1]);
        let body = [&[AF_INET, 24, 0, 0][..], &7u32.to_ne_bytes(), &local].concat();
        let address = Message { kind: NEW_ADDRESS, body };
        let (links, aliases) = joined(&[link], &[address]);
        assert_eq!((links[0].name.as_str(), links[0].is_up), ("zb1", true));
        assert_eq!(links[0].network, Some("10.1.0.1/24".parse().unwrap()));
        assert_eq!(aliases, ["7 web"]);
    }
}
