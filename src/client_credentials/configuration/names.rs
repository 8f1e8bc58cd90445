//! The names that other tools have for the fields.

/// Prometheus, the OpenTelemetry collector, Spring, Go's oauth2 and others.
const OTHER_TOOLS: &[(&str, &str)] = &[
    ("access_token_uri", "token_url"),
    ("access_token_url", "token_url"),
    ("token_endpoint", "token_url"),
    ("token_uri", "token_url"),
    ("url", "token_url"),
    ("issuer_uri", "issuer"),
    ("issuer_url", "issuer"),
    ("region", "vonage"),
    ("secret", "client_secret"),
    ("secret_file", "client_secret_file"),
    ("auth_method", "authentication"),
    ("auth_style", "authentication"),
    ("client_authentication_method", "authentication"),
    ("token_endpoint_auth_method", "authentication"),
    ("private_key", "private_key_file"),
    ("signature_algorithm", "algorithm"),
    ("kid", "key_id"),
    ("additional_parameters", "parameters"),
    ("endpoint_params", "parameters"),
    ("extra_params", "parameters"),
    ("params", "parameters"),
    ("authorization_grant_type", "grant_type"),
    ("http", "http"),
    ("tls", "http"),
    ("tls_config", "http"),
    ("proxy_url", "http.proxy"),
    ("ca_cert", "http.ca_file"),
    ("cert", "http.client_certificate_file"),
    ("cert_file", "http.client_certificate_file"),
    ("key", "http.client_key_file"),
    ("key_file", "http.client_key_file"),
];

/// The field that `name` probably stands for: a `known` one in another spelling or place, or that of another tool.
pub(super) fn meant(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name = plain(name);
    let known = known.iter().map(|field| (*field, *field));
    known.chain(OTHER_TOOLS.iter().copied()).find(|(other, _)| plain(other) == name).map(|(_, field)| field)
}

/// In lower case and the singular, without the table that it is in.
fn plain(name: &str) -> String {
    let name = name.rsplit('.').next().unwrap_or_default().trim_end_matches(['s', 'S']);
    name.chars().filter(|character| !matches!(character, '_' | '-')).flat_map(char::to_lowercase).collect()
}
