//! From variables of the environment: by a library that layers them over a file, and without one.

use client_credentials::ClientCredentialsBuilder;
use config::{Config, Environment, File, FileFormat};

use super::{AuthorizationServer, SECRET, Settings, form, member, sent_by};
use crate::support::process;

const FILE: &str = r#"
    [auth]
    token_url = "https://auth.example.com/oauth2/token"
    client_id = "of-the-file"
    client_secret_file = "/run/secrets/of-the-file"
    authentication = "client_secret_basic"
    origins = ["https://api.example.com"]
"#;

fn layered(variables: &[(&str, &str)], try_parsing: bool) -> ClientCredentialsBuilder {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let environment = Environment::with_prefix("APP").separator("__").try_parsing(try_parsing).source(Some(variables));
    let file = File::from_str(FILE, FileFormat::Toml);
    let config = Config::builder().add_source(file).add_source(environment).build().expect("settings");
    config.try_deserialize::<Settings>().expect("it can be read").auth
}

#[tokio::test]
async fn variables_replace_what_is_in_the_file() {
    for try_parsing in [true, false] {
        let builder = layered(
            &[
                ("APP__AUTH__CLIENT_ID", "4711"),
                ("APP__AUTH__CLIENT_SECRET", SECRET),
                ("APP__AUTH__AUTHENTICATION", "client_secret_post"),
                ("APP__AUTH__ORIGINS", "https://api.example.com,https://other.example.com"),
                ("APP__AUTH__PARAMETERS__ACCOUNT_ID", "7"),
                ("APP__AUTH__TIMEOUT", "10"),
                ("APP__AUTH__ANY_ORIGIN", "false"),
            ],
            try_parsing,
        );
        let shown = format!("{builder:?}");
        assert!(shown.contains("other.example.com") && !shown.contains("s3cr3t"), "{shown}");
        let request = sent_by(builder).await;
        assert_eq!(member(&request, "client_id").as_deref(), Some("4711"));
        assert_eq!(member(&request, "client_secret").as_deref(), Some(SECRET));
        assert_eq!(member(&request, "account_id").as_deref(), Some("7"));
    }
}

#[test]
fn what_a_variable_has_wrong_is_named_without_its_value() {
    for (name, value, field) in [
        ("APP__AUTH__CLIENTSECRET", SECRET, "`clientsecret`"),
        ("APP__AUTH__ORIGINS", SECRET, "origins: number 1"),
        ("APP__AUTH__TIMEOUT", SECRET, "timeout: "),
        ("APP__AUTH__HTTP", SECRET, "http: is a string"),
    ] {
        let error = layered(&[(name, value)], true).any_origin().build().expect_err(name);
        let shown = format!("{error} {error:?}");
        assert!(error.to_string().starts_with(field) && !shown.contains("s3cr3t"), "{shown}");
    }
}

/// What becomes of the settings in a process that has these variables.
fn with_environment(variables: &[(&str, &str)]) -> String {
    process::outcome("configuration::environment::in_a_process_the_settings_are_read", variables)
}

#[tokio::test]
#[ignore = "for a process of its own"]
async fn in_a_process_the_settings_are_read() {
    let builder = ClientCredentialsBuilder::from_env("CREDENTIALS_TEST_");
    match builder.clone().http_client(AuthorizationServer::in_memory()).build() {
        Err(error) => println!("outcome: {error}"),
        Ok(source) => {
            let request = sent_by(builder).await;
            let header = request.headers().get("x-merchant-id").map(|value| value.to_str().expect("ASCII").to_owned());
            println!("outcome: {} {:?} {header:?} {source:?}", request.uri(), form(request.body().as_ref()));
        }
    }
}

const VARIABLES: [(&str, &str); 9] = [
    ("CREDENTIALS_TEST_TOKEN_URL", "https://auth.example.com/oauth2/token"),
    ("CREDENTIALS_TEST_CLIENT_ID", "4711"),
    ("CREDENTIALS_TEST_CLIENT_SECRET", SECRET),
    ("CREDENTIALS_TEST_CLIENT_SECRET_FILE", ""),
    ("CREDENTIALS_TEST_ORIGINS", "https://api.example.com,https://other.example.com"),
    ("CREDENTIALS_TEST_PARAMETERS__ACCOUNT_ID", "7"),
    ("CREDENTIALS_TEST_HEADERS__X_MERCHANT_ID", "A1B2C3"),
    ("CREDENTIALS_TEST_HEADERS__X_MORE", "8"),
    ("ANOTHER_CREDENTIALS_TEST_SCOPE", "of-somebody-else"),
];

#[test]
fn settings_can_come_from_variables_alone() {
    let outcome = with_environment(&VARIABLES);
    for part in [
        "https://auth.example.com/oauth2/token",
        r#"("client_id", "4711")"#,
        r#"("client_secret", "s3cr3t-of-the-client")"#,
        r#"("account_id", "7")"#,
        r#"Some("A1B2C3")"#,
        "other.example.com",
    ] {
        assert!(outcome.contains(part), "{part}: {outcome}");
    }
    assert!(!outcome.contains("of-somebody-else"), "{outcome}");
}

#[test]
fn an_environment_without_any_setting_is_refused_with_the_prefix() {
    let outcome = with_environment(&[]);
    assert_eq!(outcome, "client_id: missing; no environment variable begins with `CREDENTIALS_TEST_`");
}

#[test]
fn a_variable_that_is_no_field_is_refused_by_its_name() {
    for (name, value, said) in [
        ("CREDENTIALS_TEST_CLIENTSECRET", SECRET, "`clientsecret` is not a field"),
        ("CREDENTIALS_TEST_HTTP__PROXIES", SECRET, "`http.proxies` is not a field"),
        ("CREDENTIALS_TEST_CLIENT__ID", SECRET, "`client.id` is not a field"),
        ("CREDENTIALS_TEST_CLIENT_ID", "", "client_id: missing"),
        // Windows ignores the case of names.
        #[cfg(unix)]
        ("CREDENTIALS_TEST_client_id", "twice", "client_id: is set twice"),
    ] {
        let mut variables = VARIABLES.to_vec();
        variables.push((name, value));
        let outcome = with_environment(&variables);
        assert!(outcome.starts_with(said) && !outcome.contains("s3cr3t"), "{outcome}");
    }
}
