//! What errors quote from a response: a few members, one line or a title; short, printable, and without secrets.

use http::{
    HeaderMap, Response, Uri,
    header::{AsHeaderName, CONTENT_ENCODING, CONTENT_TYPE, LOCATION},
};

use super::{
    mask::{MASK, Mask},
    members::{Member, Members, begins, has_type},
};
use crate::{http_client::SecretBody, origin::Target};

/// The limit in an error message.
pub(super) const MAX_CHARACTERS: usize = 200;
/// The limit in an `error_description`: some servers put ids for their support after long sentences.
pub(super) const MAX_DESCRIPTION: usize = 1000;
const MAX_QUOTED_MEMBERS: usize = 16;
/// The title is looked for in this many characters at the beginning of a page.
const PAGE_HEAD: usize = 4096;

/// Members in which servers describe an error, in lower case and without `_` and `-`. No other member is quoted,
/// because it may contain a token.
const QUOTED: [&str; 27] = [
    "code",
    "description",
    "detail",
    "details",
    "errcode",
    "errmsg",
    "error",
    "errorcode",
    "errorcodes",
    "errordescription",
    "errormessage",
    "errormsg",
    "errors",
    "errorsummary",
    "errortype",
    "fault",
    "faultstring",
    "message",
    "msg",
    "ok",
    "reason",
    "status",
    "statuscode",
    "statustext",
    "success",
    "title",
    "type",
];

impl Mask {
    /// The text, shortened, without secrets and without control characters.
    pub(super) fn quote(&self, text: &str) -> String {
        let [text] = self.quote_all([Some(text)], MAX_CHARACTERS);
        text.unwrap_or_default()
    }

    /// If one text has to be hidden, all are, because a secret may be split between them.
    pub(super) fn quote_all<const N: usize>(&self, texts: [Option<&str>; N], most: usize) -> [Option<String>; N] {
        // Longer than what is shown, so that a secret at its end is found.
        let texts = texts.map(|text| text.map(|text| self.without_values(&clean(text.chars(), 2 * most))));
        let said: Vec<_> = texts.iter().flatten().map(String::as_str).collect();
        let hidden = self.is_in(&said);
        texts.map(|text| text.map(|text| if hidden { MASK.into() } else { shortened(&text, most) }))
    }

    pub(super) fn header(&self, response: &Response<SecretBody>, name: impl AsHeaderName) -> Option<String> {
        let value = response.headers().get(name)?;
        Some(self.quote(&String::from_utf8_lossy(value.as_bytes())))
    }

    /// The status, length and content type of a response.
    pub(super) fn outline(&self, response: &Response<SecretBody>) -> String {
        let content_type = self.header(response, CONTENT_TYPE).unwrap_or_else(|| "without a content type".into());
        format!("HTTP {}, {} bytes, {content_type}", response.status().as_u16(), response.body().as_ref().len())
    }

    /// The target of a redirect. Only the origin is shown, because the rest may contain secrets.
    pub(super) fn redirect(&self, response: &Response<SecretBody>, own_scheme: &str) -> String {
        let Some(location) = response.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()))
        else {
            return "nowhere (it has no Location header)".into();
        };
        let scheme = if location.starts_with("//") { format!("{own_scheme}:") } else { String::new() };
        let uri = format!("{scheme}{location}").parse::<Uri>().ok().filter(|uri| uri.scheme().is_some());
        let origin = uri.as_ref().and_then(Target::of_uri).map(|target| target.to_origin());
        origin.map_or("another path on the same origin".into(), |origin| self.quote(&origin))
    }

    /// What an error response says about its cause, after a colon. Empty if it says nothing.
    pub(super) fn cause(&self, response: &Response<SecretBody>, members: &Members<'_>, text: &str) -> String {
        let headers = response.headers();
        let said = if let Some(encoding) = self.encoding(response) {
            return encoding;
        } else if !members.is_empty() {
            quoted(members, &[])
        } else if is_page(headers, text) {
            title(text)
                .map_or("an HTML page without a title".into(), |title| format!("an HTML page with the title {title:?}"))
        } else {
            line(headers, text).unwrap_or_default()
        };
        let said = self.quote(&said);
        if said.is_empty() { said } else { format!(": {said}") }
    }

    /// What the response says in addition to an OAuth error code.
    pub(super) fn beside_code(&self, members: &Members<'_>) -> Option<String> {
        let said = quoted(members, &["error", "errordescription"]);
        Some(self.quote(&said)).filter(|said| !said.is_empty())
    }

    /// The content of the quoted members, and the names of the others.
    pub(super) fn overview(&self, members: &Members<'_>) -> String {
        let said = members.iter().flat_map(|(name, member)| match entries(name, member) {
            entries if !entries.is_empty() => entries,
            _ if is_name(name) => vec![name.to_owned()],
            _ => vec!["…".to_owned()],
        });
        self.quote(&said.take(MAX_QUOTED_MEMBERS).collect::<Vec<_>>().join(", "))
    }

    pub(super) fn title(&self, response: &Response<SecretBody>, text: &str) -> Option<String> {
        is_page(response.headers(), text).then(|| title(text))?.map(|title| self.quote(&title))
    }

    /// A content encoding that the HTTP client did not decode.
    pub(super) fn encoding(&self, response: &Response<SecretBody>) -> Option<String> {
        let encoding = self.header(response, CONTENT_ENCODING).filter(|name| !name.eq_ignore_ascii_case("identity"))?;
        Some(format!(", encoded as {encoding}, which the HTTP client does not decode"))
    }
}

fn quoted(members: &Members<'_>, except: &[&str]) -> String {
    let wanted = members.iter().filter(|(name, _)| !except.contains(&&*bare(name)));
    let said = wanted.flat_map(|(name, member)| entries(name, member));
    said.take(MAX_QUOTED_MEMBERS).collect::<Vec<_>>().join(", ")
}

/// `name: content` if the member is one of the quoted ones, `error.message: content` for the members of an object. Of
/// an array, only the first item is quoted.
fn entries(name: &str, member: &Member<'_>) -> Vec<String> {
    if !is_quoted(name) {
        return Vec::new();
    }
    let first = member.items().and_then(|mut items| items.next());
    let member = first.as_ref().unwrap_or(member);
    let Some(inner) = member.object() else { return entry(name, member).into_iter().collect() };
    let inner = inner.iter().filter(|(inner, _)| is_quoted(inner));
    inner.filter_map(|(inner, member)| entry(&format!("{name}.{inner}"), member)).take(MAX_QUOTED_MEMBERS).collect()
}

fn entry(name: &str, member: &Member<'_>) -> Option<String> {
    let content = member.content().filter(|_| !matches!(member.kind(), "an array" | "an object"))?;
    let content = clean(content.chars(), 2 * MAX_CHARACTERS);
    (!content.is_empty()).then(|| format!("{name}: {content}"))
}

fn is_quoted(name: &str) -> bool {
    QUOTED.contains(&&*bare(name))
}

fn bare(name: &str) -> String {
    let shown = name.chars().filter(|character| !"_-".contains(*character));
    shown.take(MAX_CHARACTERS).map(|character| character.to_ascii_lowercase()).collect()
}

/// Whether this looks like a member's name, and not like a text or a token in the wrong place.
fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

fn is_page(headers: &HeaderMap, text: &str) -> bool {
    let text = text.trim_start().as_bytes();
    has_type(headers, "text/html") || begins(text, "<!doctype html") || begins(text, "<html")
}

fn title(text: &str) -> Option<String> {
    let head: String = text.chars().take(PAGE_HEAD).collect();
    let from = head.to_ascii_lowercase().find("<title")?;
    let (_, title) = head[from..].split_once('>')?;
    let title = title.split('<').next().unwrap_or_default();
    Some(clean(title.chars(), MAX_CHARACTERS)).filter(|title| !title.is_empty())
}

/// The first line of a plain text, if it is a sentence. Other data may contain a token.
fn line(headers: &HeaderMap, text: &str) -> Option<String> {
    let head: String = text.trim_start().chars().take(2 * MAX_CHARACTERS).collect();
    let line = clean(head.lines().next()?.chars(), 2 * MAX_CHARACTERS);
    let is_sentence = line.contains(' ') && !line.contains(['{', '}', '[', ']', '<', '>', '=', '"']);
    let names_token = line.to_ascii_lowercase().contains("token:");
    (has_type(headers, "text/plain") && is_sentence && !names_token).then_some(line)
}

pub(super) fn shortened(text: &str, most: usize) -> String {
    text.chars().take(most).collect::<String>().trim_end().to_owned()
}

/// At most `most` characters, without terminal escape sequences, and with one space in place of unprintable characters.
///
/// It reads at most four times as many characters, however long the text is.
fn clean(text: impl Iterator<Item = char>, most: usize) -> String {
    let mut characters = text.take(4 * most).peekable();
    let mut cleaned = String::new();
    let mut left = most;
    while left > 0
        && let Some(character) = characters.next()
    {
        let escaped = character == '\u{1b}' && characters.next_if_eq(&'[').is_some();
        if escaped || character == '\u{9b}' {
            characters.find(|next| matches!(next, '@'..='~'));
        }
        if !is_blank(character) {
            cleaned.push(character);
            left -= 1;
        } else if !cleaned.is_empty() && !cleaned.ends_with(' ') {
            cleaned.push(' ');
            left -= 1;
        }
    }
    cleaned.truncate(cleaned.trim_end().len());
    cleaned
}

/// White space, or a character that is not printable: controls, directions, joiners, fillers.
fn is_blank(character: char) -> bool {
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{super::members, *};

    /// The work depends on the length that is shown, not on what a server sends.
    #[test]
    fn the_time_depends_only_on_what_is_shown() {
        for flood in ["a", " ", "\u{200b}", "\u{1b}[", "\u{9b}", "%25", "\\u0061"] {
            let read = Cell::new(0);
            let text = flood.repeat(1 << 20);
            let cleaned = clean(text.chars().inspect(|_| read.set(read.get() + 1)), 100);
            assert!(cleaned.chars().count() <= 100 && read.get() <= 401, "{flood:?}: {} characters", read.get());
        }
    }

    #[test]
    fn a_text_is_short_and_printable() {
        let mask = Mask::default();
        for (text, shown) in [
            ("a\u{1b}[31mred\u{1b}[0m\u{7}b\u{9b}1mc", "a red b c"),
            ("a\u{202e}b\u{200b}c\u{2066}d\u{61c}e\u{feff}f", "a b c d e f"),
            ("  two\r\n\t words ", "two words"),
        ] {
            assert_eq!(mask.quote(text), shown);
        }
        assert_eq!(mask.quote(&"\u{e9}".repeat(1000)).chars().count(), MAX_CHARACTERS);
    }

    #[test]
    fn a_secret_at_the_end_of_what_is_shown_is_found() {
        let mut mask = Mask::default();
        mask.hide("aB3dE5fG7hJ9kL1m");
        let escaped: String = "aB3dE5fG7hJ9kL1m".chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        for shown in 1..40 {
            let text = format!("{}{escaped}", "x".repeat(MAX_CHARACTERS - shown));
            assert_eq!(mask.quote(&text), MASK);
        }
    }

    #[test]
    fn few_members_are_quoted() {
        let mask = Mask::default();
        let quoted = |json: &str| mask.overview(&members::of_json(json).expect("an object"));
        for (json, shown) in [
            (r#"{"errcode":40013,"errmsg":"invalid appid"}"#, "errcode: 40013, errmsg: invalid appid"),
            (r#"{"status":"error","msg":"no","data":{"token":"q7w8"}}"#, "data, msg: no, status: error"),
            (r#"{"errorCode":"E1","errorSummary":"s","errorId":"i"}"#, "errorCode: E1, errorId, errorSummary: s"),
            (r#"{"error":{"message":"m","code":17,"token":"q7w8"}}"#, "error.code: 17, error.message: m"),
            (r#"{"errors":[{"detail":"d"},{"detail":"e"}]}"#, "errors.detail: d"),
            (r#"{"errors":["one","two"],"detail":[]}"#, "detail, errors: one"),
            (r#"{"success":false,"a b":1}"#, "…, success: false"),
            ("{}", ""),
        ] {
            assert_eq!(quoted(json), shown, "{json}");
        }
    }
}
