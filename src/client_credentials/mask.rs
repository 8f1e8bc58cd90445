//! Hides secrets that a server repeats: a text that contains one, in any form, is not shown.

use std::collections::{BTreeSet, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::{authentication::FORM, escape};

pub(super) const MASK: &str = "[redacted]";

/// How deep escapes may be nested, such as JSON in HTML in JSON.
const MAX_LAYERS: usize = 3;

/// A shorter parameter, header or query value is probably a plain word or an id, so it is not masked.
const MIN_VALUE: usize = 8;

/// A shorter match is a coincidence.
const MIN_PART: usize = 4;

/// What was sent in one exchange and must not be shown.
#[derive(Clone, Default)]
pub(super) struct Mask {
    secrets: Vec<Zeroizing<String>>,
    values: Vec<Zeroizing<String>>,
}

impl Mask {
    /// Hides every text that repeats a part of `secret`, as a whole.
    pub(super) fn hide(&mut self, secret: &str) {
        if !self.secrets.iter().any(|hidden| hidden.as_str() == secret) {
            self.secrets.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// For a value that is probably not a secret, such as an account id. Only the value is replaced, and the text
    /// around it stays. A text that repeats it in another form is hidden as a whole.
    pub(super) fn cut_out(&mut self, value: &str) {
        if value.len() >= MIN_VALUE {
            self.values.push(Zeroizing::new(value.to_owned()));
        }
    }

    /// The text, with the values replaced where it repeats them exactly as they were sent.
    pub(super) fn without_values(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), MASK))
    }

    /// Whether one of the texts, or all of them joined, repeats a secret or a value.
    pub(super) fn is_in(&self, texts: &[&str]) -> bool {
        let secrets = self.secrets.iter().flat_map(|secret| Pattern::all_of(secret, true));
        let values = self.values.iter().flat_map(|value| Pattern::all_of(value, false));
        let patterns: Vec<_> = secrets.chain(values).collect();
        let index = Index::of(&patterns);
        texts.iter().any(|text| index.is_in_any_layer(text, MAX_LAYERS))
            || index.is_in_any_layer(&Zeroizing::new(texts.concat()), MAX_LAYERS)
    }
}

/// One of the forms of a secret that still differ after escapes are undone, as its [`plain`] text.
struct Pattern {
    text: Zeroizing<String>,
    /// A match of this many bytes is not a coincidence.
    part: usize,
    /// Whether a shorter match counts at the end of a text, where the server may have cut it off.
    is_secret: bool,
}

impl Pattern {
    fn all_of(text: &str, is_secret: bool) -> Vec<Self> {
        let numbers: [fn(u8) -> String; 3] =
            [|byte| byte.to_string(), |byte| format!("{byte:02x}"), |byte| format!("0x{byte:02x}")];
        let numbers = numbers.map(|number| joined(4 * text.len(), text.bytes().map(number)));
        // Also as it is sent in a form and in a Basic header, because a server may repeat those in base64.
        let form = joined(3 * text.len(), form_urlencoded::byte_serialize(text.as_bytes()));
        let percent = joined(3 * text.len(), percent_encoding::utf8_percent_encode(text, FORM));
        let mut written = Vec::from(numbers);
        for sent in [text, &form, &percent] {
            written.push(Zeroizing::new(sent.to_owned()));
            written.extend((0..3).map(|shift| within_base64(sent, shift)));
        }
        written.sort_unstable_by(|one, other| one.as_str().cmp(other));
        written.dedup();
        let length = if is_secret { text.len() } else { plain(text).len() }.max(1);
        let part = if is_secret { part_of_secret(length) } else { part_of_value(length, text.contains(':')) };
        let patterns = written.into_iter().map(|written| plain(&written)).filter(|text| !text.is_empty());
        let patterns = patterns.map(|text| {
            let least = if is_secret { part_of_secret(text.len()) } else { 1 };
            Self { part: (text.len() * part / length).max(least), text, is_secret }
        });
        // Also unchanged: what is between its letters and digits may be most of a secret.
        let whole = Zeroizing::new(text.to_ascii_lowercase());
        let whole = (is_secret && !text.is_empty()).then_some(Self { text: whole, part, is_secret });
        patterns.chain(whole).collect()
    }
}

/// How many bytes of a secret of this length are not a coincidence.
fn part_of_secret(length: usize) -> usize {
    if length < 8 { length } else { (length / 2).clamp(MIN_PART, 8) }
}

/// The same for a value. It is longer, because the value is probably not a secret; and longer still for a URI, because
/// all URIs have parts in common.
fn part_of_value(length: usize, is_uri: bool) -> usize {
    let part = if is_uri { (length * 2).div_ceil(3).clamp(8, 32) } else { (length / 2).clamp(8, 16) };
    part.min(length)
}

/// Finds parts of patterns in a time that does not depend on their number.
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
        let beginnings =
            secrets.flat_map(|pattern| (MIN_PART..pattern.part).map(|length| &pattern.text.as_bytes()[..length]));
        Self { parts, lengths, beginnings: beginnings.collect() }
    }

    /// Also looks below `layers` of escapes. A server that changes a text to upper case changes those, too.
    fn is_in_any_layer(&self, text: &str, layers: usize) -> bool {
        let lower = Zeroizing::new(text.to_ascii_lowercase());
        self.is_in(&plain(&lower))
            || self.is_in(&lower)
            || layers > 0 && escape::undone(&lower).any(|inner| self.is_in_any_layer(&inner, layers - 1))
    }

    fn is_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let begins = |at| {
            self.lengths.iter().any(|length| bytes.get(at..at + length).is_some_and(|part| self.parts.contains(part)))
        };
        let longest = self.lengths.last().copied().unwrap_or_default();
        let mut ends = (bytes.len().saturating_sub(longest)..bytes.len()).map(|at| &bytes[at..]);
        ends.any(|end| self.beginnings.contains(end)) || (0..bytes.len()).any(begins)
    }
}

/// The letters and digits of the text in lower case, because whatever may be between them is not the secret.
fn plain(text: &str) -> Zeroizing<String> {
    joined(2 * text.len(), text.chars().flat_map(char::to_lowercase).filter(|character| character.is_alphanumeric()))
}

/// The parts, in a string that has `room` for them: growing would leave copies behind.
fn joined<T>(room: usize, parts: impl Iterator<Item = T>) -> Zeroizing<String>
where
    String: Extend<T>,
{
    let mut joined = Zeroizing::new(String::with_capacity(room));
    joined.extend(parts);
    joined
}

/// The base64 of `text` if it begins `shift` bytes into a group of three, without the characters that depend on
/// adjacent bytes.
fn within_base64(text: &str, shift: usize) -> Zeroizing<String> {
    let mut shifted = Zeroizing::new(vec![0; shift]);
    shifted.extend_from_slice(text.as_bytes());
    let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(&shifted));
    let inner = encoded.get((shift * 8).div_ceil(6)..shifted.len() * 8 / 6).unwrap_or_default();
    Zeroizing::new(if inner.len() < MIN_PART { String::new() } else { inner.to_owned() })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn hiding(secret: &str) -> Mask {
        let mut mask = Mask::default();
        mask.hide(secret);
        mask
    }

    fn is_in(mask: &Mask, text: &str) -> bool {
        mask.is_in(&[text])
    }

    fn form(text: &str) -> String {
        form_urlencoded::byte_serialize(text.as_bytes()).collect()
    }

    fn json(text: &str) -> String {
        serde_json::Value::from(text).to_string()
    }

    fn html(text: &str) -> String {
        text.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;").replace('<', "&lt;")
    }

    fn lines(text: &str) -> String {
        text.as_bytes().chunks(16).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\r\n")
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        for secret in ["s:e+c%20r &=/?#\"\\~'<\n\u{e9}\u{1f511}", "aB3-dE5_fG7.hJ9~kL1+mN2/pQ4=", "q7w8e9r0t1"] {
            let mask = hiding(secret);
            let percent = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC);
            for written in [
                secret.to_owned(),
                form(secret),
                form(secret).replacen("%2B", "%2b", 1),
                percent.to_string(),
                json(secret),
                json(secret).replace('/', "\\/"),
                html(secret),
                secret.chars().map(|character| format!("&#x{:x};", u32::from(character))).collect(),
                secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
                secret.chars().map(|character| format!("\\u{{{:x}}}", u32::from(character))).collect(),
                secret.bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
                secret.bytes().map(|byte| format!("\\X{byte:02X}")).collect(),
                secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
                secret.bytes().map(|byte| format!("{byte:02X} ")).collect(),
                secret.bytes().map(|byte| format!("{byte:02x}:")).collect(),
                secret.bytes().map(|byte| format!("={byte:02X}")).collect(),
                secret.bytes().map(|byte| format!("0x{byte:02x}, ")).collect(),
                format!("{:?}", secret.as_bytes()),
                secret.encode_utf16().map(|unit| format!("%u{unit:04x}")).collect(),
                secret.chars().flat_map(|character| [character, ',']).collect(),
                secret.chars().flat_map(|character| [character, '\u{301}']).collect(),
                secret.to_uppercase(),
                secret.to_lowercase(),
                secret.chars().flat_map(|character| [character, '\0']).collect(),
                secret.chars().flat_map(|character| [character, '\u{200b}']).collect(),
                secret.chars().flat_map(|character| ['\u{ad}', character]).collect(),
                STANDARD_NO_PAD.encode(secret),
                URL_SAFE_NO_PAD.encode(secret),
                STANDARD_NO_PAD.encode(format!("id:{secret}:behind")),
                STANDARD_NO_PAD.encode(format!("i:{secret}")),
                STANDARD_NO_PAD.encode(format!("client_secret={}", form(secret))),
                lines(&STANDARD_NO_PAD.encode(secret)),
            ] {
                assert!(is_in(&mask, &format!("before {written} behind")), "{written}");
            }
        }
    }

    #[test]
    fn a_secret_is_found_within_several_layers() {
        let secret = "s:e+c%20r &=/?#\"\\~'<";
        let mask = hiding(secret);
        for written in [
            form(&form(secret)),
            json(&json(secret)),
            html(&html(secret)),
            html(&json(secret)),
            json(&html(&form(secret))),
            STANDARD_NO_PAD.encode(form(secret)),
            form(&STANDARD_NO_PAD.encode(form(secret))),
            json(&lines(&STANDARD_NO_PAD.encode(secret))),
        ] {
            assert!(is_in(&mask, &format!("before {written} behind")), "{written}");
        }
    }

    #[test]
    fn a_part_of_a_secret_is_enough() {
        let mask = hiding("sk_live_aB3dE5fG7hJ9kL1m");
        for text in [
            "got aB3dE5fG7hJ9kL1m",
            "got sk_live_aB3dE5...",
            "got sk_live_****hJ9kL1m, E5fG7hJ9",
            "unknown: sk_live_aB3",
            "it ends there: sk_li",
        ] {
            assert!(is_in(&mask, text), "{text}");
        }
        assert!(mask.is_in(&["sk_live_aB3d", "E5fG7hJ9kL1m"]), "one half is enough");
        assert!(hiding("aB3dE5fG7h").is_in(&["...aB3dE", "5fG7h..."]));
        assert!(hiding("aB3dE").is_in(&["it was aB3", "dE"]), "in two texts");
        assert!(is_in(&hiding("e"), "bed"));
        assert!(is_in(&hiding("$%/!"), "no $%/!"));
        assert!(is_in(&hiding("!@#$%^&*()aB3dE5fG"), "unknown: !@#$%^&*()..., see the log"), "symbols are a part, too");
        assert!(is_in(&hiding("ob#p;2pU#s"), "got ob#p;2pU# there"), "nine of ten characters");
        assert!(is_in(&hiding("S3cr3t!#"), "the client secret 3cr3t!# is wrong"));
        assert!(is_in(&hiding("RjC8Nj8Aj.3T9jiwr.Pt2p0FgSXm4jpZ4xXVTK2Z"), "got .Pt2p0Fg there"));
    }

    #[test]
    fn what_is_not_a_secret_stays() {
        let mut mask = hiding("12345");
        mask.hide("");
        assert!(!is_in(&mask, "1234 and 12346 %zz \\u12 &#; &none; \u{1f511}"));
        assert!(is_in(&mask, "12345"));
        assert!(!is_in(&Mask::default(), "all"));
        assert!(!is_in(&hiding("$%/!"), "the client is unknown"));
        assert!(!is_in(&hiding("s3cr3t-of-the-client"), "unknown client"), "a word of six letters");
        assert!(!is_in(&hiding("sk_live_aB3dE5fG7hJ9kL1m"), "a key begins with sk_live here"));
    }

    #[test]
    fn a_value_is_cut_out_and_hides_the_text_only_in_another_form() {
        let mut mask = Mask::default();
        for value in ["", "https://api.example.com", "account/7531"] {
            mask.cut_out(value);
        }
        let text = mask.without_values("no account/7531 at https://api.example.com/v1");
        assert_eq!(text, "no [redacted] at [redacted]/v1");
        assert!(!is_in(&mask, &text));
        assert!(is_in(&mask, "no account%2F7531"));
        assert!(!is_in(&mask, "see https://auth.example.com/help"), "has much in common with a value");
        let long = "aB3dE5fG7h".repeat(100);
        mask.cut_out(&long);
        assert!(is_in(&mask, &long[500..700]), "of a value that is longer than what is shown");
    }

    #[test]
    fn texts_full_of_escapes_have_an_end() {
        let mask = hiding(&format!("{}b", "a".repeat(64 * 1024)));
        let _ = is_in(&mask, &"%255c%26amp;\n".repeat(100));
        assert!(is_in(&mask, &"a".repeat(400)));
    }
}
