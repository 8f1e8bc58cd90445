//! Servers that repeat what they were sent: each secret, by each way to send it, in each form and each place, is in
//! nothing that comes out.

use std::{
    convert::Infallible,
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use client_credentials::{
    ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, Error, Secret, Signer, TowerClient, async_trait,
    testing::MockResponse,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::support::{
    endpoint::{TOKEN, ask, auth_responding, obtain},
    log::Log,
    traces::{Traces, form, forms},
};

/// What is secret, and how it is sent.
#[derive(Clone, Copy)]
enum Sent {
    Post,
    Basic,
    RawBasic,
    Assertion,
    /// In the token URL's query, as some gateways want it.
    Query,
    Parameter,
    Header,
}

const SECRETS: [(&str, &[Sent]); 4] = [
    ("sk_live_aB3dE5fG7hJ9kL1mN2pQ4r", &[Sent::Post, Sent::Basic, Sent::Assertion]),
    ("Se/cr+et=\u{fc}&%\"\\<'> 7Q-9w_8e", &[Sent::Post, Sent::Basic]),
    ("q7w8e9r0t1", &[Sent::Post, Sent::RawBasic]),
    ("Zx9Yw8Vu7-Ts6Rq5Po4_Nm3Lk2", &[Sent::Query, Sent::Parameter, Sent::Header]),
];

fn source(sent: Sent, secret: &str) -> ClientCredentialsBuilder {
    source_at("https://auth.example.com/token", sent, secret)
}

fn source_at(url: &str, sent: Sent, secret: &str) -> ClientCredentialsBuilder {
    let with = |authentication: ClientAuthentication| ClientCredentials::builder(url, "abcde", authentication);
    match sent {
        Sent::Post => with(secret.into()),
        Sent::Basic => with(ClientAuthentication::client_secret_basic(secret)),
        Sent::RawBasic => with(ClientAuthentication::client_secret_basic_raw(secret)),
        Sent::Assertion => with(ClientAuthentication::client_assertion(secret)),
        Sent::Query => {
            let secret = utf8_percent_encode(secret, NON_ALPHANUMERIC);
            ClientCredentials::builder(format!("{url}?tenant=7&key={secret}"), "abcde", ClientAuthentication::none())
        }
        Sent::Parameter => with(ClientAuthentication::none()).parameter("password", secret),
        Sent::Header => with(ClientAuthentication::none()).header("x-api-key", secret),
    }
    .scope("a")
    .any_origin()
}

/// What a server makes of a secret that it does not repeat whole.
fn parts(secret: &str) -> Vec<String> {
    let characters: Vec<char> = secret.chars().collect();
    let part = |from, to| characters[from..to].iter().collect::<String>();
    let (half, end) = (characters.len().div_ceil(2), characters.len());
    vec![part(0, half), part(end - half, end), part(end / 3, end), format!("{}...", part(0, half))]
}

/// A response of a token endpoint.
#[derive(Clone)]
struct Given {
    status: u16,
    header: (HeaderName, String),
    body: String,
}

impl From<Given> for MockResponse {
    fn from(Given { status, header: (name, value), body }: Given) -> Self {
        Self::status(status).with_header(name.as_str(), &value).with_body(body)
    }
}

/// Responses that have `said` in each place that could be shown.
fn responses(said: &str) -> Vec<Given> {
    let response =
        |status, content_type: &str, body| Given { status, header: (header::CONTENT_TYPE, content_type.into()), body };
    let json = |status, value: serde_json::Value| response(status, "application/json", value.to_string());
    let (first, second) = said.split_at(said.char_indices().nth(said.chars().count() / 2).map_or(0, |(at, _)| at));
    let mut all = vec![
        json(400, json!({"error": said})),
        json(401, json!({"error": "invalid_client", "error_description": format!("no {said} is known")})),
        json(400, json!({"error": "invalid_request", "error_description": "no", "error_uri": said})),
        json(400, json!({"error": "invalid_request", "error_description": first, "error_uri": second})),
        json(400, json!({"error": "invalid_request", "error_description": "no", "message": said})),
        json(401, json!({"error": "Unauthorized", "message": said})),
        json(500, json!({"message": said})),
        json(500, json!({"message": first, "detail": second})),
        json(403, json!({"error": {"message": said}, "errors": [{"detail": said}]})),
        json(500, json!({"data": {"message": said}, "request": said, said: 1})),
        json(200, json!({"errcode": 40013, "errmsg": said})),
        json(200, json!({"error": {"message": said}})),
        json(200, json!({said: 1, "other": said})),
        json(200, json!({"access_token": "t", "token_type": said})),
        json(200, json!({"access_token": "t", "expires_in": said})),
        json(200, json!({"access_token": "t", "refresh_in": said})),
        json(200, json!({"access_token": "t", "scope": said})),
        json(200, json!({"access_token": ["t", said]})),
        response(400, "application/x-www-form-urlencoded", format!("error=no&error_description={}", form(said))),
        response(502, "text/html", format!("<html><title>{said}</title><p>{said}</p></html>")),
        response(200, "text/html", format!("<html><title>{said}</title><p>{said}</p></html>")),
        response(502, "text/plain", format!("nothing known about {said}")),
        response(200, "text/plain", format!("nothing known about {said}")),
        response(500, "application/xml", format!("<error><message>{said}</message></error>")),
        response(500, "application/json", format!("{{\"message\":\"{said}")),
    ];
    for (status, name, value) in [
        (200, header::CONTENT_TYPE, said.to_owned()),
        (500, header::CONTENT_ENCODING, said.to_owned()),
        (302, header::LOCATION, format!("https://{said}.example.com/")),
        (307, header::LOCATION, format!("//{}.eXample.com/{said}", said.to_uppercase())),
        (307, header::LOCATION, said.to_owned()),
        (503, header::RETRY_AFTER, said.to_owned()),
    ] {
        if value.parse::<HeaderValue>().is_ok() {
            all.push(Given { status, header: (name, value), body: "<html>".into() });
        }
    }
    all
}

async fn said_of(source: ClientCredentialsBuilder, response: impl Into<MockResponse>) -> String {
    let auth = auth_responding(response.into());
    match obtain(source.http_client(auth)).await {
        Ok(token) => format!("{token:?}"),
        Err(error) => {
            let cause = error.source().map(|cause| format!("{cause} {cause:?}"));
            format!("{error} {error:?} {}", cause.unwrap_or_default())
        }
    }
}

#[tokio::test]
async fn a_secret_comes_out_in_no_form_and_no_place() {
    let (log, _guard) = Log::start();
    let mut all = 0;
    for (secret, ways) in SECRETS {
        let traces = Traces::of(secret);
        for sent in ways {
            let is_secret = !matches!(sent, Sent::Query | Sent::Parameter | Sent::Header);
            let parts = parts(secret).into_iter().filter(|_| is_secret);
            for said in forms(secret).into_iter().chain(parts) {
                for response in responses(&said) {
                    traces.assert_none_in(&said_of(source(*sent, secret), response).await, &said);
                    all += 1;
                }
            }
        }
        let log = log.text();
        assert!(log.contains("the server granted a different scope"), "{log}");
        traces.assert_none_in(&log, "the log");
    }
    assert!(all > 5000, "{all}");
}

/// What a token response brought beside an error, or brought the time before.
#[tokio::test]
async fn a_token_comes_out_in_no_form_and_no_place() {
    const TOKEN: &str = "To/ke+n=aB3dE5fG7hJ9kL1m";
    let traces = Traces::of(TOKEN);
    for said in forms(TOKEN) {
        for response in responses(&said) {
            let mut all = vec![response.clone()];
            if let Ok(serde_json::Value::Object(mut members)) = serde_json::from_str(&response.body) {
                members.insert("refresh_token".into(), TOKEN.into());
                all.push(Given { body: serde_json::Value::from(members).to_string(), ..response });
            }
            for response in all {
                let auth = auth_responding(response.into());
                let token = json!({"access_token": TOKEN, "expires_in": 60}).to_string();
                auth.respond_next(MockResponse::status(200).with_body(token));
                let source = source(Sent::Post, "12345").http_client(auth).build().expect("complete");
                ask(&source).await.expect("a token");
                if let Err(error) = ask(&source).await {
                    traces.assert_none_in(&format!("{error} {error:?}"), &said);
                }
            }
        }
    }
}

/// Nothing was sent the second time, so the server knows the token of the first.
#[tokio::test]
async fn a_token_stays_hidden_after_an_assertion_that_could_not_be_signed() {
    /// Fails the second time.
    struct Failing(AtomicUsize);

    #[async_trait]
    impl Signer for Failing {
        fn algorithm(&self) -> &str {
            "RS256"
        }

        async fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, Error> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                1 => Err(Error::transient(std::io::Error::other("the key service is down"))),
                _ => Ok(vec![7; 256]),
            }
        }
    }

    const TOKEN: &str = "To/ke+n=aB3dE5fG7hJ9kL1m";
    let repeated = json!({"error": "invalid_client", "error_description": TOKEN}).to_string();
    let auth = auth_responding(MockResponse::status(400).with_body(repeated));
    auth.respond_next(MockResponse::status(200).with_body(json!({"access_token": TOKEN}).to_string()));
    let authentication = ClientAuthentication::private_key_jwt(Failing(AtomicUsize::new(0)));
    let source = source(Sent::Post, "12345").authentication(authentication).http_client(auth);
    let source = source.build().expect("complete");
    ask(&source).await.expect("a token");
    ask(&source).await.expect_err("not signed");
    let error = ask(&source).await.expect_err("refused");
    assert!(error.to_string().contains("invalid_client (HTTP 400): [redacted]"), "{:?}", error.kind());
    Traces::of(TOKEN).assert_none_in(&format!("{error} {error:?}"), "error_description");
}

/// The token came with the redirect, so that nothing before it could have told what to hide.
#[tokio::test]
async fn a_redirect_to_a_host_named_after_the_token_of_its_body_does_not_show_the_token() {
    let response = Given {
        status: 307,
        header: (header::LOCATION, "https://ab3de5fg7hj9kl1m.example.com/".into()),
        body: json!({"access_token": "aB3dE5fG7hJ9kL1m"}).to_string(),
    };
    let said = said_of(source(Sent::Post, "12345"), response).await;
    assert!(!said.contains("ab3de5fg7hj9kl1m") && said.contains("a redirect to [redacted]"), "{said}");
}

/// Where a document is read again, its server knows the secret.
#[tokio::test(start_paused = true)]
async fn a_metadata_document_that_is_read_again_brings_no_secret_into_the_log() {
    const ISSUER: &str = "https://auth.example.com";
    let (log, _guard) = Log::start();
    for (secret, ways) in SECRETS {
        let traces = Traces::of(secret);
        let is_secret = matches!(ways[0], Sent::Post);
        for said in forms(secret) {
            for document in [
                json!({"issuer": said, "token_endpoint": format!("{ISSUER}/token")}),
                json!({"issuer": format!("https://{}", said.to_uppercase())}),
                json!({"issuer": ISSUER, "token_endpoint": said}),
                json!({"issuer": ISSUER, "token_endpoint": format!("https://{said}.example.com/token")}),
                json!({"issuer": ISSUER, "token_endpoint": format!("{ISSUER}/{said}/token")}),
            ] {
                let good = json!({"issuer": ISSUER, "token_endpoint": format!("{ISSUER}/token")});
                let documents = Arc::new(AtomicUsize::new(0));
                let count = Arc::clone(&documents);
                let server = tower::service_fn(move |request: Request<Bytes>| {
                    let body = match *request.method() {
                        Method::POST => TOKEN.to_owned(),
                        _ if count.fetch_add(1, Ordering::SeqCst) == 0 => good.to_string(),
                        _ => document.to_string(),
                    };
                    std::future::ready(Ok::<_, Infallible>(Response::new(body)))
                });
                let builder = ClientCredentials::discover(ISSUER, "abcde", if is_secret { secret } else { "12345" });
                let builder = if is_secret { builder } else { builder.parameter("password", secret) };
                let client = TowerClient::new(server);
                let source = builder.any_origin().http_client(client).build().expect("complete");
                for _ in 0..3 {
                    if let Err(error) = ask(&source).await {
                        traces.assert_none_in(&format!("{error} {error:?}"), &said);
                    }
                    tokio::time::advance(Duration::from_secs(25 * 60 * 60)).await;
                }
                assert!(documents.load(Ordering::SeqCst) >= 2);
            }
        }
        traces.assert_none_in(&log.text(), "the log");
    }
    assert!(log.text().contains("discovery failed; "), "{}", log.text());
}

/// An account's id is in what servers say for a reason.
#[tokio::test]
async fn a_parameter_is_cut_out_and_leaves_the_rest() {
    let body = json!({"error": "invalid_request", "error_description": "account 7531-8642 is closed"}).to_string();
    let source = source(Sent::Post, "12345").parameter("account_id", "7531-8642");
    let said = said_of(source, MockResponse::status(400).with_body(body)).await;
    assert!(said.contains("invalid_request (HTTP 400): account [redacted] is closed"), "{said}");
}

/// A known code says what to do, whatever else is hidden; nothing else of such a response is shown.
#[tokio::test]
async fn a_known_code_is_shown_beside_what_is_hidden() {
    let secret = "invalid_client_secret_of_somebody";
    let body = json!({"error": "invalid_client", "error_description": secret, "error_uri": "https://example.com"});
    let auth = auth_responding(MockResponse::status(401).with_body(body.to_string()));
    let source = ClientCredentials::builder("https://auth.example.com", "abcde", Secret::from(secret)).any_origin();
    let error = obtain(source.http_client(auth)).await.expect_err("refused");
    let response = error.response().expect("a code");
    assert_eq!(response.error, "invalid_client");
    let hidden = Some("[redacted]");
    assert_eq!((response.error_description.as_deref(), response.error_uri.as_deref()), (hidden, hidden));
}
