//! The settings as flags, by the names of the fields.

use clap::{Arg, ArgAction, ArgMatches};
use client_credentials::ClientCredentialsBuilder;
use toml::{Table, Value};

use super::put;
use crate::failure::Failure;

pub(crate) struct Flag {
    pub name: &'static str,
    takes: Takes,
    heading: &'static str,
    help: &'static str,
}

enum Takes {
    Nothing,
    One(&'static str),
    Many(&'static str),
    Pairs,
}

use self::Takes::{Many, Nothing, One, Pairs};

const WHERE: &str = "Where the token comes from";
const WHO: &str = "How the client authenticates";
const WHAT: &str = "What the token is for";
const HOW: &str = "Connection";

pub(crate) const FLAGS: &[Flag] = &[
    flag("token-url", One("URL"), WHERE, "The token endpoint"),
    flag("issuer", One("URL"), WHERE, "The issuer, whose metadata names the token endpoint"),
    flag("vonage", One("REGION"), WHERE, "Vonage Contact Center: emea, usa or apac"),
    flag(
        "token-endpoint-origins",
        Many("ORIGIN"),
        WHERE,
        "Where the issuer's token endpoint may be, if it is on another host",
    ),
    flag("mtls-endpoint-aliases", Nothing, WHERE, "Use the endpoint for clients with a certificate"),
    flag("allow-plain-http", Nothing, WHERE, "Send the secret without TLS, beyond loopback too"),
    flag("client-id", One("ID"), WHO, "The client's id"),
    flag("client-id-file", One("FILE"), WHO, "A file with the client's id"),
    flag("client-secret-file", One("FILE"), WHO, "A file with the secret; `-`: standard input"),
    flag(
        "authentication",
        One("METHOD"),
        WHO,
        "client_secret_post, client_secret_basic, client_secret_basic_raw, client_secret_jwt, private_key_jwt, \
         client_assertion, tls_client_auth, self_signed_tls_client_auth or none",
    ),
    flag("private-key-file", One("FILE"), WHO, "For private_key_jwt: the key, in PEM"),
    flag("algorithm", One("NAME"), WHO, "For private_key_jwt: RS256, PS256, ES256 or EdDSA"),
    flag("key-id", One("ID"), WHO, "For assertions: `kid`"),
    flag("certificate-file", One("FILE"), WHO, "For private_key_jwt: the certificate of the key"),
    flag("assertion-audience", One("TEXT"), WHO, "For assertions: `aud`"),
    flag("assertion-lifetime", One("SECONDS"), WHO, "For assertions: how long they can be used"),
    flag("client-assertion-file", One("FILE"), WHO, "For client_assertion: a file with a token"),
    flag("scope", Many("SCOPE"), WHAT, "One scope, or several with spaces between them"),
    flag("comma-separated-scopes", Nothing, WHAT, "Separate scopes with commas"),
    flag("audience", One("TEXT"), WHAT, "The audience, as for Auth0"),
    flag("resource", Many("URI"), WHAT, "The API that the token is for (RFC 8707)"),
    flag("parameters", Pairs, WHAT, "A further parameter of the token request"),
    flag("headers", Pairs, WHAT, "A further header of the token request"),
    flag("grant-type", One("NAME"), WHAT, "Another name of the grant"),
    flag("token-types", Many("NAME"), WHAT, "Another name of a bearer token"),
    flag("origins", Many("ORIGIN"), WHAT, "Where the token may be sent, such as https://api.example.com"),
    flag("cacert", One("FILE"), HOW, "Certificate authorities to trust, too"),
    flag("cert", One("FILE"), HOW, "The client's certificate, in PEM"),
    flag("key", One("FILE"), HOW, "Its key, if that is in another file"),
    flag("timeout", One("SECONDS"), HOW, "How long a token request may take (28)"),
    flag("connect-timeout", One("SECONDS"), HOW, "How long connecting may take (10)"),
];

const fn flag(name: &'static str, takes: Takes, heading: &'static str, help: &'static str) -> Flag {
    Flag { name, takes, heading, help }
}

impl Flag {
    pub(crate) fn arg(&self) -> Arg {
        let arg = Arg::new(self.name).long(self.name).help(self.help).help_heading(self.heading);
        match self.takes {
            Nothing => arg.action(ArgAction::SetTrue),
            One(value) => arg.value_name(value),
            Many(value) => arg.value_name(value).action(ArgAction::Append),
            Pairs => arg.value_name("NAME=VALUE").action(ArgAction::Append),
        }
    }

    /// The field in the table; a dot separates it from the table that it is in.
    fn field(&self) -> String {
        match self.name {
            "cacert" => "http.ca_file".to_owned(),
            "cert" => "http.client_certificate_file".to_owned(),
            "key" => "http.client_key_file".to_owned(),
            "connect-timeout" => "http.connect_timeout".to_owned(),
            name => name.replace('-', "_"),
        }
    }
}

/// The settings that were given as flags.
pub(super) fn read(options: &ArgMatches) -> Result<Table, Failure> {
    let mut table = Table::new();
    for flag in FLAGS {
        let value = match flag.takes {
            Nothing => options.get_flag(flag.name).then(|| true.into()),
            One(_) => options.get_one::<String>(flag.name).map(|value| value.as_str().into()),
            Many(_) => options.get_many::<String>(flag.name).map(|values| values.cloned().collect::<Vec<_>>().into()),
            Pairs => options.get_many::<String>(flag.name).map(|pairs| by_name(flag, pairs)).transpose()?,
        };
        if let Some(value) = value {
            put(&mut table, &flag.field(), value);
        }
    }
    Ok(table)
}

/// A name may be repeated.
fn by_name<'a>(flag: &Flag, pairs: impl Iterator<Item = &'a String>) -> Result<Value, Failure> {
    let mut fields = Table::new();
    for pair in pairs {
        // The value may be a secret.
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Failure::usage(format!("--{}: write it as `name=value`", flag.name)));
        };
        if let Value::Array(values) = fields.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
            values.push(value.into());
        }
    }
    Ok(fields.into())
}

/// The field that another tool's name for a flag stands for, as in a file.
pub(crate) fn meant(name: &str) -> Option<String> {
    let field = Table::from_iter([(name.replace('-', "_"), Value::from(true))]);
    let builder = field.try_into::<ClientCredentialsBuilder>().ok()?;
    let error = builder.build().err()?.to_string();
    let (_, field) = error.split_once("is not a field; write `")?;
    Some(field.strip_suffix('`')?.to_owned())
}

/// The flag for a field.
pub(crate) fn of_field(field: &str) -> Option<&'static str> {
    FLAGS.iter().find(|flag| flag.field() == field).map(|flag| flag.name)
}
