//! A token as it is stored.

use std::time::Duration;

use zeroize::Zeroizing;

use super::record::Record;
use crate::token::AccessToken;

const TOKEN: u8 = 1;
const LIFETIME: u8 = 2;
// 3 was the time of issue.
const EXPIRES_IN: u8 = 4;
const EXPIRES_WITHIN: u8 = 5;
const REFRESH_IN: u8 = 6;
const SCOPE: u8 = 7;
/// Names and values in turn.
const MEMBER: u8 = 8;

/// A token that an instance obtained.
pub(crate) struct StoredToken {
    pub token: AccessToken,
    /// How long ago it was requested, by the store's clock.
    pub age: Duration,
}

impl StoredToken {
    /// `lifetime` counts from when the token was requested.
    pub(super) fn write(token: &AccessToken, lifetime: Duration) -> Zeroizing<Vec<u8>> {
        let record = Record::default()
            .text(TOKEN, token.expose_secret())
            .number(LIFETIME, millis(lifetime))
            .number(EXPIRES_IN, token.expires_in().map(millis))
            .number(EXPIRES_WITHIN, token.expires_within().map(millis))
            .number(REFRESH_IN, token.refresh_in().map(millis))
            .text(SCOPE, token.scope());
        let members = token.members().flat_map(|(name, value)| [name, value]);
        members.fold(record, |record, part| record.text(MEMBER, part)).write()
    }

    /// With what is left of its `life`. `None`: it is not a token.
    pub(super) fn read(bytes: &[u8], life: Duration) -> Option<Self> {
        let record = Record::read(bytes)?;
        let time = |number| record.find_number(number).map(Duration::from_millis);
        let set = |token, time: Option<Duration>, with: fn(AccessToken, Duration) -> AccessToken| match time {
            Some(time) => with(token, time),
            None => token,
        };
        let mut token = AccessToken::new(record.find_text(TOKEN)?).ok()?;
        token = set(token, time(EXPIRES_IN), AccessToken::with_expires_in);
        token = set(token, time(EXPIRES_WITHIN), AccessToken::with_expires_within);
        token = set(token, time(REFRESH_IN), AccessToken::with_refresh_in);
        if let Some(scope) = record.find_text(SCOPE) {
            token = token.with_scope(scope);
        }
        let mut members = record.texts(MEMBER);
        while let (Some(name), Some(value)) = (members.next(), members.next()) {
            token = token.with_member(name, value);
        }
        // A store that says more than the lifetime is wrong: then the token is treated as a new one.
        Some(Self { token, age: time(LIFETIME)?.saturating_sub(life) })
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_token_has_all_that_the_token_has() {
        let seconds = Duration::from_secs;
        let token = AccessToken::new("abcde12345").expect("a token");
        let bare = token.clone();
        let token = token.with_expires_in(seconds(3600)).with_refresh_in(seconds(1800)).with_scope("stats orders");
        let token = token.with_expires_within(seconds(7200));
        let token = token.with_member("instance_url", "https://na1.example.com").with_member("roles", "[]");
        for token in [token, bare] {
            let stored = StoredToken::write(&token, seconds(3600));
            let read = StoredToken::read(&stored, seconds(3000)).expect("a token");
            assert_eq!(read.age, seconds(600));
            let all = |token: &AccessToken| {
                let members: Vec<_> = token.members().map(|(name, value)| [name, value].map(str::to_owned)).collect();
                let times = [token.expires_in(), token.expires_within(), token.refresh_in()];
                (token.expose_secret().to_owned(), times, token.scope().map(str::to_owned), members)
            };
            assert_eq!(all(&read.token), all(&token));
        }
        assert!([&b""[..], b"abcde12345"].iter().all(|other| StoredToken::read(other, seconds(1)).is_none()));
    }

    /// A change splits a fleet while a version is rolled out, or makes it take a number for another.
    #[test]
    fn a_stored_token_stays_readable() {
        let hour = Duration::from_secs(3600);
        let token = AccessToken::new("abcde12345").expect("a token").with_expires_in(hour).with_refresh_in(hour / 2);
        let token = token.with_expires_within(2 * hour).with_scope("s").with_member("a", "b");
        let numbers = |number, millis: u64| [&[number, 0, 0, 0, 8][..], &millis.to_be_bytes()].concat();
        let texts = |number, text: &[u8]| [&[number, 0, 0, 0, text.len() as u8], text].concat();
        let times = [numbers(2, 3_600_000), numbers(4, 3_600_000), numbers(5, 7_200_000), numbers(6, 1_800_000)];
        let rest = [texts(7, b"s"), texts(8, b"a"), texts(8, b"b")].concat();
        let bytes = [texts(1, b"abcde12345"), times.concat(), rest].concat();
        assert_eq!(*StoredToken::write(&token, hour), bytes);
    }
}
