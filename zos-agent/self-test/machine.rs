// SPDX-License-Identifier: Apache-2.0
//! The machine of the self-test. It tries what tenants rely on; then it listens, by which the agent sees that it is
//! reached. Its arguments are the port, and pairs of a folder and the bytes that it may hold.
//!
//! `build.rs` compiles it to a static program: the image has nothing else.

use std::{
    env, fs,
    fs::File,
    io::{ErrorKind, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::exit,
    time::Duration,
};

const MIB: u64 = 1 << 20;
/// What may be written beyond a limit before the kernel has counted it.
const SLACK: u64 = 8 * MIB;
/// Time in which a host that isn't guarded answers.
const HOST_ANSWERS_WITHIN: Duration = Duration::from_millis(300);
/// A port on which no host listens: without a firewall it refuses the connection.
const CLOSED_PORT: u16 = 9;
/// An address for documentation.
const NOT_PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);

fn main() {
    if let Err(why) = test() {
        println!("{why}");
        exit(1);
    }
}

fn test() -> Result<(), String> {
    let mut words = env::args().skip(1);
    let port = words.next().and_then(|port| port.parse::<u16>().ok()).ok_or("no port is given")?;
    while let (Some(folder), Some(limit)) = (words.next(), words.next()) {
        let limit = limit.parse().map_err(|_| format!("{limit} is no number of bytes"))?;
        ends_at(&folder, limit)?;
    }
    host_is_out_of_reach()?;
    farm_is_out_of_reach()?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(|e| format!("can't listen: {e}"))?;
    listener.incoming().for_each(drop);
    Ok(())
}

/// Fails unless writes to the folder end with an error at the limit.
fn ends_at(folder: &str, limit: u64) -> Result<(), String> {
    let path = format!("{}/full", folder.trim_end_matches('/'));
    let mut file = File::create(&path).map_err(|e| format!("can't write to {folder}: {e}"))?;
    let chunk = vec![1; MIB as usize];
    let mut written = 0;
    while written <= limit + SLACK {
        match file.write_all(&chunk) {
            Ok(()) => written += MIB,
            Err(e) if matches!(e.kind(), ErrorKind::QuotaExceeded | ErrorKind::StorageFull) => {
                return fs::remove_file(&path).map_err(|e| format!("can't delete {path}: {e}"));
            }
            Err(e) => return Err(format!("can't write to {folder}: {e}")),
        }
    }
    Err(format!("{} MiB fit in {folder}, which is limited to {} MiB", written / MIB, limit / MIB))
}

/// Fails if something answers at an address that isn't public. The agent sees whether the firewall has refused it.
fn farm_is_out_of_reach() -> Result<(), String> {
    match TcpStream::connect_timeout(&SocketAddr::from((NOT_PUBLIC, CLOSED_PORT)), HOST_ANSWERS_WITHIN) {
        Err(error) if error.kind() != ErrorKind::ConnectionRefused => Ok(()),
        _ => Err(format!("{NOT_PUBLIC} answers: no firewall keeps tenants from the farm's network")),
    }
}

/// Fails if the host answers at its address on this machine's network.
fn host_is_out_of_reach() -> Result<(), String> {
    let routes = fs::read_to_string("/proc/net/route").map_err(|e| format!("can't read the routes: {e}"))?;
    let gateway = routes.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_default = fields.next()? == "00000000";
        let address = u32::from_str_radix(fields.next()?, 16).ok()?;
        is_default.then(|| Ipv4Addr::from(address.to_ne_bytes()))
    });
    let host = SocketAddr::from((gateway.ok_or("there is no route to the internet")?, CLOSED_PORT));
    match TcpStream::connect_timeout(&host, HOST_ANSWERS_WITHIN) {
        Err(error) if error.kind() != ErrorKind::ConnectionRefused => Ok(()),
        _ => Err(format!("the host answers at {}: no firewall keeps tenants from it", host.ip())),
    }
}
