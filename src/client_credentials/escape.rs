//! Undoes the escapes of URLs, JSON and HTML.

use zeroize::Zeroizing;

use super::members::lossy;

/// How deep escapes may be nested, such as JSON in HTML in JSON.
const MAX_LAYERS: usize = 3;

/// What is before the number of a character, its radix, and either how many digits it has or what is after it. Two
/// digits are a byte.
const NUMBERS: [(&str, u32, usize, &str); 7] = [
    ("%u", 16, 4, ""), // as old JavaScript and IIS have it
    ("%", 16, 2, ""),
    ("\\u{", 16, 0, "}"),
    ("\\u", 16, 4, ""),
    ("\\x", 16, 2, ""),
    ("&#x", 16, 0, ";"),
    ("&#", 10, 0, ";"),
];

const NAMES: [(&str, &str); 5] = [("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'")];

/// The text in lower case, and what it is when its escapes are undone, once and again. A server that changes a text to
/// upper case changes the escapes, too.
pub(super) fn layers(text: &str) -> impl Iterator<Item = Zeroizing<String>> {
    let first = Zeroizing::new(text.to_ascii_lowercase());
    std::iter::successors(Some(first), |text| Some(undone(text)).filter(|inner| inner != text)).take(MAX_LAYERS + 1)
}

fn undone(text: &str) -> Zeroizing<String> {
    let mut inner = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = rest.find(['%', '\\', '&']) {
        let (before, escape) = rest.split_at(at);
        inner.extend_from_slice(before.as_bytes());
        let (meaning, behind) = number(escape).or_else(|| name(escape)).unwrap_or((escape[..1].into(), &escape[1..]));
        inner.extend(meaning);
        rest = behind;
    }
    inner.extend_from_slice(rest.as_bytes());
    inner.make_ascii_lowercase();
    lossy(&inner)
}

/// What the escape at the beginning of a text stands for, and the rest of the text.
fn number(text: &str) -> Option<(Vec<u8>, &str)> {
    NUMBERS.iter().find_map(|(before, radix, length, after)| {
        let text = text.strip_prefix(before)?;
        let (digits, rest) = if *length > 0 { text.split_at_checked(*length)? } else { text.split_once(after)? };
        let code = u32::from_str_radix(digits, *radix).ok()?;
        let meaning = match u8::try_from(code) {
            Ok(byte) if *length == 2 => vec![byte],
            // Half of a surrogate pair is omitted: the pair is hardly a letter.
            _ => char::from_u32(code).map(String::from).unwrap_or_default().into(),
        };
        Some((meaning, rest))
    })
}

fn name(text: &str) -> Option<(Vec<u8>, &str)> {
    // Control characters are ignored in comparisons.
    let control = text.strip_prefix('\\').and_then(|rest| rest.strip_prefix(['n', 'r', 't', 'b', 'f']));
    let symbol = text.strip_prefix('\\').filter(|rest| rest.starts_with(['"', '\'', '/', '\\']));
    let other = || NAMES.iter().find_map(|(name, meaning)| Some(((*meaning).into(), text.strip_prefix(name)?)));
    control.or(symbol).map(|rest| (Vec::new(), rest)).or_else(other)
}
