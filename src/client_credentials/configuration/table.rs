//! A table of settings, read field by field.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{
    names,
    setting::{Fields, Setting},
};
use crate::{client_credentials::Secret, error::Error};

pub(super) struct Table {
    /// The prefix of field names in errors: empty, or the table's own name and a dot.
    prefix: String,
    fields: Fields,
    /// Fields that were ignored because another one replaces them.
    pub overridden: Vec<&'static str>,
}

impl Table {
    /// Refuses unknown and repeated fields.
    pub(super) fn new(prefix: String, fields: Fields, known: &[&str]) -> Result<Self, Error> {
        if let Some((unknown, _)) = fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let advice = match names::meant(&prefix, unknown, known) {
                Some(field) => format!("write `{field}`"),
                None => format!("the fields are {}", listed(known)),
            };
            return Err(Error::configuration(format!("`{prefix}{}` is not a field; {advice}", shown(unknown))));
        }
        Self::of_any_names(prefix, fields)
    }

    /// Refuses repeated fields, and drops those without a value.
    fn of_any_names(prefix: String, fields: Fields) -> Result<Self, Error> {
        let mut table = Self { prefix, fields, overridden: Vec::new() };
        let names = table.fields.iter().map(|(name, _)| name);
        let repeated = names.enumerate().find(|(at, name)| table.fields[..*at].iter().any(|(other, _)| other == *name));
        if let Some((_, name)) = repeated {
            return Err(table.refuse(name, "is set twice; set it once"));
        }
        table.fields.retain(|(_, value)| !matches!(value, Setting::Nothing));
        Ok(table)
    }

    pub(super) fn refuse(&self, name: &str, what: &str) -> Error {
        Error::configuration(format!("{}{}: {what}", self.prefix, shown(name)))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// A field that was not read.
    pub(super) fn rest(&self) -> Option<&str> {
        self.fields.first().map(|(name, _)| name.as_str())
    }

    fn take(&mut self, name: &str) -> Option<Setting> {
        let at = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(at).1)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.secret(name)?.map(|text| text.trim().to_owned()))
    }

    /// The value without a byte order mark and line ends, and otherwise unchanged.
    pub(super) fn secret(&mut self, name: &str) -> Result<Option<Zeroizing<String>>, Error> {
        match self.take(name).map(Setting::into_text).transpose() {
            Ok(text) => Ok(text.map(|text| {
                Zeroizing::new(text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']).to_owned())
            })),
            Err(other) => Err(self.refuse(name, &format!("is {}; write a string, in quotes", other.kind()))),
        }
    }

    /// A value, or the file that contains it. The value wins, so that a variable can override a file.
    pub(super) fn value_or_file(&mut self, name: &str, of_file: &'static str) -> Result<Option<Secret>, Error> {
        let (value, path) = (self.secret(name)?, self.text(of_file)?);
        if value.is_some() && path.is_some() {
            self.overridden.push(of_file);
        }
        Ok(value.map(|value| value.as_str().into()).or_else(|| path.map(Secret::file)))
    }

    /// A string or a list of strings.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<Zeroizing<String>>, Error> {
        let values = match self.take(name) {
            None => Vec::new(),
            Some(Setting::List(values)) => values,
            Some(other) => vec![other],
        };
        let texts = values.into_iter().map(|value| match value.into_text() {
            Ok(text) => Ok(Zeroizing::new(text.trim().to_owned())),
            Err(other) => Err(self.refuse(name, &format!("is or contains {}; write strings, in quotes", other.kind()))),
        });
        texts.collect()
    }

    /// Like [`texts`](Self::texts), but commas separate strings, because environment variables have no lists.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<String>, Error> {
        let texts = self.texts(name)?;
        Ok(texts.iter().flat_map(|text| text.split(',')).map(|text| text.trim().to_owned()).collect())
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Error> {
        let Some(value) = self.take(name) else { return Ok(false) };
        value.as_flag().ok_or_else(|| self.refuse(name, "is neither `true` nor `false`"))
    }

    pub(super) fn seconds(&mut self, name: &str) -> Result<Option<Duration>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_seconds().map(Some).ok_or_else(|| self.refuse(name, "is not a number of seconds"))
    }

    /// The names and values of a table with names of the user's choice. A value may be a list.
    pub(super) fn pairs(&mut self, name: &str) -> Result<Vec<(String, Zeroizing<String>)>, Error> {
        let Some(fields) = self.fields_of(name)? else { return Ok(Vec::new()) };
        let mut table = Self::of_any_names(format!("{}{name}.", self.prefix), fields)?;
        let mut pairs = Vec::new();
        while let Some(name) = table.rest().map(str::to_owned) {
            pairs.extend(table.texts(&name)?.into_iter().map(|value| (name.clone(), value)));
        }
        Ok(pairs)
    }

    #[cfg(feature = "reqwest")]
    pub(super) fn table(&mut self, name: &str, known: &[&str]) -> Result<Option<Self>, Error> {
        match self.fields_of(name)? {
            Some(fields) => Self::new(format!("{}{name}.", self.prefix), fields, known).map(Some),
            None => Ok(None),
        }
    }

    fn fields_of(&mut self, name: &str) -> Result<Option<Fields>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Setting::Table(fields)) => Ok(Some(fields)),
            Some(other) => Err(self.refuse(name, &format!("is {}; write a table", other.kind()))),
        }
    }
}

/// A name from the configuration, shortened and escaped: it may be any text.
fn shown(name: &str) -> String {
    name.escape_debug().take(64).collect()
}

pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
