//! The keys of shared tokens: where they come from, and what is refused.

#[cfg(unix)]
use std::fs;

use client_credentials::{Error, ErrorKind, store::EncryptionKey};

#[cfg(unix)]
use super::folder::Folder;
use crate::support::process;

const KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
const OTHER: &str = "_-7dzLuqmYh3ZlVEMyIRAP_u3cy7qpmId2ZVRDMiEQA";

#[test]
fn keys_are_read_from_text_in_both_alphabets() {
    let key = shown(EncryptionKey::from_base64(KEY));
    let other = shown(EncryptionKey::from_base64(OTHER));
    assert_eq!(shown(EncryptionKey::from_base64(format!(" {KEY}\n"))), key);
    assert_eq!(shown(EncryptionKey::from_base64(KEY.trim_end_matches('='))), key);
    let standard = OTHER.replace('_', "/").replace('-', "+");
    assert_eq!(shown(EncryptionKey::from_base64(format!("{standard}="))), other);
    let both = [&key[..key.len() - 1], &other[1..]].join(", ");
    assert_eq!(shown(EncryptionKey::from_base64(format!("{KEY}\r\n\n{OTHER}\n"))), both);
    assert_eq!(shown(EncryptionKey::from_base64(format!("{KEY},{OTHER}"))), both);
    let one_by_one = EncryptionKey::from_base64(KEY).expect("a key");
    assert_eq!(shown(Ok(one_by_one.also_opens(EncryptionKey::from_base64(OTHER).expect("a key")))), both);
}

#[test]
fn what_is_not_a_key_is_refused_by_what_it_is() {
    const ADVICE: &str = " (make a key with `openssl rand -base64 32`)";
    let repeated = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (text, what) in [
        ("", "empty"),
        ("\n", "empty"),
        ("hunter2!", "not base64"),
        ("c2VjcmV0", "6 bytes instead of 32"),
        (&"c2VjcmV0".repeat(8), "48 bytes instead of 32"),
        (&"0123456789abcdef".repeat(4), "hexadecimal, not base64"),
        (repeated, "one byte repeated"),
        (&format!("{KEY}\nc2VjcmV0"), "6 bytes instead of 32"),
    ] {
        let error = EncryptionKey::from_base64(text).expect_err("not a key");
        assert_eq!(error.to_string(), format!("encryption_key: {what}{ADVICE}"));
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
    for path in ["/run/secrets/token-key", "./token-key", "~/token-key", "secrets/token.key"] {
        let error = EncryptionKey::from_base64(path).expect_err("a path");
        let expected = "encryption_key: a path, not a key (EncryptionKey::from_file reads the key from a file)";
        assert_eq!(error.to_string(), expected);
    }
    EncryptionKey::from_bytes(&[7; 32]).expect_err("one byte repeated");
}

#[cfg(unix)]
#[test]
fn a_file_has_keys_and_is_not_written_by_all() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new("key-file");
    fs::create_dir(folder.path()).expect("a folder");
    let path = folder.path().join("token-key");
    let read = || EncryptionKey::from_file(&path);
    fs::write(&path, format!("{KEY}\n{OTHER}\n")).expect("a file");
    for accepted in [0o600, 0o640, 0o440, 0o444, 0o664] {
        fs::set_permissions(&path, fs::Permissions::from_mode(accepted)).expect("a mode");
        assert_eq!(shown(read()), shown(EncryptionKey::from_base64(format!("{KEY},{OTHER}"))));
    }
    let at = path.display();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o646)).expect("a mode");
    let expected = format!("encryption_key: the file {at} may be written by every user (chmod 600)");
    assert_eq!(refusal(read()), expected);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    fs::write(&path, "\n").expect("a file");
    assert_eq!(refusal(read()), format!("encryption_key: the file {at} is empty"));
    fs::write(&path, [0xff; 32]).expect("a file");
    assert_eq!(refusal(read()), format!("encryption_key: the file {at} is not UTF-8"));
    fs::write(&path, "c2VjcmV0").expect("a file");
    let expected = "6 bytes instead of 32 (make a key with `openssl rand -base64 32`)";
    assert_eq!(refusal(read()), format!("encryption_key: the file {at}: {expected}"));
    fs::remove_file(&path).expect("gone");
    let error = read().expect_err("no file");
    assert_eq!(error.to_string(), format!("encryption_key: the file {at} cannot be read"));
    assert!(std::error::Error::source(&error).expect("a cause").to_string().contains("No such file"));
}

#[test]
fn a_key_in_place_of_a_path_or_a_name_is_not_shown() {
    for error in [EncryptionKey::from_file(KEY), EncryptionKey::from_env(KEY), EncryptionKey::from_env(OTHER)] {
        let error = error.expect_err("a key");
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(shown.contains("[redacted]") && !shown.contains(&KEY[..20]) && !shown.contains(OTHER), "{shown}");
        }
    }
}

#[test]
fn keys_are_read_from_the_environment() {
    process::run(
        "token_store::encryption_key::reads_the_environment",
        &[("TOKEN_KEYS", &format!("{KEY},{OTHER}")), ("TOKEN_PATH", "/run/secrets/token-key")],
    );
}

#[test]
#[ignore = "run by the test above, with an environment"]
fn reads_the_environment() {
    let both = EncryptionKey::from_base64(format!("{KEY},{OTHER}"));
    assert_eq!(shown(EncryptionKey::from_env("TOKEN_KEYS")), shown(both));
    let missing = "encryption_key: the variable TOKEN_KEY is not set";
    assert_eq!(refusal(EncryptionKey::from_env("TOKEN_KEY")), missing);
    let path = "encryption_key: the variable TOKEN_PATH: a path, not a key";
    assert!(refusal(EncryptionKey::from_env("TOKEN_PATH")).starts_with(path));
}

/// `Debug` tells keys apart and shows nothing of them.
fn shown(key: Result<EncryptionKey, Error>) -> String {
    let shown = format!("{:?}", key.expect("a key"));
    for hidden in [KEY, OTHER, "abcdef12", "ffeeddcc"] {
        assert!(!shown.contains(&hidden[..8]), "{shown}");
    }
    shown
}

fn refusal(key: Result<EncryptionKey, Error>) -> String {
    key.expect_err("not a key").to_string()
}
