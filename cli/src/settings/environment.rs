//! The settings in environment variables.

use std::env;

use toml::Table;

use super::{alternatives, is_set, put};
use crate::failure::Failure;

const PREFIX: &str = "CLIENT_CREDENTIALS_";

const VONAGE: [(&str, &str); 4] = [
    ("VONAGE_REGION", "vonage"),
    ("VONAGE_CLIENT_ID", "client_id"),
    ("VONAGE_CLIENT_SECRET", "client_secret"),
    ("VONAGE_SCOPE", "scope"),
];

/// The variables that `ClientCredentialsBuilder::from_env` would read, as a table.
pub(super) fn read() -> Result<Table, Failure> {
    let mut table = Table::new();
    for (variable, value) in env::vars_os() {
        let Some(name) = variable.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let field = match name.to_lowercase().split_once("__") {
            Some(("headers", header)) => format!("headers.{}", header.replace('_', "-")),
            Some((table, field)) => format!("{table}.{field}"),
            None => name.to_lowercase(),
        };
        match value.into_string() {
            Ok(text) if text.is_empty() => {}
            Ok(text) => put(&mut table, &field, text.into()),
            Err(_) => return Err(Failure::usage(format!("{PREFIX}{name}: is not UTF-8"))),
        }
    }
    Ok(table)
}

/// The variable of a field.
pub(super) fn variable(field: &str) -> String {
    format!("{PREFIX}{}", field.to_uppercase())
}

/// Adds what only Vonage's own variables have, if no other server is named.
pub(super) fn add_vonage(table: &mut Table) {
    let read = |variable| env::var(variable).ok().filter(|value| !value.is_empty());
    let is_vonage = table.contains_key("vonage") || read("VONAGE_REGION").is_some();
    if !is_vonage || is_set(table, &["token_url", "issuer"]) {
        return;
    }
    for (variable, field) in VONAGE {
        if let Some(value) = read(variable).filter(|_| !is_set(table, &alternatives(field))) {
            table.insert(field.to_owned(), value.into());
        }
    }
}
