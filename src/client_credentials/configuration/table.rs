//! A table of settings, read field by field.

use std::{collections::BTreeMap, time::Duration};

use zeroize::Zeroizing;

use super::{
    names,
    setting::{Fields, Setting},
};
use crate::{client_credentials::Secret, error::Error};

/// The fields that are tables. In `parameters` and `headers`, the names are the user's choice.
const TABLES: [&str; 3] = ["parameters", "headers", "http"];

pub(super) struct Table {
    /// A dot separates the name of a field from the table that it is in.
    fields: BTreeMap<String, Setting>,
    /// Fields that were ignored because another one replaces them.
    pub overridden: Vec<&'static str>,
}

impl Table {
    /// Refuses unknown and repeated fields, and drops those without a value.
    pub(super) fn new(fields: Fields, known: &[&'static str]) -> Result<Self, Error> {
        let mut table = Self { fields: BTreeMap::new(), overridden: Vec::new() };
        for (name, value) in flat(fields)? {
            let is_free = name.starts_with("parameters.") || name.starts_with("headers.");
            if !is_free && !known.contains(&name.as_str()) {
                let advice = match names::meant(&name, known) {
                    Some(field) => format!("write `{field}`"),
                    None => format!("the fields are {}", listed(known)),
                };
                return Err(Error::configuration(format!("`{}` is not a field; {advice}", shown(&name))));
            }
            if table.has(&name) {
                return Err(refuse(&name, "is set twice; set it once"));
            }
            table.fields.insert(name, value);
        }
        table.fields.retain(|_, value| !matches!(value, Setting::Nothing));
        Ok(table)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// A field that was not read.
    pub(super) fn rest(&self) -> Option<&str> {
        self.fields.keys().next().map(String::as_str)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.secret(name)?.map(|text| text.trim().to_owned()))
    }

    /// The value without a byte order mark and line ends, and otherwise unchanged.
    pub(super) fn secret(&mut self, name: &str) -> Result<Option<Zeroizing<String>>, Error> {
        match self.fields.remove(name).map(Setting::into_text).transpose() {
            Ok(text) => Ok(text.map(|text| {
                Zeroizing::new(text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']).to_owned())
            })),
            Err(other) => Err(refuse(name, &format!("is {}; write a string, in quotes", other.kind()))),
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
        let values = match self.fields.remove(name) {
            None => Vec::new(),
            Some(Setting::List(values)) => values,
            Some(other) => vec![other],
        };
        let texts = values.into_iter().map(|value| match value.into_text() {
            Ok(text) => Ok(Zeroizing::new(text.trim().to_owned())),
            Err(other) => Err(refuse(name, &format!("is or contains {}; write strings, in quotes", other.kind()))),
        });
        texts.collect()
    }

    /// Like [`texts`](Self::texts), but commas separate strings, because environment variables have no lists.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<String>, Error> {
        let texts = self.texts(name)?;
        Ok(texts.iter().flat_map(|text| text.split(',')).map(|text| text.trim().to_owned()).collect())
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Error> {
        let flag = match self.fields.remove(name) {
            None => Some(false),
            Some(Setting::Flag(flag)) => Some(flag),
            Some(other) => other.into_text().ok().and_then(|text| text.trim().to_ascii_lowercase().parse().ok()),
        };
        flag.ok_or_else(|| refuse(name, "is neither `true` nor `false`"))
    }

    pub(super) fn seconds(&mut self, name: &str) -> Result<Option<Duration>, Error> {
        let seconds = match self.fields.remove(name) {
            None => return Ok(None),
            Some(Setting::Float(seconds)) => Some(seconds),
            Some(other) => other.into_text().ok().and_then(|text| text.trim().parse().ok()),
        };
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.map(Some).ok_or_else(|| refuse(name, "is not a number of seconds"))
    }

    /// The names and values of a table with names of the user's choice. A value may be a list.
    pub(super) fn pairs(&mut self, table: &str) -> Result<Vec<(String, Zeroizing<String>)>, Error> {
        let names = self.fields.keys().filter_map(|field| field.strip_prefix(table)?.strip_prefix('.'));
        let names: Vec<_> = names.map(str::to_owned).collect();
        let mut pairs = Vec::new();
        for name in names {
            let values = self.texts(&format!("{table}.{name}"))?;
            pairs.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
        Ok(pairs)
    }
}

fn flat(fields: Fields) -> Result<Fields, Error> {
    let mut flat = Fields::new();
    for (name, value) in fields {
        match value {
            value if !TABLES.contains(&name.as_str()) => flat.push((name, value)),
            Setting::Table(within) => {
                flat.extend(within.into_iter().map(|(field, value)| (format!("{name}.{field}"), value)));
            }
            Setting::Nothing => {}
            other => return Err(refuse(&name, &format!("is {}; write a table", other.kind()))),
        }
    }
    Ok(flat)
}

pub(super) fn refuse(name: &str, what: &str) -> Error {
    Error::configuration(format!("{}: {what}", shown(name)))
}

/// A name from the configuration, shortened and escaped: it may be any text.
fn shown(name: &str) -> String {
    name.escape_debug().take(64).collect()
}

pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
