//! What the `WWW-Authenticate` fields of a response say about the token (RFC 9110 section 11.6.1, RFC 6750 section 3).
//!
//! This parser is our own, because the crate `http-auth` follows the grammar strictly and stops at the first deviation:
//! a missing or unusual separator, a token68 (`Negotiate YII…=`), a non-ASCII letter, a quote that is never closed.
//! Servers send all of these, and `http-auth` misses a third of the dead tokens in the table below.

use http::{HeaderMap, header::WWW_AUTHENTICATE};

/// How a 401 rejects the token of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// `error="invalid_token"`, or gRPC's status 16: the server says that the token is dead.
    Explicit,
    /// The server gives no reason, or one that can only mean the token, since the request was well-formed and carried
    /// exactly one.
    Bare,
}

const MOST_BYTES: usize = 8 * 1024;
const MOST_CHALLENGES: usize = 32;

/// The challenges of a 401 or 403.
pub(crate) struct Challenges(Vec<Challenge>);

impl Challenges {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self::read(headers.get_all(WWW_AUTHENTICATE))
    }

    /// From the values of the `WWW-Authenticate` fields.
    pub(crate) fn read(fields: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        let mut left = MOST_BYTES;
        let mut found = Vec::new();
        for field in fields {
            let field = field.as_ref();
            let field = &field[..field.len().min(left)];
            left -= field.len();
            read(&String::from_utf8_lossy(field), &mut found);
        }
        Self(found)
    }

    /// What a 401 with these challenges says. `None`: it is about something other than the token.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        let errors: Vec<_> = self.errors().collect();
        if errors.contains(&"invalid_token") {
            return Some(Rejection::Explicit);
        }
        // RFC 9470 and some servers have more codes of this kind: the token is good, but not for this request.
        if errors.iter().any(|error| !error.starts_with("insufficient_")) {
            return Some(Rejection::Bare);
        }
        // No challenge at all gives no reason, either; challenges of other schemes alone are not about the token.
        let no_reason = errors.is_empty() && (self.0.is_empty() || self.0.iter().any(|challenge| challenge.is_bearer));
        no_reason.then_some(Rejection::Bare)
    }

    /// Whether the token lacks a scope (RFC 6750 section 3.1).
    pub(crate) fn is_about_scope(&self) -> bool {
        self.errors().any(|error| error == "insufficient_scope")
    }

    fn errors(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|challenge| challenge.is_bearer).filter_map(|challenge| challenge.error.as_deref())
    }
}

struct Challenge {
    is_bearer: bool,
    error: Option<String>,
}

/// Reads one field leniently. `name=value` belongs to the challenge before it. A word after a comma begins a new
/// challenge, and so does `Bearer` anywhere. Commas, semicolons and spaces are all separators, since servers use all of
/// them.
fn read(text: &str, found: &mut Vec<Challenge>) {
    let mut rest = text;
    let mut begins = true;
    let begin = found.len();
    while found.len() < MOST_CHALLENGES {
        let behind = rest.trim_start_matches(DIVIDERS);
        begins |= rest[..rest.len() - behind.len()].contains(',');
        rest = behind;
        if rest.is_empty() {
            return;
        }
        let (word, behind) = rest.split_at(rest.find(WORD_ENDS).unwrap_or(rest.len()));
        match behind.trim_start_matches([' ', '\t']).strip_prefix('=') {
            Some(value) if !word.is_empty() => {
                let (value, behind) = read_value(value.trim_start_matches([' ', '\t']));
                // Some servers send parameters without a scheme before them.
                if found.len() == begin {
                    found.push(Challenge { is_bearer: true, error: None });
                }
                if let (true, Some(challenge)) = (word.eq_ignore_ascii_case("error"), found.last_mut()) {
                    challenge.error.get_or_insert(value.trim_matches([' ', '\'']).to_ascii_lowercase());
                }
                rest = behind;
            }
            // A stray quote, which is skipped with what it quotes, or a stray `=`.
            _ if word.is_empty() => {
                let behind = read_value(behind).1;
                rest = behind.strip_prefix('=').unwrap_or(behind);
            }
            _ => {
                // Otherwise it is a token68 (`Negotiate YII…`), text that should have been quoted, or garbage.
                let is_bearer = word.eq_ignore_ascii_case("bearer");
                if is_bearer || (begins && is_token(word)) {
                    found.push(Challenge { is_bearer, error: None });
                }
                rest = behind;
            }
        }
        begins = false;
    }
}

const DIVIDERS: [char; 4] = [' ', '\t', ',', ';'];
const WORD_ENDS: [char; 6] = [' ', '\t', ',', ';', '=', '"'];

/// RFC 9110 section 5.6.2.
fn is_token(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Reads a token or a quoted string, and returns it with the rest of the text.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(DIVIDERS).unwrap_or(text.len());
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
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(fields: &[&[u8]]) -> Option<Rejection> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(field).expect("a header value"));
        }
        Challenges::of(&headers).rejection()
    }

    fn check(expected: Option<Rejection>, table: &[&[&str]]) {
        for fields in table {
            let bytes: Vec<_> = fields.iter().map(|field| field.as_bytes()).collect();
            assert_eq!(read(&bytes), expected, "{fields:?}");
        }
    }

    #[test]
    fn these_say_that_the_token_is_dead() {
        check(
            Some(Rejection::Explicit),
            &[
                &["Bearer error=\"invalid_token\""],
                &["Bearer error=invalid_token"],
                &["bearer error=\"invalid_token\""],
                &["BEARER ERROR = \"Invalid_Token\""],
                &["Bearer error='invalid_token'"],
                &["Bearer error=\" invalid_token \""],
                &["Bearer error=\"invalid\\_token\""],
                &["Bearer\terror=\"invalid_token\""],
                &["  Bearer   error=\"invalid_token\"  "],
                &[", ,Bearer error=\"invalid_token\",,"],
                &["Bearer,error=\"invalid_token\""],
                &["Bearer realm=\"api\", error=\"invalid_token\""],
                &["Bearer realm=\"api\" error=\"invalid_token\""],
                &["Bearer realm=\"api\"; error=\"invalid_token\""],
                &["Bearer realm=api error=invalid_token;"],
                &["Bearer realm=My Realm, error=\"invalid_token\""],
                &["Bearer realm=\"\", error=\"invalid_token\""],
                &["Bearer realm=\"a, b=c\", error=\"invalid_token\""],
                &["Bearer realm=\"Basic realm=\\\"x\\\"\", error=\"invalid_token\""],
                &["Bearer error=\"invalid_token\", error_description=\"it, is \\\"old\\\"\""],
                &["Bearer error=\"invalid_token\", error_description=\"it expired at '11/24/2026 00:00:00'\""],
                &["Bearer error=\"invalid_token\", error_description=\"abgelaufen: \u{fc}\""],
                &["Bearer error=invalid_token, error_description=The token expired"],
                &["Bearer error=\"invalid_token\", error_description=\"never closed"],
                &["Bearer error_description=\"the error=insufficient_scope\", error=\"invalid_token\""],
                &["Bearer error_uri=https://auth.example.com/?a=b error=invalid_token"],
                &["Bearer error=\"invalid_token\", error=\"insufficient_scope\""],
                &["error=\"invalid_token\""],
                &["realm=\"api\", error=\"invalid_token\""],
                &["Basic realm=\"a\", Bearer error=\"invalid_token\""],
                &["Basic realm=\"a\" Bearer error=\"invalid_token\""],
                &["Bearer error=\"invalid_token\", Basic realm=\"a\""],
                &["Negotiate, Bearer error=\"invalid_token\""],
                &["Negotiate YIIabc==, Bearer error=\"invalid_token\""],
                &["Negotiate a/b+c~d==, NTLM TlRMTVNT=, Bearer error=\"invalid_token\""],
                &["Digest realm=\"a\", nonce=\"b==\", qop=\"auth,auth-int\", Bearer error=\"invalid_token\""],
                &["DPoP algs=\"ES256\", Bearer error=\"invalid_token\""],
                &["Bearer realm=\"a\", Bearer realm=\"b\", error=\"invalid_token\""],
                &["Bearer error=\"insufficient_scope\", Bearer error=\"invalid_token\""],
                &["Basic realm=\"a\"", "Bearer error=\"invalid_token\""],
                &["Bearer realm=\"a\"", "Bearer error=\"invalid_token\""],
                &["", "Bearer error=\"invalid_token\""],
                // Those of Microsoft and Google.
                &["Bearer realm=\"\", authorization_uri=\"https://a.test/authorize\", client_id=\"1\", \
                     error=\"invalid_token\", claims=\"eyJ9\""],
                &["Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\""],
                // Those of Spring, a container registry and Exchange.
                &["Bearer error=\"invalid_token\", error_description=\"Jwt expired at 2026-11-24T00:00:00Z\", \
                     error_uri=\"https://tools.ietf.org/html/rfc6750#section-3.1\""],
                &["Bearer realm=\"https://a.test/token\",service=\"registry.a.test\",\
                     scope=\"repository:a/b:pull,push\",error=\"invalid_token\""],
                &[
                    "Bearer client_id=\"1\", trusted_issuers=\"1@*\", token_types=\"a b\", error=\"invalid_token\"",
                    "Basic Realm=\"\",Basic Realm=\"\"",
                ],
            ],
        );
    }

    #[test]
    fn these_give_no_reason() {
        check(
            Some(Rejection::Bare),
            &[
                &[],
                &[""],
                &[",,;  ,"],
                &["Bearer"],
                &["bEARER"],
                &["Bearer "],
                &["Bearer realm=\"x\""],
                &["Bearer realm=\"error=invalid_token\""],
                &["Bearer realm=\"\\\"error=invalid_token\""],
                &["Bearer realm=\"never closed, error=invalid_token"],
                &["Bearer scope=\"a b\""],
                &["Bearer abcdef=="],
                &["Basic realm=\"a\", Bearer realm=\"b\""],
                &["Basic realm=\"a\"", "Bearer"],
                &["Bearer, Basic realm=\"a\""],
                &["Bearer xerror=\"invalid_token\""],
                &["Bearer error_description=\"invalid_token\""],
                &["realm=\"x\""],
                // Not in the syntax of RFC 9110, so these give no reason.
                &["Bearer: invalid_token"],
                &["Bearer error: invalid_token"],
                &["Bearer {\"error\":\"invalid_token\"}"],
                &["Bearer \"invalid_token\""],
                &["Bearer resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\""],
                &["\"\"\"===,,, \""],
                &["="],
                &["\""],
                &["\\"],
            ],
        );
    }

    #[test]
    fn these_name_a_reason_that_can_only_be_the_token() {
        check(
            Some(Rejection::Bare),
            &[
                // LemonLDAP::NG and oxide-auth, for a token that they no longer know.
                &["Bearer error=\"invalid_request\""],
                &["Bearer realm=\"a\", error=\"invalid_request\", error_description=\"insufficient_scope\""],
                &["Bearer error=\"invalid_token_type\""],
                &["Bearer error=\"expired\""],
                &["Bearer error=\"token_expired\"", "Basic realm=\"a\""],
                &["Bearer error=\"insufficient_scope\"", "Bearer error=\"invalid_request\""],
                &["Bearer error=\"\""],
            ],
        );
    }

    #[test]
    fn these_are_about_something_else() {
        check(
            None,
            &[
                &["Bearer error=\"insufficient_scope\", scope=\"a b\""],
                &["Bearer error=insufficient_scope"],
                &["Bearer realm=\"a\", error=\"insufficient_scope\", error_description=\"not invalid_token\""],
                &["Bearer error=\"insufficient_user_authentication\", acr_values=\"a\""],
                &["Bearer error=\"insufficient_anything\""],
                &["Bearer realm=\"a\"", "Bearer error=\"insufficient_scope\""],
                &["error=\"insufficient_scope\""],
                &["Basic realm=\"a\""],
                &["Basic realm=\"error=invalid_token, Bearer\""],
                &["Basic realm=\"Bearer error=\\\"invalid_token\\\"\""],
                &["Basic error=\"invalid_token\""],
                &["Negotiate"],
                &["Negotiate YIIabc=="],
                &["NTLM"],
                &["Digest realm=\"a\", nonce=\"b\", error=\"invalid_token\""],
                &["DPoP error=\"invalid_token\""],
                &["DPoP error=\"use_dpop_nonce\", algs=\"ES256\""],
                &["BearerX error=\"invalid_token\""],
                // Those of Facebook and Salesforce, which need `with_rejection`.
                &["OAuth \"Facebook Platform\" \"invalid_token\" \"The session has expired\""],
                &["Token"],
                &["X-Bearer"],
                &["Basic", "Digest", "Negotiate"],
            ],
        );
    }

    #[test]
    fn what_is_beyond_the_bounds_is_not_read() {
        let long = format!("Bearer realm=\"{}\", error=\"invalid_token\"", "x".repeat(MOST_BYTES));
        assert_eq!(read(&[long.as_bytes()]), Some(Rejection::Bare));
        let padding = format!("Bearer realm=\"{}\"", "x".repeat(MOST_BYTES));
        assert_eq!(read(&[padding.as_bytes(), b"Bearer error=\"invalid_token\""]), Some(Rejection::Bare));
        let many = format!("{}Bearer error=\"invalid_token\"", "Basic, ".repeat(MOST_CHALLENGES));
        assert_eq!(read(&[many.as_bytes()]), None);
        assert_eq!(read(&vec![&b"Basic"[..]; 1000]), None);
        let first = format!("Bearer error=\"invalid_token\", realm=\"{}\"", "x".repeat(10 * MOST_BYTES));
        assert_eq!(read(&[first.as_bytes()]), Some(Rejection::Explicit));
    }

    #[test]
    fn bytes_that_are_not_text_are_skipped() {
        assert_eq!(read(&[b"Bearer realm=\"\xff\xfe\", error=\"invalid_token\""]), Some(Rejection::Explicit));
        assert_eq!(read(&[b"\xff"]), Some(Rejection::Bare));
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic(
            fields in prop::collection::vec(prop::collection::vec(0x20u8..=0xff, 0..200), 0..5),
        ) {
            let fields: Vec<Vec<u8>> =
                fields.into_iter().map(|field| field.into_iter().filter(|byte| *byte != 0x7f).collect()).collect();
            let _ = read(&fields.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }

        #[test]
        fn no_mix_of_the_parts_of_a_challenge_makes_it_panic(parts in prop::collection::vec(
            prop::sample::select(vec![
                "Bearer", "Basic", "error", "realm", "invalid_token", "=", "\"", "\\", ",", ";", " ", "\t", "\u{fc}",
            ]),
            0..60,
        )) {
            let _ = read(&[parts.concat().as_bytes()]);
        }

        /// An explicit challenge is found, whatever is quoted before it.
        #[test]
        fn nothing_that_is_quoted_hides_what_follows(text in "[ -~]{0,60}") {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            let field = format!("Basic realm=\"{quoted}\", Bearer error=\"invalid_token\"");
            prop_assert_eq!(read(&[field.as_bytes()]), Some(Rejection::Explicit));
            let field = format!("Basic realm=\"{quoted}\"");
            prop_assert_eq!(read(&[field.as_bytes()]), None);
        }
    }
}
