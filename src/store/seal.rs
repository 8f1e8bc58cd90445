//! What an entry looks like in a store.
//!
//! ```text
//! clear:   "cct" | version 1 | 0 | name | line feed | content
//! sealed:  "cct" | version 1 | 1 | id of the key, 8 bytes | nonce, 12 bytes | content, encrypted | tag, 16 bytes
//! ```
//!
//! What precedes the nonce and the entry's name are authenticated with the content.

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

use super::{
    availability::Down,
    contract::EntryName,
    key::{EncryptionKey, ID_LENGTH, hexadecimal},
};

const MARK: &[u8] = b"cct";
const VERSION: u8 = 1;
const CLEAR: u8 = 0;
const AES_256_GCM_SIV: u8 = 1;
const TAG_LENGTH: usize = 16;

/// Seals what is stored, and opens what was.
#[derive(Clone, Debug)]
pub(crate) enum Seal {
    /// Without encryption.
    Clear,
    Keys(EncryptionKey),
}

/// Why an entry does not count, in words for the log, which contain nothing of the entry.
pub(super) enum Unusable {
    /// Another instance can use it: it is left alone while it lives.
    Foreign(String),
    /// It is of no use to anybody, or must not be used: it is replaced.
    Garbage(&'static str),
}

const CUT_OFF: Unusable = Unusable::Garbage("cut off");

impl Seal {
    /// The bytes to store under `name`. What cannot be encrypted is not stored, as if the store were down.
    pub(super) fn seal(&self, name: &EntryName, plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, Down> {
        let Self::Keys(keys) = self else {
            let parts = [MARK, &[VERSION, CLEAR], name.as_str().as_bytes(), b"\n", plain];
            return Ok(Zeroizing::new(parts.concat()));
        };
        let key = keys.first().ok_or(Down)?;
        let header = [MARK, &[VERSION, AES_256_GCM_SIV], &key.id].concat();
        // Enough capacity from the start: growing would leave a copy behind.
        let mut sealed = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_LENGTH));
        sealed.extend_from_slice(plain);
        let nonce = key.aead.seal_in_place_append_tag(authenticated(&header, name), &mut *sealed).map_err(|_| Down)?;
        Ok(Zeroizing::new([&header[..], nonce.as_ref(), &sealed].concat()))
    }

    /// What is stored under `name`.
    pub(super) fn open(&self, name: &EntryName, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unusable> {
        let marked = stored.strip_prefix(MARK).and_then(<[u8]>::split_first);
        let (version, rest) = marked.ok_or(Unusable::Garbage("not written by this crate"))?;
        match (*version, rest.split_first(), self) {
            (0, ..) | (VERSION, None, _) => Err(CUT_OFF),
            (VERSION, Some((&CLEAR, named)), Self::Clear) => open_clear(name, named),
            (VERSION, Some((&CLEAR, _)), Self::Keys(_)) => Err(Unusable::Garbage("not encrypted")),
            (VERSION, Some((&AES_256_GCM_SIV, _)), Self::Clear) => {
                Err(Unusable::Foreign("encrypted, and this instance has no key".into()))
            }
            (VERSION, Some((&AES_256_GCM_SIV, sealed)), Self::Keys(keys)) => open(keys, name, stored, sealed),
            _ => Err(Unusable::Foreign("written by a later version".into())),
        }
    }
}

fn open_clear(name: &EntryName, named: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let plain = named.strip_prefix(name.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
    let plain = plain.ok_or(Unusable::Garbage("cut off, or stored under another name"))?;
    Ok(Zeroizing::new(plain.to_vec()))
}

fn open(keys: &EncryptionKey, name: &EntryName, stored: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let (id, sealed) = sealed.split_first_chunk::<ID_LENGTH>().ok_or(CUT_OFF)?;
    let unknown = || format!("encrypted with the key {}, which this instance does not have", hexadecimal(id));
    let key = keys.find(*id).ok_or_else(|| Unusable::Foreign(unknown()))?;
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(CUT_OFF)?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let header = &stored[..MARK.len() + 2 + ID_LENGTH];
    let mut plain = Zeroizing::new(sealed.to_vec());
    let opened = key.aead.open_in_place(nonce, authenticated(header, name), &mut plain);
    let length = opened.map_err(|_| Unusable::Garbage("changed, or stored under another name"))?.len();
    plain.truncate(length);
    Ok(plain)
}

fn authenticated(header: &[u8], name: &EntryName) -> Aad<Vec<u8>> {
    Aad::from([header, name.as_str().as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::{EncryptionKey, EntryName, Seal, Unusable};

    const PLAIN: &[u8] = b"eyJhbGciOi";

    fn key(byte: u8) -> EncryptionKey {
        let mut bytes = [byte; 32];
        bytes[0] = 0;
        EncryptionKey::from_bytes(&bytes).expect("a key")
    }

    fn name(what: &str) -> EntryName {
        EntryName::new("9f86d081", what)
    }

    fn sealed(seal: &Seal) -> Vec<u8> {
        seal.seal(&name("token"), PLAIN).expect("sealed").to_vec()
    }

    fn opened(seal: &Seal, what: &str, stored: &[u8]) -> Result<Vec<u8>, String> {
        seal.open(&name(what), stored).map(|plain| plain.to_vec()).map_err(|unusable| match unusable {
            Unusable::Foreign(why) => format!("foreign: {why}"),
            Unusable::Garbage(why) => format!("garbage: {why}"),
        })
    }

    #[test]
    fn a_sealed_entry_opens_under_its_own_name_only() {
        let seal = Seal::Keys(key(1));
        let stored = sealed(&seal);
        assert_eq!(opened(&seal, "token", &stored), Ok(PLAIN.to_vec()));
        assert_eq!(opened(&seal, "lease", &stored), Err("garbage: changed, or stored under another name".into()));
        assert!(!stored.windows(PLAIN.len()).any(|window| window == PLAIN), "in the clear");
        assert_ne!(stored, sealed(&seal), "a nonce is used twice");
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (Seal::Keys(key(1)), Seal::Keys(key(2)));
        let (second, first) = (Seal::Keys(key(1).also_opens(key(2))), Seal::Keys(key(2).also_opens(key(1))));
        for (from, to) in [(&old, &second), (&second, &old), (&second, &first), (&first, &second), (&first, &new)] {
            assert_eq!(opened(to, "token", &sealed(from)), Ok(PLAIN.to_vec()));
        }
        let foreign = opened(&old, "token", &sealed(&first)).expect_err("an unknown key");
        let Seal::Keys(keys) = &new else { unreachable!() };
        let id = format!("{keys:?}").replace(['[', ']', '"'], "");
        assert_eq!(foreign, format!("foreign: encrypted with the key {id}, which this instance does not have"));
    }

    #[test]
    fn encrypted_and_clear_entries_are_not_mistaken_for_each_other() {
        let (clear, keyed) = (Seal::Clear, Seal::Keys(key(1)));
        assert_eq!(opened(&clear, "token", &sealed(&clear)), Ok(PLAIN.to_vec()));
        let moved = "garbage: cut off, or stored under another name";
        assert_eq!(opened(&clear, "lease", &sealed(&clear)), Err(moved.into()));
        assert_eq!(opened(&keyed, "token", &sealed(&clear)), Err("garbage: not encrypted".into()));
        let foreign = "foreign: encrypted, and this instance has no key";
        assert_eq!(opened(&clear, "token", &sealed(&keyed)), Err(foreign.into()));
    }

    #[test]
    fn a_later_version_is_foreign_and_anything_else_garbage() {
        for seal in [Seal::Clear, Seal::Keys(key(1))] {
            for later in [&b"cct\x02"[..], b"cct\x02\0whatever", b"cct\x01\x02whatever", b"cct\xff"] {
                let foreign = "foreign: written by a later version";
                assert_eq!(opened(&seal, "token", later), Err(foreign.into()), "{later:?}");
            }
            for garbage in [&b""[..], b"c", b"cct", b"cct\x01", b"cct\0\0abc", b"null", b"\0\0\0\0\0\0\0\0"] {
                let why = opened(&seal, "token", garbage).expect_err("garbage");
                assert!(why.starts_with("garbage: "), "{garbage:?}: {why}");
            }
        }
    }

    /// Made with other implementations of HKDF and AES-256-GCM-SIV. A change splits a fleet while a version is rolled
    /// out.
    #[test]
    fn a_sealed_entry_stays_readable() {
        let stored = "6363740101bc644a5b4a709d61000102030405060708090a0b\
                      b55029f945e6b232ff9976051fe431a154586f9401d4797dbc04";
        let byte = |at| u8::from_str_radix(&stored[at..at + 2], 16).expect("hexadecimal");
        let stored: Vec<u8> = (0..stored.len()).step_by(2).map(byte).collect();
        assert_eq!(opened(&Seal::Keys(key(1)), "token", &stored), Ok(PLAIN.to_vec()));
    }

    /// Each byte counts, and no length panics.
    #[test]
    fn a_changed_entry_does_not_open() {
        let seal = Seal::Keys(key(1));
        let stored = sealed(&seal);
        for at in 0..stored.len() {
            assert!(opened(&seal, "token", &stored[..at]).is_err(), "cut at {at}");
            let mut changed = stored.clone();
            changed[at] ^= 1;
            assert!(opened(&seal, "token", &changed).is_err(), "changed at {at}");
        }
    }
}
