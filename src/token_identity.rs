//! What tells a token apart from all others that may be in the same store.

use std::fmt;

use zeroize::Zeroizing;

use crate::token_request::TokenRequest;

/// What identifies a token among all those in a token store: every input that changes the token, and no secret.
///
/// Instances whose inputs are equal, in the same order, share the token. Its name in the store is a hash of them.
///
/// ```
/// use client_credentials::{TokenIdentity, TokenRequest};
///
/// let request = TokenRequest::builder().scope("stats").build()?;
/// let identity = TokenIdentity::new().with("https://sts.example.com").with("tenant-7").with_request(&request);
/// # Ok::<(), client_credentials::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TokenIdentity {
    inputs: Vec<Zeroizing<Vec<u8>>>,
}

impl TokenIdentity {
    /// Without inputs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input. An empty one differs from an omitted one.
    #[must_use]
    pub fn with(mut self, input: impl AsRef<[u8]>) -> Self {
        self.inputs.push(Zeroizing::new(input.as_ref().to_vec()));
        self
    }

    /// Adds what `request` asks for. Two requests that are equal add the same.
    #[must_use]
    pub fn with_request(self, request: &TokenRequest) -> Self {
        let scopes: Vec<_> = request.distinct_scopes().collect();
        let resources: Vec<_> = request.resources().collect();
        let parameters: Vec<_> = request.parameters().flat_map(|(name, value)| [name, value]).collect();
        let audience: Vec<_> = request.audience().into_iter().collect();
        [scopes, resources, audience, parameters].into_iter().fold(self, Self::with_list)
    }

    /// With their number, so that no input can pass for one of the next list.
    fn with_list(self, inputs: Vec<&str>) -> Self {
        let counted = self.with(inputs.len().to_string());
        inputs.into_iter().fold(counted, Self::with)
    }

    /// In the order in which they were added.
    #[cfg(feature = "store")]
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &[u8]> {
        self.inputs.iter().map(|input| input.as_slice())
    }
}

/// Shows no input: headers and parameters may be secrets.
impl fmt::Debug for TokenIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIdentity").field("inputs", &self.inputs.len()).finish_non_exhaustive()
    }
}
