//! The setting that worked, for an application's own file.

use toml::{Table, Value};

use crate::{settings::Settings, streams::say};

const SECRET_FILE: &str = "/run/secrets/client-secret";

pub(super) fn text(settings: &Settings, method: &str) -> String {
    let mut table = settings.table.clone();
    let has_secret = table.remove("client_secret").is_some();
    table.insert("authentication".to_owned(), method.into());
    hide(&mut table, &settings.flags);
    if has_secret {
        table.insert("client_secret_file".to_owned(), SECRET_FILE.into());
    }
    let is_named = settings.names_origins();
    if !is_named {
        table.insert("origins".to_owned(), vec!["https://api.example.com"].into());
    }
    let table = in_order(table);
    let in_file = settings
        .name
        .rsplit('.')
        .fold(Value::Table(table), |value, name| Value::Table(Table::from_iter([(name.to_owned(), value)])));
    let text = toml::to_string(&in_file).unwrap_or_default();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if has_secret && line.starts_with("client_secret_file") {
            line.push_str(" # write the secret to this file, or name another");
        }
        if !is_named && line.starts_with("origins") {
            line.push_str(" # where the token may be sent");
        }
    }
    lines.join("\n") + "\n"
}

/// Where and who first.
fn in_order(table: Table) -> Table {
    const FIRST: [&str; 7] =
        ["token_url", "issuer", "vonage", "client_id", "client_id_file", "client_secret_file", "authentication"];
    let place = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut fields: Vec<_> = table.into_iter().collect();
    fields.sort_by_key(|(name, _)| place(name));
    fields.into_iter().collect()
}

/// Further parameters and headers, the query of a URL and the password of a proxy may be secrets, unless they were
/// flags.
fn hide(table: &mut Table, flags: &Table) {
    for name in ["parameters", "headers"] {
        let Some(Value::Table(fields)) = table.get_mut(name) else { continue };
        for (field, value) in fields {
            if flags.get(name).and_then(|flags| flags.get(field)) != Some(value) {
                *value = "…".into();
            }
        }
    }
    if let Some(Value::String(url)) = table.get_mut("token_url")
        && flags.get("token_url").and_then(Value::as_str) != Some(url)
        && let Some((url_without, _)) = url.split_once('?')
    {
        *url = format!("{url_without}?…");
    }
    if let Some(Value::Table(http)) = table.get_mut("http")
        && let Some(Value::String(proxy)) = http.get_mut("proxy")
        && let Some((_, host)) = proxy.rsplit_once('@')
    {
        *proxy = format!("…@{host}");
    }
}

/// Where an application reads it.
pub(super) fn explain(settings: &Settings) {
    let name = settings.name.rsplit('.').next().unwrap_or_default();
    say(format!(
        "
The setting that worked follows on standard output. With the feature `serde`, your application reads it:

    #[derive(serde::Deserialize)]
    struct Settings {{ {name}: client_credentials::ClientCredentialsBuilder }}

    let settings: Settings = toml::from_str(&std::fs::read_to_string(\"app.toml\")?)?;
    let tokens = client_credentials::TokenCache::from(settings.{name}.build()?);
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(client_credentials::BearerAuthMiddleware::new(tokens))
        .build();
"
    ));
    if settings.http("ca_file").or(settings.http("client_certificate_file")).is_some() {
        say("The certificates in the table `http` are for token requests (feature `rustls` or `native-tls`).\n\
             If the API needs them, too, give them to its client (`tls_certs_merge`, `identity`).\n");
    }
}
