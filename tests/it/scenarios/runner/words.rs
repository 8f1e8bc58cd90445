//! How times, ranges and numbers are written.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

/// `45 min`, `1 h 30 min`, `250 ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) Duration);

/// A time that may be negative.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Step {
    pub(super) milliseconds: i64,
}

/// `token-1`: the first token that the authorization server hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenName(pub(super) usize);

/// `at most 4`, `2 to 3`, `5 s`.
#[derive(Clone, Debug)]
pub(super) struct Range<T> {
    least: T,
    most: Option<T>,
    text: String,
}

/// A range of times.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Times(pub(super) Range<Duration>);

/// A range of whole numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Number")]
pub(super) struct Count(pub(super) Range<u64>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Exactly(u64),
    Words(String),
}

/// One text, or a list of them.
#[derive(Clone, Debug)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

/// By hand, since serde's untagged enums swallow what was wrong.
impl<'de, T: TryFrom<String, Error: fmt::Display>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts<T>(PhantomData<T>);

        impl<'de, T: TryFrom<String, Error: fmt::Display>> Visitor<'de> for Texts<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::try_from(text.to_owned()).map(|one| OneOrMany(vec![one])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::new();
                while let Some(text) = texts.next_element::<String>()? {
                    many.push(T::try_from(text).map_err(de::Error::custom)?);
                }
                Ok(OneOrMany(many))
            }
        }

        deserializer.deserialize_any(Texts(PhantomData))
    }
}

/// Timers are a millisecond late at most; whoever states one moment means that.
const TOLERANCE: Duration = Duration::from_millis(5);

impl TryFrom<String> for TokenName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("token-").and_then(|number| number.parse::<usize>().ok()?.checked_sub(1)) {
            Some(token) => Ok(Self(token)),
            None => Err(format!("{text:?} is no token's name; they are called \"token-1\", \"token-2\" ...")),
        }
    }
}

impl<T: PartialOrd + Copy> Range<T> {
    pub(super) fn contains(&self, value: T) -> bool {
        self.least <= value && self.most.is_none_or(|most| value <= most)
    }
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        time(&text).map(Self)
    }
}

impl TryFrom<String> for Step {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.as_str()),
        };
        let milliseconds = i64::try_from(time(rest)?.as_millis()).map_err(|_| format!("{text:?} is too long"))?;
        Ok(Self { milliseconds: sign * milliseconds })
    }
}

impl TryFrom<String> for Times {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "nothing" {
            return Ok(Self(Range { least: Duration::ZERO, most: Some(Duration::ZERO), text }));
        }
        let exactly = |value: Duration| (value.saturating_sub(TOLERANCE), value + TOLERANCE);
        range(&text, time, exactly).map(Self)
    }
}

impl TryFrom<Number> for Count {
    type Error = String;

    fn try_from(number: Number) -> Result<Self, String> {
        match number {
            Number::Exactly(value) => Ok(Self(Range { least: value, most: Some(value), text: value.to_string() })),
            Number::Words(text) => {
                let read = |text: &str| {
                    text.trim().parse().map_err(|_| {
                        format!(
                            "{text:?} is not a number; write it like 3, \"at most 4\", \"at least 1\" or \"2 to 5\""
                        )
                    })
                };
                range(&text, read, |value| (value, value)).map(Self)
            }
        }
    }
}

fn range<T: Copy + Default>(
    text: &str,
    read: impl Fn(&str) -> Result<T, String>,
    exactly: impl Fn(T) -> (T, T),
) -> Result<Range<T>, String> {
    let (least, most) = if let Some(most) = text.strip_prefix("at most ") {
        (T::default(), Some(read(most)?))
    } else if let Some(least) = text.strip_prefix("at least ") {
        (read(least)?, None)
    } else if let Some((least, most)) = text.split_once(" to ") {
        (read(least)?, Some(read(most)?))
    } else {
        let (least, most) = exactly(read(text)?);
        (least, Some(most))
    };
    Ok(Range { least, most, text: text.to_owned() })
}

fn time(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a time; write it like \"45 min\", \"1 h 30 min\" or \"250 ms\"");
    let mut words = text.split_whitespace();
    let mut seconds = 0.0;
    let mut empty = true;
    while let Some(number) = words.next() {
        let number: f64 = number.parse().map_err(|_| refuse())?;
        seconds += number
            * match words.next() {
                Some("ms") => 0.001,
                Some("s") => 1.0,
                Some("min") => 60.0,
                Some("h") => 3600.0,
                Some("day" | "days") => 86400.0,
                _ => return Err(refuse()),
            };
        empty = false;
    }
    if empty {
        return Err(refuse());
    }
    let milliseconds = (seconds * 1000.0).round();
    if !(0.0..1e15).contains(&milliseconds) {
        return Err(refuse());
    }
    Ok(Duration::from_millis(milliseconds as u64))
}

impl<T> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As in a file: `45 min`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_millis();
        let mut parts = Vec::new();
        for (unit, size) in [("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)] {
            if left >= size {
                parts.push(format!("{} {unit}", left / size));
                left %= size;
            }
        }
        f.write_str(if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }.as_str())
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token-{}", self.0 + 1)
    }
}

/// As on a time line: `1:45:00.000`.
pub(super) fn clock_face(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let (hours, minutes) = (milliseconds / 3_600_000, milliseconds / 60_000 % 60);
    format!("{hours}:{minutes:02}:{:02}.{:03}", milliseconds / 1000 % 60, milliseconds % 1000)
}
