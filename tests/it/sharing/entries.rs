//! What is stored, and what an instance makes of entries that it did not write.

use std::{collections::HashMap, time::Duration};

use client_credentials::{
    TokenRequest,
    store::{EncryptionKey, Entry, EntryName, TokenStore},
    testing::MockResponse,
};
use tokio::time::sleep;
use tracing::Level;

use crate::support::{
    instances::{Fleet, Instance, SECRET},
    log::Log,
    source::{hours, millis, minutes, seconds},
};

fn key(byte: u8) -> EncryptionKey {
    let mut bytes = [byte; 32];
    bytes[0] = 0;
    EncryptionKey::from_bytes(&bytes).expect("a key")
}

fn with_key(fleet: &Fleet, key: EncryptionKey) -> Instance {
    fleet.instance_with(SECRET, |builder| builder.shared(fleet.store.clone(), key))
}

fn tokens(fleet: &Fleet) -> HashMap<EntryName, Entry> {
    let mut entries = fleet.store.entries();
    entries.retain(|name, _| name.as_str().ends_with(".token"));
    entries
}

fn bytes(fleet: &Fleet) -> Vec<u8> {
    std::mem::take(&mut tokens(fleet).into_values().next().expect("a stored token").bytes)
}

#[tokio::test(start_paused = true)]
async fn garbage_counts_as_absent_and_is_replaced() {
    for garbage in [&b""[..], b"garbage", b"cct\x01", b"cct\x01\0", b"cct\x01\0abcde12345"] {
        let fleet = Fleet::of(1);
        fleet.tokens().await;
        sleep(seconds(2)).await;
        fleet.store.overwrite(garbage);
        let (log, _guard) = Log::start();
        assert_eq!(fleet.instance().token().await, "token-2");
        let told = log.take(Level::WARN);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("an entry in the token store does not count and is replaced: "), "{told:?}");
        assert_eq!(fleet.instance().token().await, "token-2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_and_a_failure_that_are_garbage_hold_nobody_back() {
    let fleet = Fleet::of(1);
    fleet.auth.respond_next(MockResponse::status(429).with_retry_after(minutes(2)));
    fleet.instances[0].tokens.token().await.expect_err("busy");
    assert_eq!(fleet.store.entries().len(), 2, "a failure and the last second of a lease");
    fleet.store.overwrite(b"garbage");
    assert_eq!(fleet.instance().token().await, "token-1");
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_a_later_version_or_another_key_is_left_alone_and_the_store_is_used() {
    let fleet = Fleet::of(0);
    for foreign in [None, Some(b"cct\x02from the future")] {
        with_key(&fleet, key(1)).token().await;
        sleep(seconds(2)).await;
        let foreign = foreign.map_or_else(|| bytes(&fleet), |bytes| bytes.to_vec());
        fleet.store.overwrite(&foreign);
        let (log, _guard) = Log::start();
        let instance = with_key(&fleet, key(2));
        let before = fleet.count();
        instance.token().await;
        assert_eq!((fleet.count(), bytes(&fleet)), (before + 1, foreign));
        let told = log.take(Level::WARN);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("an entry in the token store is ") && told[0].contains("left alone"), "{told:?}");
        // A token that is not foreign is shared.
        let request = TokenRequest::builder().scope("stats").build().expect("a scope");
        let token = instance.tokens.token_for(&request).await.expect("a token");
        let shared = with_key(&fleet, key(2)).tokens.token_for(&request).await.expect("a token");
        assert_eq!(shared.expose_secret(), token.expose_secret());
        fleet.store.clear();
    }
}

#[tokio::test(start_paused = true)]
async fn instances_with_the_old_and_the_new_key_share_while_it_is_replaced() {
    let fleet = Fleet::of(0);
    let second = || with_key(&fleet, key(1).also_opens(key(2)));
    let first = || with_key(&fleet, key(2).also_opens(key(1)));
    with_key(&fleet, key(1)).token().await;
    for instance in [second(), first()] {
        assert_eq!(instance.token().await, "token-1");
    }
    fleet.store.clear();
    first().token().await;
    for instance in [second(), with_key(&fleet, key(2))] {
        assert_eq!(instance.token().await, "token-2");
    }
}

/// They take the same lease, although they cannot read each other's tokens.
#[tokio::test(start_paused = true)]
async fn instances_with_different_keys_do_not_request_tokens_at_once() {
    let fleet = Fleet::of(0);
    fleet.auth.respond_next(MockResponse::usual().with_delay(seconds(2)));
    let (one, other) = (with_key(&fleet, key(1)), with_key(&fleet, key(2)));
    let (_, _) = tokio::join!(one.token(), other.token());
    let asked = fleet.asked();
    assert!(asked[1] - asked[0] >= seconds(2), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn with_a_key_clear_text_does_not_count() {
    let fleet = Fleet::of(1);
    fleet.tokens().await;
    sleep(seconds(2)).await;
    let keyed = with_key(&fleet, key(1));
    assert_eq!(keyed.token().await, "token-2");
    assert!(!bytes(&fleet).windows(7).any(|window| window == b"token-2"), "encrypted");
    assert_eq!(with_key(&fleet, key(1)).token().await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn entries_that_were_swapped_do_not_count() {
    for key in [Some(key(1)), None] {
        do_not_count_when_swapped(&key).await;
    }
}

async fn do_not_count_when_swapped(key: &Option<EncryptionKey>) {
    let fleet = Fleet::of(0);
    let instance = || key.clone().map_or_else(|| fleet.instance(), |key| with_key(&fleet, key));
    let scoped = TokenRequest::builder().scope("stats").build().expect("a scope");
    let first = instance();
    first.token().await;
    first.tokens.token_for(&scoped).await.expect("a token");
    sleep(seconds(2)).await;
    let entries: Vec<_> = tokens(&fleet).into_iter().collect();
    let [(one, of_one), (other, of_other)] = &entries[..] else { panic!("{entries:?}") };
    for (name, old, new) in [(one, of_one, of_other), (other, of_other, of_one)] {
        let put = fleet.store.put(name, Some(&old.bytes), &new.bytes, hours(1), seconds(1)).await;
        assert!(put.expect("up"));
    }
    let second = instance();
    assert_eq!(second.token().await, "token-3");
    let token = second.tokens.token_for(&scoped).await.expect("a token");
    assert_eq!(token.expose_secret(), "token-4");
}

/// A store, or whoever writes into it, cannot make a token live longer.
#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_token_is_never_more_than_its_lifetime() {
    let fleet = Fleet::of(1);
    fleet.tokens().await;
    sleep(minutes(10)).await;
    let (name, entry) = tokens(&fleet).into_iter().next().expect("a stored token");
    let put = fleet.store.put(&name, Some(&entry.bytes), &entry.bytes, hours(100), seconds(1)).await;
    assert!(put.expect("up"));
    let instance = fleet.instance();
    assert_eq!(instance.token().await, "token-1");
    assert_eq!(instance.tokens.status().usable_for(), Some(hours(1) - seconds(10)));
}

#[tokio::test(start_paused = true)]
async fn everything_that_the_server_said_is_shared() {
    let fleet = Fleet::of(2);
    let body = r#"{"access_token":"abcde12345","token_type":"Bearer","expires_in":3600,"refresh_in":1200,
        "scope":"stats orders","instance_url":"https://na1.example.com","roles":["a","b"]}"#;
    fleet.auth.respond_next(MockResponse::status(200).with_body(body));
    for instance in &fleet.instances {
        let token = instance.tokens.token().await.expect("a token");
        assert_eq!(token.expose_secret(), "abcde12345");
        assert_eq!((token.expires_in(), token.refresh_in()), (Some(hours(1)), Some(minutes(20))));
        assert_eq!(
            (token.scope(), token.member("instance_url")),
            (Some("stats orders"), Some("https://na1.example.com"))
        );
        assert_eq!(token.member("roles"), Some(r#"["a","b"]"#));
    }
    assert_eq!(fleet.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_stated_lifetime_is_taken_with_its_age() {
    let fleet = Fleet::of(2);
    let body = r#"{"access_token":"abcde12345","token_type":"Bearer"}"#;
    fleet.auth.respond_next(MockResponse::status(200).with_body(body));
    fleet.instances[0].token().await;
    sleep(minutes(20)).await;
    fleet.instances[1].token().await;
    let usable_for = fleet.instances[1].tokens.status().usable_for();
    assert_eq!(usable_for, Some(Duration::from_secs(40 * 60 - 10)));
    assert_eq!(fleet.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_loses_everything_costs_nothing() {
    let fleet = Fleet::of(4);
    fleet.tokens().await;
    sleep(minutes(1)).await;
    fleet.store.clear();
    assert_eq!(fleet.live(minutes(60)).await, 0);
    assert_eq!(fleet.count(), 2);
    sleep(millis(1)).await;
}

/// As an earlier version wrote it: with the time of issue as field 3.
#[tokio::test(start_paused = true)]
async fn a_number_of_an_earlier_format_is_not_taken_for_another() {
    let fleet = Fleet::of(1);
    fleet.tokens().await;
    let (name, entry) = tokens(&fleet).into_iter().next().expect("a token");
    let at = entry.bytes.iter().position(|byte| *byte == b'\n').expect("clear") + 1;
    let mut old = entry.bytes[..at].to_vec();
    let number = |value: u64| value.to_be_bytes().to_vec();
    for (field, value) in [(1u8, b"the-old-one".to_vec()), (2, number(3_600_000)), (3, number(1_700_000_000_000))] {
        old.push(field);
        old.extend_from_slice(&u32::try_from(value.len()).expect("short").to_be_bytes());
        old.extend_from_slice(&value);
    }
    assert!(fleet.store.put(&name, Some(&entry.bytes), &old, hours(1), seconds(1)).await.expect("up"));
    let instance = fleet.instance();
    assert_eq!(instance.token().await, "the-old-one");
    sleep(hours(24)).await;
    assert_eq!(instance.token().await, "token-2");
}
