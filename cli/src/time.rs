//! Times as text.

use std::time::{Duration, SystemTime};

/// Reads `90`, `90s`, `20m` or `2h`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(digits) => (digits, &text[digits.len()..]),
        None => (text, "s"),
    };
    let factor = match unit {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    seconds.map(Duration::from_secs).ok_or_else(|| "write a time as `90s`, `20m` or `2h`".to_owned())
}

/// A point in time in UTC, such as `2026-01-31T23:59:59Z` (RFC 3339).
pub(crate) fn utc(time: SystemTime) -> String {
    // `Sat, 31 Jan 2026 23:59:59 GMT`
    let date = httpdate::fmt_http_date(time);
    let (day, month, year, of_day) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
    let month = "JanFebMarAprMayJunJulAugSepOctNovDec".find(month).map_or(0, |at| at / 3 + 1);
    format!("{year}-{month:02}-{day}T{of_day}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(["90", "90s", "20m", "2h"].map(|text| parse(text).expect("a time").as_secs()), [90, 90, 1200, 7200]);
        for wrong in ["", "m", "-1", "1d", "1.5h", "99999999999999999h"] {
            parse(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn utc_is_that_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
