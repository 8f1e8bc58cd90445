//! An unchecked value from a file or from the environment.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor},
};
use zeroize::Zeroizing;

/// An unchecked value. Every value is accepted, because a parser quotes the line of an error, and with it a secret.
/// Errors are reported when the client is built.
pub(super) enum Setting {
    Nothing,
    Text(Zeroizing<String>),
    /// Its digits.
    Integer(Zeroizing<String>),
    Float(f64),
    Flag(bool),
    List(Vec<Self>),
    Table(Fields),
    Other(&'static str),
}

/// A list, because a map would hide repeated names.
pub(super) type Fields = Vec<(String, Setting)>;

impl Setting {
    /// The type, for errors, which do not show values.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Float(_) => "a number with a fraction",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(what) => what,
        }
    }

    /// A string, or the digits of an integer, which may be an id.
    pub(super) fn into_text(self) -> Result<Zeroizing<String>, Self> {
        match self {
            Self::Text(text) | Self::Integer(text) => Ok(text),
            other => Err(other),
        }
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Setting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Setting, E> {
        Ok(Setting::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Setting, E> {
        Ok(Setting::Integer(Zeroizing::new(number.to_string())))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Setting, E> {
        Ok(Setting::Integer(Zeroizing::new(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Setting, E> {
        Ok(Setting::Integer(Zeroizing::new(number.to_string())))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Setting, E> {
        Ok(Setting::Integer(Zeroizing::new(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Setting, E> {
        Ok(Setting::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Setting, E> {
        Ok(Setting::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Setting, E> {
        Ok(Setting::Text(Zeroizing::new(text)))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Setting, E> {
        Ok(Setting::Other("bytes"))
    }

    fn visit_none<E>(self) -> Result<Setting, E> {
        Ok(Setting::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Setting, E> {
        Ok(Setting::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Setting, D::Error> {
        Setting::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Setting, D::Error> {
        Setting::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Setting, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Setting::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Setting, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = entries.next_entry::<Setting, Setting>()? {
            // A name that is not a string is not the name of a field.
            let name = name.into_text().map(|name| name.to_string()).unwrap_or_default();
            fields.push((name, value));
        }
        Ok(Setting::Table(fields))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Setting, A::Error> {
        let (IgnoredAny, value) = tagged.variant()?;
        value.newtype_variant::<IgnoredAny>()?;
        Ok(Setting::Other("a tagged value"))
    }
}
