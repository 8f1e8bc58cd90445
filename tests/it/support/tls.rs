//! A token endpoint over TLS that demands a client certificate.
#![allow(dead_code, unreachable_pub)]

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{RootCertStore, ServerConfig, pki_types::PrivateKeyDer, server::WebPkiClientVerifier},
};

use super::endpoint::TOKEN;

/// Vouches for the server and for its clients.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "ca.example.com");
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn issue(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.0).expect("a certificate"), key)
    }
}

pub struct TlsServer {
    port: u16,
    presented: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl TlsServer {
    pub async fn start(authority: &Authority) -> Self {
        let (certificate, key) = authority.issue("localhost");
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).expect("a root");
        let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder().with_client_cert_verifier(clients);
        let config = config.with_single_cert(vec![certificate.der().clone()], key).expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let presented: Arc<Mutex<Vec<_>>> = Arc::default();
        let record = Arc::clone(&presented);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, record) = (acceptor.clone(), Arc::clone(&record));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let certificate = stream.get_ref().1.peer_certificates().expect("demanded")[0].to_vec();
                    record.lock().expect("no panic").push(certificate);
                    let _ = stream.read(&mut [0; 16 * 1024]).await;
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", TOKEN.len());
                    let _ = stream.write_all(format!("{head}{TOKEN}").as_bytes()).await;
                });
            }
        });
        Self { port, presented }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/token", self.port)
    }

    /// The certificates of the clients, in DER.
    pub fn presented(&self) -> Vec<Vec<u8>> {
        self.presented.lock().expect("no panic").clone()
    }
}
