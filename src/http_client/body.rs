//! The bytes of a token request and of its response.

use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// No response of a token endpoint is larger.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;

/// The bytes of a request to a token endpoint, or of a response from one. `Debug` shows their number alone.
#[derive(Clone, Default)]
pub struct SecretBody(Bytes);

impl SecretBody {
    /// The bytes themselves.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    pub(crate) fn wiped(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Bytes::from_owner(bytes))
    }
}

impl AsRef<[u8]> for SecretBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for SecretBody {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for SecretBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<String> for SecretBody {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&'static [u8]> for SecretBody {
    fn from(bytes: &'static [u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<&'static str> for SecretBody {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SecretBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBody({} bytes)", self.0.len())
    }
}

/// A body while it is read: bounded, and wiped wherever it is moved.
#[derive(Default)]
pub(super) struct Reading(Zeroizing<Vec<u8>>);

impl Reading {
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let needed = self.0.len() + chunk.len();
        if needed > MOST_BYTES {
            return Err(too_large());
        }
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.capacity()).max(4096)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(chunk);
        Ok(())
    }

    pub(super) fn finish(self) -> SecretBody {
        SecretBody::wiped(self.0)
    }
}

pub(crate) fn too_large() -> Error {
    Error::new(ErrorKind::InvalidResponse, format!("the response is larger than {MOST_BYTES} bytes"))
}
