//! How the token endpoint is reached: proxies, certificate authorities and client certificates from the file.

use client_credentials::{ClientCredentialsBuilder, ErrorKind};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method},
};

use super::{SECRET, parsed, read, with};
use crate::support::{
    endpoint::{obtain, token_response},
    process, received, responding,
};

/// A token endpoint that only a proxy finds.
fn behind_a_proxy(http: &Value) -> Value {
    with(&json!({"token_url": "http://auth.invalid/oauth2/token", "allow_plain_http": true, "http": http}))
}

#[tokio::test]
async fn token_requests_go_through_the_proxy_with_its_credentials() {
    let proxy = MockServer::start().await;
    // `user:pass` in base64.
    let of_user = header("proxy-authorization", "Basic dXNlcjpwYXNz");
    Mock::given(method("POST")).and(of_user).respond_with(token_response()).expect(1).mount(&proxy).await;
    let url = proxy.uri().replace("http://", "http://user:pass@");
    obtain(read(&behind_a_proxy(&json!({"proxy": url})))).await.expect("a token");
    let asked = &received(&proxy).await[0];
    assert_eq!(asked.url.host_str(), Some("auth.invalid"));
}

#[tokio::test]
async fn the_password_of_a_proxy_is_not_shown() {
    let proxy = responding(ResponseTemplate::new(407)).await;
    let url = proxy.uri().replace("http://", &format!("http://user:{SECRET}@"));
    for url in [url, format!("http://user:{SECRET}@127.0.0.1:1")] {
        let builder = read(&behind_a_proxy(&json!({"proxy": url})));
        let shown = format!("{builder:?}");
        let error = obtain(builder).await.expect_err("refused");
        let shown = format!("{shown} {error} {error:?}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}

/// What becomes of a token request in a process that has this proxy in its environment.
fn with_proxy_in_the_environment(proxy: &str, settings: &Value) -> String {
    let variables = [("http_proxy", proxy), ("CONNECTION_TEST", &settings.to_string())];
    process::outcome("configuration::connection::in_a_process_a_token_is_requested", &variables)
}

#[tokio::test]
#[ignore = "for a process of its own"]
async fn in_a_process_a_token_is_requested() {
    let Ok(settings) = std::env::var("CONNECTION_TEST") else { return };
    let builder = serde_json::from_str::<ClientCredentialsBuilder>(&settings).expect("settings");
    let outcome = obtain(builder).await;
    println!("outcome: {:?}", outcome.map(|_| "a token").map_err(|error| error.kind()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_at_all_can_be_said() {
    let proxy = responding(token_response()).await;
    let outcome = with_proxy_in_the_environment(&proxy.uri(), &behind_a_proxy(&json!({})));
    assert_eq!(outcome, r#"Ok("a token")"#, "by the environment");
    let outcome = with_proxy_in_the_environment(&proxy.uri(), &behind_a_proxy(&json!({"proxy": "none"})));
    assert_eq!(outcome, "Err(Dns)", "nobody has such a host");
    assert_eq!(received(&proxy).await.len(), 1);
}

#[test]
fn what_cannot_be_a_connection_is_refused_by_field() {
    for (http, said) in [
        (json!({"proxy": format!("http://user:{SECRET}@:nowhere")}), "http.proxy: is not the URL of a proxy"),
        // reqwest goes around a proxy of a scheme that it does not know.
        (json!({"proxy": format!("ftp://user:{SECRET}@proxy.example.com")}), "http.proxy: is not the URL of a proxy"),
        (json!({"connect_timeout": 0}), "http.connect_timeout: zero"),
        (json!({"connect_timeout": "soon"}), "http.connect_timeout: is not a number of seconds"),
        (json!({"ca_only": "yes"}), "http.ca_only: is neither `true` nor `false`"),
    ] {
        for builder in parsed(&with(&json!({"http": http}))) {
            let error = builder.build().expect_err(said);
            assert_eq!(error.kind(), ErrorKind::Configuration);
            let shown = format!("{error} {error:?}");
            assert!(error.to_string().starts_with(said) && !shown.contains("s3cr3t"), "{shown}");
        }
    }
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod certificates {
    use super::{super::TempFile, *};
    use crate::support::sockets::tls::{Authority, TlsServer};

    fn by_certificate(url: &str, http: &Value) -> Value {
        with(&json!({"token_url": url, "authentication": "tls_client_auth", "client_secret": null, "http": http}))
    }

    #[tokio::test]
    #[cfg_attr(all(windows, feature = "native-tls"), ignore = "its keys are for elliptic curves")]
    async fn a_private_authority_and_a_client_certificate_come_from_files() {
        let authority = Authority::new();
        let server = TlsServer::start(&authority).await;
        let url = server.url();
        let (certificate, key) = authority.issue("client.example.com");
        let ca = TempFile::new("ca.pem", authority.pem());
        let client = TempFile::new("client.pem", certificate.pem());
        let client_key = TempFile::new("client-key.pem", key.serialize_pem());
        let both = TempFile::new("client-both.pem", certificate.pem() + &key.serialize_pem());
        for (only, certificate, key) in
            [(true, &client, Some(&client_key)), (false, &client, Some(&client_key)), (true, &both, None)]
        {
            let http = json!({
                "ca_file": ca.0, "ca_only": only, "client_certificate_file": certificate.0, "connect_timeout": 5,
            });
            let mut settings = by_certificate(&url, &http);
            if let Some(key) = key {
                settings["http"]["client_key_file"] = json!(key.0);
            }
            obtain(read(&settings)).await.expect("a token");
        }
        // Without the one or the other.
        let untrusted = by_certificate(&url, &json!({"client_certificate_file": both.0}));
        let error = obtain(read(&untrusted)).await.expect_err("nobody signed it");
        assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
        assert!(error.to_string().contains("to trust a private certificate authority, set `http.ca_file`"), "{error}");
        // Signed, for another host.
        let other_host = by_certificate(
            &url.replace("localhost", "127.0.0.1"),
            &json!({"ca_file": ca.0, "client_certificate_file": both.0}),
        );
        let error = obtain(read(&other_host)).await.expect_err("of localhost");
        assert!(error.to_string().ends_with(": the TLS connection failed"), "{error}");
        let anonymous = with(&json!({"token_url": url, "http": {"ca_file": ca.0}}));
        obtain(read(&anonymous)).await.expect_err("no certificate");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_field_and_its_path() {
        let authority = Authority::new();
        let (certificate, key) = authority.issue("client.example.com");
        let ca = TempFile::new("wrong-ca.pem", authority.pem());
        let key = TempFile::new("wrong-key.pem", key.serialize_pem());
        let client = TempFile::new("wrong-client.pem", certificate.pem());
        let secret = TempFile::new("wrong-secret.pem", SECRET);
        let gone = std::env::temp_dir().join("client-credentials-nobody-has-this");
        for (http, said) in [
            (json!({"ca_file": gone}), format!("http.ca_file: the file {} cannot be read", gone.display())),
            #[cfg(unix)]
            (json!({"ca_file": "/dev/zero"}), "http.ca_file: the file /dev/zero is not a regular file".into()),
            (json!({"ca_file": secret.0}), format!("http.ca_file: the file {} has no certificate", secret.0.display())),
            (json!({"ca_only": true}), "http.ca_only: requires `http.ca_file`".into()),
            (json!({"client_key_file": key.0}), "http.client_key_file: requires `http.client_certificate_file`".into()),
            (
                json!({"client_certificate_file": client.0}),
                format!(
                    "http.client_certificate_file: the file {} has no certificate with its key",
                    client.0.display()
                ),
            ),
            (json!({"client_certificate_file": client.0, "client_key_file": secret.0}), "http.client_cert".into()),
        ] {
            let error = read(&with(&json!({"http": http}))).build().expect_err(&said);
            let shown = format!("{error} {error:?}");
            assert!(error.to_string().starts_with(&said) && !shown.contains("s3cr3t"), "{shown}");
        }
        let in_place_of_a_path = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}");
        let error = read(&with(&json!({"http": {"ca_file": in_place_of_a_path}}))).build().expect_err("no path");
        let said = "http.ca_file: the file [redacted] (write its path, not its content) cannot be read";
        assert!(error.to_string().starts_with(said) && !format!("{error:?}").contains("s3cr3t"), "{error:?}");
        let error = read(&by_certificate("https://localhost/token", &json!({"ca_file": ca.0}))).build();
        let error = error.expect_err("no certificate").to_string();
        assert!(error.starts_with("http_client: missing; tls_client_auth needs an HTTP client"), "{error}");
    }
}
