// SPDX-License-Identifier: Apache-2.0

//! The RPC endpoints: at the port that was asked for, or not at all.
//!
//! The SDK takes any free port where one is taken. Agents and wallets would then talk to whoever has that port, and the
//! node would listen where no firewall counts on it.

use sc_service::config::RpcEndpoint;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

/// Keeps the SDK's pair of endpoints, for IPv4 and IPv6, at their port. If both are for all addresses and the one for
/// IPv6 takes connections of IPv4, too, it stays alone.
pub fn settle(endpoints: &mut Vec<RpcEndpoint>, ipv6_takes_ipv4: bool) {
    let for_all = endpoints.iter().any(|endpoint| endpoint.listen_addr.ip() == Ipv6Addr::UNSPECIFIED);
    if for_all && ipv6_takes_ipv4 {
        endpoints.retain(|endpoint| endpoint.listen_addr.is_ipv6());
        endpoints.iter_mut().for_each(|endpoint| endpoint.is_optional = false);
    }
    endpoints.iter_mut().for_each(|endpoint| endpoint.retry_random_port = false);
}

/// Fails where a port is taken that an endpoint must have. The error names it.
pub fn ensure_free(endpoints: &[RpcEndpoint]) -> Result<(), String> {
    for endpoint in endpoints.iter().filter(|endpoint| !endpoint.is_optional && !endpoint.retry_random_port) {
        TcpListener::bind(endpoint.listen_addr).map_err(|error| {
            format!(
                "can't listen at {} for RPC: {error}. End the program that has this port, or choose another one \
                 with --rpc-port",
                endpoint.listen_addr
            )
        })?;
    }
    Ok(())
}

/// Whether connections of IPv4 come in at a socket for all addresses of IPv6, as is usual on Linux.
pub fn ipv6_takes_ipv4() -> bool {
    let Ok(both) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else { return false };
    both.local_addr().is_ok_and(|address| TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    /// What the SDK makes of an option.
    fn endpoints(options: &[&str]) -> Vec<RpcEndpoint> {
        let words = [&["tfgrid-node"][..], options].concat();
        let params = crate::cli::Cli::try_parse_from(words).unwrap().run.rpc_params;
        let endpoints = params.rpc_addr(false, false, 9944).unwrap().unwrap();
        endpoints.into_iter().map(Into::into).collect()
    }

    fn addresses(endpoints: &[RpcEndpoint]) -> Vec<String> {
        endpoints.iter().map(|endpoint| endpoint.listen_addr.to_string()).collect()
    }

    #[test]
    fn no_other_port_is_ever_taken() {
        let cases: [&[&str]; 3] = [&[], &["--rpc-port", "9000"], &["--rpc-external"]];
        for options in cases {
            for dual in [false, true] {
                let mut endpoints = endpoints(options);
                settle(&mut endpoints, dual);
                assert!(endpoints.iter().all(|endpoint| !endpoint.retry_random_port), "{options:?}");
                assert!(endpoints.iter().any(|endpoint| !endpoint.is_optional), "{options:?}");
            }
        }
    }

    #[test]
    fn all_addresses_are_served_at_one_endpoint() {
        let mut dual = endpoints(&["--rpc-external"]);
        settle(&mut dual, true);
        assert_eq!(addresses(&dual), ["[::]:9944"]);
        let mut single = endpoints(&["--rpc-external"]);
        settle(&mut single, false);
        assert_eq!(addresses(&single), ["0.0.0.0:9944", "[::]:9944"]);
    }

    #[test]
    fn loopback_keeps_both_endpoints() {
        let mut endpoints = endpoints(&[]);
        settle(&mut endpoints, true);
        assert_eq!(addresses(&endpoints), ["127.0.0.1:9944", "[::1]:9944"]);
    }

    #[test]
    fn taken_port_is_named_in_the_error() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let mut endpoints = endpoints(&["--rpc-port", &address.port().to_string()]);
        settle(&mut endpoints, true);
        let error = ensure_free(&endpoints).unwrap_err();
        assert!(error.contains(&address.to_string()) && error.contains("--rpc-port"), "{error}");
        drop(taken);
        ensure_free(&endpoints).unwrap();
    }
}
