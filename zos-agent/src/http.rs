// SPDX-License-Identifier: Apache-2.0
//! Pages over HTTP, and TLS of clients.

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Limit for a request to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers the requests of a connection until it ends.
///
/// # Errors
/// If it breaks.
pub async fn serve(
    stream: TcpStream,
    page: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>>,
) -> hyper::Result<()> {
    let service = service_fn(|request| {
        let page = page(&request);
        async { Ok::<_, Infallible>(page) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// The certificates that this machine trusts.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// TLS of a client that trusts these certificates.
///
/// # Errors
/// If it can't be set up.
pub fn tls(roots: RootCertStore) -> Result<ClientConfig> {
    Ok(ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .context("can't set up TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
