//! A value that must not be shown, and its source.

use std::{fmt, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::file::SecretFile;
use crate::{error::Error, secret_file::shown_path};

/// A client secret, an assertion or a client's id, which is fixed or can change.
///
/// A string is fixed. A [file](Self::file) or a [function](Self::from_fn) is read for each token request, so that a
/// change needs no restart. `Debug` does not show the value, and copies in memory are wiped when they are dropped.
///
/// An empty string is refused when the client is built, and an empty file when it is read, because the cause is most
/// often an unset variable. For a client without a secret, use
/// [`ClientAuthentication::none`](crate::ClientAuthentication::none). A few servers require an empty secret, which is
/// different in a Basic header; for them, a function may return an empty string.
///
/// [Rotating the secret](crate::docs::in_production#rotating-the-secret) says what happens when it changes.
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
    Function(Arc<SecretFunction>),
}

type SecretFunction = dyn Fn() -> Pin<Box<dyn Future<Output = Result<SecretString, Error>> + Send>> + Send + Sync;

impl Secret {
    /// The content of a regular file, in UTF-8 and at most 64 KiB. A byte order mark and line ends at the end are
    /// removed.
    ///
    /// If the file is empty or cannot be read, the token request fails with an error that names the file
    /// ([`ErrorKind::Credentials`](crate::ErrorKind::Credentials)). The error is transient, because the file may be in
    /// the middle of being replaced. If a read hangs (on a network mount), each exchange waits for it within its time
    /// limit, and no second read is started.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(SecretSource::File(Arc::new(SecretFile::new(path.into()))))
    }

    /// The result of a function, for vaults and secret managers.
    ///
    /// The function is called for each token request, within the time limit of the exchange. It may cache the secret.
    /// It fails with [`Error::transient`] or [`Error::permanent`].
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

    /// Refuses a secret that can never be read. `field` is its name in errors.
    pub(crate) fn check(&self, field: &str) -> Result<(), Error> {
        match &self.0 {
            SecretSource::File(file) if file.path.as_os_str().is_empty() => {
                Err(Error::configuration(format!("{field}: the file path is empty")))
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
                Err(error) => Err(Error::credentials(format_args!("{field}: the function failed"), &error)),
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

    /// How often to check whether it has changed. `None`: it never changes.
    pub(super) fn check_interval(&self) -> Option<Duration> {
        match &self.0 {
            SecretSource::Fixed(_) => None,
            SecretSource::File(_) => Some(Duration::from_secs(1)),
            // It may call a service that limits requests.
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
        // Copied at its exact size: shrinking the string could leave an unwiped copy behind.
        Zeroizing::new(value).as_str().into()
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

/// Shows a client's id in `Debug`: it is not secret.
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
