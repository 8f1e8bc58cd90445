//! Keeps what we sent as a secret out of what a server says.

use std::ops::Range;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

use super::authentication::FORM;

pub(super) const MASK: &str = "[redacted]";

/// A shorter remainder at the end of a text is no secret that was cut off, but chance.
const LEAST_REMAINDER: usize = 4;

/// Nor is a shorter start of one within a text, or one of less than half of it.
const LEAST_START: usize = 8;

/// So often may one form of writing be within another: JSON in HTML in JSON.
const MOST_LAYERS: usize = 3;

/// So many bytes are compared at most. A text that wants more is made to cost time, and hidden whole.
const MOST_COMPARED: usize = 16 * 1024 * 1024;

/// The secrets of one exchange, in every form in which a server may repeat them.
#[derive(Default)]
pub(super) struct Mask {
    /// None of them empty, and sorted.
    patterns: Vec<Zeroizing<Vec<u8>>>,
}

impl Mask {
    pub(super) fn hide(&mut self, secret: &str) {
        // As it is in a form and in a Basic header, too: a server may write those on as they came.
        let form: Zeroizing<String> = Zeroizing::new(form_urlencoded::byte_serialize(secret.as_bytes()).collect());
        let percent = Zeroizing::new(percent_encoding::utf8_percent_encode(secret, FORM).to_string());
        for sent in [secret, &form, &percent] {
            self.patterns.push(Zeroizing::new(sent.as_bytes().to_vec()));
            for shift in 0..3 {
                for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                    self.patterns.push(within_base64(sent, shift, engine));
                }
            }
        }
        self.patterns.retain(|pattern| !pattern.is_empty());
        self.patterns.sort_unstable_by(|one, other| one.cmp(other));
        self.patterns.dedup();
    }

    pub(super) fn apply(&self, text: &str) -> String {
        let mut hidden = vec![false; text.len()];
        self.search(&View::of(text), MOST_LAYERS, &mut hidden, &mut { MOST_COMPARED });
        let mut masked = String::with_capacity(text.len());
        let mut within = false;
        for (at, character) in text.char_indices() {
            let hide = hidden[at..at + character.len_utf8()].contains(&true);
            match hide {
                false => masked.push(character),
                true if !within => masked.push_str(MASK),
                true => {}
            }
            within = hide;
        }
        masked
    }

    fn beginning(&self, first: u8) -> &[Zeroizing<Vec<u8>>] {
        let from = self.patterns.partition_point(|pattern| pattern[0] < first);
        let of_it = self.patterns[from..].partition_point(|pattern| pattern[0] == first);
        &self.patterns[from..from + of_it]
    }

    /// Hides what is found in the view, and in whatever it is an escaped form of.
    fn search(&self, view: &View, layers: usize, hidden: &mut [bool], left: &mut usize) {
        for at in 0..view.bytes.len() {
            let first = view.bytes[at];
            let blank = if first == b'+' { self.beginning(b' ') } else { &[] };
            for pattern in self.beginning(first).iter().chain(blank) {
                let length = found(&view.bytes[at..], pattern, left);
                if length > 0 {
                    hidden[view.source[at].start..view.source[at + length - 1].end].fill(true);
                }
            }
            if *left == 0 {
                return hidden.fill(true);
            }
        }
        if layers > 0 {
            for escape in [percent, backslash, entity, line_end] {
                if let Some(inner) = view.without(escape) {
                    self.search(&inner, layers - 1, hidden, left);
                }
            }
        }
    }
}

/// How many bytes at the start of `text` are `secret`: all of it, or as much as is no chance.
fn found(text: &[u8], secret: &[u8], left: &mut usize) -> usize {
    let same = |(read, wanted): &(&u8, &u8)| read == wanted || (**read == b'+' && **wanted == b' ');
    let length = text.iter().zip(secret).take_while(same).count();
    *left = left.saturating_sub(length);
    let cut_off = length == text.len() && length >= LEAST_REMAINDER;
    let begun = length >= LEAST_START && length >= secret.len().div_ceil(2);
    if length == secret.len() || cut_off || begun { length } else { 0 }
}

/// A text without some of its escapes, and where each byte comes from.
struct View {
    bytes: Zeroizing<Vec<u8>>,
    source: Vec<Range<usize>>,
}

/// What the escape at the start of a text stands for, and its length.
type Escape = fn(&[u8]) -> Option<(Vec<u8>, usize)>;

impl View {
    fn of(text: &str) -> Self {
        Self { bytes: Zeroizing::new(text.as_bytes().to_vec()), source: (0..text.len()).map(|at| at..at + 1).collect() }
    }

    /// `None` if there is no such escape.
    fn without(&self, escape: Escape) -> Option<Self> {
        let mut inner = Self {
            bytes: Zeroizing::new(Vec::with_capacity(self.bytes.len())),
            source: Vec::with_capacity(self.bytes.len()),
        };
        let (mut at, mut any) = (0, false);
        while at < self.bytes.len() {
            let (bytes, length) = match escape(&self.bytes[at..]) {
                Some(escaped) => {
                    any = true;
                    escaped
                }
                None => (vec![self.bytes[at]], 1),
            };
            let source = self.source[at].start..self.source[at + length - 1].end;
            inner.source.extend(bytes.iter().map(|_| source.clone()));
            inner.bytes.extend(bytes);
            at += length;
        }
        any.then_some(inner)
    }
}

/// What base64 makes of `secret` where it stands `shift` bytes into a group of three, without the characters that depend on its
/// neighbours.
fn within_base64(secret: &str, shift: usize, engine: &impl Engine) -> Zeroizing<Vec<u8>> {
    let mut shifted = Zeroizing::new(vec![0; shift]);
    shifted.extend_from_slice(secret.as_bytes());
    let encoded = Zeroizing::new(engine.encode(&shifted));
    let (start, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
    let inner = encoded.as_bytes().get(start..end).unwrap_or_default();
    let inner = if inner.len() < LEAST_REMAINDER { &[] } else { inner };
    Zeroizing::new(inner.to_vec())
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

fn utf8(code: u32) -> Option<Vec<u8>> {
    char::from_u32(code).map(|character| character.to_string().into_bytes())
}

fn percent(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let digits = text.strip_prefix(b"%")?.get(..2)?;
    Some((vec![u8::try_from(number(digits, 16)?).ok()?], 3))
}

/// As JSON and programming languages have it.
fn backslash(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let rest = text.strip_prefix(b"\\")?;
    match rest.first()? {
        b'u' if rest.get(1) == Some(&b'{') => {
            let end = rest.iter().take(9).position(|byte| *byte == b'}')?;
            Some((utf8(number(&rest[2..end], 16)?)?, end + 2))
        }
        b'u' => {
            let high = number(rest.get(1..5)?, 16)?;
            if let Some(bytes) = utf8(high) {
                return Some((bytes, 6));
            }
            let low = rest.get(5..11)?.strip_prefix(b"\\u").and_then(|digits| number(digits, 16))?;
            let pair = char::decode_utf16([u16::try_from(high).ok()?, u16::try_from(low).ok()?]).next()?.ok()?;
            Some((pair.to_string().into_bytes(), 12))
        }
        b'x' => Some((vec![u8::try_from(number(rest.get(1..3)?, 16)?).ok()?], 4)),
        b'n' => Some((b"\n".to_vec(), 2)),
        b'r' => Some((b"\r".to_vec(), 2)),
        b't' => Some((b"\t".to_vec(), 2)),
        b'b' => Some((b"\x08".to_vec(), 2)),
        b'f' => Some((b"\x0c".to_vec(), 2)),
        other => Some((vec![*other], 2)),
    }
}

/// As HTML has it.
fn entity(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let rest = text.strip_prefix(b"&")?;
    let end = rest.iter().take(10).position(|byte| *byte == b';')?;
    let bytes = match &rest[..end] {
        b"amp" => b"&".to_vec(),
        b"lt" => b"<".to_vec(),
        b"gt" => b">".to_vec(),
        b"quot" => b"\"".to_vec(),
        b"apos" => b"'".to_vec(),
        [b'#', b'x' | b'X', digits @ ..] => utf8(number(digits, 16)?)?,
        [b'#', digits @ ..] => utf8(number(digits, 10)?)?,
        _ => return None,
    };
    Some((bytes, end + 2))
}

/// Long base64 is often written in lines.
fn line_end(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    matches!(text.first()?, b'\r' | b'\n').then(|| (Vec::new(), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let secret = "s:e+c%20r &=/?#\"\\~'<\n\u{e9}\u{1f511}";
        let mut mask = Mask::default();
        mask.hide(secret);
        let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let percent = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
        let json = serde_json::Value::from(secret).to_string();
        let html = "s:e+c%20r &amp;=/?#&quot;\\~&#39;&lt;\n&eacute;".replace("&eacute;", "&#xe9;&#128273;");
        let escaped: String =
            secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>().replace("\\u002f", "\\/");
        let unaligned = STANDARD_NO_PAD.encode(format!("id:{secret}:behind"));
        let mixed = form.replacen("%2B", "%2b", 1);
        for written in [secret, &form, &percent, &json, &html, &escaped, &mixed, &STANDARD_NO_PAD.encode(secret)] {
            let masked = mask.apply(&format!("before {written} behind"));
            assert!(masked.starts_with("before ") && masked.ends_with(" behind"), "{masked}");
            assert!(masked.len() < 32, "{written}: {masked}");
        }
        let masked = mask.apply(&unaligned);
        assert!(masked.len() <= MASK.len() + 16, "{masked}");
        assert_eq!(mask.apply("it was s:e+c%20r"), "it was [redacted]", "cut off by the server");
    }

    #[test]
    fn what_is_no_secret_stays() {
        let mut mask = Mask::default();
        mask.hide("12345");
        mask.hide("");
        assert_eq!(
            mask.apply("1234 and 12346 %zz \\u12 &#; &none; \u{1f511}"),
            "1234 and 12346 %zz \\u12 &#; &none; \u{1f511}"
        );
        assert_eq!(mask.apply("12345"), "[redacted]");
        assert_eq!(Mask::default().apply("all"), "all");
    }

    #[test]
    fn a_secret_is_found_within_several_layers() {
        let secret = "s:e+c%20r &=/?#\"\\~'<";
        let mut mask = Mask::default();
        mask.hide(secret);
        let form = |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        let json = |text: &str| serde_json::Value::from(text).to_string();
        let html =
            |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;").replace('<', "&lt;");
        let lines =
            |text: &str| text.as_bytes().chunks(16).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\r\n");
        for written in [
            form(&form(secret)),
            json(&json(secret)),
            html(&html(secret)),
            html(&json(secret)),
            json(&html(&form(secret))),
            STANDARD_NO_PAD.encode(form(secret)),
            form(&STANDARD_NO_PAD.encode(form(secret))),
            lines(&STANDARD_NO_PAD.encode(secret)),
            json(&lines(&STANDARD_NO_PAD.encode(secret))),
            secret.bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
            secret.chars().map(|character| format!("\\u{{{:x}}}", u32::from(character))).collect(),
        ] {
            let masked = mask.apply(&format!("before {written} behind"));
            assert!(masked.starts_with("before ") && masked.ends_with(" behind"), "{masked}");
            assert!(masked.len() < 40, "{written}: {masked}");
        }
        assert_eq!(mask.apply("got s:e+c%20r &=... for it"), "got [redacted]... for it", "cut off in the middle");
    }

    #[test]
    fn a_text_made_to_cost_time_is_hidden_instead() {
        let mut mask = Mask::default();
        mask.hide(&format!("{}b", "a".repeat(64 * 1024)));
        let masked = mask.apply(&format!("{}c", "a".repeat(24 * 1024)));
        assert_eq!(masked, MASK);
        // Nor does one in which each layer hides another.
        assert!(mask.apply(&"%255c%26amp;\n".repeat(4096)).len() <= 4096 * 13);
    }

    #[test]
    fn a_secret_of_one_character_is_masked_once_each() {
        let mut mask = Mask::default();
        mask.hide("e");
        assert_eq!(mask.apply("bed"), "b[redacted]d");
    }
}
