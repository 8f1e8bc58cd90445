//! Undoes the escapes of URLs, JSON and HTML.

use zeroize::Zeroizing;

use super::members::lossy;

/// How deep escapes may be nested, such as JSON in HTML in JSON.
const MAX_LAYERS: usize = 3;

/// The digits of a character's number, at most. Looking further for its end would take long in a text full of escapes.
const MAX_DIGITS: usize = 8;

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
        let meaning = number(escape).or_else(|| symbol(escape)).or_else(|| name(escape));
        let (meaning, behind) = meaning.unwrap_or((escape[..1].into(), &escape[1..]));
        inner.extend(meaning);
        rest = behind;
    }
    inner.extend_from_slice(rest.as_bytes());
    inner.make_ascii_lowercase();
    lossy(&inner)
}

/// What the escape at the beginning of a text stands for, and the rest of the text.
fn number(text: &str) -> Option<(Vec<u8>, &str)> {
    let (code, is_byte, rest) = code(text)?;
    if is_byte {
        return Some((vec![u8::try_from(code).ok()?], rest));
    }
    if let Some(character) = char::from_u32(code) {
        return Some((String::from(character).into(), rest));
    }
    let (low, _, rest) = self::code(rest)?;
    let pair = [u16::try_from(code).ok()?, u16::try_from(low).ok()?];
    Some((String::from_utf16(&pair).ok()?.into(), rest))
}

/// The number, and whether it is that of a byte.
fn code(text: &str) -> Option<(u32, bool, &str)> {
    NUMBERS.iter().find_map(|(before, radix, length, after)| {
        let text = text.strip_prefix(before)?;
        let end = || text.bytes().take(MAX_DIGITS + 1).position(|byte| after.as_bytes() == [byte]);
        let (digits, rest) = text.split_at_checked(if *length > 0 { *length } else { end()? })?;
        Some((u32::from_str_radix(digits, *radix).ok()?, *length == 2, &rest[after.len()..]))
    })
}

fn symbol(text: &str) -> Option<(Vec<u8>, &str)> {
    let rest = text.strip_prefix('\\')?;
    match rest.as_bytes().first()? {
        b'\\' => Some((b"\\".into(), &rest[1..])),
        // Control characters are ignored in comparisons.
        b'n' | b'r' | b't' | b'b' | b'f' => Some((Vec::new(), &rest[1..])),
        // The escape may be complete in the next layer.
        b'u' | b'x' => None,
        // What is behind the backslash may be an escape, too.
        _ => Some((Vec::new(), rest)),
    }
}

fn name(text: &str) -> Option<(Vec<u8>, &str)> {
    NAMES.iter().find_map(|(name, meaning)| Some(((*meaning).into(), text.strip_prefix(name)?)))
}
