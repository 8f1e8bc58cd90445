//! Hides secrets that a server repeats: a text that contains one, in any form, is not shown.

use std::collections::{BTreeMap, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::{authentication::FORM, escape::layers};

pub(super) const MASK: &str = "[redacted]";

/// A shorter parameter, header or query value is probably a plain word or an id, so it is not masked.
const MIN_VALUE: usize = 8;

/// A shorter match of a secret is a coincidence, and one of [`MAX_PART`] bytes is not.
const MIN_PART: usize = 4;
const MAX_PART: usize = 8;

/// What was sent in one exchange and must not be shown.
#[derive(Clone, Default)]
pub(super) struct Mask {
    secrets: Vec<Zeroizing<String>>,
    values: Vec<Zeroizing<String>>,
}

impl Mask {
    /// Hides every text that repeats a part of `secret`, as a whole.
    pub(super) fn hide(&mut self, secret: &str) {
        self.secrets.push(Zeroizing::new(secret.to_owned()));
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
        // Also unchanged: what is between its letters and digits may be most of a secret.
        let whole = self.secrets.iter().flat_map(|secret| layers(secret));
        let secrets = self.secrets.iter().flat_map(|secret| forms(secret)).chain(whole);
        let secrets = secrets.map(|form| (part_of_secret(form.len()), form)).filter(|(length, _)| *length > 0);
        let secrets: Vec<_> = secrets.collect();
        let values = self.values.iter().flat_map(|value| {
            forms(value).into_iter().map(|form| (part_of_value(form.len(), value.contains(':')), form))
        });
        let values: Vec<_> = values.filter(|(length, _)| *length > 0).collect();
        // At the end of a text, less counts: the server may have cut it off.
        let beginnings = secrets.iter().flat_map(|(part, form)| (MIN_PART..*part).map(|end| &form.as_bytes()[..end]));
        let beginnings: HashSet<_> = beginnings.collect();
        // By their length: the time to search a text does not depend on the number of parts.
        let mut parts = BTreeMap::<_, HashSet<_>>::new();
        for (length, form) in secrets.iter().chain(&values) {
            parts.entry(*length).or_default().extend(form.as_bytes().windows(*length));
        }
        let has_part = |text: &str| {
            let bytes = text.as_bytes();
            (0..bytes.len()).rev().take(MAX_PART).any(|at| beginnings.contains(&bytes[at..]))
                || parts.iter().any(|(length, parts)| bytes.windows(*length).any(|part| parts.contains(part)))
        };
        let joined = Zeroizing::new(texts.concat());
        let mut layers = texts.iter().copied().chain([joined.as_str()]).flat_map(layers);
        layers.any(|layer| has_part(&plain(&layer)) || has_part(&layer))
    }
}

/// How a text may be written, as far as that still differs after escapes are undone and only letters and digits count.
fn forms(text: &str) -> Vec<Zeroizing<String>> {
    let numbers: [fn(u8) -> String; 3] =
        [|byte| byte.to_string(), |byte| format!("{byte:02x}"), |byte| format!("0x{byte:02x}")];
    let mut forms = Vec::from(numbers.map(|number| joined(4 * text.len(), text.bytes().map(number))));
    // Also as it is sent in a form and in a Basic header, because a server may repeat those in base64.
    let form = joined(3 * text.len(), form_urlencoded::byte_serialize(text.as_bytes()));
    let percent = joined(3 * text.len(), percent_encoding::utf8_percent_encode(text, FORM));
    for sent in [text, &form, &percent] {
        forms.push(plain(sent));
        forms.extend((0..3).map(|shift| plain(&within_base64(sent, shift))));
    }
    forms.extend(layers(text).map(|layer| plain(&layer)));
    forms
}

/// How many bytes of a secret of this length are not a coincidence.
fn part_of_secret(length: usize) -> usize {
    if length < MAX_PART { length } else { (length / 2).clamp(MIN_PART, MAX_PART) }
}

/// The same for a value. It is longer, because the value is probably not a secret; and longer still for a URI, because
/// all URIs have parts in common.
fn part_of_value(length: usize, is_uri: bool) -> usize {
    let part = if is_uri { (length * 2).div_ceil(3).clamp(8, 32) } else { (length / 2).clamp(8, 16) };
    part.min(length)
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

    fn shell(text: &str) -> String {
        let is_plain = |character: char| character.is_alphanumeric() || "\n%".contains(character);
        text.chars().flat_map(|character| [(!is_plain(character)).then_some('\\'), Some(character)]).flatten().collect()
    }

    fn lines(text: &str) -> String {
        text.as_bytes().chunks(16).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\r\n")
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        for secret in [
            "s:e+c%20r &=/?#\"\\~'<\n\u{e9}\u{1f511}",
            "aB3-dE5_fG7.hJ9~kL1+mN2/pQ4=",
            "q7w8e9r0t1",
            "\u{20000}\u{20001}",
        ] {
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
                shell(secret),
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
        assert!(is_in(&hiding("TUiIp3_jM~wuc:I"), "got _jM\\~wuc\\:"), "symbols that a shell escapes");
        assert!(is_in(&hiding("1&x8x\\&\\t8228\\&b&0x"), r"got \\t8228\\&"), "escapes in the secret itself");
        assert!(
            is_in(&hiding("%:`.*<*\"@\\~|><--}_*"), "got `.*&lt;*&quot;@\\~|&gt; there"),
            "what looks like an escape"
        );
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
        let far = |zeros| "&#x".to_owned() + &"0".repeat(zeros) + "65;";
        let mask_of_e = hiding("ee");
        assert!(
            is_in(&mask_of_e, &far(6).repeat(2)) && !is_in(&mask_of_e, &far(7).repeat(2)),
            "the end is not looked for"
        );
        assert!(is_in(&mask, &"a".repeat(400)));
    }
}
