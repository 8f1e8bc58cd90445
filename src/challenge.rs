//! What the `WWW-Authenticate` fields of an answer say about the token (RFC 9110 section 11.6.1, RFC 6750 section 3).

use http::{HeaderMap, header::WWW_AUTHENTICATE};

/// How a 401 speaks of the token that came with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// `error="invalid_token"`: the server says that the token is dead.
    Explicit,
    /// A 401 that gives no reason.
    Bare,
}

const MOST_BYTES: usize = 8 * 1024;
const MOST_CHALLENGES: usize = 32;

/// Reads the challenges of a 401. `None`: it is about something else than the token.
pub(crate) fn rejection(headers: &HeaderMap) -> Option<Rejection> {
    let mut others = false;
    let mut bare = false;
    let mut bytes = 0;
    let mut challenges = 0;
    for field in headers.get_all(WWW_AUTHENTICATE) {
        bytes += field.len();
        if bytes > MOST_BYTES {
            break;
        }
        for challenge in Challenges::new(&String::from_utf8_lossy(field.as_bytes())).0 {
            challenges += 1;
            if challenges > MOST_CHALLENGES {
                break;
            }
            if !challenge.scheme.as_deref().is_none_or(|scheme| scheme.eq_ignore_ascii_case("bearer")) {
                others = true;
                continue;
            }
            match challenge.error.as_deref() {
                Some("invalid_token") => return Some(Rejection::Explicit),
                Some(_) => others = true,
                None => bare = true,
            }
        }
    }
    (bare || !others).then_some(Rejection::Bare)
}

#[derive(Debug, Default)]
struct Challenge {
    /// `None`: parameters without a scheme before them, as some servers write.
    scheme: Option<String>,
    error: Option<String>,
}

struct Challenges(Vec<Challenge>);

impl Challenges {
    /// A lenient reading: words start a challenge, `name=value` belongs to the one before it. Commas and spaces both
    /// divide, since servers write both.
    fn new(text: &str) -> Self {
        let mut found: Vec<Challenge> = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Self(found);
            }
            let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            let after = behind.trim_start_matches([' ', '\t']);
            match after.strip_prefix('=') {
                // `name=value`, and not the padding of a token68.
                Some(value) if !word.is_empty() => {
                    let (value, behind) = read_value(value.trim_start_matches([' ', '\t']));
                    if found.is_empty() {
                        found.push(Challenge::default());
                    }
                    if let (true, Some(challenge)) = (word.eq_ignore_ascii_case("error"), found.last_mut()) {
                        challenge.error.get_or_insert(value.to_ascii_lowercase());
                    }
                    rest = behind;
                }
                _ if word.is_empty() => {
                    // A stray quote or `=`: skip it, with what it quotes.
                    rest = read_value(behind).1;
                    rest = rest.strip_prefix('=').unwrap_or(rest);
                }
                // A token68 behind a scheme (`Negotiate YII…`) also starts one; it names no scheme that matters.
                _ => {
                    found.push(Challenge { scheme: Some(word.to_owned()), error: None });
                    rest = behind;
                }
            }
        }
    }
}

/// A token or a quoted string, and what stands behind it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str]) -> Option<Rejection> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(WWW_AUTHENTICATE, http::HeaderValue::from_bytes(field.as_bytes()).expect("a header value"));
        }
        rejection(&headers)
    }

    #[test]
    fn challenges_are_read_as_servers_write_them() {
        let (explicit, bare, not) = (Some(Rejection::Explicit), Some(Rejection::Bare), None);
        let table: &[(&[&str], Option<Rejection>)] = &[
            (&[], bare),
            (&["Bearer"], bare),
            (&["bearer realm=\"x\""], bare),
            (&["Bearer error=\"invalid_token\""], explicit),
            (&["Bearer realm=\"x\", error=\"invalid_token\", error_description=\"it, is \\\"old\\\"\""], explicit),
            (&["Bearer realm=\"a\" error=invalid_token"], explicit),
            (&["BEARER ERROR = \"invalid_token\""], explicit),
            (&["error=\"invalid_token\""], explicit),
            (&["Basic realm=\"a\", Bearer error=\"invalid_token\""], explicit),
            (&["Basic realm=\"a\"", "Bearer error=\"invalid_token\""], explicit),
            (&["Negotiate YIIabc==, Bearer error=\"invalid_token\""], explicit),
            (&["Bearer error=\"insufficient_scope\", scope=\"a b\""], not),
            (&["Bearer error=\"invalid_request\""], not),
            (&["Basic realm=\"error=invalid_token, Bearer\""], not),
            (&["Basic realm=\"a\""], not),
            (&["Negotiate"], not),
            (&["DPoP error=\"invalid_token\""], not),
            (&["Basic realm=\"a\", Bearer realm=\"b\""], bare),
            (&["\"\"\"===,,, \""], bare),
            (&["Bearer realm=\"never closed"], bare),
            (&[""], bare),
        ];
        for (fields, expected) in table {
            assert_eq!(read(fields), *expected, "{fields:?}");
        }
    }

    #[test]
    fn eight_kilobytes_of_garbage_end_in_a_reading() {
        for garbage in ["\"", "=", "a=", ",", "Bearer ", "\\", "a=\"\\"] {
            let _ = read(&[&garbage.repeat(8 * 1024)]);
        }
    }
}
