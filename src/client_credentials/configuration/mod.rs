//! Configuration from files and environment variables.

mod authentication;
#[cfg(feature = "reqwest")]
mod certificates;
#[cfg(feature = "reqwest")]
mod http;
mod names;
mod setting;
mod table;

use std::env;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

#[cfg(feature = "reqwest")]
pub(super) use self::http::HttpSettings;
use self::{
    setting::{Fields, Setting},
    table::{Table, refuse},
};
#[cfg(feature = "reqwest")]
use super::transport::Transport;
use super::{ClientCredentials, ClientCredentialsBuilder, Secret};
use crate::{error::Error, origin::Origins, token_request::TokenRequest};

/// A dot separates a field from the table that it is in.
const FIELDS: &[&str] = &[
    "token_url",
    "issuer",
    "vonage",
    "client_id",
    "client_id_file",
    "client_secret",
    "client_secret_file",
    "authentication",
    "client_assertion_file",
    "private_key_file",
    "algorithm",
    "key_id",
    "certificate_file",
    "assertion_audience",
    "assertion_lifetime",
    "scope",
    "comma_separated_scopes",
    "audience",
    "resource",
    "parameters",
    "headers",
    "grant_type",
    "token_types",
    "origins",
    "any_origin",
    "token_endpoint_origins",
    "mtls_endpoint_aliases",
    "allow_plain_http",
    "timeout",
    "http.proxy",
    "http.ca_file",
    "http.ca_only",
    "http.client_certificate_file",
    "http.client_key_file",
    "http.connect_timeout",
];

/// Reads the configuration from a table of an application's own file, in any self-describing format of serde.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use client_credentials::ClientCredentialsBuilder;
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     auth: ClientCredentialsBuilder,
/// }
///
/// let settings: Settings = toml::from_str(
///     r#"
///     [auth]
///     token_url = "https://auth.example.com/oauth2/token"
///     client_id = "abcde"
///     client_secret_file = "/run/secrets/oauth"
///     scope = "stats agents-availability:read"
///     origins = ["https://api.example.com"]
///     "#,
/// )?;
/// # #[cfg(feature = "reqwest")]
/// let source = settings.auth.build()?;
/// # Ok(())
/// # }
/// ```
///
/// | field | meaning |
/// |---|---|
/// | `token_url`, `issuer` or `vonage` | exactly one of them: the token endpoint; the issuer to [discover](ClientCredentials::discover) it from; the [region](crate::vonage::Region) |
/// | `client_id` or `client_id_file` | the client's id |
/// | `client_secret` or `client_secret_file` | for methods with a secret; a [file](Secret::file) is preferred, because configuration is copied and committed |
/// | `authentication` | `client_secret_post` (the default), `client_secret_basic`, `client_secret_basic_raw`, `client_secret_jwt` (feature `jwt`), `private_key_jwt` (feature `jwt`), `client_assertion`, `tls_client_auth`, `self_signed_tls_client_auth` or `none` |
/// | `private_key_file`, `algorithm`, `key_id`, `certificate_file` | for `private_key_jwt`: the key in PEM; `RS256`, `PS256`, `ES256`, `EdDSA` or `Ed25519`; `kid`; the certificate of the key. The files are read for each token request |
/// | `assertion_audience`, `assertion_lifetime` | for `private_key_jwt` and `client_secret_jwt`: `aud`; the lifetime in seconds |
/// | `client_assertion_file` | for `client_assertion`: a file with a token that another program writes and renews |
/// | `scope`, `resource` | a string or a list of strings |
/// | `audience`, `grant_type` | a string |
/// | `parameters`, `headers` | a table of extra parameters or headers, each a string or a list of strings |
/// | `origins`, `token_endpoint_origins`, `token_types` | a list of strings, or a string with commas between them |
/// | `any_origin`, `comma_separated_scopes`, `mtls_endpoint_aliases`, `allow_plain_http` | `true` or `false` |
/// | `timeout` | seconds |
/// | `http` | a table for the connection to the token endpoint (feature `reqwest`; its files need `rustls` or `native-tls`) |
/// | `http.proxy` | a URL, with user and password if required (`socks5://` with reqwest's feature `socks`); `none` for no proxy, even if `HTTPS_PROXY` and the like are set |
/// | `http.ca_file`, `http.ca_only` | certificate authorities to trust, in PEM; `true` to trust no others |
/// | `http.client_certificate_file`, `http.client_key_file` | a client certificate in PEM with its chain; its key, if it is not in the same file (on Windows with native-tls: an RSA key) |
/// | `http.connect_timeout` | seconds |
///
/// Each field has the effect of the builder's method or constructor argument of that name. Methods that are called
/// later add to the configuration or replace it; [`http_client`](ClientCredentialsBuilder::http_client) replaces
/// `http`, and [`authentication`](ClientCredentialsBuilder::authentication) can supply a missing secret.
///
/// Deserialization accepts every value, because parsers quote the line of an error, and with it a secret. Instead,
/// [`build`](ClientCredentialsBuilder::build) returns errors with the field's name and without its value: for an
/// unknown field (and what it is called here, if other tools have that name for it), for one that is set twice, and for
/// one that does not belong to the method. If both a secret and its file are set, the secret wins, so that a variable
/// can override a file; the log says so. (Parsers still quote syntax errors, such as an unterminated string, or a
/// duplicate key in TOML.)
impl<'de> Deserialize<'de> for ClientCredentialsBuilder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Setting::deserialize(deserializer)? {
            Setting::Table(fields) => Self::from_fields(fields),
            other => {
                let what = format!("the client's settings are {}, not a table", other.kind());
                Self::refused(Error::configuration(what))
            }
        })
    }
}

impl ClientCredentialsBuilder {
    /// Reads the configuration from environment variables. Their names are `prefix` and the name of a field (see
    /// `Deserialize`) in capitals, such as `AUTH_CLIENT_ID` for the prefix `AUTH_`. A field in a table has two
    /// underscores in between: `AUTH_HTTP__PROXY`, `AUTH_PARAMETERS__ACCOUNT_ID`.
    ///
    /// Empty variables are ignored. Names of parameters and headers become lower case, and in those of headers `_`
    /// becomes `-`. Other variables must not begin with the prefix: [`build`](Self::build) refuses unknown fields, so
    /// that typing errors are noticed.
    ///
    /// ```no_run
    /// # #[cfg(feature = "reqwest")]
    /// # fn example() -> Result<(), client_credentials::Error> {
    /// use client_credentials::{ClientCredentialsBuilder, TokenCache};
    ///
    /// let tokens = TokenCache::from(ClientCredentialsBuilder::from_env("AUTH_").build()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_env(prefix: &str) -> Self {
        let mut fields = Fields::new();
        for (name, value) in env::vars_os() {
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix(prefix)) else { continue };
            let name = match name.to_lowercase().split_once("__") {
                Some(("headers", header)) => format!("headers.{}", header.replace('_', "-")),
                Some((table, field)) => format!("{table}.{field}"),
                None => name.to_lowercase(),
            };
            match value.into_string() {
                Ok(text) if text.is_empty() => {}
                Ok(text) => fields.push((name, Setting::Text(Zeroizing::new(text)))),
                Err(_) => fields.push((name, Setting::Other("not UTF-8"))),
            }
        }
        if fields.is_empty() {
            let what = format!("client_id: missing; no environment variable begins with `{prefix}`");
            return Self::refused(Error::configuration(what));
        }
        Self::from_fields(fields)
    }

    fn from_fields(fields: Fields) -> Self {
        Table::new(fields, FIELDS).and_then(read).unwrap_or_else(Self::refused)
    }
}

/// Calls the builder's method for each field.
fn read(mut table: Table) -> Result<ClientCredentialsBuilder, Error> {
    let client_id = table.value_or_file("client_id", "client_id_file")?;
    let client_id = client_id.ok_or_else(|| refuse("client_id", "missing"))?;
    let authentication = authentication::read(&mut table)?;
    let builder = server(&mut table, client_id)?;
    let mut builder = token_request(&mut table, builder)?;
    builder.authentication = authentication;
    for origin in origins(&mut table, "origins")? {
        builder = builder.origin(origin);
    }
    if table.flag("any_origin")? {
        builder = builder.any_origin();
    }
    for token_type in table.list("token_types")? {
        builder = builder.accept_token_type(token_type);
    }
    if let Some(limit) = table.seconds("timeout")? {
        builder = builder.timeout(limit);
    }
    #[cfg(feature = "reqwest")]
    {
        builder.transport = Transport::Configured(Box::new(http::read(&mut table)?));
    }
    match table.rest() {
        Some(name) if name.starts_with("http.") => return Err(refuse(name, "needs the feature `reqwest`")),
        Some(name) => return Err(refuse(name, "does not belong to this `authentication`; omit it")),
        None => {}
    }
    builder.overridden = table.overridden;
    Ok(builder)
}

fn server(table: &mut Table, client_id: Secret) -> Result<ClientCredentialsBuilder, Error> {
    let both = |one, other| Err(Error::configuration(format!("{one}, {other}: both are set; set only one of them")));
    let (token_url, issuer, region) = (table.text("token_url")?, table.text("issuer")?, table.text("vonage")?);
    // The method is set afterwards.
    let none = super::ClientAuthentication::none();
    let mut builder = match (token_url, issuer, region) {
        (Some(url), None, None) => ClientCredentials::builder(url, client_id, none),
        (None, Some(issuer), None) => ClientCredentials::discover(issuer, client_id, none),
        (None, None, Some(region)) => {
            let refused = |_| refuse("vonage", "is not a region; write `emea`, `usa` or `apac`");
            ClientCredentials::vonage(region.parse().map_err(refused)?, client_id, none)
        }
        (None, None, None) => return Err(refuse("token_url", "missing; set one of `token_url`, `issuer`, `vonage`")),
        (Some(_), Some(_), _) => return both("token_url", "issuer"),
        (Some(_), None, Some(_)) => return both("token_url", "vonage"),
        (None, Some(_), Some(_)) => return both("issuer", "vonage"),
    };
    for origin in origins(table, "token_endpoint_origins")? {
        builder = builder.token_endpoint_origin(origin);
    }
    if table.flag("mtls_endpoint_aliases")? {
        builder = builder.mtls_endpoint_aliases();
    }
    if table.flag("allow_plain_http")? {
        builder = builder.allow_plain_http();
    }
    Ok(builder)
}

fn token_request(table: &mut Table, mut builder: ClientCredentialsBuilder) -> Result<ClientCredentialsBuilder, Error> {
    for scope in table.texts("scope")? {
        // The builder's own error would quote the value.
        if TokenRequest::builder().scope(&scope).build().is_err() {
            let what = "is not valid (RFC 6749 section 3.3); write visible ASCII without `\"` and `\\`, \
                        and one space between two scopes";
            return Err(refuse("scope", what));
        }
        builder = builder.scope(scope);
    }
    if let Some(audience) = table.text("audience")? {
        builder = builder.audience(audience);
    }
    for resource in table.texts("resource")? {
        builder = builder.resource(resource.as_str());
    }
    for (name, value) in table.pairs("parameters")? {
        builder = builder.parameter(name, value.as_str());
    }
    for (name, value) in table.pairs("headers")? {
        builder = builder.header(name, value.as_str());
    }
    if let Some(grant_type) = table.text("grant_type")? {
        builder = builder.grant_type(grant_type);
    }
    if table.flag("comma_separated_scopes")? {
        builder = builder.comma_separated_scopes();
    }
    Ok(builder)
}

fn origins(table: &mut Table, name: &str) -> Result<Vec<String>, Error> {
    let origins = table.list(name)?;
    match origins.iter().position(|origin| Origins::new([origin]).is_err()) {
        Some(at) => {
            let what = format!("number {} is not an origin; write it as `https://api.example.com`", at + 1);
            Err(refuse(name, &what))
        }
        None => Ok(origins),
    }
}
