// SPDX-License-Identifier: Apache-2.0
//! Has the RPC server send its answers at once.
//!
//! The SDK's server leaves Nagle's algorithm on. An answer of two messages, as most of `chainHead_v1` are, then waits
//! 40 ms for the client's delayed acknowledgement of the first. The server gives no access to its sockets, so they are
//! found among this process's files. Linux hands the option of a listening socket on to its connections.

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use sc_network::{Multiaddr, multiaddr::Protocol};
use std::{
    fs, io,
    net::TcpStream,
    os::fd::{OwnedFd, RawFd},
};

const OWN_FILES: &str = "/proc/self/fd";

/// Switches the algorithm off for connections that these addresses accept from now on; returns how many of them it
/// found.
///
/// # Errors
/// If the system doesn't let a process find its own files.
pub fn answer_at_once(addresses: &[Multiaddr]) -> io::Result<usize> {
    let ports: Vec<u16> = addresses.iter().filter_map(port).collect();
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    let numbers = fs::read_dir(OWN_FILES)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // Those that have closed since can't be had.
    let files = numbers.filter_map(|number: RawFd| pidfd_getfd(&this, number, PidfdGetfdFlags::empty()).ok());
    Ok(files.map(|file| set(file, &ports)).filter(|is_set| *is_set).count())
}

fn port(address: &Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    })
}

/// Whether the file is a TCP socket at one of the ports, which then has the option.
fn set(file: OwnedFd, ports: &[u16]) -> bool {
    let socket = TcpStream::from(file);
    socket.local_addr().is_ok_and(|address| ports.contains(&address.port()))
        && socket.set_nodelay(true).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, UdpSocket};

    #[test]
    fn connections_of_the_listener_have_the_option() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = listener.local_addr().unwrap();
        // Of another kind, at the same port.
        let _datagrams = UdpSocket::bind(to).unwrap();
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", to.port()).parse().unwrap();
        assert_eq!(answer_at_once(&[address]).unwrap(), 1);
        for (listener, expected) in [(&listener, true), (&other, false)] {
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(listener.accept().unwrap().0.nodelay().unwrap(), expected);
        }
    }
}
