//! What an application puts into a file of its own.

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::{ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, Secret};
use crate::{origin::Origins, source::TokenRequest, vonage::Region};

const FIELDS: [&str; 13] = [
    "token_url",
    "issuer",
    "token_endpoint_origins",
    "vonage",
    "client_id",
    "client_secret",
    "client_secret_file",
    "authentication",
    "scope",
    "audience",
    "resource",
    "parameters",
    "origins",
];

const METHODS: &[&str] = &[
    "client_secret_post",
    "client_secret_basic",
    "client_secret_basic_raw",
    #[cfg(feature = "jwt")]
    "client_secret_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
];

/// From a table of an application's own file, in any format that serde knows.
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
/// | field | what it is |
/// |---|---|
/// | `token_url`, `issuer` or `vonage` | one of them: the token endpoint; an issuer to [discover](ClientCredentials::discover) it from; a [region](Region) |
/// | `client_id` | the client's id |
/// | `client_secret_file` or `client_secret` | one of them, for methods with a secret: better the path of a [file](Secret::file): a table is copied and committed, and the `Debug` of a parser's error may hold all of it (toml's does) |
/// | `authentication` | `client_secret_post`, as without it; `client_secret_basic`, `client_secret_basic_raw`, `client_secret_jwt` (feature `jwt`), `tls_client_auth`, `self_signed_tls_client_auth` or `none`. Others are set in code: [`ClientCredentialsBuilder::authentication`] over `none` |
/// | `scope`, `resource`, `origins` | a string or a list of strings |
/// | `audience` | a string |
/// | `parameters` | a table of further parameters, each a string or a list of strings |
/// | `token_endpoint_origins` | beside `issuer`: a string or a list of strings |
///
/// Any other field is refused. Everything else is set on the builder, which is as if its methods had been called.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
impl<'de> Deserialize<'de> for ClientCredentialsBuilder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Read whole at first: an error where a value stands makes parsers quote it, and it may be a secret in the wrong place.
        let refusal = match Value::deserialize(deserializer)? {
            Value::Object(fields) => match Table(fields).builder() {
                Ok(builder) => return Ok(builder),
                Err(refusal) => refusal,
            },
            mut other => {
                wipe(&mut other);
                format!("the client's settings are {}, not a table", kind(&other))
            }
        };
        Err(D::Error::custom(refusal))
    }
}

struct Table(Map<String, Value>);

/// Names the field and says what would be right, without its value.
type Refusal = String;

impl Table {
    fn builder(mut self) -> Result<ClientCredentialsBuilder, Refusal> {
        if let Some(unknown) = self.0.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(format!("`{}` is no field; known are {}", unknown.escape_debug(), listed(&FIELDS)));
        }
        let authentication = self.authentication()?;
        let client_id = self.text("client_id")?.ok_or("`client_id` is missing")?;
        if self.has("token_endpoint_origins") && !self.has("issuer") {
            return Err("`token_endpoint_origins` is there, but `issuer` is not, which it is for".into());
        }
        let mut builder = match self.one_of(["token_url", "issuer", "vonage"])? {
            ("token_url", url) => ClientCredentials::builder(url, client_id, authentication),
            ("issuer", issuer) => ClientCredentials::discover(issuer, client_id, authentication),
            (_, region) => {
                let region =
                    region.parse::<Region>().map_err(|_| "`vonage` is no region; write `emea`, `usa` or `apac`")?;
                ClientCredentials::vonage(region, client_id, authentication)
            }
        };
        for origin in self.origins("token_endpoint_origins")? {
            builder = builder.token_endpoint_origin(origin);
        }
        for scope in self.texts("scope")? {
            // The builder's own errors quote what they refuse.
            if TokenRequest::builder().scope(&scope).build().is_err() {
                return Err(
                    "`scope` is not as RFC 6749 section 3.3 has it; write visible ASCII without `\"` and `\\`, \
                            and one space between two scopes"
                        .into(),
                );
            }
            builder = builder.scope(scope);
        }
        if let Some(audience) = self.text("audience")? {
            builder = builder.audience(audience);
        }
        for resource in self.texts("resource")? {
            builder = builder.resource(resource);
        }
        for (name, value) in self.parameters()? {
            builder = builder.parameter(name, value);
        }
        for origin in self.origins("origins")? {
            builder = builder.origin(origin);
        }
        Ok(builder)
    }

    fn authentication(&mut self) -> Result<ClientAuthentication, Refusal> {
        let by_secret: fn(Secret) -> _ = match self.text("authentication")?.as_deref() {
            None | Some("client_secret_post") => ClientAuthentication::client_secret_post,
            Some("client_secret_basic") => ClientAuthentication::client_secret_basic,
            Some("client_secret_basic_raw") => ClientAuthentication::client_secret_basic_raw,
            #[cfg(feature = "jwt")]
            Some("client_secret_jwt") => |secret| ClientAuthentication::client_secret_jwt(secret).into(),
            Some("tls_client_auth") => return self.without_secret(ClientAuthentication::tls_client_auth()),
            Some("self_signed_tls_client_auth") => {
                return self.without_secret(ClientAuthentication::self_signed_tls_client_auth());
            }
            Some("none") => return self.without_secret(ClientAuthentication::none()),
            Some(coded @ ("private_key_jwt" | "client_assertion")) => {
                return Err(format!(
                    "`authentication` is `{coded}`, which is set in code; write `none`, and call `.authentication(..)`"
                ));
            }
            Some(_) => {
                return Err(format!("`authentication` is no method known here; known are {}", listed(METHODS)));
            }
        };
        let secret = match self.one_of(["client_secret_file", "client_secret"])? {
            ("client_secret_file", path) => Secret::file(path),
            (_, secret) => secret.into(),
        };
        Ok(by_secret(secret))
    }

    fn without_secret(&self, authentication: ClientAuthentication) -> Result<ClientAuthentication, Refusal> {
        match ["client_secret", "client_secret_file"].iter().find(|name| self.has(name)) {
            Some(name) => Err(format!("`{name}` is there, but `authentication` is `{authentication:?}`")),
            None => Ok(authentication),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// The one field of these that is there.
    fn one_of<const N: usize>(&mut self, names: [&'static str; N]) -> Result<(&'static str, String), Refusal> {
        let mut present = names.into_iter().filter(|name| self.has(name));
        let Some(name) = present.next() else { return Err(format!("one of {} is missing", listed(&names))) };
        if let Some(other) = present.next() {
            return Err(format!("`{name}` and `{other}` are both there; write one of them"));
        }
        Ok((name, self.text(name)?.unwrap_or_default()))
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.0.get_mut(name).map(Value::take) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{name}` is {}; write it as a string, in quotes", kind(&other))),
        }
    }

    /// Of a string, or a list of them.
    fn texts(&mut self, name: &str) -> Result<Vec<String>, Refusal> {
        self.0.get_mut(name).map_or(Ok(Vec::new()), |value| texts(name, value.take()))
    }

    fn origins(&mut self, name: &str) -> Result<Vec<String>, Refusal> {
        let origins = self.texts(name)?;
        match origins.iter().position(|origin| Origins::new([origin]).is_err()) {
            Some(at) => Err(format!("`{name}`: number {} is no origin; write it as `https://api.example.com`", at + 1)),
            None => Ok(origins),
        }
    }

    fn parameters(&mut self) -> Result<Vec<(String, String)>, Refusal> {
        let parameters = match self.0.get_mut("parameters").map(Value::take) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Object(parameters)) => parameters,
            Some(other) => return Err(format!("`parameters` is {}; write it as a table", kind(&other))),
        };
        let mut pairs = Vec::new();
        for (name, value) in parameters {
            for value in texts(&format!("parameters.{}", name.escape_debug()), value)? {
                pairs.push((name.clone(), value));
            }
        }
        Ok(pairs)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

fn texts(name: &str, value: Value) -> Result<Vec<String>, Refusal> {
    let values = match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values,
        other => vec![other],
    };
    values
        .into_iter()
        .map(|value| match value {
            Value::String(text) => Ok(text),
            other => Err(format!("`{name}` is, or has in it, {}; write strings, in quotes", kind(&other))),
        })
        .collect()
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn wipe(value: &mut Value) {
    if let Value::String(text) = value {
        text.zeroize();
    }
}

/// What a value is, without its content, which may be a secret in the wrong place.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
