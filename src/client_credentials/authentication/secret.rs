//! A value that must not be shown, and where it comes from.

use std::{fmt, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::file::{SecretFile, shown_path};
use crate::error::Error;

/// A client secret, an assertion or a client's id: a value that is fixed, or one that changes.
///
/// A string is a fixed one. What comes from a [file](Self::file) or a [function](Self::from_fn) is read anew for each
/// token request, so that a change needs no restart. Not shown by `Debug`; the copies that are held are wiped when they
/// are dropped.
///
/// An empty string is refused when a client is built, and so is an empty file when it is read: most often it is a
/// variable that is not set. A client without a secret is
/// [`ClientAuthentication::none`](crate::ClientAuthentication::none). For a server that knows a client by an empty
/// secret, which is not the same in a Basic header, a function may return one.
///
/// # Rotation
///
/// When the server refuses a client's secret (`invalid_client`, or a 401 or 403 without an OAuth error code), it is
/// read once more; if it has changed meanwhile, the token request is sent once more within the same call. For ten
/// minutes after a change, the previous secret is tried once too, since the server may not know the new one yet. While
/// the cache holds token requests back after such a refusal, files are looked at every second and functions called
/// every ten seconds; once the secret has changed, the hold-back is over (at most once a minute).
///
/// ```
/// use client_credentials::{ClientCredentials, Secret};
///
/// let source = ClientCredentials::builder(
///     "https://auth.example.com/oauth2/token",
///     Secret::file("/run/secrets/client-id"),
///     Secret::file("/run/secrets/client-secret"),
/// );
/// ```
#[derive(Clone)]
pub struct Secret(SecretSource);

#[derive(Clone)]
enum SecretSource {
    Fixed(SecretString),
    File(Arc<SecretFile>),
    Function(Arc<Function>),
}

type Function = dyn Fn() -> Pin<Box<dyn Future<Output = Result<SecretString, Error>> + Send>> + Send + Sync;

impl Secret {
    /// What is in a regular file: UTF-8, at most 64 KiB, without a byte order mark and without line ends at its end.
    ///
    /// A file that cannot be read, or is empty, fails the token request with an error that names the file
    /// ([`ErrorKind::Credentials`](crate::ErrorKind::Credentials)). It is transient: files are being replaced. A read
    /// that hangs (a network mount) is waited for within the time limit of each exchange, and no other is begun
    /// meanwhile.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(SecretSource::File(Arc::new(SecretFile::new(path.into()))))
    }

    /// What a function gives: for vaults and secret managers.
    ///
    /// It is called for each token request, within the time limit of the exchange, and may keep what it has as long as
    /// it likes. Its errors are [`Error::transient`] or [`Error::permanent`].
    ///
    /// ```
    /// use client_credentials::{Error, Secret};
    ///
    /// # async fn read_from_vault() -> Result<String, std::io::Error> { Ok("12345".into()) }
    /// let secret = Secret::from_fn(|| async { read_from_vault().await.map_err(Error::transient) });
    /// ```
    pub fn from_fn<F, Fut, T>(function: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, Error>> + Send + 'static,
        T: Into<SecretString>,
    {
        Self(SecretSource::Function(Arc::new(move || {
            let value = function();
            Box::pin(async { value.await.map(Into::into) })
        })))
    }

    /// Refuses what can never be read. `field` is how an error names this secret.
    pub(crate) fn check(&self, field: &str) -> Result<(), Error> {
        match &self.0 {
            SecretSource::File(file) if file.path.as_os_str().is_empty() => {
                Err(Error::configuration(format!("{field}: the path of its file is empty")))
            }
            SecretSource::Fixed(value) if value.expose_secret().is_empty() => {
                Err(Error::configuration(format!("{field}: empty")))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn read(&self, field: &'static str) -> Result<Zeroizing<String>, Error> {
        match &self.0 {
            SecretSource::Fixed(value) => Ok(Zeroizing::new(value.expose_secret().to_owned())),
            SecretSource::File(file) => file.read(field).await,
            SecretSource::Function(function) => match function().await {
                Ok(value) => Ok(Zeroizing::new(value.expose_secret().to_owned())),
                Err(error) => Err(Error::credentials(format_args!("{field}: its function failed"), &error)),
            },
        }
    }

    /// The value, if it never changes.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &self.0 {
            SecretSource::Fixed(value) => Some(value.expose_secret()),
            _ => None,
        }
    }

    /// How often it is worth a look whether it has changed; `None`: it never does.
    pub(super) fn look_every(&self) -> Option<Duration> {
        match &self.0 {
            SecretSource::Fixed(_) => None,
            SecretSource::File(_) => Some(Duration::from_secs(1)),
            // It may ask somebody who counts.
            SecretSource::Function(_) => Some(Duration::from_secs(10)),
        }
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(SecretSource::Fixed(value.into()))
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(SecretSource::Fixed(value.into()))
    }
}

impl From<&String> for Secret {
    fn from(value: &String) -> Self {
        value.as_str().into()
    }
}

impl From<SecretString> for Secret {
    fn from(value: SecretString) -> Self {
        Self(SecretSource::Fixed(value))
    }
}

/// Shows a client's id: that is no secret.
pub(crate) struct Id<'a>(pub &'a Secret);

impl fmt::Debug for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.fixed() {
            Some(id) => id.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            SecretSource::Fixed(_) => f.write_str("[redacted]"),
            SecretSource::File(file) => write!(f, "file {:?}", shown_path(&file.path)),
            SecretSource::Function(_) => f.write_str("function"),
        }
    }
}
