// SPDX-License-Identifier: Apache-2.0

use crate::{Run, wait_for};
use anyhow::{Context, Result};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::{
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpListener, runtime::Runtime};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

const RECEIVE_LIMIT: Duration = Duration::from_secs(60);

/// Takes what nodes send over TLS, at `localhost`. Ends when it is dropped.
pub struct LogReceiver {
    port: u16,
    received: Arc<Mutex<Vec<u8>>>,
    _runtime: Runtime,
}

impl LogReceiver {
    /// File with the receiver's certificate, which agents trust.
    pub fn certificate(run: &Run) -> Result<PathBuf> {
        let (certificate, key) = (run.folder().join("receiver.pem"), run.folder().join("receiver.key"));
        if !certificate.exists() {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".into()])?;
            fs::write(key, signing_key.serialize_pem())?;
            fs::write(&certificate, cert.pem())?;
        }
        Ok(certificate)
    }

    /// Listens at this port, or at any with port 0.
    pub fn start(run: &Run, port: u16) -> Result<Self> {
        let certificate = CertificateDer::from_pem_file(Self::certificate(run)?)?;
        let key = PrivateKeyDer::from_pem_file(run.folder().join("receiver.key"))?;
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        let listener = listener.with_context(|| format!("can't listen at port {port}"))?;
        let port = listener.local_addr()?.port();
        let received = Arc::<Mutex<Vec<u8>>>::default();
        let all = received.clone();
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                let all = all.clone();
                tokio::spawn(async move {
                    let mut bytes = [0; 4_096];
                    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                        all.lock().unwrap_or_else(PoisonError::into_inner).extend(&bytes[..count]);
                    }
                });
            }
        });
        Ok(Self { port, received, _runtime: runtime })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until this text has come.
    pub fn gets(&self, text: &str) -> Result<()> {
        wait_for(&format!("the receiver to get {text:?}"), RECEIVE_LIMIT, || {
            let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(String::from_utf8_lossy(&received).contains(text).then_some(()))
        })
    }
}
