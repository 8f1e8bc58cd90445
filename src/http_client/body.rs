//! The bytes of a token request and of its response.

use std::fmt;

use bytes::{Buf, Bytes};
use http::Response;
use http_body::Body;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// A larger response is an error.
pub(crate) const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// The bytes of a request to a token endpoint, or of a response from one. `Debug` shows only
/// their number.
#[derive(Clone, Default)]
pub struct SecretBody(Bytes);

impl SecretBody {
    /// Returns the bytes.
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
        Self::wiped(Zeroizing::new(bytes))
    }
}

impl From<String> for SecretBody {
    fn from(text: String) -> Self {
        text.into_bytes().into()
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

/// Reads a response with a body of limited size.
pub(super) async fn read<B: Body>(
    response: Response<B>,
    failed: impl Fn(B::Error) -> Error,
) -> Result<Response<SecretBody>, Error> {
    let (parts, body) = response.into_parts();
    let (mut body, mut bytes) = (std::pin::pin!(body), Zeroizing::new(Vec::new()));
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(mut data) = frame.map_err(&failed)?.into_data() else { continue };
        while data.has_remaining() {
            let length = data.chunk().len();
            push(&mut bytes, data.chunk())?;
            data.advance(length);
        }
    }
    Ok(Response::from_parts(parts, SecretBody::wiped(bytes)))
}

/// Growing leaves no unwiped copy behind.
fn push(bytes: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) -> Result<(), Error> {
    let needed = bytes.len() + chunk.len();
    if needed > MAX_RESPONSE_BYTES {
        return Err(too_large());
    }
    if needed > bytes.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * bytes.capacity()).max(4096)));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(chunk);
    Ok(())
}

pub(crate) fn too_large() -> Error {
    Error::new(ErrorKind::InvalidResponse, format!("the response is larger than {MAX_RESPONSE_BYTES} bytes"))
}
