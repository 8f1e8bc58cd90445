//! A failed token request, as far as it concerns other instances.

use std::time::Duration;

use http::StatusCode;
use zeroize::Zeroizing;

use super::record::Record;
use crate::error::{Error, ErrorKind};

const INSTANCE: u8 = 1;
const FOR_ALL: u8 = 2;
const KIND: u8 = 3;
const STATUS: u8 = 4;
const IN_A_ROW: u8 = 5;
const ASKED: u8 = 6;
const TEXT: u8 = 7;

/// What the server says, or what may be about the path to it. No failure of another kind is stored.
const KINDS: [ErrorKind; 10] = [
    ErrorKind::Status,
    ErrorKind::ErrorResponse,
    ErrorKind::InvalidResponse,
    ErrorKind::Dns,
    ErrorKind::Connect,
    ErrorKind::Proxy,
    ErrorKind::Reset,
    ErrorKind::Timeout,
    ErrorKind::Tls,
    ErrorKind::Transport,
];
/// A longer text is omitted.
const LONGEST_TEXT: usize = 2048;

/// How long a failure is remembered after its hold: what follows it within that time is no first failure.
pub(super) const REMEMBERED: Duration = Duration::from_secs(60);

/// A token request that failed.
pub(crate) struct StoredFailure {
    pub error: Error,
    /// How many have failed in a row.
    pub in_a_row: u32,
    instance: u64,
    /// Whether it concerns every instance.
    pub is_for_all: bool,
    /// For how long yet.
    pub hold: Duration,
}

impl StoredFailure {
    /// What `instance` stores after `error`, where `stored` is what it finds. `None`: it concerns no other instance.
    pub(super) fn write(
        error: &Error,
        in_a_row: u32,
        instance: u64,
        stored: Option<&Self>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let is_for_all = is_for_all(error, instance, stored)?;
        let text = Some(error.chain()).filter(|text| text.len() <= LONGEST_TEXT).unwrap_or_default();
        let record = Record::default()
            .number(INSTANCE, instance)
            .number(FOR_ALL, u64::from(is_for_all))
            .text(KIND, error.kind().name())
            .number(STATUS, error.status().map(|status| status.as_u16().into()))
            .number(IN_A_ROW, u64::from(in_a_row))
            .number(ASKED, u64::from(error.retry_after().is_some()))
            .text(TEXT, &*text);
        Some(record.write())
    }

    /// `None`: it is not a failure.
    pub(super) fn read(bytes: &[u8], life: Duration) -> Option<Self> {
        let hold = life.saturating_sub(REMEMBERED);
        let record = Record::read(bytes)?;
        let kind = KINDS.into_iter().find(|kind| Some(kind.name()) == record.find_text(KIND))?;
        let text = record.find_text(TEXT).filter(|text| !text.is_empty()).unwrap_or("the token request failed");
        let mut error = Error::new(kind, text.to_owned()).with_advice("met by another instance");
        if let Some(status) = record.find_number(STATUS) {
            error = error.with_status(StatusCode::from_u16(status.try_into().ok()?).ok()?);
        }
        if record.find_number(ASKED)? > 0 {
            error = error.with_retry_after(hold);
        }
        Some(Self {
            error,
            in_a_row: record.find_number(IN_A_ROW)?.try_into().ok()?,
            instance: record.find_number(INSTANCE)?,
            is_for_all: record.find_number(FOR_ALL)? > 0,
            hold,
        })
    }
}

/// Whether a failure concerns every instance, or only this one for now. `None`: no other instance.
fn is_for_all(error: &Error, instance: u64, stored: Option<&StoredFailure>) -> Option<bool> {
    // What is about credentials and settings is never shared: while a secret is replaced, the old instances would hold
    // back the new ones.
    if !error.is_transient() || !KINDS.contains(&error.kind()) {
        return None;
    }
    // What the server says to everybody: 429, 5xx, or that they come later.
    let is_busy = |status: StatusCode| status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    let is_said_to_all = error.retry_after().is_some() || error.status().is_some_and(is_busy);
    // The rest may be this instance's own, until another meets it: connection, DNS, TLS, a time limit.
    let is_met_by_another = |stored: &StoredFailure| {
        stored.error.kind() == error.kind() && (stored.is_for_all || stored.instance != instance)
    };
    Some(is_said_to_all || stored.is_some_and(is_met_by_another))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(7);

    fn status(status: u16) -> Error {
        Error::new(ErrorKind::Status, "no").with_status(status.try_into().expect("a status"))
    }

    #[test]
    fn what_the_server_says_concerns_all_and_what_may_be_ones_own_concerns_one_until_another_meets_it() {
        let busy = status(429).with_retry_after(LIFE);
        for error in [status(500), status(503), status(429), busy] {
            assert_eq!(is_for_all(&error, 1, None), Some(true), "{error:?}");
        }
        let kinds = [ErrorKind::Dns, ErrorKind::Connect, ErrorKind::Tls, ErrorKind::Timeout, ErrorKind::Reset];
        for error in kinds.map(|kind| Error::new(kind, "")).into_iter().chain([status(407), status(408)]) {
            assert_eq!(is_for_all(&error, 1, None), Some(false), "{error:?}");
        }
        let kinds = [ErrorKind::Credentials, ErrorKind::Configuration, ErrorKind::TlsMissing, ErrorKind::Panicked];
        for error in kinds.map(|kind| Error::new(kind, "")).into_iter().chain([status(401), status(403)]) {
            assert_eq!(is_for_all(&error, 1, None), None, "{error:?}");
        }
    }

    #[test]
    fn a_second_instance_that_meets_the_same_kind_of_failure_makes_it_everybodys() {
        let (dns, tls) = (Error::new(ErrorKind::Dns, ""), Error::new(ErrorKind::Tls, ""));
        let first = StoredFailure::write(&dns, 1, 1, None).expect("stored");
        let first = StoredFailure::read(&first, LIFE).expect("a failure");
        assert!(!first.is_for_all);
        let is_for_all = |error, instance| is_for_all(error, instance, Some(&first)).expect("stored");
        assert_eq!([is_for_all(&dns, 1), is_for_all(&dns, 2), is_for_all(&tls, 2)], [false, true, false]);
    }

    #[test]
    fn a_stored_failure_is_read_as_it_was_met() {
        for error in [status(503), status(429).with_retry_after(LIFE), Error::new(ErrorKind::Dns, "no such host")] {
            let stored = StoredFailure::write(&error, 3, 7, None).expect("stored");
            let read = StoredFailure::read(&stored, REMEMBERED + LIFE).expect("a failure");
            assert_eq!((read.in_a_row, read.instance), (3, 7));
            assert_eq!(Some(read.is_for_all), is_for_all(&error, 7, None));
            let (read, expected) = (read.error, format!("{error} (met by another instance)"));
            assert_eq!((read.kind(), read.status(), read.is_transient()), (error.kind(), error.status(), true));
            assert_eq!((read.retry_after(), read.to_string()), (error.retry_after(), expected));
        }
        assert!(StoredFailure::read(b"", LIFE).is_none());
    }
}
