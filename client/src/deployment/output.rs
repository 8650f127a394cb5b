// SPDX-License-Identifier: Apache-2.0
//! Addresses to which a node sends the output of machines.

use std::str::FromStr;
use url::{Host, Url};

/// The most bytes of such an address.
const MAX_BYTES: usize = 1_024;

/// Where the output of a machine goes.
#[derive(Clone, PartialEq, Eq)]
pub struct LogOutput {
    /// How it is sent.
    pub protocol: LogProtocol,
    /// Host name, or address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query of the request; may hold a token.
    pub path: String,
}

/// How output is sent. All of them are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogProtocol {
    /// `POST` of some lines.
    Https,
    /// A WebSocket, with a text message for each line.
    Wss,
    /// Syslog (RFC 5424) over TLS (RFC 5425).
    Syslog,
}

/// The text isn't an address of this kind. The message doesn't repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is an address such as https://logs.example/in, wss://logs.example/in or syslog+tls://logs.example:6514, \
     without user, password and fragment, of at most 1024 bytes; a token goes into path or query"
)]
pub struct LogOutputError;

impl FromStr for LogOutput {
    type Err = LogOutputError;

    fn from_str(text: &str) -> Result<Self, LogOutputError> {
        let url = Url::parse(text).map_err(|_| LogOutputError)?;
        let (protocol, port) = match url.scheme() {
            "https" => (LogProtocol::Https, 443),
            "wss" => (LogProtocol::Wss, 443),
            "syslog+tls" => (LogProtocol::Syslog, 6514),
            _ => return Err(LogOutputError),
        };
        let has_path = !matches!(url.path(), "" | "/") || url.query().is_some();
        let is_refused = text.len() > MAX_BYTES
            || !url.username().is_empty()
            || url.password().is_some()
            || url.fragment().is_some()
            || (protocol == LogProtocol::Syslog && has_path);
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => return Err(LogOutputError),
        };
        if is_refused {
            return Err(LogOutputError);
        }
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Ok(Self { protocol, host, port: url.port().unwrap_or(port), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read() {
        for (text, protocol, host, port, path) in [
            ("https://logs.example/in?token=a", LogProtocol::Https, "logs.example", 443, "/in?token=a"),
            ("wss://[2001:db8::1]:8443", LogProtocol::Wss, "2001:db8::1", 8443, "/"),
            ("syslog+tls://logs.example", LogProtocol::Syslog, "logs.example", 6514, ""),
        ] {
            let output: LogOutput = text.parse().unwrap();
            let expected = LogOutput { protocol, host: host.into(), port, path: path.into() };
            assert!(output == expected, "{text}");
        }
    }

    #[test]
    fn addresses_that_no_node_sends_to_are_refused() {
        let long = format!("https://logs.example/{}", "a".repeat(MAX_BYTES));
        for text in [
            "http://logs.example",
            "ws://logs.example",
            "https://",
            "https://user:password@logs.example/",
            "https://user@logs.example/",
            "https://logs.example/#part",
            "syslog+tls://logs.example/path",
            "syslog+tls://",
            "logs.example:6514",
            "",
            &long,
        ] {
            assert!(text.parse::<LogOutput>().is_err(), "{text}");
        }
    }
}
