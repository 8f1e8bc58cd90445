//! A request's own time limit, which bounds its wait for a token.

use std::{future::Future, time::Duration};

use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use crate::runtime;

/// `None`: the deadline came first.
pub(super) async fn before<T>(deadline: Option<Instant>, wait: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) if runtime::with_timer().is_some() => timeout_at(deadline, wait).await.ok(),
        // Without a timer, the deadline cannot be enforced.
        _ => Some(wait.await),
    }
}

/// The end of a time limit that begins now.
pub(super) fn after(limit: Duration) -> Option<Instant> {
    Instant::now().checked_add(limit)
}

/// gRPC's `grpc-timeout`: at most eight digits and a unit. A malformed value is ignored.
pub(super) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn grpcs_time_limits_are_read_and_nothing_else() {
        let table = [
            ("2H", Some(Duration::from_secs(7200))),
            ("3M", Some(Duration::from_secs(180))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("100m", Some(Duration::from_millis(100))),
            ("5u", Some(Duration::from_micros(5))),
            ("0n", Some(Duration::ZERO)),
            ("100000000S", None),
            ("1s", None),
            ("S", None),
            ("", None),
            ("+1S", None),
            ("1.5S", None),
            ("1 S", None),
            ("12", None),
        ];
        for (value, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(value));
            assert_eq!(grpc_timeout(&headers), expected, "{value:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_bytes(b"1\xff").expect("a header value"));
        assert_eq!(grpc_timeout(&headers), None);
    }
}
