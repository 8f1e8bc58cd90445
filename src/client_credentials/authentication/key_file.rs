//! A private key in a file that is read for each signature.

use async_trait::async_trait;

use super::{PrivateKey, Secret, Signer};
use crate::error::Error;

/// It is read each time, so that a replaced key needs no restart.
pub(in crate::client_credentials) struct KeyFile {
    /// One of [`PrivateKey::ALGORITHMS`].
    pub algorithm: &'static str,
    pub pem: Secret,
}

#[async_trait]
impl Signer for KeyFile {
    fn algorithm(&self) -> &str {
        self.algorithm
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let pem = self.pem.read("private_key_file").await?;
        // Not a configuration error: the next attempt reads the file again.
        let key = PrivateKey::new(pem.as_bytes(), self.algorithm)
            .map_err(|error| Error::credentials(format_args!("{:?}", self.pem), &error))?;
        key.sign(message).await
    }
}
