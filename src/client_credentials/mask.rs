//! Keeps what we sent as a secret out of what a server says: a text that repeats one, in whatever form, is not shown.

use std::collections::{BTreeSet, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::{authentication::FORM, escape};

pub(super) const MASK: &str = "[redacted]";

/// One form of writing may be within another this often: JSON in HTML in JSON.
const MOST_LAYERS: usize = 3;

/// A shorter part of a secret is chance.
const LEAST_PART: usize = 4;

/// What was sent in one exchange and must not be shown.
#[derive(Clone, Default)]
pub(super) struct Mask {
    secrets: Vec<Zeroizing<String>>,
    values: Vec<Zeroizing<String>>,
}

impl Mask {
    /// A text that repeats a part of `secret` is hidden whole.
    pub(super) fn hide(&mut self, secret: &str) {
        self.secrets.push(Zeroizing::new(secret.to_owned()));
    }

    /// Most likely no secret, such as an account's id, so that the text around it stays. Written in another form, it hides the text as well.
    pub(super) fn cut_out(&mut self, value: &str) {
        self.values.push(Zeroizing::new(value.to_owned()));
    }

    /// The text without the values that stand in it as they were sent.
    pub(super) fn without_values(&self, text: &str) -> String {
        let values = self.values.iter().filter(|value| !value.is_empty());
        values.fold(text.to_owned(), |text, value| text.replace(value.as_str(), MASK))
    }

    /// Whether one of the texts, or all of them together, repeats something.
    pub(super) fn is_in(&self, texts: &[&str]) -> bool {
        let patterns = self.patterns();
        let index = Index::of(&patterns);
        texts.iter().any(|text| index.is_in(text, MOST_LAYERS)) || index.is_in(&texts.concat(), MOST_LAYERS)
    }

    fn patterns(&self) -> Vec<Pattern> {
        let secrets = self.secrets.iter().flat_map(|secret| Pattern::all_of(secret, true));
        secrets.chain(self.values.iter().flat_map(|value| Pattern::all_of(value, false))).collect()
    }
}

/// A secret in one of the forms that stay after [`plain`] and the escapes.
struct Pattern {
    text: Zeroizing<String>,
    /// So much of it in a row is no chance.
    part: usize,
    /// Whether less than that, at the end of a text, was cut off by the server.
    is_secret: bool,
}

impl Pattern {
    fn all_of(text: &str, is_secret: bool) -> Vec<Self> {
        // As it is sent in a form or in a Basic header, which a server may repeat in base64.
        let form = Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
        let percent = Zeroizing::new(percent_encoding::utf8_percent_encode(text, FORM).to_string());
        let mut written = vec![hex(text)];
        for sent in [text, &form, &percent] {
            written.push(Zeroizing::new(sent.to_owned()));
            written.extend((0..3).map(|shift| within_base64(sent, shift)));
        }
        written.sort_unstable_by(|one, other| one.as_str().cmp(other));
        written.dedup();
        let length = plain(text).len().max(1);
        let part = part(length, is_secret);
        let patterns = written.into_iter().map(|written| plain(&written)).filter(|text| !text.is_empty());
        patterns.map(|text| Self { part: (text.len() * part).div_ceil(length), text, is_secret }).collect()
    }
}

/// How much in a row of a text of this length tells that it is repeated. Of a value that is most likely no secret it is more: those have
/// something in common with other texts, as URLs do.
fn part(length: usize, is_secret: bool) -> usize {
    match (is_secret, length) {
        (true, ..8) => length,
        (true, _) => length.div_ceil(2).clamp(LEAST_PART, 8),
        (false, _) => (length * 2).div_ceil(3).clamp(8, 32).min(length),
    }
}

/// Finds parts of patterns at a cost that does not grow with their number.
struct Index<'a> {
    parts: HashSet<&'a [u8]>,
    lengths: BTreeSet<usize>,
    beginnings: HashSet<&'a [u8]>,
}

impl<'a> Index<'a> {
    fn of(patterns: &'a [Pattern]) -> Self {
        let parts = patterns.iter().flat_map(|pattern| pattern.text.as_bytes().windows(pattern.part)).collect();
        let lengths = patterns.iter().map(|pattern| pattern.part).collect();
        let secrets = patterns.iter().filter(|pattern| pattern.is_secret);
        let beginnings = secrets.flat_map(|pattern| {
            (LEAST_PART..pattern.part).map(|length| &pattern.text.as_bytes()[..length])
        });
        Self { parts, lengths, beginnings: beginnings.collect() }
    }

    fn is_in(&self, text: &str, layers: usize) -> bool {
        let text = plain(text);
        let bytes = text.as_bytes();
        let begins = |at| self.lengths.iter().any(|length| bytes.get(at..at + length).is_some_and(|part| self.parts.contains(part)));
        let longest = self.lengths.last().copied().unwrap_or_default();
        let mut ends = (bytes.len().saturating_sub(longest)..bytes.len()).map(|at| &bytes[at..]);
        ends.any(|end| self.beginnings.contains(end))
            || (0..bytes.len()).any(begins)
            || layers > 0 && escape::undone(&text).any(|inner| self.is_in(&inner, layers - 1))
    }
}

/// What is the same however it is written: without blanks, line ends, other characters that do not show, and case. A form has `+` for a
/// blank, and base64 has two alphabets.
fn plain(text: &str) -> Zeroizing<String> {
    let shown = text.chars().filter(|character| !is_blank(*character) && !"+-\u{fffd}".contains(*character));
    let lower = shown.flat_map(char::to_lowercase).map(|character| if character == '_' { '/' } else { character });
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    plain.extend(lower);
    plain
}

/// White space, or what does not show as itself: controls, directions, joiners, fillers.
pub(super) fn is_blank(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

fn hex(text: &str) -> Zeroizing<String> {
    let digits = text.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    Zeroizing::new(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect())
}

/// What base64 makes of `text` where it stands `shift` bytes into a group of three, without the characters that depend on its
/// neighbours.
fn within_base64(text: &str, shift: usize) -> Zeroizing<String> {
    let mut shifted = Zeroizing::new(vec![0; shift]);
    shifted.extend_from_slice(text.as_bytes());
    let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(&shifted));
    let inner = encoded.get((shift * 8).div_ceil(6)..shifted.len() * 8 / 6).unwrap_or_default();
    Zeroizing::new(if inner.len() < LEAST_PART { String::new() } else { inner.to_owned() })
}
