// SPDX-License-Identifier: Apache-2.0
//! A registry on loopback that has the image of the self-test and nothing else. `build.rs` makes the image.

use crate::http;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tracing::debug;

const DIGEST: &str = "docker-content-digest";
const BLOB: &str = "application/octet-stream";

/// A part of the image.
#[derive(Clone, Copy)]
struct Part {
    kind: &'static str,
    digest: &'static str,
    content: &'static [u8],
}

const MANIFEST: Part = Part {
    kind: "application/vnd.docker.distribution.manifest.v2+json",
    digest: include_str!(concat!(env!("OUT_DIR"), "/manifest.json.digest")),
    content: include_bytes!(concat!(env!("OUT_DIR"), "/manifest.json")),
};
const CONFIG: Part = Part {
    kind: BLOB,
    digest: include_str!(concat!(env!("OUT_DIR"), "/config.json.digest")),
    content: include_bytes!(concat!(env!("OUT_DIR"), "/config.json")),
};
/// The program `/machine`, static and therefore the same on every machine.
const LAYER: Part = Part {
    kind: BLOB,
    digest: include_str!(concat!(env!("OUT_DIR"), "/machine.tar.digest")),
    content: include_bytes!(concat!(env!("OUT_DIR"), "/machine.tar")),
};

/// Serves at an address of its own.
pub struct Registry {
    listener: TcpListener,
    address: SocketAddr,
}

impl Registry {
    /// Takes a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Name of the image.
    pub fn image(&self) -> String {
        format!("{}/self-test:1", self.address)
    }

    /// Serves until the listener fails. Connections end with it.
    pub async fn serve(&self) -> io::Error {
        let mut connections = JoinSet::new();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => drop(connections.spawn(answer(stream))),
                Err(error) => return error,
            }
        }
    }
}

async fn answer(stream: TcpStream) {
    // The engine tries TLS first.
    if let Err(error) = http::serve(stream, page).await {
        debug!("a connection to the registry of the self-test broke: {error}");
    }
}

fn page(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if path == "/v2/" {
        return Response::new(Full::default());
    }
    let is_named = |part: &Part| path.ends_with(part.digest) || path.ends_with("/manifests/1");
    let Some(part) = [MANIFEST, CONFIG, LAYER].into_iter().find(is_named) else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Full::new(Bytes::from_static(part.content)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(part.kind));
    response.headers_mut().insert(DIGEST, HeaderValue::from_static(part.digest));
    response
}
