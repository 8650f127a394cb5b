// SPDX-License-Identifier: Apache-2.0
//! Certificates from an authority that speaks ACME (RFC 8555), by challenges over HTTP.

use crate::{http, store::Store};
use anyhow::{Context, Result, anyhow, bail, ensure};
use async_trait::async_trait;
use clap::Args;
use futures::FutureExt;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, Uri, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use instant_acme::{
    Account, AccountCredentials, BodyWrapper, BytesResponse, ChallengeType, Error, HttpClient, Identifier,
    NewAccount, NewOrder, OrderStatus, Problem, RetryPolicy,
};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf, pin::Pin, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::OnceCell, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

const ACCOUNT: &str = "account.json";
/// Limit for a request.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// Limit for the authority to look at a challenge or to sign.
const SIGNED_WITHIN: Duration = Duration::from_secs(60);
/// The most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const PATH: &str = "/.well-known/acme-challenge/";

/// The authority that signs certificates of sites.
#[derive(Args, Clone, Debug, Default)]
pub struct AcmeArgs {
    /// Directory of the authority (ACME) that signs certificates of published sites
    ///
    /// Such as https://acme-v02.api.letsencrypt.org/directory, whose terms of service this accepts. Without it, an
    /// authority of the node's own signs them, which no browser trusts.
    #[arg(long, env = "ZOS_ACME_DIRECTORY", value_name = "URL", value_parser = directory)]
    pub acme_directory: Option<String>,
    /// File with the certificate by which that directory is known, instead of those that this machine trusts
    #[arg(long, env = "ZOS_ACME_ROOT", value_name = "FILE", requires = "acme_directory")]
    pub acme_root: Option<PathBuf>,
    /// Address for the authority's warnings
    #[arg(long, env = "ZOS_ACME_EMAIL", value_name = "ADDRESS", requires = "acme_directory")]
    pub acme_email: Option<String>,
}

fn directory(text: &str) -> Result<String, String> {
    match text.parse::<Uri>() {
        Ok(uri) if uri.scheme_str() == Some("https") && uri.host().is_some() => Ok(text.to_owned()),
        _ => Err("write it as https://…/directory".into()),
    }
}

/// Where answers to challenges are put.
#[async_trait]
pub trait Challenges: Send + Sync {
    /// From now on, this path has this content; with `None`, nothing.
    async fn set(&self, path: &str, content: Option<&str>) -> Result<()>;
}

/// What an authority has signed.
pub struct Signed {
    /// Certificates in PEM, the host's first.
    pub chain: String,
    /// Its key in PEM.
    pub key: String,
}

/// The account with its authority, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

/// An authority.
pub struct Authority {
    directory: String,
    email: Option<String>,
    client: Client,
    store: Store,
    account: OnceCell<Account>,
}

impl Authority {
    /// The farmer's, `None` where none is named. The account is kept in `store`.
    ///
    /// # Errors
    /// If the root can't be read.
    pub fn new(args: &AcmeArgs, store: Store) -> Result<Option<Self>> {
        let Some(directory) = args.acme_directory.clone() else { return Ok(None) };
        let roots = match &args.acme_root {
            None => http::system_roots(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                let pem = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    let certificate = certificate
                        .map_err(|error| anyhow!("{} has no certificate in PEM: {error}", path.display()))?;
                    roots.add(certificate)?;
                }
                ensure!(!roots.is_empty(), "{} has no certificate", path.display());
                roots
            }
        };
        let mut tls = http::tls(roots)?;
        tls.alpn_protocols.push(b"http/1.1".to_vec());
        let email = args.acme_email.clone();
        let client = Client(tls.into());
        Ok(Some(Self { directory, email, client, store, account: OnceCell::new() }))
    }

    /// The account with the authority, made at the first time.
    ///
    /// # Errors
    /// If the authority refuses or doesn't answer.
    pub async fn account(&self) -> Result<&Account> {
        self.account.get_or_try_init(|| self.open_account()).await
    }

    async fn open_account(&self) -> Result<Account> {
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        if let Some(kept) = self.store.read::<Kept>(ACCOUNT)?
            && kept.directory == self.directory
        {
            return builder.from_credentials(kept.credentials).await.map_err(told);
        }
        let contact = self.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let created = builder.create(&new, self.directory.clone(), None).await;
        let (account, credentials) = created.map_err(told)?;
        self.store.write(ACCOUNT, &Kept { directory: self.directory.clone(), credentials })?;
        Ok(account)
    }
}

/// Has a host's certificate signed.
///
/// # Errors
/// If the authority refuses, or finds no answer to its challenge.
pub async fn sign(account: &Account, host: &str, challenges: &dyn Challenges) -> Result<Signed> {
    let mut paths = Vec::new();
    let signed = signed(account, host, challenges, &mut paths).await;
    for path in paths {
        challenges.set(&path, None).await?;
    }
    signed
}

async fn signed(
    account: &Account,
    host: &str,
    challenges: &dyn Challenges,
    paths: &mut Vec<String>,
) -> Result<Signed> {
    let identifiers = [Identifier::Dns(host.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await.map_err(told)?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(told)?;
        // None, where the authority knows from an earlier order that the host is here.
        if authorization.status == instant_acme::AuthorizationStatus::Valid {
            continue;
        }
        let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
            bail!("the authority has no challenge over HTTP for {host}");
        };
        let path = format!("{PATH}{}", challenge.token);
        ensure!(is_token(&challenge.token), "the authority's challenge for {host} has no valid token");
        challenges.set(&path, Some(challenge.key_authorization().as_str())).await?;
        paths.push(path);
        challenge.set_ready().await.map_err(told)?;
    }
    let retries = RetryPolicy::new().initial_delay(Duration::from_millis(250)).timeout(SIGNED_WITHIN);
    let status = order.poll_ready(&retries).await.map_err(told)?;
    ensure!(
        status == OrderStatus::Ready,
        "the authority finds no answer to its challenge for {host} at port 80"
    );
    let key = order.finalize().await.map_err(told)?;
    let chain = order.poll_certificate(&retries).await.map_err(told)?;
    Ok(Signed { chain, key })
}

/// Characters of RFC 8555 §8.3: it becomes a part of a command.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// What an authority says that wants to be left alone.
fn too_many(error: &anyhow::Error) -> Option<&Problem> {
    match error.downcast_ref::<Error>() {
        Some(Error::Api(problem)) => {
            problem.r#type.as_deref().is_some_and(|kind| kind.ends_with(":rateLimited")).then_some(problem)
        }
        _ => None,
    }
}

/// Whether the authority wants to be left alone.
pub fn is_too_many(error: &anyhow::Error) -> bool {
    too_many(error).is_some()
}

/// Whether it wants that for all hosts. Limits of some say for which: nobody must stop others by their own.
pub fn is_too_many_of_all(error: &anyhow::Error) -> bool {
    too_many(error).is_some_and(|problem| !problem.detail.as_deref().unwrap_or_default().contains(" for "))
}

fn told(error: Error) -> anyhow::Error {
    anyhow::Error::from(error).context("the certificate authority says no")
}

/// Sends requests, each over a connection of its own: they are few.
#[derive(Clone)]
struct Client(Arc<ClientConfig>);

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = self.0.clone();
        let asking = async move {
            let answer = timeout(REQUEST_WITHIN, ask(tls, request)).await;
            let answer = answer.unwrap_or_else(|_| Err(anyhow!("no answer within {REQUEST_WITHIN:?}")));
            answer.map(BytesResponse::from).map_err(|error| Error::Other(error.into()))
        };
        asking.boxed()
    }
}

async fn ask(tls: Arc<ClientConfig>, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Full<Bytes>>> {
    let (mut parts, body) = request.into_parts();
    let host = parts.uri.host().context("the address has no host")?.to_owned();
    let authority = parts.uri.authority().context("the address has no host")?.to_string();
    let port = parts.uri.port_u16().unwrap_or(443);
    ensure!(parts.uri.scheme_str() == Some("https"), "{} isn't encrypted", parts.uri);
    let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port))
        .await
        .with_context(|| format!("can't reach {authority}"))?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let stream = TlsConnector::from(tls).connect(name, tcp).await.context("TLS fails")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection.map(drop)).abort_handle();
    parts.headers.insert(HOST, authority.parse()?);
    parts.uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
    let body = Full::new(body.collect().await?.to_bytes());
    let answer = sender.send_request(Request::from_parts(parts, body)).await;
    let (parts, body) = answer.context("the connection breaks")?.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    driver.abort();
    let body = body.map_err(|error| anyhow!("the answer breaks off: {error}"))?.to_bytes();
    Ok(Response::from_parts(parts, Full::new(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_can_not_become_a_command() {
        assert!(is_token("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"));
        for token in ["", "a b", "a;b", "a\nb", "../a", "a%20"] {
            assert!(!is_token(token), "{token:?}");
        }
    }

    #[test]
    fn only_an_encrypted_directory_is_taken() {
        assert!(directory("https://ca.test:14443/acme/local/directory").is_ok());
        for text in ["http://ca.test/directory", "ca.test", "https://"] {
            assert!(directory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn too_many_requests_are_told_from_other_refusals() {
        let refused = |kind: &str| {
            let problem = serde_json::json!({ "type": format!("urn:ietf:params:acme:error:{kind}") });
            told(Error::Api(serde_json::from_value(problem).unwrap()))
        };
        assert!(is_too_many(&refused("rateLimited")));
        assert!(!is_too_many(&refused("rejectedIdentifier")));
    }

    #[test]
    fn a_limit_of_one_host_is_told_from_that_of_the_account() {
        let limited = |detail: &str| {
            let problem =
                serde_json::json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": detail });
            told(Error::Api(serde_json::from_value(problem).unwrap()))
        };
        assert!(is_too_many_of_all(&limited(
            "too many new orders (300) from this account in the last 3h0m0s"
        )));
        for detail in [
            r#"too many failed authorizations (5) for "a.example""#,
            "too many certificates for this exact set",
        ] {
            assert!(is_too_many(&limited(detail)) && !is_too_many_of_all(&limited(detail)), "{detail}");
        }
    }
}
