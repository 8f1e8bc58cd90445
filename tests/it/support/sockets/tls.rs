//! Servers that speak TLS, and the certificates for them.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
        server::WebPkiClientVerifier,
    },
    server::TlsStream,
};

use super::{Listening, read_some, response, server};
use crate::support::endpoint::TOKEN;

/// A certificate for `localhost` that its own key signed.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub fn new() -> Self {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
        Self { certificate: signed.cert.der().clone(), key }
    }

    /// For servers; `demanding` a certificate of the client that nobody has.
    pub fn acceptor(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &str,
        demanding: bool,
    ) -> TlsAcceptor {
        let builder = ServerConfig::builder_with_protocol_versions(versions);
        let builder = if demanding {
            let mut roots = RootCertStore::empty();
            roots.add(self.certificate.clone()).expect("a certificate");
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("roots"))
        } else {
            builder.with_no_client_auth()
        };
        let mut config =
            builder.with_single_cert(vec![self.certificate.clone()], self.key.clone_key()).expect("a configuration");
        config.alpn_protocols.push(alpn.into());
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server that speaks TLS, and serves each connection by this function after the handshake.
pub async fn tls_server<F, Fut>(acceptor: TlsAcceptor, serve: F) -> Listening
where
    F: Fn(TlsStream<TcpStream>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let accept = move |stream| {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream).await;
            }
        }
    };
    server(accept).await
}

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

/// A token endpoint that demands a client certificate.
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
        let presented: Arc<Mutex<Vec<_>>> = Arc::default();
        let record = Arc::clone(&presented);
        let server = tls_server(TlsAcceptor::from(Arc::new(config)), move |mut stream| {
            let record = Arc::clone(&record);
            async move {
                let certificate = stream.get_ref().1.peer_certificates().expect("demanded")[0].to_vec();
                record.lock().expect("no panic").push(certificate);
                read_some(&mut stream).await;
                let _ = stream.write_all(response(TOKEN).as_bytes()).await;
            }
        })
        .await;
        Self { port: server.port, presented }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/token", self.port)
    }

    /// The certificates of the clients, in DER.
    pub fn presented(&self) -> Vec<Vec<u8>> {
        self.presented.lock().expect("no panic").clone()
    }
}
