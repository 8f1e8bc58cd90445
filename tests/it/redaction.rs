//! No secret and no token in anything that comes out: every path, every `Debug`, the log at its finest, every metric's
//! label.

use std::{fmt::Debug, path::PathBuf, sync::LazyLock, time::Duration};

use crate::support::{
    Nobody,
    endpoint::{clients, form, obtain, tower_client, with_client},
    get, hyper_client,
    keys::Key,
    log::Log,
    received, responding, sockets,
    traces::{Traces, forms},
};
use bytes::Bytes;
use client_credentials::{
    AccessToken, BearerAuthLayer, BearerAuthMiddleware, ClientAuthentication, ClientCredentials,
    ClientCredentialsBuilder, Error, Origins, Secret, SecretBody, TokenCache, TokenRequest, TowerClient, TryClone,
    testing::AuthorizationServer, token_fn,
};
use http::{Request, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tower::ServiceExt;
use wiremock::ResponseTemplate;

/// Of characters that change in every encoding.
const SECRET: &str = "Se/cr+et=\u{fc}&%\"\\<'> 7Q";
const PARAMETER: &str = "Pa/ra+me=\u{fc}&%\"\\<'> 9W";
const TOKEN: &str = "To/ke+n=&%\"\\<'>5R";
const REFRESH: &str = "Re/fr+sh=&%\"\\<'>3E";

/// Everything that came out.
#[derive(Default)]
struct Output(Vec<(String, String)>);

impl Output {
    fn debug(&mut self, what: &str, value: &impl Debug) {
        self.0.push((what.to_owned(), format!("{value:?}\n{value:#?}")));
    }

    fn error(&mut self, what: &str, error: &(dyn std::error::Error + 'static)) {
        self.0.push((what.to_owned(), format!("{error:?}\n{error:#?}")));
        let mut next = Some(error);
        while let Some(error) = next {
            self.0.push((what.to_owned(), error.to_string()));
            next = error.source();
        }
    }

    fn outcome<T: Debug>(&mut self, what: &str, outcome: Result<T, Error>) {
        match outcome {
            Ok(value) => self.debug(what, &value),
            Err(error) => self.error(what, &error),
        }
    }

    fn assert_clean(&self) {
        assert!(self.0.len() > 50, "{} outputs are too few to have come from every path", self.0.len());
        for traces in [SECRET, PARAMETER, TOKEN, REFRESH].map(Traces::of) {
            self.0.iter().for_each(|(what, text)| traces.assert_none_in(text, what));
        }
    }
}

/// With secrets of every origin.
fn authentications() -> Vec<ClientAuthentication> {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("redaction-secret");
        std::fs::write(&path, SECRET).expect("a file");
        path
    });
    vec![
        ClientAuthentication::client_secret_post(SECRET),
        ClientAuthentication::client_secret_basic(Secret::file(&*FILE)),
        ClientAuthentication::client_secret_basic_raw(Secret::from_fn(|| async { Ok(SECRET) })),
    ]
}

/// Those that are signed are others each time.
fn assertions() -> Vec<ClientAuthentication> {
    vec![
        ClientAuthentication::client_assertion(SECRET),
        ClientAuthentication::private_key_jwt(Key::ed25519()).into(),
        #[cfg(feature = "jwt")]
        ClientAuthentication::client_secret_jwt(SECRET).into(),
    ]
}

fn builder(url: &str, authentication: ClientAuthentication) -> ClientCredentialsBuilder {
    ClientCredentials::builder(url, "abcde", authentication).parameter("password", PARAMETER).any_origin()
}

fn token_response() -> serde_json::Value {
    serde_json::json!({"access_token": TOKEN, "refresh_token": REFRESH, "expires_in": 3600, "token_type": "Bearer"})
}

#[tokio::test]
async fn an_assertion_that_a_server_repeats_is_in_no_error() {
    fn sent(request: &wiremock::Request) -> [String; 2] {
        let members = form(&request.body);
        let assertion = members.into_iter().find(|(name, _)| name == "client_assertion").expect("an assertion").1;
        [assertion.rsplit('.').next().expect("a signature").to_owned(), assertion]
    }
    // At `/401/7`, it repeats what it was sent in the eighth form, with that status.
    let server = responding(|request: &wiremock::Request| {
        let path: Vec<u16> = request.url.path().split('/').filter_map(|part| part.parse().ok()).collect();
        let said = sent(request).map(|sent| forms(&sent)[usize::from(path[1])].clone()).join(" ");
        let body = serde_json::json!({"error": "invalid_client", "error_description": said});
        let message = serde_json::json!({"message": said});
        ResponseTemplate::new(path[0]).set_body_json(if path[0] == 503 { message } else { body })
    })
    .await;
    for authentication in assertions() {
        for number in 0..forms("a").len() {
            for status in [400, 401, 503] {
                let url = format!("{}/{status}/{number}", server.uri());
                let source = ClientCredentials::builder(url, "abcde", authentication.clone()).any_origin();
                let error = obtain(source.http_client(tower_client())).await.expect_err("a failure");
                let text = format!("{error} {error:?}");
                assert!(text.contains("[redacted]"), "{text}");
                for sent in sent(received(&server).await.last().expect("a request")) {
                    Traces::of(&sent).assert_none_in(&text, &format!("{authentication:?}"));
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_logged_counted_or_shown_on_any_path() {
    let (log, _guard) = Log::of_every_crate();
    #[cfg(feature = "metrics")]
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    #[cfg(feature = "metrics")]
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let mut output = Output::default();
    for (name, client) in clients() {
        let ours = client.is_none();
        for authentication in authentications().into_iter().chain(assertions().into_iter().filter(|_| ours)) {
            let api = responding(|request: &wiremock::Request| {
                let has_token = request.headers.contains_key(header::AUTHORIZATION);
                ResponseTemplate::new(if has_token { 401 } else { 200 })
            })
            .await;
            // To a URL with a query, it fails and repeats the request.
            let auth = responding(|request: &wiremock::Request| {
                let body = String::from_utf8_lossy(&request.body);
                let repeated = serde_json::json!({"error": "invalid_client", "error_description": body});
                match request.url.query() {
                    Some(_) => ResponseTemplate::new(401).set_body_json(repeated),
                    None => ResponseTemplate::new(200).set_body_json(token_response()),
                }
            })
            .await;
            let url = format!("{}/token", auth.uri());
            let source = || with_client(builder(&url, authentication.clone()), client.clone());
            output.debug(name, &source());
            output.debug(name, &source().build().expect("complete"));
            output.debug(name, &obtain(source()).await.expect("a token"));
            let failing = with_client(builder(&format!("{url}?fail"), authentication.clone()), client.clone());
            output.outcome(name, obtain(failing.clone()).await);

            let tokens = TokenCache::from(source().build().expect("complete"));
            let middleware = BearerAuthMiddleware::new(tokens.clone());
            let layer = BearerAuthLayer::new(tokens.clone()).with_replay(TryClone);
            output.debug(name, &tokens);
            output.debug(name, &middleware);
            output.debug(name, &layer);
            let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
            output.debug(name, &client.get(api.uri()).send().await.expect("a response"));
            let service = tower::ServiceBuilder::new().layer(layer).service(hyper_client());
            output.debug(name, &service);
            output.debug(name, &service.oneshot(get(&api.uri())).await.expect("a response"));
            output.outcome(name, TokenCache::from(failing.build().expect("complete")).token().await);
            for request in received(&api).await {
                output.debug(name, &request.url);
            }
        }
    }
    output.0.push(("the log".to_owned(), log.text()));
    assert!(log.text().contains("invalid_client") && log.text().contains("TRACE"));
    assert!(log.text().contains("open token_request:"), "spans, too");
    #[cfg(feature = "metrics")]
    {
        let exposition = recorder.handle().render();
        assert!(exposition.contains("invalid_client") && exposition.contains("rejections_total"), "{exposition}");
        output.0.push(("the metrics".to_owned(), exposition));
    }
    output.assert_clean();
}

#[tokio::test]
async fn nothing_is_in_the_failures_of_the_transport() {
    let (log, _guard) = Log::of_every_crate();
    let mut output = Output::default();
    let nobody = Nobody::new();
    let urls = [
        nobody.origin(),
        nobody.origin().replace("http://", "https://"),
        sockets::closing().await.origin(),
        sockets::silent().await.origin(),
        "http://none.invalid".into(),
    ];
    for (name, client) in clients() {
        for url in &urls {
            for authentication in authentications() {
                let source = with_client(builder(url, authentication), client.clone());
                let source = source.allow_plain_http().timeout(Duration::from_millis(100));
                output.error(name, &obtain(source).await.expect_err("a failure"));
            }
        }
    }
    output.0.push(("the log".to_owned(), log.text()));
    output.assert_clean();
}

#[test]
fn no_debug_and_no_refusal_shows_anything() {
    let mut output = Output::default();
    for authentication in authentications().into_iter().chain(assertions()) {
        output.debug("authentication", &authentication);
        output.debug("builder", &builder("https://auth.example.com", authentication));
    }
    output.debug("a secret", &Secret::from(SECRET));
    #[cfg(feature = "jwt")]
    {
        output.debug("an assertion", &ClientAuthentication::client_secret_jwt(SECRET));
        for pem in [
            SECRET.to_owned(),
            crate::support::keys::pem("PRIVATE KEY", SECRET.as_bytes()),
            format!("-----BEGIN {SECRET}"),
        ] {
            output.error("a key", &client_credentials::PrivateKey::rs256(pem).expect_err("refused"));
        }
    }
    let request = TokenRequest::builder().parameter("password", PARAMETER);
    output.debug("a request's builder", &request);
    output.debug("a request", &request.build().expect("complete"));
    let token = AccessToken::new(TOKEN).expect("a token").with_scope("a");
    output.debug("a token", &token);
    output.debug("its header", &token.authorization());
    output.debug("a cache of it", &TokenCache::builder(token.clone()).any_origin());
    output.debug("a cache of it", &TokenCache::builder(token.clone()).any_origin().build());
    output.debug("a body", &SecretBody::from(SECRET));
    output.debug("a request of it", &Request::new(SecretBody::from(SECRET)));
    let held = token.clone();
    output.debug("a closure that holds it", &token_fn(move |_| std::future::ready(Ok(held.clone()))));
    output.debug("a client", &TowerClient::<_, http_body_util::Full<Bytes>>::new(hyper_client()));
    for bad in [format!("{TOKEN}\n"), format!("\u{fc}{TOKEN}"), format!("{TOKEN} {TOKEN}")] {
        output.error("a token that cannot be sent", &AccessToken::new(bad).expect_err("refused"));
    }
    let secret = utf8_percent_encode(SECRET, NON_ALPHANUMERIC).to_string();
    for url in ["https://abcde:{}@auth.example.com", "https://{}@auth.example.com", "https://auth.example.com/#{}"] {
        let url = url.replace("{}", &secret);
        let source = ClientCredentials::builder(&url, "abcde", SECRET)
            .any_origin()
            .http_client(AuthorizationServer::in_memory());
        output.error("a URL with a secret", &source.build().expect_err("refused"));
        if url.contains('@') {
            output.error("an origin with a secret", &Origins::new([url]).expect_err("refused"));
        }
    }
    for form in forms(SECRET) {
        let parameter = TokenRequest::builder().parameter("client_secret", &form);
        output.error("a parameter that is reserved", &parameter.build().expect_err("refused"));
        let source = ClientCredentials::builder("https://auth.example.com", "", form.as_str()).any_origin();
        output.error("an id that is missing", &source.build().expect_err("refused"));
    }
    output.assert_clean();
}
