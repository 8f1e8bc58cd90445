//! The names that other tools have for the fields.

/// Prometheus, the OpenTelemetry collector, Spring, Go's oauth2 and others; in lower case, without `_` and `-`.
const OTHER_TOOLS: &[(&str, &str)] = &[
    ("accesstokenuri", "token_url"),
    ("accesstokenurl", "token_url"),
    ("tokenendpoint", "token_url"),
    ("tokenuri", "token_url"),
    ("url", "token_url"),
    ("issueruri", "issuer"),
    ("issuerurl", "issuer"),
    ("region", "vonage"),
    ("secret", "client_secret"),
    ("secretfile", "client_secret_file"),
    ("authmethod", "authentication"),
    ("authstyle", "authentication"),
    ("clientauthenticationmethod", "authentication"),
    ("tokenendpointauthmethod", "authentication"),
    ("privatekey", "private_key_file"),
    ("signaturealgorithm", "algorithm"),
    ("kid", "key_id"),
    ("scopes", "scope"),
    ("audiences", "audience"),
    ("resources", "resource"),
    ("additionalparameters", "parameters"),
    ("endpointparams", "parameters"),
    ("extraparams", "parameters"),
    ("params", "parameters"),
    ("authorizationgranttype", "grant_type"),
    ("origin", "origins"),
    ("tls", "http"),
    ("tlsconfig", "http"),
    ("proxyurl", "http.proxy"),
    ("cacert", "http.ca_file"),
    ("cert", "http.client_certificate_file"),
    ("certfile", "http.client_certificate_file"),
    ("key", "http.client_key_file"),
    ("keyfile", "http.client_key_file"),
];

/// The field that `name` probably stands for: a `known` one in another spelling or place, or that of another tool.
pub(super) fn meant(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name = plain(name);
    let spelled = known.iter().copied().find(|known| plain(known) == name);
    spelled.or_else(|| OTHER_TOOLS.iter().find(|(other, _)| *other == name).map(|(_, field)| *field))
}

/// Without the table that it is in.
fn plain(name: &str) -> String {
    let name = name.rsplit('.').next().unwrap_or_default();
    name.chars().filter(|character| !matches!(character, '_' | '-')).flat_map(char::to_lowercase).collect()
}
