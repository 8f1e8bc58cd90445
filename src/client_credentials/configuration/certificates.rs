//! The certificates of the connection, from files in PEM.

use std::path::PathBuf;

use reqwest::ClientBuilder;

use crate::error::Error;

#[derive(Clone, Default)]
pub(super) struct Certificates {
    pub authorities: Option<PathBuf>,
    /// Whether to trust only those, and not the system's.
    pub only_those: bool,
    pub client: Option<PathBuf>,
    /// `None`: the key is in the same file as the certificate.
    pub key: Option<PathBuf>,
}

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
impl Certificates {
    pub(super) fn load(&self) -> Result<impl Fn(ClientBuilder) -> ClientBuilder + use<>, Error> {
        let fields = [
            (self.authorities.is_some(), "http.ca_file"),
            (self.only_those, "http.ca_only"),
            (self.client.is_some(), "http.client_certificate_file"),
            (self.key.is_some(), "http.client_key_file"),
        ];
        match fields.into_iter().find(|(is_there, _)| *is_there) {
            Some((_, field)) => {
                let what = "needs the feature `rustls` or `native-tls` of client-credentials";
                Err(Error::configuration(format!("{field}: {what}")))
            }
            None => Ok(|builder| builder),
        }
    }
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod with_tls {
    use std::path::Path;

    use reqwest::{Certificate, Identity};
    use zeroize::Zeroizing;

    use super::{Certificates, ClientBuilder, Error};
    use crate::{
        error::ErrorKind,
        secret_file::{read_bytes, shown_path},
    };

    impl Certificates {
        /// Reads the files, and returns what adds their certificates to a client.
        pub(in super::super) fn load(&self) -> Result<impl Fn(ClientBuilder) -> ClientBuilder + use<>, Error> {
            if self.only_those && self.authorities.is_none() {
                return Err(Error::configuration("http.ca_only: requires `http.ca_file`, which is missing"));
            }
            if self.key.is_some() && self.client.is_none() {
                return Err(Error::configuration(
                    "http.client_key_file: requires `http.client_certificate_file`, which is missing",
                ));
            }
            let only_those = self.only_those;
            let authorities = self.authorities.as_deref().map(authorities).transpose()?.unwrap_or_default();
            let identity = self.identity()?;
            Ok(move |builder| {
                if authorities.is_empty() && identity.is_none() {
                    return builder;
                }
                let authorities = authorities.iter().cloned();
                let builder = match only_those {
                    true => backend(builder).tls_certs_only(authorities),
                    false => backend(builder).tls_certs_merge(authorities),
                };
                match &identity {
                    Some(identity) => builder.identity(identity.clone()),
                    None => builder,
                }
            })
        }

        fn identity(&self) -> Result<Option<Identity>, Error> {
            const FIELD: &str = "http.client_certificate_file";
            let Some(path) = &self.client else { return Ok(None) };
            let certificate = read(FIELD, path)?;
            let key = self.key.as_deref().map(|path| read("http.client_key_file", path)).transpose()?;
            // The cause is omitted, because it may quote a line of the key.
            identity(&certificate, key.as_deref().map(Vec::as_slice)).map(Some).map_err(|_| {
                let what = "has no certificate with its key in PEM (the key as PKCS#8: `BEGIN PRIVATE KEY`)";
                refuse(FIELD, path, what)
            })
        }
    }

    /// The TLS backend that [`identity`] is made for. reqwest may have been compiled with both.
    fn backend(builder: ClientBuilder) -> ClientBuilder {
        #[cfg(feature = "native-tls")]
        return builder.tls_backend_native();
        #[cfg(not(feature = "native-tls"))]
        return builder.tls_backend_rustls();
    }

    #[cfg(feature = "native-tls")]
    fn identity(certificate: &[u8], key: Option<&[u8]>) -> reqwest::Result<Identity> {
        // native-tls expects the key at the beginning.
        const BEGIN: &[u8] = b"-----BEGIN PRIVATE KEY-----";
        let key = key.unwrap_or(certificate);
        let at = key.windows(BEGIN.len()).position(|window| window == BEGIN).unwrap_or_default();
        Identity::from_pkcs8_pem(certificate, &key[at..])
    }

    #[cfg(not(feature = "native-tls"))]
    fn identity(certificate: &[u8], key: Option<&[u8]>) -> reqwest::Result<Identity> {
        let key = key.unwrap_or_default();
        // Enough capacity for all of it: growing would leave a copy of the key behind.
        let mut both = Zeroizing::new(Vec::with_capacity(certificate.len() + key.len() + 1));
        both.extend_from_slice(certificate);
        both.push(b'\n');
        both.extend_from_slice(key);
        Identity::from_pem(&both)
    }

    fn authorities(path: &Path) -> Result<Vec<Certificate>, Error> {
        const FIELD: &str = "http.ca_file";
        let pem = read(FIELD, path)?;
        match Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            _ => Err(refuse(FIELD, path, "has no certificate in PEM")),
        }
    }

    fn read(field: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
        read_bytes(path, u64::MAX, &format!("{field}: the file {}", shown_path(path)), ErrorKind::Configuration)
    }

    fn refuse(field: &str, path: &Path, what: &str) -> Error {
        Error::configuration(format!("{field}: the file {} {what}", shown_path(path)))
    }
}
