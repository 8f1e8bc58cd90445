//! The members of a JSON object or a form. A value is parsed only when it is used, so that unusual values in other
//! members do not matter.

use std::{collections::BTreeMap, fmt};

use http::{HeaderMap, header::CONTENT_TYPE};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// More members are ignored.
const MAX_MEMBERS: usize = 256;

/// The members by name. If a name is repeated, the last member counts.
pub(super) type Members<'a> = BTreeMap<String, Member<'a>>;

/// An unparsed value.
pub(super) enum Member<'a> {
    Json(&'a str),
    Form(Zeroizing<String>),
}

/// The body as text. The `charset` of its content type is ignored: a token has only ASCII characters.
pub(super) fn text(body: &[u8]) -> Zeroizing<String> {
    lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

/// The bytes as text, with `\u{fffd}` in place of what is not UTF-8.
pub(super) fn lossy(bytes: &[u8]) -> Zeroizing<String> {
    // Enough capacity for all of it: growing would leave an unwiped copy behind.
    let room = bytes.utf8_chunks().map(|chunk| chunk.valid().len() + char::REPLACEMENT_CHARACTER.len_utf8()).sum();
    let mut text = Zeroizing::new(String::with_capacity(room));
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

/// Whether the response has this content type.
pub(super) fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| begins(value.as_bytes(), wanted))
}

pub(super) fn begins(text: &[u8], beginning: &str) -> bool {
    text.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
}

/// The members of a token response. It has none if it is neither a JSON object nor a form.
pub(super) fn of_response<'a>(headers: &HeaderMap, text: &'a str) -> Members<'a> {
    if let Some(members) = of_json(text) {
        return members;
    }
    if !has_type(headers, "application/x-www-form-urlencoded") && !has_type(headers, "text/plain") {
        return Members::default();
    }
    let fields = form_urlencoded::parse(text.as_bytes()).take(MAX_MEMBERS);
    let fields = fields.map(|(name, value)| (name.into_owned(), Member::Form(Zeroizing::new(value.into_owned()))));
    let members: Members<'_> = fields.collect();
    let is_form = members.contains_key("access_token") || members.contains_key("error");
    if is_form { members } else { Members::default() }
}

/// The members of a JSON object.
pub(super) fn of_json(text: &str) -> Option<Members<'_>> {
    let members: BTreeMap<LossyText, &RawValue> = serde_json::from_str(text).ok()?;
    let members = members.into_iter().take(MAX_MEMBERS);
    Some(members.map(|(LossyText(name), value)| (name, Member::Json(value.get()))).collect())
}

impl<'a> Member<'a> {
    /// Whether it is not `null`, `""`, `false` or `0`.
    pub(super) fn has_value(&self) -> bool {
        match self {
            Self::Json(json) => !["null", "\"\"", "false", "0"].contains(json),
            Self::Form(text) => !text.is_empty(),
        }
    }

    /// A string. `Err` is the type of another value, without its content, which may be a misplaced token.
    pub(super) fn string(&self) -> Result<Zeroizing<String>, &'static str> {
        match self {
            Self::Json(json) => match serde_json::from_str(json) {
                Ok(LossyText(text)) => Ok(Zeroizing::new(text)),
                Err(_) => Err(self.kind()),
            },
            Self::Form(text) => Ok(text.clone()),
        }
    }

    /// The content of a string, or the unchanged JSON of any other value. `None` for `null`.
    pub(super) fn content(&self) -> Option<Zeroizing<String>> {
        match self {
            Self::Json("null") => None,
            Self::Json(json) => Some(self.string().unwrap_or_else(|_| Zeroizing::new((*json).to_owned()))),
            Self::Form(text) => Some(text.clone()),
        }
    }

    /// The members of an object.
    pub(super) fn object(&self) -> Option<Members<'a>> {
        let Self::Json(json) = self else { return None };
        of_json(json)
    }

    /// The items of an array.
    pub(super) fn items(&self) -> Option<impl Iterator<Item = Member<'a>> + use<'a>> {
        let Self::Json(json) = self else { return None };
        let items = serde_json::from_str::<Vec<&RawValue>>(json).ok()?;
        Some(items.into_iter().map(|item| Self::Json(item.get())))
    }

    /// The type of the value.
    pub(super) fn kind(&self) -> &'static str {
        let Self::Json(json) = self else { return "a string" };
        match json.as_bytes().first() {
            Some(b'n') => "null",
            Some(b't' | b'f') => "a boolean",
            Some(b'"') => "a string",
            Some(b'[') => "an array",
            Some(b'{') => "an object",
            _ => "a number",
        }
    }
}

/// A JSON string that may not be valid Unicode, for instance because the server cut it off within a character.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct LossyText(String);

impl<'de> Deserialize<'de> for LossyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = LossyText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<LossyText, E> {
        Ok(LossyText(std::mem::take(&mut *lossy(bytes))))
    }
}
