//! Undoes the escapes of URLs, JSON and HTML.

use zeroize::Zeroizing;

use super::members::lossy;

/// Decodes an escape at the start of a text, and returns what it stands for and its length.
type Escape = fn(&[u8]) -> Option<(Vec<u8>, usize)>;

/// The text, which is in lower case, with one kind of escape undone: once for each kind that it contains.
pub(super) fn undone(text: &str) -> impl Iterator<Item = Zeroizing<String>> {
    [percent, backslash, entity].into_iter().filter_map(move |escape| without(text.as_bytes(), escape))
}

fn without(text: &[u8], escape: Escape) -> Option<Zeroizing<String>> {
    let (mut inner, mut at) = (Zeroizing::new(Vec::with_capacity(text.len())), 0);
    while at < text.len() {
        match escape(&text[at..]) {
            Some((bytes, length)) => {
                inner.extend(bytes);
                at += length;
            }
            None => {
                inner.push(text[at]);
                at += 1;
            }
        }
    }
    (inner.len() < text.len()).then(|| lossy(&inner))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

fn utf8(code: u32) -> Option<Vec<u8>> {
    char::from_u32(code).map(|character| character.to_string().into_bytes())
}

/// Also `%u0041`, as old JavaScript and IIS have it.
fn percent(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    if let Some(digits) = text.strip_prefix(b"%u").and_then(|digits| digits.get(..4)) {
        return Some((utf8(number(digits, 16)?)?, 6));
    }
    let digits = text.strip_prefix(b"%")?.get(..2)?;
    Some((vec![u8::try_from(number(digits, 16)?).ok()?], 3))
}

/// An escape of JSON and of programming languages.
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
        // Control characters are ignored in comparisons.
        b'n' | b'r' | b't' | b'b' | b'f' => Some((Vec::new(), 2)),
        other => Some((vec![*other], 2)),
    }
}

/// An escape of HTML.
fn entity(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let rest = text.strip_prefix(b"&")?;
    let end = rest.iter().take(10).position(|byte| *byte == b';')?;
    let bytes = match &rest[..end] {
        b"amp" => b"&".to_vec(),
        b"lt" => b"<".to_vec(),
        b"gt" => b">".to_vec(),
        b"quot" => b"\"".to_vec(),
        b"apos" => b"'".to_vec(),
        [b'#', b'x', digits @ ..] => utf8(number(digits, 16)?)?,
        [b'#', digits @ ..] => utf8(number(digits, 10)?)?,
        _ => return None,
    };
    Some((bytes, end + 2))
}
