//! Signing with a private key, such as one in a key management service.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Error;

/// Signs assertions with a private key, for
/// [`ClientAuthentication::private_key_jwt`](crate::ClientAuthentication::private_key_jwt).
///
/// Implement it for keys that never leave a key management service or a hardware module. For keys in PEM, use
/// `PrivateKey` (feature `jwt`). It is called once for each attempt, within the time limit of the exchange.
///
/// ```
/// use client_credentials::{ClientAuthentication, Error, Signer, async_trait};
///
/// # struct KmsClient;
/// # impl KmsClient {
/// #     async fn sign(&self, key: &str, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, std::io::Error> {
/// #         Ok(Vec::new())
/// #     }
/// # }
/// struct Kms {
///     client: KmsClient,
///     key: String,
/// }
///
/// #[async_trait]
/// impl Signer for Kms {
///     fn algorithm(&self) -> &str {
///         "PS256"
///     }
///
///     async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
///         self.client.sign(&self.key, "RSASSA_PSS_SHA_256", message).await.map_err(Error::transient)
///     }
/// }
///
/// # let client = KmsClient;
/// let signer = Kms { client, key: "alias/token-client".into() };
/// let authentication = ClientAuthentication::private_key_jwt(signer).key_id("2026-11");
/// ```
#[async_trait]
pub trait Signer: Send + Sync + 'static {
    /// The algorithm's name in a JWS header (RFC 7518 section 3.1, RFC 8037), such as `RS256`.
    fn algorithm(&self) -> &str;

    /// Signs `message`, which is not yet hashed. The signature has the format of RFC 7518 section 3. For ECDSA, that is
    /// `r` followed by `s`, and not the ASN.1 that most services return.
    ///
    /// # Errors
    ///
    /// [`Error::transient`] if the failure may be temporary, [`Error::permanent`] if not.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error>;
}

#[async_trait]
impl<T: Signer + ?Sized> Signer for Arc<T> {
    fn algorithm(&self) -> &str {
        T::algorithm(self)
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        T::sign(self, message).await
    }
}
