// SPDX-License-Identifier: Apache-2.0
//! Fetches files of a channel: a folder of a web server. Nothing of it is trusted that isn't signed.

use crate::http;
use anyhow::{Context, Result, anyhow, ensure};
use futures::FutureExt;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use std::{str::FromStr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// Limit for an answer, and for each piece of it.
const PIECE_WITHIN: Duration = Duration::from_secs(30);
/// Limit for a file.
const FILE_WITHIN: Duration = Duration::from_secs(3_600);

/// Address of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel(Uri);

impl FromStr for Channel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Uri>() {
            Ok(uri) if matches!(uri.scheme_str(), Some("https" | "http")) && uri.query().is_none() => {
                Ok(Self(uri))
            }
            _ => Err("write it as https://…, the address of a folder".into()),
        }
    }
}

impl Channel {
    /// Writes a file of the channel to `to`.
    ///
    /// # Errors
    /// If it can't be had, or has more than `most` bytes.
    pub async fn fetch(&self, file: &str, most: u64, to: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        let fetched = timeout(FILE_WITHIN, self.copy(file, most, to)).await;
        let fetched = fetched.unwrap_or_else(|_| Err(anyhow!("it takes more than {FILE_WITHIN:?}")));
        fetched.with_context(|| format!("can't fetch {file} from {}", self.0))
    }

    async fn copy(&self, file: &str, most: u64, to: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        let asked = timeout(PIECE_WITHIN, self.ask(file)).await;
        let (_connection, mut body) = asked.context("it doesn't answer in time")??;
        let mut received = 0;
        while let Some(frame) = timeout(PIECE_WITHIN, body.frame()).await.context("nothing comes any more")? {
            let Ok(piece) = frame.context("the connection breaks")?.into_data() else { continue };
            received += piece.len() as u64;
            ensure!(received <= most, "it has more than {most} bytes");
            to.write_all(&piece).await.context("can't write it")?;
        }
        to.flush().await.context("can't write it")
    }

    async fn ask(&self, file: &str) -> Result<(SendRequest<Empty<Bytes>>, Incoming)> {
        let host = self.0.host().context("the address has no host")?.trim_matches(['[', ']']);
        let authority = self.0.authority().context("the address has no host")?.as_str();
        let is_plain = self.0.scheme_str() == Some("http");
        let port = self.0.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        let tcp = TcpStream::connect((host, port)).await.context("it takes no connection")?;
        let mut sender = if is_plain {
            start(tcp).await?
        } else {
            let tls = Arc::new(http::tls(http::system_roots())?);
            let name = ServerName::try_from(host.to_owned())?;
            start(TlsConnector::from(tls).connect(name, tcp).await.context("TLS fails")?).await?
        };
        let path = format!("{}/{file}", self.0.path().trim_end_matches('/'));
        let request = Request::get(path).header(HOST, authority).body(Empty::new())?;
        let answer = sender.send_request(request).await.context("the connection breaks")?;
        ensure!(answer.status() == StatusCode::OK, "it answers {}", answer.status());
        Ok((sender, answer.into_body()))
    }
}

/// The connection ends with its sender.
async fn start<S>(stream: S) -> Result<SendRequest<Empty<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.map(drop));
    Ok(sender)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use http_body_util::Full;
    use hyper::Response;
    use std::{collections::BTreeMap, net::Ipv4Addr};
    use tokio::{net::TcpListener, task::JoinHandle};

    /// A channel with these files, as long as its task isn't ended.
    pub async fn serve(files: BTreeMap<String, Vec<u8>>) -> (Channel, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let channel: Channel = format!("http://{}/boot/", listener.local_addr().unwrap()).parse().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let page = |request: &Request<Incoming>| {
                    let file = request.uri().path().strip_prefix("/boot/").unwrap_or_default();
                    let content = files.get(file);
                    let status = if content.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
                    let content = Full::from(content.cloned().unwrap_or_default());
                    Response::builder().status(status).body(content).unwrap()
                };
                drop(http::serve(stream, page).await);
            }
        });
        (channel, serving)
    }

    #[tokio::test]
    async fn a_file_comes_whole_or_with_the_reason() {
        let (channel, serving) = serve([("a".to_owned(), vec![7; 100_000])].into()).await;
        let mut file = Vec::new();
        channel.fetch("a", 100_000, &mut file).await.unwrap();
        assert_eq!(file, vec![7; 100_000]);
        let why = async |file: &str| {
            format!("{:#}", channel.fetch(file, 99_999, &mut Vec::<u8>::new()).await.unwrap_err())
        };
        assert!(why("a").await.ends_with("/boot/: it has more than 99999 bytes"));
        assert!(why("b").await.ends_with("/boot/: it answers 404 Not Found"));
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        assert!(why("a").await.ends_with("it takes no connection: Connection refused (os error 111)"));
    }

    #[test]
    fn a_channel_is_a_folder_of_a_web_server() {
        for text in ["https://updates.example.org/zos", "http://10.0.0.1:8080", "https://[2001:db8::1]/"] {
            assert!(text.parse::<Channel>().is_ok(), "{text}");
        }
        for text in ["ftp://a/", "updates.example.org", "", "https://a/?b", "/zos"] {
            assert!(text.parse::<Channel>().is_err(), "{text}");
        }
    }
}
