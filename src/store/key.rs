//! The keys that shared tokens are encrypted with.

use std::{array, env, fmt, path::Path, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, RandomizedNonceKey},
    error::Unspecified,
    hkdf,
};
use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{
    error::{Error, ErrorKind},
    secret_file::{self, shown_path},
};

/// The name in errors.
const FIELD: &str = "encryption_key";
const LENGTH: usize = 32;
pub(super) const ID_LENGTH: usize = 8;

/// Encrypts the tokens that instances share, so that whoever reads the store does not have them.
///
/// A key is 32 random bytes in base64, the same for all instances:
///
/// ```sh
/// openssl rand -base64 32 > token-key
/// ```
///
/// The first of several keys encrypts, and all of them decrypt. To replace a key without a moment in which instances
/// cannot read each other's tokens, deploy the new one behind the old one (`old`, `new`), then in front of it (`new`,
/// `old`), then alone. Between the steps, wait until every instance has the new list.
///
/// Entries are sealed with AES-256-GCM-SIV (RFC 8452). `Debug` shows which keys these are by numbers that are computed
/// from them and say nothing about them. The keys themselves are not shown, and are wiped when they are dropped.
///
/// ```no_run
/// use client_credentials::store::EncryptionKey;
///
/// # fn example() -> Result<(), client_credentials::Error> {
/// let key = EncryptionKey::from_file("/run/secrets/token-key")?;
/// // While it is replaced; a file with both keys, one a line, is the same.
/// let keys = key.also_opens(EncryptionKey::from_file("/run/secrets/old-token-key")?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EncryptionKey {
    keys: Vec<Arc<Key>>,
}

pub(super) struct Key {
    /// Tells which key sealed an entry.
    pub id: [u8; ID_LENGTH],
    pub aead: RandomizedNonceKey,
}

impl EncryptionKey {
    /// The keys in a file, one a line. It is read once, here.
    ///
    /// Everybody may be able to read it, since that is how container platforms mount secrets. Elsewhere, give it the
    /// mode 0600.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, if every user may write to it, or if it does not contain keys.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let source = format!("{FIELD}: the file {}", shown(path));
        let text = secret_file::read(path, &source, ErrorKind::Configuration)?;
        if is_written_by_all(path) {
            return Err(Error::configuration(format!("{source} may be written by every user")).with_advice("chmod 600"));
        }
        Self::parse(&source, &text)
    }

    /// The keys in an environment variable, separated by commas or white space.
    ///
    /// # Errors
    ///
    /// If the variable is not set, or does not contain keys.
    pub fn from_env(name: &str) -> Result<Self, Error> {
        let source = format!("{FIELD}: the variable {}", shown(Path::new(name)));
        match env::var(name).map(Zeroizing::new) {
            Ok(text) => Self::parse(&source, &text),
            Err(env::VarError::NotPresent) => Err(Error::configuration(format!("{source} is not set"))),
            Err(env::VarError::NotUnicode(_)) => Err(Error::configuration(format!("{source} is not UTF-8"))),
        }
    }

    /// A key in base64, or several, separated by commas or white space. Both alphabets of RFC 4648 are accepted, with
    /// and without padding.
    ///
    /// # Errors
    ///
    /// If it is not 32 bytes in base64, or one byte repeated.
    pub fn from_base64(keys: impl Into<SecretString>) -> Result<Self, Error> {
        Self::parse(FIELD, keys.into().expose_secret())
    }

    /// A key as bytes, such as from a key management service. They must be random: a password is not a key.
    ///
    /// # Errors
    ///
    /// If they are one byte repeated.
    pub fn from_bytes(key: &[u8; LENGTH]) -> Result<Self, Error> {
        Ok(Self { keys: vec![Arc::new(Key::new(FIELD, key)?)] })
    }

    /// Also decrypts what was encrypted with these keys.
    #[must_use]
    pub fn also_opens(mut self, others: Self) -> Self {
        self.keys.extend(others.keys);
        self
    }

    pub(super) fn first(&self) -> Option<&Key> {
        self.keys.first().map(|key| &**key)
    }

    pub(super) fn find(&self, id: [u8; ID_LENGTH]) -> Option<&Key> {
        self.keys.iter().map(|key| &**key).find(|key| key.id == id)
    }

    /// Errors begin with `source`.
    fn parse(source: &str, text: &str) -> Result<Self, Error> {
        let keys: Vec<_> = parts(text).map(|part| Ok(Arc::new(decode(source, part)?))).collect::<Result<_, Error>>()?;
        if keys.is_empty() { Err(not_a_key(source, "empty")) } else { Ok(Self { keys }) }
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| hexadecimal(&key.id))).finish()
    }
}

impl Key {
    fn new(source: &str, bytes: &[u8; LENGTH]) -> Result<Self, Error> {
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(not_a_key(source, "one byte repeated"));
        }
        Self::derive(bytes).map_err(|Unspecified| not_a_key(source, "unusable"))
    }

    fn derive(bytes: &[u8; LENGTH]) -> Result<Self, Unspecified> {
        // Two keys from one, so that the id says nothing about the key that encrypts.
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, b"client-credentials token store 1").extract(bytes);
        let (mut id, mut sealing) = ([0; LENGTH], Zeroizing::new([0; LENGTH]));
        derived.expand(&[b"id"], hkdf::HKDF_SHA256)?.fill(&mut id)?;
        derived.expand(&[b"seal"], hkdf::HKDF_SHA256)?.fill(&mut *sealing)?;
        // Not GCM: many processes draw nonces for one key, some of them restored from one snapshot of a machine, and
        // with SIV a nonce that repeats gives nothing away.
        let aead = RandomizedNonceKey::new(&AES_256_GCM_SIV, &*sealing)?;
        Ok(Self { id: array::from_fn(|at| id[at]), aead })
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty())
}

fn decode(source: &str, text: &str) -> Result<Key, Error> {
    let decoded = from_base64(text);
    if let Some(Ok(bytes)) = decoded.as_ref().map(|decoded| decoded.as_slice().try_into()) {
        return Key::new(source, bytes);
    }
    let is_path = text.starts_with(['/', '.', '~']) || text.contains('.');
    let is_hexadecimal = text.len() == 2 * LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    Err(match decoded {
        _ if is_path => Error::configuration(format!("{source}: a path, not a key"))
            .with_advice("EncryptionKey::from_file reads the key from a file"),
        _ if is_hexadecimal => not_a_key(source, "hexadecimal, not base64"),
        Some(decoded) => not_a_key(source, &format!("{} bytes instead of {LENGTH}", decoded.len())),
        None => not_a_key(source, "not base64"),
    })
}

fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [STANDARD, URL_SAFE].iter().find_map(|alphabet| {
        // Enough capacity from the start: growing would leave a copy behind.
        let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
        GeneralPurpose::new(alphabet, lenient).decode_vec(text, &mut decoded).ok().map(|()| decoded)
    })
}

fn not_a_key(source: &str, what: &str) -> Error {
    Error::configuration(format!("{source}: {what}")).with_advice("make a key with `openssl rand -base64 32`")
}

/// A path or a name, unless it is a key.
fn shown(path: &Path) -> String {
    let is_key = |part| from_base64(part).is_some_and(|decoded| matches!(decoded.len(), 16 | 32 | 48 | 64));
    let text = Zeroizing::new(path.display().to_string());
    if parts(&text).any(is_key) {
        "[redacted] (EncryptionKey::from_base64 is for the key itself)".into()
    } else {
        shown_path(path)
    }
}

/// Whoever can write the key can choose one and read all tokens.
#[cfg(unix)]
fn is_written_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    path.metadata().is_ok_and(|file| file.permissions().mode() & 0o002 != 0)
}

#[cfg(not(unix))]
fn is_written_by_all(_: &Path) -> bool {
    false
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
