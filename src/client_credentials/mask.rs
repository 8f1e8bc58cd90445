//! Keeps what we sent as a secret out of what a server says.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

pub(super) const MASK: &str = "[redacted]";

/// A shorter remainder at the end of a text is no secret that was cut off, but chance.
const LEAST_REMAINDER: usize = 4;

/// How often one secret is tried in two ways at one place. Text that wants more is made to cost time, and masked to its end.
const MOST_TRIES: usize = 32;

/// The secrets of one exchange, in every form in which a server may repeat them.
#[derive(Default)]
pub(super) struct Mask {
    /// The longest first, so that no part of one is left over.
    patterns: Vec<Zeroizing<Vec<u8>>>,
}

impl Mask {
    pub(super) fn hide(&mut self, secret: &str) {
        self.patterns.push(Zeroizing::new(secret.as_bytes().to_vec()));
        for shift in 0..3 {
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                self.patterns.push(within_base64(secret, shift, engine));
            }
        }
        self.patterns.retain(|pattern| !pattern.is_empty());
        self.patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        self.patterns.dedup();
    }

    pub(super) fn apply(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let found =
                self.patterns.iter().find_map(|pattern| prefix(rest.as_bytes(), pattern, 0, &mut { MOST_TRIES }));
            match found.filter(|length| rest.is_char_boundary(*length)) {
                Some(length) => {
                    masked.push_str(MASK);
                    rest = &rest[length..];
                }
                None => {
                    masked.push(character);
                    rest = &rest[character.len_utf8()..];
                }
            }
        }
        masked
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

/// How many bytes at the start of `text` write `secret`, each of its bytes plain or escaped, in full or until `text` ends.
/// So many of its bytes are `matched` already.
fn prefix(text: &[u8], secret: &[u8], matched: usize, tries: &mut usize) -> Option<usize> {
    let (mut read, mut found) = (0, 0);
    while let Some(wanted) = secret.get(found) {
        let Some(next) = text.get(read) else {
            return (matched + found >= LEAST_REMAINDER).then_some(read);
        };
        let plain = next == wanted || (*next == b'+' && *wanted == b' ');
        let escape = unescape(&text[read..]).filter(|(bytes, _)| secret[found..].starts_with(bytes));
        match escape {
            None if plain => (read, found) = (read + 1, found + 1),
            None => return None,
            Some((bytes, length)) => {
                // Where it can be both (the secret itself has a `%`), plain is tried to the end first.
                if plain {
                    let Some(left) = tries.checked_sub(1) else { return Some(text.len()) };
                    *tries = left;
                    if let Some(rest) = prefix(&text[read + 1..], &secret[found + 1..], matched + found + 1, tries) {
                        return Some(read + 1 + rest);
                    }
                }
                (read, found) = (read + length, found + bytes.len());
            }
        }
    }
    Some(read)
}

/// The percent, JSON or HTML escape at the start of `text`: what it stands for, and its length.
fn unescape(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let utf8 = |code: u32| char::from_u32(code).map(|character| character.to_string().into_bytes());
    let number = |digits: &[u8], radix| u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok();
    let (mark, rest) = text.split_first()?;
    match mark {
        b'%' => Some((vec![u8::try_from(number(rest.get(..2)?, 16)?).ok()?], 3)),
        b'\\' => match rest.first()? {
            b'u' => {
                let high = number(rest.get(1..5)?, 16)?;
                if let Some(bytes) = utf8(high) {
                    return Some((bytes, 6));
                }
                let low = rest.get(5..11)?.strip_prefix(b"\\u").and_then(|digits| number(digits, 16))?;
                let pair = char::decode_utf16([u16::try_from(high).ok()?, u16::try_from(low).ok()?]).next()?.ok()?;
                Some((pair.to_string().into_bytes(), 12))
            }
            b'n' => Some((b"\n".to_vec(), 2)),
            b'r' => Some((b"\r".to_vec(), 2)),
            b't' => Some((b"\t".to_vec(), 2)),
            b'b' => Some((b"\x08".to_vec(), 2)),
            b'f' => Some((b"\x0c".to_vec(), 2)),
            other => Some((vec![*other], 2)),
        },
        b'&' => {
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
        _ => None,
    }
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

    /// Found by fuzzing: a run of what can be read in two ways took time that doubled with each character.
    #[test]
    fn a_text_made_to_cost_time_is_masked_instead() {
        let mut mask = Mask::default();
        let secret = format!("ab{}|c", "\\".repeat(200));
        mask.hide(&secret);
        let masked = mask.apply(&format!("before ab{}behind", "\\".repeat(300)));
        assert_eq!(masked, "before [redacted]");
    }

    #[test]
    fn a_secret_of_one_character_is_masked_once_each() {
        let mut mask = Mask::default();
        mask.hide("e");
        assert_eq!(mask.apply("bed"), "b[redacted]d");
    }
}
