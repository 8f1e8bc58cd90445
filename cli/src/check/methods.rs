//! The ways of authentication that are tried.

use serde_json::{Map, Value};

use crate::{settings::Settings, streams::say};

const METHODS: [(&str, &str); 9] = [
    ("client_secret_post", "id and secret in the body"),
    ("client_secret_basic", "id and secret in the header Authorization"),
    ("client_secret_basic_raw", "id and secret in the header Authorization, without encoding"),
    ("client_secret_jwt", "an assertion that is signed with the secret"),
    ("private_key_jwt", "an assertion that is signed with the key"),
    ("client_assertion", "an assertion from a file"),
    ("tls_client_auth", "the certificate of the connection"),
    ("self_signed_tls_client_auth", "the certificate of the connection"),
    ("none", "the id alone"),
];

pub(super) fn described(method: &str) -> &'static str {
    METHODS.iter().find(|(name, _)| *name == method).map_or("", |(_, description)| description)
}

/// The method that is set, or else those in the issuer's metadata that the settings have something for, or else the
/// usual ones. Empty if the one that is set is unknown.
pub(super) fn to_try(settings: &Settings, metadata: Option<&Map<String, Value>>) -> Vec<&'static str> {
    let names = METHODS.iter().map(|(name, _)| *name);
    if let Some(set) = settings.table.get("authentication") {
        return names.filter(|name| set.as_str() == Some(name)).collect();
    }
    let possible = possible(settings);
    if let [only] = possible {
        return vec![only];
    }
    let listed = metadata.and_then(|metadata| metadata.get("token_endpoint_auth_methods_supported")?.as_array());
    let Some(listed) = listed else { return usual(possible) };
    let possible_ones = listed.iter().filter_map(|name| possible.iter().copied().find(|method| name == method));
    let methods: Vec<_> = possible_ones.collect();
    if methods.is_empty() {
        let names: Vec<_> = names.filter(|name| listed.contains(&Value::from(*name))).collect();
        say(format!(
            "  the metadata has no way of authentication that these settings are for; it has {}",
            names.join(", ")
        ));
        return usual(possible);
    }
    methods
}

/// What the settings have something for.
fn possible(settings: &Settings) -> &'static [&'static str] {
    if settings.has("private_key_file") {
        &["private_key_jwt"]
    } else if settings.has("client_assertion_file") {
        &["client_assertion"]
    } else if settings.has("client_secret") || settings.has("client_secret_file") {
        &["client_secret_post", "client_secret_basic", "client_secret_jwt"]
    } else if settings.http("client_certificate_file").is_some() {
        &["tls_client_auth", "self_signed_tls_client_auth"]
    } else {
        // Refused, because the secret is missing.
        &["client_secret_post"]
    }
}

/// Without metadata: few servers accept the secret as a key.
fn usual(possible: &[&'static str]) -> Vec<&'static str> {
    possible.iter().copied().filter(|method| *method != "client_secret_jwt").collect()
}
