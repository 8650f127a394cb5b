// SPDX-License-Identifier: Apache-2.0
//! Pages over HTTP.

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
