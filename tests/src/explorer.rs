// SPDX-License-Identifier: Apache-2.0

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    collections::HashMap,
    convert::Infallible,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::sleep,
};

const START: &str = "/index.html";
/// Limit for a request to arrive.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Delay after a connection that couldn't be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves the built web explorer on loopback. Ends when it is dropped.
pub struct Explorer {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Explorer {
    /// Serves the files of a folder, as they are now, at this port or at any with port 0.
    pub fn serve(folder: &Path, port: u16) -> Result<Self> {
        let site = Arc::new(Site::read(folder)?);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        let listener = listener.with_context(|| format!("can't serve the explorer at port {port}"))?;
        let address = listener.local_addr()?;
        runtime.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(answer(stream, site.clone()))),
                    Err(_) => sleep(ACCEPT_AGAIN).await,
                }
            }
        });
        Ok(Self { address, _runtime: runtime })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn answer(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = site.response(request.uri().path());
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    // A browser may close it at any time.
    let _ = connection.await;
}

/// Files by their path in a URL.
struct Site {
    files: HashMap<String, Bytes>,
    policy: HeaderValue,
}

impl Site {
    fn read(folder: &Path) -> Result<Self> {
        let mut files = HashMap::new();
        read_files(folder, "", &mut files)
            .with_context(|| format!("can't read {}: run `make explorer` first", folder.display()))?;
        let page = files.get(START).context("the explorer has no index.html: run `make explorer` first")?;
        let policy = policy(std::str::from_utf8(page)?).context("the explorer's page has no policy")?;
        // What only a header can say.
        let policy = HeaderValue::from_str(&format!("{policy}; frame-ancestors 'none'"))?;
        Ok(Self { files, policy })
    }

    fn response(&self, path: &str) -> Response<Full<Bytes>> {
        let path = if path == "/" { START } else { path };
        let Some(content) = self.files.get(path) else {
            let mut response = Response::new(Full::from("there is no such file\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        };
        let mut response = Response::new(Full::new(content.clone()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type(path)));
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

fn read_files(folder: &Path, prefix: &str, files: &mut HashMap<String, Bytes>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}/{}", entry.file_name().display());
        if entry.file_type()?.is_dir() {
            read_files(&entry.path(), &path, files)?;
        } else {
            files.insert(path, fs::read(entry.path())?.into());
        }
    }
    Ok(())
}

/// The policy that a page sets for itself.
fn policy(page: &str) -> Option<&str> {
    let (_, after) = page.split_once("\"Content-Security-Policy\"")?;
    after.split_once("content=\"")?.1.split('"').next()
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        r#"<meta http-equiv="Content-Security-Policy" content="default-src 'none'"><p>the page"#;

    #[test]
    fn files_of_the_folder_are_served_with_the_pages_policy() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("assets")).unwrap();
        fs::write(folder.path().join("index.html"), PAGE).unwrap();
        fs::write(folder.path().join("assets/a.js"), "1").unwrap();
        let explorer = Explorer::serve(folder.path(), 0).unwrap();
        let get = |path: &str| ureq::get(format!("{}{path}", explorer.url())).call();
        let mut page = get("/").unwrap();
        let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.body_mut().read_to_string().unwrap(), PAGE);
        assert_eq!(get("/assets/a.js").unwrap().headers()["content-type"], "text/javascript");
        assert!(matches!(get("/assets/../../etc/passwd"), Err(ureq::Error::StatusCode(404))));
    }

    #[test]
    fn a_folder_that_is_not_built_says_how_to_build_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = Explorer::serve(folder.path(), 0).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("make explorer"), "{error:#}");
    }
}
