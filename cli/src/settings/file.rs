//! The settings in a table of an application's own file.

use std::fs;

use toml::{Table, Value};

use crate::failure::Failure;

/// Tables within that of the settings. A file with others has more than the settings.
const WITHIN: [&str; 3] = ["parameters", "headers", "http"];

/// Reads the table `name` of the file, or the whole file. A dot separates a table from the one that it is in.
pub(super) fn read(path: &str, name: Option<&str>) -> Result<Table, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::usage(format!("--config: {path}: {error}")))?;
    let mut table = text.parse::<Table>().map_err(|error| {
        // The error's own text shows the line, which may have the secret.
        let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count()) + 1;
        Failure::usage(format!("--config: {path}: line {line}: {}", error.message()))
    })?;
    let is_within = |(name, value): (&String, &Value)| value.is_table() && !WITHIN.contains(&name.as_str());
    if name.is_none() && table.iter().any(is_within) {
        return Err(Failure::usage(format!("--table: which table of {path}? {}", others(&table))));
    }
    for name in name.into_iter().flat_map(|name| name.split('.')) {
        table = match table.remove(name) {
            Some(Value::Table(table)) => table,
            _ => return Err(Failure::usage(format!("--table: {path} has no table `{name}`; {}", others(&table)))),
        };
    }
    Ok(table)
}

fn others(table: &Table) -> String {
    let names: Vec<_> =
        table.iter().filter(|(_, value)| value.is_table()).map(|(name, _)| format!("`{name}`")).collect();
    if names.is_empty() { "there are no tables".to_owned() } else { format!("there are {}", names.join(", ")) }
}
