//! The middleware among other middlewares, with every kind of body, against servers on loopback.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{AuthorizationServer, Server, answer, json};
use client_credentials::{
    BearerAuthMiddleware, ClientCredentials, ClientCredentialsBuilder, Error, ErrorKind, TokenCache, TokenRequest,
    async_trait,
};
use http::{Extensions, Response, StatusCode, header::AUTHORIZATION};
use reqwest::ResponseBuilderExt;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use reqwest_retry::{
    RetryTransientMiddleware, Retryable, RetryableStrategy, default_on_request_failure, default_on_request_success,
    policies::ExponentialBackoff,
};

const HOUR: Duration = Duration::from_secs(3600);

fn cache(auth: &AuthorizationServer, origins: &[&str]) -> TokenCache {
    let builder = ClientCredentials::builder(auth.token_url(), "abcde", "12345");
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

/// An API that answers 503 to every request with an odd number, and else checks the token.
async fn shaky_api(auth: &AuthorizationServer) -> Server {
    let issued = auth.issued();
    let count = AtomicUsize::new(0);
    Server::start(move |request| {
        let shaky = count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        let response = if shaky { answer(StatusCode::SERVICE_UNAVAILABLE, "") } else { issued.check(&request) };
        async move { response }
    })
    .await
}

fn tokens_seen(server: &Server) -> Vec<String> {
    let token = |request: &http::Request<_>| match request.headers().get(AUTHORIZATION) {
        Some(value) => value.to_str().expect("ASCII").trim_start_matches("Bearer ").to_owned(),
        None => "none".to_owned(),
    };
    server.seen().iter().map(token).collect()
}

#[tokio::test]
async fn under_a_retry_each_attempt_has_the_token_of_its_moment() {
    let auth = AuthorizationServer::start(HOUR).await;
    let api = shaky_api(&auth).await;
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(RetryTransientMiddleware::new_with_policy(retries()))
        .with(BearerAuthMiddleware::new(cache(&auth, &[&api.origin()])))
        .build();
    assert_eq!(client.get(api.origin()).send().await.expect("an answer").status(), StatusCode::OK);
    auth.revoke_all();
    assert_eq!(client.get(api.origin()).send().await.expect("an answer").status(), StatusCode::OK);
    let expected = ["token-1", "token-1", "token-1", "token-1", "token-2", "token-2"];
    assert_eq!(tokens_seen(&api), expected, "503, 200; 503, 401 and its replay: 503, 200");
    assert_eq!(auth.token_requests(), 2);
}

#[tokio::test]
async fn over_a_retry_a_revoked_token_is_renewed_once() {
    let auth = AuthorizationServer::start(HOUR).await;
    let api = shaky_api(&auth).await;
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(BearerAuthMiddleware::new(cache(&auth, &[&api.origin()])))
        .with(RetryTransientMiddleware::new_with_policy(retries()))
        .build();
    for _ in 0..2 {
        assert_eq!(client.get(api.origin()).send().await.expect("an answer").status(), StatusCode::OK);
        auth.revoke_all();
    }
    assert_eq!(tokens_seen(&api), ["token-1", "token-1", "token-1", "token-1", "token-2", "token-2"]);
    assert_eq!(auth.token_requests(), 2);
}

/// As the documentation shows it: reqwest-retry's own strategy takes every error of a middleware for fatal.
struct AlsoTokens;

impl RetryableStrategy for AlsoTokens {
    fn handle(&self, result: &reqwest_middleware::Result<reqwest::Response>) -> Option<Retryable> {
        match result {
            Ok(answer) => default_on_request_success(answer),
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
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    // No quick retry for it, so that what repeats it is reqwest-retry alone.
    let endpoint = Server::start(move |_| {
        let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                answer(StatusCode::BAD_REQUEST, "")
            } else {
                json(r#"{"access_token":"abcde","token_type":"Bearer"}"#)
            }
        }
    })
    .await;
    let api = Server::start(|_| async { Response::default() }).await;
    let with = |policy, strategy: bool| {
        let source = ClientCredentials::builder(endpoint.origin(), "abcde", "12345").origin(api.origin());
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
    let error = with(patient(), false).get(api.origin()).send().await.expect_err("fatal to reqwest-retry's own");
    assert!(Error::find(&error).expect("ours, through reqwest-retry").is_transient());
    count.store(0, Ordering::SeqCst);
    let answer = with(patient(), true).get(api.origin()).send().await.expect("it passed");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[derive(Clone, Debug, PartialEq)]
struct Number(usize);

/// Counts how often it is asked, in the extensions, and notes the number that it found there.
#[derive(Clone, Default)]
struct Inner {
    found: Arc<Mutex<Vec<Option<Number>>>>,
}

#[derive(Clone)]
struct Passed(usize);

#[async_trait]
impl Middleware for Inner {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        self.found.lock().expect("no panic").push(extensions.get().cloned());
        let before = extensions.get::<Passed>().map_or(0, |passed| passed.0);
        extensions.insert(Passed(before + 1));
        next.run(request, extensions).await
    }
}

/// What the middlewares within left behind reaches those around us.
#[derive(Clone, Default)]
struct Outer {
    passed: Arc<Mutex<Vec<usize>>>,
}

#[async_trait]
impl Middleware for Outer {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        let answer = next.run(request, extensions).await;
        self.passed.lock().expect("no panic").push(extensions.get::<Passed>().map_or(0, |passed| passed.0));
        answer
    }
}

#[tokio::test]
async fn extensions_reach_the_middlewares_within_and_come_back_and_a_replay_starts_with_the_original_ones() {
    let auth = AuthorizationServer::start(HOUR).await;
    let api = auth.protected_api().await;
    let (inner, outer) = (Inner::default(), Outer::default());
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(outer.clone())
        .with(BearerAuthMiddleware::new(cache(&auth, &[&api.origin()])))
        .with(inner.clone())
        .build();
    for number in 1..=2 {
        let answer = client.get(api.origin()).with_extension(Number(number)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        auth.revoke_all();
    }
    // The second one was sent twice.
    assert_eq!(*inner.found.lock().expect("no panic"), [Some(Number(1)), Some(Number(2)), Some(Number(2))]);
    assert_eq!(*outer.passed.lock().expect("no panic"), [1, 1]);
}

#[tokio::test]
async fn an_extension_says_which_token_a_request_wants() {
    let auth = AuthorizationServer::start(HOUR).await;
    let api = auth.protected_api().await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.origin()])));
    let wanted = TokenRequest::builder().scope("orders").build().expect("a token request");
    client.get(api.origin()).send().await.expect("an answer");
    for _ in 0..2 {
        client.get(api.origin()).with_extension(wanted.clone()).send().await.expect("an answer");
    }
    assert_eq!(tokens_seen(&api), ["token-1", "token-2", "token-2"]);
    let asked = auth.received();
    assert_eq!((asked[0].scope(), asked[1].scope()), (None, Some("orders")));
}

fn stream() -> reqwest::Body {
    reqwest::Body::wrap_stream(tokio_stream::iter(["a ", "stream"].map(Ok::<_, std::io::Error>)))
}

/// A multipart form is a stream, too.
#[tokio::test]
async fn a_body_that_cannot_be_copied_is_sent_once_and_the_next_request_has_a_new_token() {
    for multipart in [false, true] {
        let auth = AuthorizationServer::start(HOUR).await;
        let api = auth.protected_api().await;
        let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.origin()])));
        let send = || {
            let request = client.post(api.origin());
            if multipart {
                request
                    .multipart(reqwest::multipart::Form::new().part("file", reqwest::multipart::Part::stream(stream())))
            } else {
                request.body(stream())
            }
            .send()
        };
        assert_eq!(send().await.expect("an answer").status(), StatusCode::OK);
        auth.revoke_all();
        let refused = send().await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.text().await.expect("a body"), "who are you?");
        assert_eq!(send().await.expect("an answer").status(), StatusCode::OK);
        assert_eq!(api.count(), 3);
        let seen = api.seen();
        let body = String::from_utf8_lossy(seen[2].body()).into_owned();
        assert!(body.contains("a stream"), "{body}");
        assert_eq!(auth.token_requests(), 2);
    }
}

#[tokio::test]
async fn a_body_of_bytes_is_sent_again_to_the_byte() {
    let auth = AuthorizationServer::start(HOUR).await;
    let api = auth.protected_api().await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.origin()])));
    client.get(api.origin()).send().await.expect("an answer");
    auth.revoke_all();
    let url = format!("{}/a%20b?q=1&q=2", api.origin());
    let request = client.put(url).header("x-one", "1").header("x-one", "2").body("the body");
    assert_eq!(request.send().await.expect("an answer").text().await.expect("a body"), "the body");
    let seen = api.seen();
    let [first, second] = &seen[1..] else { panic!("{} requests", seen.len()) };
    assert_eq!((first.method(), first.uri(), first.version()), (second.method(), second.uri(), second.version()));
    assert_eq!(first.body(), second.body());
    let without_token = |request: &http::Request<_>| {
        let mut headers = request.headers().clone();
        headers.remove(AUTHORIZATION);
        headers
    };
    assert_eq!(without_token(first), without_token(second));
    assert_eq!(second.headers().get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), ["Bearer token-2"]);
}

#[tokio::test]
async fn without_replay_the_401_goes_to_the_caller() {
    let auth = AuthorizationServer::start(HOUR).await;
    let api = auth.protected_api().await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.origin()])).without_replay());
    client.get(api.origin()).send().await.expect("an answer");
    auth.revoke_all();
    let status = || async { client.get(api.origin()).send().await.expect("an answer").status() };
    assert_eq!((status().await, status().await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    assert_eq!((api.count(), auth.token_requests()), (3, 2));
}

#[tokio::test]
async fn a_predicate_counts_other_answers_as_rejections() {
    let auth = AuthorizationServer::start(HOUR).await;
    let issued = auth.issued();
    let api = Server::start(move |request| {
        let good = issued.check(&request).status() == StatusCode::OK;
        async move { if good { Response::default() } else { answer(StatusCode::FORBIDDEN, "expired") } }
    })
    .await;
    let middleware = BearerAuthMiddleware::new(cache(&auth, &[&api.origin()]));
    let client = client(middleware.with_rejection(|status, _| status == StatusCode::FORBIDDEN));
    for _ in 0..2 {
        assert_eq!(client.get(api.origin()).send().await.expect("an answer").status(), StatusCode::OK);
        auth.revoke_all();
    }
}

#[tokio::test]
async fn the_callers_own_bearer_token_wins() {
    let auth = AuthorizationServer::start(HOUR).await;
    let api = auth.protected_api().await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.origin()])));
    let refused = client.get(api.origin()).bearer_auth("mine").send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((tokens_seen(&api), auth.token_requests()), (vec!["mine".to_owned()], 0));
}

#[tokio::test]
async fn other_origins_get_no_token_and_plain_http_to_a_host_named_with_https_is_refused() {
    let auth = AuthorizationServer::start(HOUR).await;
    let elsewhere = Server::start(|_| async { Response::default() }).await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &["https://localhost"])));
    client.get(elsewhere.origin()).send().await.expect("an answer");
    assert_eq!(tokens_seen(&elsewhere), ["none"]);
    let port = elsewhere.origin().rsplit_once(':').expect("a port").1.to_owned();
    let error = client.get(format!("http://localhost:{port}/")).send().await.expect_err("refused");
    assert_eq!(Error::find(&error).expect("ours").kind(), ErrorKind::InsecureTransport);
    assert_eq!((elsewhere.count(), auth.token_requests()), (1, 0));
}

#[tokio::test]
async fn a_request_that_says_so_is_sent_without_a_token_and_none_is_fetched() {
    let auth = AuthorizationServer::start(HOUR).await;
    let api = auth.protected_api().await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&api.origin()])));
    let public = client.get(api.origin()).with_extension(client_credentials::WithoutToken).send().await;
    assert_eq!(public.expect("a response").status(), StatusCode::UNAUTHORIZED);
    assert_eq!((tokens_seen(&api), auth.token_requests()), (vec!["none".to_owned()], 0));
    assert_eq!(client.get(api.origin()).send().await.expect("a response").status(), StatusCode::OK);
}

/// A header of the client is added beneath every middleware, where the request has none.
#[tokio::test]
async fn the_token_takes_the_place_of_a_default_header_of_the_client_which_goes_to_all_other_origins() {
    let auth = AuthorizationServer::start(HOUR).await;
    let api = auth.protected_api().await;
    let elsewhere = Server::start(|_| async { Response::default() }).await;
    let default = [(AUTHORIZATION, http::HeaderValue::from_static("Bearer default"))].into_iter().collect();
    let client = reqwest::Client::builder().default_headers(default).build().expect("a client");
    let middleware = BearerAuthMiddleware::new(cache(&auth, &[&api.origin()]));
    let client = ClientBuilder::new(client).with(middleware).build();
    assert_eq!(client.get(api.origin()).send().await.expect("a response").status(), StatusCode::OK);
    client.get(elsewhere.origin()).send().await.expect("a response");
    assert_eq!((tokens_seen(&api), tokens_seen(&elsewhere)), (vec!["token-1".into()], vec!["default".into()]));
}

/// CONNECT speaks to a proxy, which is not whom the token is for.
#[tokio::test]
async fn a_connect_request_goes_as_it_is() {
    let auth = AuthorizationServer::start(HOUR).await;
    let proxy = Server::start(|_| async { answer(StatusCode::BAD_REQUEST, "") }).await;
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&proxy.origin()])));
    client.request(http::Method::CONNECT, proxy.origin()).send().await.expect("an answer");
    assert_eq!((tokens_seen(&proxy), auth.token_requests()), (vec!["none".to_owned()], 0));
}

/// reqwest follows redirects by itself, beneath every middleware, and drops the header where the host or the port
/// changes.
#[tokio::test]
async fn a_redirect_that_reqwest_follows_does_not_carry_the_token_and_a_401_at_its_end_is_not_held_against_it() {
    let auth = AuthorizationServer::start(HOUR).await;
    let end = auth.protected_api().await;
    let location = format!("{}/end", end.origin());
    let start = Server::start(move |_| {
        let redirect = Response::builder().status(302).header("location", &location).body(bytes::Bytes::new());
        async move { redirect.expect("a response") }
    })
    .await;
    // Even where both are origins of ours.
    let client = client(BearerAuthMiddleware::new(cache(&auth, &[&start.origin(), &end.origin()])));
    let refused = client.get(start.origin()).send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!((tokens_seen(&start), tokens_seen(&end)), (vec!["token-1".to_owned()], vec!["none".to_owned()]));
    assert_eq!(auth.token_requests(), 1);
}

/// The user's client with our adapter also sends the token requests of that adapter.
#[tokio::test]
async fn a_token_request_through_the_same_client_goes_as_it_is() {
    #[derive(Clone, Default)]
    struct Late(Arc<std::sync::OnceLock<ClientWithMiddleware>>);

    #[async_trait]
    impl client_credentials::HttpClient for Late {
        async fn send(
            &self,
            request: http::Request<client_credentials::Body>,
        ) -> Result<Response<client_credentials::Body>, Error> {
            self.0.get().expect("it was set").send(request).await
        }
    }

    let auth = AuthorizationServer::start(HOUR).await;
    let late = Late::default();
    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").any_origin().http_client(late.clone());
    let client = client(BearerAuthMiddleware::new(source.build().expect("a source").into()));
    assert!(late.0.set(client.clone()).is_ok());
    let api = auth.protected_api().await;
    let sent = tokio::time::timeout(Duration::from_secs(5), client.get(api.origin()).send()).await;
    assert_eq!(sent.expect("no deadlock").expect("an answer").status(), StatusCode::OK);
    let asked = auth.received();
    assert!(asked.len() == 1 && !asked[0].headers().contains_key(AUTHORIZATION), "{asked:?}");
}

/// A server that rejects every token, and counts the requests.
struct Rejecting(Arc<AtomicUsize>);

#[async_trait]
impl Middleware for Rejecting {
    async fn handle(
        &self,
        request: reqwest::Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        assert!(!request.headers().contains_key(AUTHORIZATION));
        self.0.fetch_add(1, Ordering::Relaxed);
        let answer = Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header("www-authenticate", r#"Bearer error="invalid_token""#)
            .url(request.url().clone())
            .body("")
            .expect("an answer");
        Ok(answer.into())
    }
}

#[tokio::test]
async fn a_401_to_a_request_that_had_no_room_for_a_token_is_no_rejection_of_one() {
    let (asked, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let source = client_credentials::token_fn(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move { client_credentials::AccessToken::new(format!("token-{number}")) }
    });
    let tokens = TokenCache::builder(source).origin("https://api.example.com").build().expect("a cache");
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(BearerAuthMiddleware::new(tokens))
        .with(Rejecting(Arc::clone(&sent)))
        .build();
    // First with no token at hand, then with one.
    for number in 1..=2 {
        let mut request =
            reqwest::Request::new(reqwest::Method::GET, "https://api.example.com/".parse().expect("a URL"));
        for header in 0.. {
            let name = http::HeaderName::try_from(format!("x-{header}")).expect("a name");
            if request.headers_mut().try_append(name, http::HeaderValue::from_static("")).is_err() {
                break;
            }
        }
        assert_eq!(client.execute(request).await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
        assert_eq!(sent.load(Ordering::Relaxed), number);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
