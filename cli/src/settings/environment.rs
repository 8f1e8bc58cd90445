//! The settings in environment variables.

use std::env;

use toml::{Table, Value};

use super::{ONE_OF, is_set, put};
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
            Ok(text) => put(&mut table, &field, Value::String(text)),
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
    if is_set(table, &["token_url", "issuer"]) || (!table.contains_key("vonage") && !is_region_set()) {
        return;
    }
    for (variable, field) in VONAGE {
        let group = ONE_OF.into_iter().find(|fields| fields.contains(&field)).unwrap_or(&[]);
        let value = env::var(variable).ok().filter(|value| !value.is_empty());
        if let Some(value) = value.filter(|_| !table.contains_key(field) && !is_set(table, group)) {
            table.insert(field.to_owned(), Value::String(value));
        }
    }
}

fn is_region_set() -> bool {
    env::var_os("VONAGE_REGION").is_some_and(|region| !region.is_empty())
}
