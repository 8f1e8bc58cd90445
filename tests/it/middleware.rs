//! The middleware among other middlewares, with every kind of body, against servers on loopback.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{
    api::api_tokens, checked_by, endpoint::token_response, protected_api, received, responding, sockets, tokens_seen,
};
use client_credentials::{
    BearerAuthMiddleware, ClientCredentials, ClientCredentialsBuilder, Clock, Error, TokenCache, TokenRequest,
    async_trait, testing::AuthorizationServer,
};
use http::{Extensions, Response, StatusCode, header::AUTHORIZATION};
use reqwest::ResponseBuilderExt;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use reqwest_retry::{
    RetryTransientMiddleware, Retryable, RetryableStrategy, default_on_request_failure, default_on_request_success,
    policies::ExponentialBackoff,
};
use tokio::io::AsyncWriteExt;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, bearer_token},
};

fn cache(auth: &AuthorizationServer, origins: &[&str]) -> TokenCache {
    let builder = ClientCredentials::builder(auth.token_url(), "abcde", "12345").http_client(auth.clone());
    origins.iter().fold(builder, ClientCredentialsBuilder::origin).build().expect("a source").into()
}

fn client(middleware: BearerAuthMiddleware) -> ClientWithMiddleware {
    ClientBuilder::new(reqwest::Client::new()).with(middleware).build()
}

fn retries() -> ExponentialBackoff {
    ExponentialBackoff::builder()
        .retry_bounds(Duration::from_millis(10), Duration::from_millis(50))
        .build_with_max_retries(3)
}

/// An API that responds with 503 to every request with an odd number, and else checks the token.
async fn shaky_api(auth: &AuthorizationServer) -> MockServer {
    let (checked, count) = (checked_by(auth), AtomicUsize::new(0));
    responding(move |request: &wiremock::Request| {
        let shaky = count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        if shaky { ResponseTemplate::new(503) } else { checked(request) }
    })
    .await
}

#[tokio::test]
async fn under_a_retry_each_attempt_uses_the_token_that_is_current_when_it_is_sent() {
    let auth = AuthorizationServer::in_memory();
    let api = shaky_api(&auth).await;
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(RetryTransientMiddleware::new_with_policy(retries()))
        .with(BearerAuthMiddleware::new(cache(&auth, &[&api.uri()])))
        .build();
    assert_eq!(client.get(api.uri()).send().await.expect("a response").status(), StatusCode::OK);
    auth.revoke_all();
    assert_eq!(client.get(api.uri()).send().await.expect("a response").status(), StatusCode::OK);
    let expected = ["token-1", "token-1", "token-1", "token-1", "token-2", "token-2"];
    assert_eq!(tokens_seen(&api).await, expected, "503, 200; 503, 401 and its replay: 503, 200");
    assert_eq!(auth.token_requests().len(), 2);
}

#[tokio::test]
async fn over_a_retry_a_revoked_token_is_renewed_once() {
    let auth = AuthorizationServer::in_memory();
    let api = shaky_api(&auth).await;
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(BearerAuthMiddleware::new(cache(&auth, &[&api.uri()])))
        .with(RetryTransientMiddleware::new_with_policy(retries()))
        .build();
    for _ in 0..2 {
        assert_eq!(client.get(api.uri()).send().await.expect("a response").status(), StatusCode::OK);
        auth.revoke_all();
    }
    assert_eq!(tokens_seen(&api).await, ["token-1", "token-1", "token-1", "token-1", "token-2", "token-2"]);
    assert_eq!(auth.token_requests().len(), 2);
}

/// As the documentation shows it: reqwest-retry's own strategy treats every error of a middleware as fatal.
struct AlsoTokens;

impl RetryableStrategy for AlsoTokens {
    fn handle(&self, result: &reqwest_middleware::Result<reqwest::Response>) -> Option<Retryable> {
        match result {
            Ok(response) => default_on_request_success(response),
            Err(error) => match Error::find(error) {
                Some(ours) if ours.is_transient() => Some(Retryable::Transient),
                Some(_) => Some(Retryable::Fatal),
                None => default_on_request_failure(error),
            },
        }
    }
}

#[tokio::test]
async fn a_retry_strategy_can_tell_token_failures_that_pass_from_those_that_do_not() {
    // No quick retry for it, so that what repeats it is reqwest-retry alone.
    let endpoint = MockServer::start().await;
    let once =
        || Mock::given(any()).respond_with(ResponseTemplate::new(400)).up_to_n_times(1).with_priority(1).expect(1);
    once().mount(&endpoint).await;
    Mock::given(any()).respond_with(token_response()).expect(1).mount(&endpoint).await;
    let api = responding(ResponseTemplate::new(200)).await;
    let with = |policy, strategy: bool| {
        let source = ClientCredentials::builder(endpoint.uri(), "abcde", "12345").origin(api.uri());
        let builder = ClientBuilder::new(reqwest::Client::new());
        let builder = if strategy {
            builder.with(RetryTransientMiddleware::new_with_policy_and_strategy(policy, AlsoTokens))
        } else {
            builder.with(RetryTransientMiddleware::new_with_policy(policy))
        };
        builder.with(BearerAuthMiddleware::new(source.build().expect("a source").into())).build()
    };
    let patient = || {
        ExponentialBackoff::builder()
            .retry_bounds(Duration::from_millis(500), Duration::from_millis(500))
            .build_with_max_retries(5)
    };
    let error = with(patient(), false).get(api.uri()).send().await.expect_err("fatal to reqwest-retry's own");
    assert!(Error::find(&error).expect("ours, through reqwest-retry").is_transient());
    once().mount(&endpoint).await;
    let response = with(patient(), true).get(api.uri()).send().await.expect("it passed");
    assert_eq!(response.status(), StatusCode::OK);
}

#[derive(Clone, Debug, PartialEq)]
struct Number(usize);

#[derive(Clone)]
struct Passed(usize);

/// Counts in the extensions the middlewares that were passed. Notes which number it found there, and which count when
/// those within it were done.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Vec<Noted>>>);

type Noted = (Option<Number>, usize);

#[async_trait]
impl Middleware for Watch {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        let found = extensions.get().cloned();
        let before = extensions.get().map_or(0, |Passed(count)| *count);
        extensions.insert(Passed(before + 1));
        let response = next.run(request, extensions).await;
        let after = extensions.get().map_or(0, |Passed(count)| *count);
        self.0.lock().expect("no panic").push((found, after));
        response
    }
}

#[tokio::test]
async fn extensions_reach_the_middlewares_within_and_come_back_and_a_replay_starts_with_the_original_ones() {
    let auth = AuthorizationServer::in_memory();
    let api = protected_api(&auth).await;
    let (inner, outer) = (Watch::default(), Watch::default());
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(outer.clone())
        .with(BearerAuthMiddleware::new(cache(&auth, &[&api.uri()])))
        .with(inner.clone())
        .build();
    for number in 1..=2 {
        let response = client.get(api.uri()).with_extension(Number(number)).send().await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        auth.revoke_all();
    }
    let seen = |numbers: &[usize]| numbers.iter().map(|number| (Some(Number(*number)), 2)).collect::<Vec<_>>();
    assert_eq!(*inner.0.lock().expect("no panic"), seen(&[1, 2, 2]), "the second one was sent twice");
    assert_eq!(*outer.0.lock().expect("no panic"), seen(&[1, 2]));
}

#[tokio::test]
async fn an_extension_says_which_token_a_request_wants() {
    let auth = AuthorizationServer::in_memory();
    let api = protected_api(&auth).await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.uri()])));
    let wanted = TokenRequest::builder().scope("orders").build().expect("a token request");
    client.get(api.uri()).send().await.expect("a response");
    for _ in 0..2 {
        client.get(api.uri()).with_extension(wanted.clone()).send().await.expect("a response");
    }
    assert_eq!(tokens_seen(&api).await, ["token-1", "token-2", "token-2"]);
    let asked = auth.token_requests();
    assert_eq!((asked[0].scope(), asked[1].scope()), (None, Some("orders")));
}

fn stream() -> reqwest::Body {
    reqwest::Body::wrap_stream(tokio_stream::iter(["a ", "stream"].map(Ok::<_, std::io::Error>)))
}

/// A multipart form is a stream, too.
#[tokio::test]
async fn a_body_that_cannot_be_copied_is_sent_once_and_the_next_request_has_a_new_token() {
    for multipart in [false, true] {
        let auth = AuthorizationServer::in_memory();
        let api = protected_api(&auth).await;
        let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.uri()])));
        let send = || {
            let request = client.post(api.uri());
            if multipart {
                request
                    .multipart(reqwest::multipart::Form::new().part("file", reqwest::multipart::Part::stream(stream())))
            } else {
                request.body(stream())
            }
            .send()
        };
        assert_eq!(send().await.expect("a response").status(), StatusCode::OK);
        auth.revoke_all();
        let refused = send().await.expect("a response");
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.text().await.expect("a body"), "who are you?");
        assert_eq!(send().await.expect("a response").status(), StatusCode::OK);
        let seen = received(&api).await;
        assert_eq!(seen.len(), 3);
        let body = String::from_utf8_lossy(&seen[2].body).into_owned();
        assert!(body.contains("a stream"), "{body}");
        assert_eq!(auth.token_requests().len(), 2);
    }
}

#[tokio::test]
async fn without_replay_the_401_goes_to_the_caller() {
    let auth = AuthorizationServer::in_memory();
    let api = protected_api(&auth).await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.uri()])).without_replay());
    client.get(api.uri()).send().await.expect("a response");
    auth.revoke_all();
    let status = || async { client.get(api.uri()).send().await.expect("a response").status() };
    assert_eq!((status().await, status().await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    assert_eq!((received(&api).await.len(), auth.token_requests().len()), (3, 2));
}

#[tokio::test]
async fn a_predicate_counts_other_responses_as_rejections() {
    let auth = AuthorizationServer::in_memory();
    let api = MockServer::start().await;
    for token in ["token-1", "token-2"] {
        let good = Mock::given(bearer_token(token)).respond_with(ResponseTemplate::new(200));
        good.up_to_n_times(1).expect(1).mount(&api).await;
    }
    let expired = Mock::given(any()).respond_with(ResponseTemplate::new(403).set_body_string("expired"));
    expired.expect(1).mount(&api).await;
    let middleware = BearerAuthMiddleware::new(cache(&auth, &[&api.uri()]));
    let client = client(middleware.with_rejection(|status, _| status == StatusCode::FORBIDDEN));
    for _ in 0..2 {
        assert_eq!(client.get(api.uri()).send().await.expect("a response").status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn the_callers_own_bearer_token_wins() {
    let auth = AuthorizationServer::in_memory();
    let api = protected_api(&auth).await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.uri()])));
    let refused = client.get(api.uri()).bearer_auth("mine").send().await.expect("a response");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((tokens_seen(&api).await, auth.token_requests().len()), (vec!["mine".to_owned()], 0));
}

#[tokio::test]
async fn a_request_marked_without_token_is_sent_without_one_and_none_is_requested() {
    let auth = AuthorizationServer::in_memory();
    let api = protected_api(&auth).await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.uri()])));
    let public = client.get(api.uri()).with_extension(client_credentials::WithoutToken).send().await;
    assert_eq!(public.expect("a response").status(), StatusCode::UNAUTHORIZED);
    assert_eq!((tokens_seen(&api).await, auth.token_requests().len()), (vec!["none".to_owned()], 0));
    assert_eq!(client.get(api.uri()).send().await.expect("a response").status(), StatusCode::OK);
}

/// A header of the client is added beneath every middleware, where the request has none.
#[tokio::test]
async fn the_token_takes_the_place_of_a_default_header_of_the_client_which_goes_to_all_other_origins() {
    let auth = AuthorizationServer::in_memory();
    let api = protected_api(&auth).await;
    let elsewhere = responding(ResponseTemplate::new(200)).await;
    let default = [(AUTHORIZATION, http::HeaderValue::from_static("Bearer default"))].into_iter().collect();
    let client = reqwest::Client::builder().default_headers(default).build().expect("a client");
    let middleware = BearerAuthMiddleware::new(cache(&auth, &[&api.uri()]));
    let client = ClientBuilder::new(client).with(middleware).build();
    assert_eq!(client.get(api.uri()).send().await.expect("a response").status(), StatusCode::OK);
    client.get(elsewhere.uri()).send().await.expect("a response");
    assert_eq!(tokens_seen(&api).await, ["token-1"]);
    assert_eq!(tokens_seen(&elsewhere).await, ["default"]);
}

/// CONNECT speaks to a proxy, which is not whom the token is for.
#[tokio::test]
async fn a_connect_request_is_sent_without_a_token() {
    let auth = AuthorizationServer::in_memory();
    let (head_seen, mut heads) = tokio::sync::mpsc::unbounded_channel();
    // By hand: wiremock reads no target that is an authority.
    let proxy = sockets::after_head(move |head, mut stream| {
        head_seen.send(head).expect("the test waits");
        async move { stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await }
    })
    .await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&proxy.origin()])));
    client.request(http::Method::CONNECT, proxy.origin()).send().await.expect("a response");
    let head = heads.recv().await.expect("a request");
    assert!(head.starts_with("connect ") && !head.contains("authorization"), "{head}");
    assert_eq!(auth.token_requests().len(), 0);
}

/// reqwest follows redirects on its own, beneath every middleware, and drops the header where the host or the port
/// changes.
#[tokio::test]
async fn a_redirect_that_reqwest_follows_does_not_carry_the_token_and_a_401_at_its_end_is_not_held_against_it() {
    let auth = AuthorizationServer::in_memory();
    let end = protected_api(&auth).await;
    let redirect = ResponseTemplate::new(302).insert_header("location", format!("{}/end", end.uri()));
    let start = responding(redirect).await;
    // Even where both are origins of ours.
    let clock = Clock::tokio();
    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").http_client(auth.clone());
    let source = source.origin(start.uri()).origin(end.uri()).build().expect("a source");
    let tokens = TokenCache::builder(source).clock(clock.clone()).build().expect("a cache");
    tokens.token().await.expect("a token");
    // So that a renewal would start at once.
    clock.jump_wall_clock(2_000);
    let client = client(BearerAuthMiddleware::new(tokens));
    let refused = client.get(start.uri()).send().await.expect("a response");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((tokens_seen(&start).await, tokens_seen(&end).await), (vec!["token-1".into()], vec!["none".into()]));
    assert_eq!(auth.token_requests().len(), 1);
}

/// The user's client with our adapter also sends the token requests of that adapter.
#[tokio::test]
async fn a_token_request_through_the_same_client_is_sent_without_a_token() {
    #[derive(Clone, Default)]
    struct Late(Arc<std::sync::OnceLock<ClientWithMiddleware>>);

    #[async_trait]
    impl client_credentials::HttpClient for Late {
        async fn send(
            &self,
            request: http::Request<client_credentials::SecretBody>,
        ) -> Result<Response<client_credentials::SecretBody>, Error> {
            self.0.get().expect("it was set").send(request).await
        }
    }

    let endpoint = responding(token_response()).await;
    let late = Late::default();
    let source = ClientCredentials::builder(endpoint.uri(), "abcde", "12345").any_origin().http_client(late.clone());
    let client = client(BearerAuthMiddleware::new(source.build().expect("a source").into()));
    assert!(late.0.set(client.clone()).is_ok());
    let api = responding(ResponseTemplate::new(200)).await;
    let sent = tokio::time::timeout(Duration::from_secs(5), client.get(api.uri()).send()).await;
    assert_eq!(sent.expect("no deadlock").expect("a response").status(), StatusCode::OK);
    assert_eq!(
        (tokens_seen(&endpoint).await, tokens_seen(&api).await),
        (vec!["none".into()], vec!["abcde12345".into()])
    );
}

/// Rejects a token that it was not sent.
fn rejecting<'a>(
    request: reqwest::Request,
    _: &'a mut Extensions,
    _: Next<'a>,
) -> Pin<Box<dyn Future<Output = reqwest_middleware::Result<reqwest::Response>> + Send + 'a>> {
    Box::pin(async move {
        assert!(!request.headers().contains_key(AUTHORIZATION));
        let response = Response::builder().status(401).header("www-authenticate", "Bearer error=\"invalid_token\"");
        Ok(response.url(request.url().clone()).body("").expect("a response").into())
    })
}

#[tokio::test(start_paused = true)]
async fn a_401_to_a_request_that_had_no_room_for_a_token_rejects_no_token() {
    let (tokens, source) = api_tokens();
    let client = ClientBuilder::new(reqwest::Client::new()).with(BearerAuthMiddleware::new(tokens)).with(rejecting);
    let client = client.build();
    let mut request = reqwest::Request::new(http::Method::GET, "https://api.example.com/".parse().expect("a URL"));
    for header in 0.. {
        let name = http::HeaderName::try_from(format!("x-{header}")).expect("a name");
        if request.headers_mut().try_append(name, http::HeaderValue::from_static("")).is_err() {
            break;
        }
    }
    // The first waits for its token, which is cached for the second.
    for _ in 0..2 {
        let request = request.try_clone().expect("without a body");
        assert_eq!(client.execute(request).await.expect("a response").status(), StatusCode::UNAUTHORIZED);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(source.count(), 1);
}
