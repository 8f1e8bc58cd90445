//! A client certificate that is replaced while the program runs.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use client_credentials::{Error, HttpClient, SecretBody, async_trait};
use http::{Request, Response};
use reqwest::{Client, ClientBuilder, Identity, redirect::Policy};

/// Presents the certificate that is in a file (PEM, with its key), also after it was replaced.
struct RotatingCertificate {
    path: PathBuf,
    /// What else the client needs, such as a certificate authority of your own.
    settings: Box<dyn Fn() -> ClientBuilder + Send + Sync>,
    current: Mutex<Option<(SystemTime, Client)>>,
}

impl RotatingCertificate {
    fn client(&self) -> Result<Client, Error> {
        let modified = fs::metadata(&self.path).and_then(|file| file.modified()).map_err(Error::transient)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = &*current
            && *of == modified
        {
            return Ok(client.clone());
        }
        let pem = fs::read(&self.path).map_err(Error::transient)?;
        let identity = Identity::from_pem(&pem).map_err(Error::transient)?;
        // The certificate of a connection stays what it was, so that none is kept.
        let builder = (self.settings)().tls_backend_rustls().identity(identity).pool_max_idle_per_host(0);
        let client = builder.redirect(Policy::none()).build().map_err(Error::transient)?;
        *current = Some((modified, client.clone()));
        Ok(client)
    }
}

#[async_trait]
impl HttpClient for RotatingCertificate {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        self.client()?.send(request).await
    }
}

mod tests {
    use std::{fs::File, time::Duration};

    use client_credentials::{ClientAuthentication, ClientCredentials};

    use super::*;
    use crate::support::{
        endpoint::ask,
        sockets::tls::{Authority, TlsServer},
    };

    #[tokio::test]
    async fn the_certificate_that_replaced_another_is_presented() {
        let authority = Authority::new();
        let server = TlsServer::start(&authority).await;
        let path = std::env::temp_dir().join(format!("client-credentials-rotating-{}.pem", std::process::id()));
        let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("a certificate");
        let settings = move || Client::builder().tls_certs_only([root.clone()]);
        let client =
            RotatingCertificate { path: path.clone(), settings: Box::new(settings), current: Mutex::default() };
        let source = ClientCredentials::builder(server.url(), "abcde", ClientAuthentication::tls_client_auth());
        let source = source.any_origin().http_client(client).build().expect("complete");
        for at in 1..=2 {
            let (certificate, key) = authority.issue("client.example.com");
            fs::write(&path, certificate.pem() + &key.serialize_pem()).expect("a file");
            let file = File::options().write(true).open(&path).expect("a file");
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(at)).expect("a time");
            ask(&source).await.expect("a token");
            assert_eq!(server.presented().last(), Some(&certificate.der().to_vec()));
        }
        fs::remove_file(&path).expect("it is there");
    }
}
