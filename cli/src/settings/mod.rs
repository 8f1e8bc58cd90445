//! The settings: from a table of a file, from the environment, and as flags.

mod environment;
mod file;
mod flags;

use std::io::{self, IsTerminal, Read};

use clap::ArgMatches;
use client_credentials::ClientCredentialsBuilder;
use toml::{Table, Value};

pub(crate) use self::flags::{FLAGS, Flag, meant, of_field};
use crate::{failure::Failure, streams::say};

/// Fields of which only one is used: one that is set replaces the others of a source with less weight.
const ONE_OF: [&[&str]; 3] =
    [&["token_url", "issuer", "vonage"], &["client_id", "client_id_file"], &["client_secret", "client_secret_file"]];

/// Fields that say where tokens may go.
const ORIGINS: [&str; 3] = ["origins", "any_origin", "vonage"];

pub(crate) struct Settings {
    pub table: Table,
    /// The part of it that was given as flags, and so is no secret.
    pub flags: Table,
    /// The table's name in its file.
    pub name: String,
    /// What variables replaced, which may be left over from something else.
    pub replaced: Vec<String>,
}

impl Settings {
    pub(crate) fn read(options: &ArgMatches) -> Result<Self, Failure> {
        let name = options.get_one::<String>("table").cloned();
        let mut table = match options.get_one::<String>("config") {
            Some(path) => file::read(path, name.as_deref())?,
            None => Table::new(),
        };
        let (variables, flags) = (environment::read()?, flags::read(options)?);
        let replaced = replaced(&table, &variables, &flags);
        lay_over(&mut table, variables);
        lay_over(&mut table, flags.clone());
        environment::add_vonage(&mut table);
        if table.get("client_secret_file").and_then(Value::as_str) == Some("-") {
            table.remove("client_secret_file");
            table.insert("client_secret".to_owned(), secret_from_stdin()?.into());
        }
        check_complete(&table)?;
        Ok(Self { table, flags, name: name.unwrap_or_else(|| "auth".to_owned()), replaced })
    }

    /// A client with these settings; `authentication` replaces that field.
    pub(crate) fn builder(&self, authentication: Option<&str>) -> Result<ClientCredentialsBuilder, Failure> {
        let mut table = self.table.clone();
        if let Some(method) = authentication {
            table.insert("authentication".to_owned(), method.into());
        }
        // Nothing is sent to an API that was not named.
        if !self.names_origins() {
            table.insert("any_origin".to_owned(), true.into());
        }
        table.try_into().map_err(|error: toml::de::Error| Failure::usage(error.message()))
    }

    pub(crate) fn say_replaced(&self) {
        self.replaced.iter().for_each(say);
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.table.contains_key(field)
    }

    pub(crate) fn names_origins(&self) -> bool {
        is_set(&self.table, &ORIGINS)
    }

    /// A field within the table `http`.
    pub(crate) fn http(&self, field: &str) -> Option<&str> {
        self.table.get("http")?.get(field)?.as_str()
    }
}

/// Sets a field; a dot separates it from the table that it is in.
fn put(table: &mut Table, field: &str, value: Value) {
    match field.split_once('.') {
        None => drop(table.insert(field.to_owned(), value)),
        Some((name, field)) => {
            if let Value::Table(within) = table.entry(name).or_insert_with(|| Value::Table(Table::new())) {
                within.insert(field.to_owned(), value);
            }
        }
    }
}

fn lay_over(below: &mut Table, above: Table) {
    for fields in ONE_OF.iter().filter(|fields| is_set(&above, fields)) {
        below.retain(|name, _| !fields.contains(&name));
    }
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(Value::Table(below)), Value::Table(above)) => below.extend(above),
            (_, value) => drop(below.insert(name, value)),
        }
    }
}

/// The fields of the file that variables replace, and no flag; and those beside which the file has the value itself.
fn replaced(file: &Table, variables: &Table, flags: &Table) -> Vec<String> {
    let mut texts = Vec::new();
    for (value, path) in [("client_id", "client_id_file"), ("client_secret", "client_secret_file")] {
        if file.contains_key(value) && file.contains_key(path) {
            texts.push(format!("`{path}` is ignored, since the file contains the value itself"));
        }
    }
    for name in variables.keys() {
        let fields = alternatives(name);
        for field in &fields {
            if file.get(*field).is_some_and(|value| !value.is_table()) && !is_set(flags, &fields) {
                texts.push(format!("the variable {} replaces `{field}` of the file", environment::variable(name)));
            }
        }
    }
    texts
}

/// The fields of which only one is used, `field` among them.
fn alternatives(field: &str) -> Vec<&str> {
    ONE_OF.into_iter().find(|fields| fields.contains(&field)).map_or_else(|| vec![field], <[_]>::to_vec)
}

/// Says all that is missing at once; the library would say it one by one.
fn check_complete(table: &Table) -> Result<(), Failure> {
    let without_secret = ["authentication", "private_key_file", "client_assertion_file", "http"];
    let missing = [
        (!is_set(table, ONE_OF[0])).then_some("`--token-url` (or `--issuer`, or `--vonage`)"),
        (!is_set(table, ONE_OF[1])).then_some("`--client-id`"),
        (!is_set(table, ONE_OF[2]) && !is_set(table, &without_secret)).then_some("`--client-secret-file`"),
    ];
    let missing: Vec<_> = missing.into_iter().flatten().collect();
    match missing.as_slice() {
        [] => Ok(()),
        // An unknown field may be what another tool calls one of them.
        _ if table.keys().any(|name| meant(name).is_some()) => Ok(()),
        missing => Err(Failure::usage(format!(
            "missing: {}; as flags, as variables (`CLIENT_CREDENTIALS_CLIENT_ID`), or in a table of a file (`--config app.toml --table auth`)",
            missing.join(", ")
        ))),
    }
}

fn is_set(table: &Table, fields: &[&str]) -> bool {
    fields.iter().any(|field| table.contains_key(*field))
}

fn secret_from_stdin() -> Result<String, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::usage(
            "--client-secret-file -: standard input is a terminal, which would show the secret; pipe it, as in `pass show auth | …`",
        ));
    }
    let mut secret = String::new();
    match stdin.lock().take(64 * 1024).read_to_string(&mut secret) {
        Ok(_) => Ok(secret),
        Err(error) => Err(Failure::usage(format!("--client-secret-file -: standard input cannot be read: {error}"))),
    }
}
