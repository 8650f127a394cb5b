// SPDX-License-Identifier: Apache-2.0
//! Sends lines over TLS.

use super::reach::LogReach;
use crate::{
    drivers::{WorkloadId, machine::console::Line},
    http,
};
use anyhow::{Context, Result, bail, ensure};
use futures::{FutureExt, SinkExt, StreamExt};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tfgrid_client::deployment::{LogOutput, LogProtocol};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Join, ReadHalf, Take, WriteHalf, join, split},
    net::TcpStream,
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream};

/// Limit for TLS and WebSocket to be agreed on.
const AGREE_WITHIN: Duration = Duration::from_secs(10);
/// Limit for lines to be taken.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// The most bytes of a message that the receiver sends: nothing is read but its end.
const MAX_ANSWER_BYTES: usize = 4_096;
/// The most bytes that the other end of a WebSocket sends until it is open, and then between two batches of lines: its
/// headers and the answers to its pings are kept in memory.
const MAX_RECEIVED_BYTES: u64 = 16_384;
/// Facility `user` of syslog; severities `error` and `informational` (RFC 5424 §6.2.1).
const SYSLOG_ERROR: u8 = 8 + 3;
const SYSLOG_INFO: u8 = 8 + 6;

/// Connects with the owners' addresses.
#[derive(Clone)]
pub struct Connector {
    reach: LogReach,
    tls: Arc<ClientConfig>,
    http: Arc<ClientConfig>,
}

impl Connector {
    /// Trusts the certificates that this machine trusts.
    ///
    /// # Errors
    /// If TLS can't be set up.
    pub fn new(reach: LogReach) -> Result<Self> {
        Self::trusting(reach, http::system_roots())
    }

    fn trusting(reach: LogReach, roots: RootCertStore) -> Result<Self> {
        let tls = http::tls(roots)?;
        let mut http = tls.clone();
        http.alpn_protocols.push(b"http/1.1".to_vec());
        Ok(Self { reach, tls: tls.into(), http: http.into() })
    }

    /// Connects.
    ///
    /// # Errors
    /// If the address isn't allowed, doesn't answer or has no certificate for its name.
    pub async fn connect(&self, to: &LogOutput) -> Result<Connection> {
        let tcp = self.reach.connect(&to.host, to.port).await?;
        timeout(AGREE_WITHIN, self.agree(tcp, to)).await.context("it doesn't answer in time")?
    }

    async fn agree(&self, tcp: TcpStream, to: &LogOutput) -> Result<Connection> {
        let config = if to.protocol == LogProtocol::Syslog { &self.tls } else { &self.http };
        let name = ServerName::try_from(to.host.clone()).context("its name isn't one for TLS")?;
        let stream = TlsConnector::from(config.clone()).connect(name, tcp).await.context("TLS fails")?;
        Ok(match to.protocol {
            LogProtocol::Https => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                let driver = tokio::spawn(connection.map(drop)).abort_handle();
                Connection::Https(Https { sender, driver, host: authority(to), path: to.path.clone() })
            }
            LogProtocol::Wss => {
                let uri = format!("wss://{}{}", authority(to), to.path);
                let limits = Limits::default().max_payload_len(Some(MAX_ANSWER_BYTES));
                let builder = ClientBuilder::new().uri(&uri)?.limits(limits);
                let (reader, writer) = split(stream);
                let stream = join(reader.take(MAX_RECEIVED_BYTES), writer);
                let (socket, _) = builder.connect_on(stream).await.with_context(|| {
                    format!("it opens no WebSocket with an answer of at most {MAX_RECEIVED_BYTES} bytes")
                })?;
                Connection::Wss(socket.into())
            }
            LogProtocol::Syslog => Connection::Syslog(stream.into()),
        })
    }
}

/// Host and port in a request.
fn authority(LogOutput { host, port, .. }: &LogOutput) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    if *port == 443 { host } else { format!("{host}:{port}") }
}

/// A WebSocket of which no more is read than its limit.
type LimitedSocket =
    WebSocketStream<Join<Take<ReadHalf<TlsStream<TcpStream>>>, WriteHalf<TlsStream<TcpStream>>>>;

/// A connection with an owner's address.
pub enum Connection {
    /// Of [`LogProtocol::Https`].
    Https(Https),
    /// Of [`LogProtocol::Wss`].
    Wss(Box<LimitedSocket>),
    /// Of [`LogProtocol::Syslog`].
    Syslog(Box<TlsStream<TcpStream>>),
}

/// A connection for requests, one after the other.
pub struct Https {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
    host: String,
    path: String,
}

impl Drop for Https {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Sends lines of a machine. Over https the receiver has taken them then; otherwise they are on their way.
    ///
    /// # Errors
    /// If the connection is broken, the receiver refuses them, or takes too long.
    pub async fn send(&mut self, machine: &WorkloadId, lines: &[Line]) -> Result<()> {
        let sending = async {
            match self {
                Self::Https(https) => https.post(machine, lines).await,
                Self::Wss(socket) => send_messages(socket, machine, lines).await,
                Self::Syslog(stream) => send_syslog(stream, machine, lines).await,
            }
        };
        timeout(SEND_WITHIN, sending).await.context("it takes too long")?
    }
}

impl Https {
    async fn post(&mut self, machine: &WorkloadId, lines: &[Line]) -> Result<()> {
        let body: String = lines.iter().map(|line| as_json(machine, line) + "\n").collect();
        let request = Request::post(&self.path)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(Full::from(body))?;
        self.sender.ready().await.context("the connection is broken")?;
        let response = self.sender.send_request(request).await.context("the connection breaks")?;
        let status = response.status();
        // The connection is used again only when the answer is read.
        drop(Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await);
        ensure!(status.is_success(), "it answers {status}");
        Ok(())
    }
}

async fn send_messages(socket: &mut LimitedSocket, machine: &WorkloadId, lines: &[Line]) -> Result<()> {
    socket.get_mut().reader_mut().set_limit(MAX_RECEIVED_BYTES);
    while let Some(received) = socket.next().now_or_never() {
        match received {
            Some(Ok(message)) if !message.is_close() => {}
            _ => bail!("it has closed the connection, or sends more than {MAX_RECEIVED_BYTES} bytes at once"),
        }
    }
    for line in lines {
        socket.feed(Message::text(as_json(machine, line))).await?;
    }
    socket.flush().await.context("the connection breaks")
}

async fn send_syslog(stream: &mut TlsStream<TcpStream>, machine: &WorkloadId, lines: &[Line]) -> Result<()> {
    // A receiver has nothing to say.
    let received = stream.read(&mut [0]).now_or_never();
    ensure!(received.is_none(), "it has closed the connection");
    let text: Vec<u8> = lines.iter().flat_map(|line| as_syslog(machine, line)).collect();
    stream.write_all(&text).await.context("the connection breaks")?;
    stream.flush().await.context("the connection breaks")
}

fn as_json(machine: &WorkloadId, line: &Line) -> String {
    let stream = if line.is_error { "stderr" } else { "stdout" };
    json!({
        "time": String::from_utf8_lossy(line.time()),
        "contract": machine.contract,
        "workload": machine.name,
        "stream": stream,
        "line": String::from_utf8_lossy(text(line)),
    })
    .to_string()
}

/// A frame of RFC 5425 with its length. The time is cut to microseconds, the most that RFC 5424 allows.
fn as_syslog(machine: &WorkloadId, line: &Line) -> Vec<u8> {
    let severity = if line.is_error { SYSLOG_ERROR } else { SYSLOG_INFO };
    let time = String::from_utf8_lossy(line.time().get(..26).unwrap_or_default());
    let WorkloadId { contract, name } = machine;
    let header = format!("<{severity}>1 {time}Z contract-{contract} {name} - - - ");
    let text = text(line);
    let length = header.len() + text.len();
    [format!("{length} {header}").as_bytes(), text].concat()
}

/// A line without its end.
fn text(line: &Line) -> &[u8] {
    line.text().strip_suffix(b"\n").unwrap_or(line.text())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer},
        server::TlsStream as ServerStream,
    };
    use tokio_websockets::ServerBuilder;

    const LINE: &[u8] = b"2026-11-27T18:57:10.123456789Z hello \xff\n";

    /// A receiver's address, its end of the connection once there is one, and a connector that trusts it.
    pub async fn receiver(
        scheme: &str,
    ) -> (LogOutput, impl Future<Output = ServerStream<TcpStream>>, Connector) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".into()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = async move {
            let (tcp, _) = listener.accept().await.unwrap();
            TlsAcceptor::from(Arc::new(config)).accept(tcp).await.unwrap()
        };
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let path = if scheme == "syslog+tls" { "" } else { "/in?key=1" };
        let output = format!("{scheme}://localhost:{port}{path}").parse().unwrap();
        (output, accepted, Connector::trusting(LogReach { allow_private: true }, roots).unwrap())
    }

    fn machine() -> WorkloadId {
        WorkloadId { contract: 7, name: "web".into() }
    }

    fn lines() -> Vec<Line> {
        [false, true].map(|is_error| Line { is_error, bytes: Bytes::from_static(LINE) }).into()
    }

    pub async fn read(stream: &mut ServerStream<TcpStream>, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            text.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn https_gets_lines_of_json_and_its_status_counts() {
        let (output, accepted, connector) = receiver("https").await;
        let serving = async {
            let mut stream = accepted.await;
            let head = read(&mut stream, "\r\n\r\n").await;
            assert!(head.starts_with("POST /in?key=1 HTTP/1.1\r\n"), "{head}");
            let first = read(&mut stream, "\n").await;
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&first).unwrap(),
                json!({ "time": "2026-11-27T18:57:10.123456789Z", "contract": 7, "workload": "web",
                        "stream": "stdout", "line": "hello \u{fffd}" })
            );
            assert!(read(&mut stream, "\n").await.contains(r#""stream":"stderr""#));
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            read(&mut stream, "\r\n\r\n").await;
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            stream
        };
        let sending = async {
            let mut connection = connector.connect(&output).await.unwrap();
            connection.send(&machine(), &lines()).await.unwrap();
            connection.send(&machine(), &lines()).await.unwrap_err().to_string()
        };
        let (_stream, error) = tokio::join!(serving, sending);
        assert_eq!(error, "it answers 403 Forbidden");
    }

    #[tokio::test]
    async fn a_websocket_gets_a_message_for_each_line() {
        let (output, accepted, connector) = receiver("wss").await;
        let serving = async {
            let (_, mut socket) = ServerBuilder::new().accept(accepted.await).await.unwrap();
            for stream in ["stdout", "stderr"] {
                let message = socket.next().await.unwrap().unwrap();
                assert!(message.as_text().unwrap().contains(stream), "{message:?}");
            }
        };
        let sending = async {
            let mut connection = connector.connect(&output).await.unwrap();
            connection.send(&machine(), &lines()).await.unwrap();
            connection
        };
        let ((), mut connection) = tokio::join!(serving, sending);
        let until_closed = async { while connection.send(&machine(), &lines()).await.is_ok() {} };
        timeout(SEND_WITHIN, until_closed).await.unwrap();
    }

    #[tokio::test]
    async fn an_endless_answer_opens_no_websocket() {
        let (output, accepted, connector) = receiver("wss").await;
        let serving = async {
            let mut stream = accepted.await;
            read(&mut stream, "\r\n\r\n").await;
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nx-endless: ").await.unwrap();
            while stream.write_all(&[b'x'; 4_096]).await.is_ok() {}
        };
        let ((), connected) = tokio::join!(serving, connector.connect(&output));
        let error = format!("{:#}", connected.err().unwrap());
        assert!(error.starts_with("it opens no WebSocket with an answer of at most 16384 bytes"), "{error}");
    }

    #[tokio::test]
    async fn a_receiver_that_floods_a_websocket_is_left() {
        let (output, accepted, connector) = receiver("wss").await;
        let serving = async {
            let (_, socket) = ServerBuilder::new().accept(accepted.await).await.unwrap();
            let mut stream = socket.into_inner();
            // Text of 125 bytes.
            let message = [&[0x81, 125][..], &[b'x'; 125]].concat();
            stream.write_all(&message.repeat(300)).await.unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let (_stream, connection) = tokio::join!(serving, connector.connect(&output));
        let mut connection = connection.unwrap();
        let until_left = async {
            loop {
                if let Err(error) = connection.send(&machine(), &lines()).await {
                    return error.to_string();
                }
            }
        };
        let error = timeout(SEND_WITHIN, until_left).await.unwrap();
        assert!(error.contains("sends more than 16384 bytes"), "{error}");
    }

    #[tokio::test]
    async fn syslog_gets_frames_with_their_length() {
        let (output, accepted, connector) = receiver("syslog+tls").await;
        let sending = async {
            let mut connection = connector.connect(&output).await.unwrap();
            connection.send(&machine(), &lines()).await.unwrap();
            connection
        };
        let (mut stream, _connection) = tokio::join!(accepted, sending);
        for severity in [14, 11] {
            let header = format!("<{severity}>1 2026-11-27T18:57:10.123456Z contract-7 web - - - ");
            let mut frame = vec![0; 3 + header.len() + 7];
            stream.read_exact(&mut frame).await.unwrap();
            let expected = [format!("{} {header}hello ", header.len() + 7).as_bytes(), b"\xff"].concat();
            assert_eq!(frame, expected);
        }
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_trusts_gets_nothing() {
        let (output, accepted, _) = receiver("https").await;
        let (_, _, stranger) = receiver("https").await;
        tokio::spawn(accepted);
        let error = format!("{:#}", stranger.connect(&output).await.err().unwrap());
        assert!(error.starts_with("TLS fails"), "{error}");
    }
}
