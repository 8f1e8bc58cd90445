//! Redirects: a layer around ours looks at each hop anew, and the token stays where it belongs.

use crate::support;
use crate::support::{
    api::{Api, Body, bearer, tokens},
    get,
};
#[cfg(feature = "reqwest")]
use client_credentials::{AccessToken, TokenCache};
use client_credentials::{BearerAuthLayer, Error, ErrorKind, TokenRequest, TryClone};
use http::{Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_http::follow_redirect::FollowRedirectLayer;
#[cfg(feature = "reqwest")]
use wiremock::ResponseTemplate;

/// Sends from `https://api.example.com/start` to `location`, and responds with 200 there.
fn redirecting(location: &'static str) -> Api {
    Api::new(move |request| match request.uri().path() {
        "/start" => redirect(location),
        _ => Response::default(),
    })
}

fn redirect(location: &str) -> Response<Body> {
    Response::builder().status(307).header("location", location).body(Full::default()).expect("a response")
}

#[tokio::test(start_paused = true)]
async fn a_redirect_layer_outside_does_not_carry_the_token_to_another_origin() {
    let (with, without) = (Some("token-1"), None);
    let table = [
        ("/end", with),
        ("https://api.example.com/end", with),
        ("https://API.example.com:443/end", with),
        // Listed itself, so that it gets a token of its own right.
        ("https://other.example.com/end", with),
        ("https://evil.test/end", without),
        ("https://api.example.com.evil.test/end", without),
        ("https://api.example.com@evil.test/end", without),
        ("https://api.example.com:8443/end", without),
        ("//evil.test/end", without),
    ];
    for (location, expected) in table {
        let (builder, source) = tokens();
        let builder = builder.origin("https://api.example.com").origin("https://other.example.com");
        let api = redirecting(location);
        let service = ServiceBuilder::new()
            .layer(FollowRedirectLayer::new())
            .layer(BearerAuthLayer::new(builder.build().expect("a cache")).with_replay(TryClone))
            .service(api.clone());
        let response = service.oneshot(get("https://api.example.com/start")).await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK, "{location}");
        let seen = api.seen();
        assert_eq!(seen.len(), 2, "{location}");
        assert_eq!((bearer(&seen[0]), bearer(&seen[1])), (with, expected), "{location}");
        assert_eq!(source.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_to_plain_http_on_a_host_named_with_https_is_an_error_before_it_is_followed() {
    let (builder, _) = tokens();
    let api = redirecting("http://api.example.com/end");
    let service = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(BearerAuthLayer::new(builder.origin("https://api.example.com").build().expect("a cache")))
        .service(api.clone());
    let error = service.oneshot(get("https://api.example.com/start")).await.expect_err("it is refused");
    assert_eq!(Error::find(&*error).expect("ours").kind(), ErrorKind::InsecureTransport);
    assert_eq!(api.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_rejected_behind_a_redirect_is_renewed_for_that_hop() {
    let (builder, source) = tokens();
    let api = Api::new(|request| match (request.uri().path(), bearer(request)) {
        ("/start", _) => redirect("/end"),
        (_, Some("token-2")) => Response::default(),
        _ => support::api::rejection(None),
    });
    let layer = BearerAuthLayer::new(builder.origin("https://api.example.com").build().expect("a cache"));
    let service = FollowRedirectLayer::new().layer(layer.with_replay(TryClone).layer(api.clone()));
    let response = service.oneshot(get("https://api.example.com/start")).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let seen = api.seen();
    let hops: Vec<_> = seen.iter().map(|request| (request.uri().path(), bearer(request))).collect();
    assert_eq!(hops, [("/start", Some("token-1")), ("/end", Some("token-1")), ("/end", Some("token-2"))]);
    assert_eq!(source.count(), 2);
}

/// tower-http drops a request's extensions on the way to another host, and with them which token it wants.
#[tokio::test(start_paused = true)]
async fn behind_a_redirect_to_another_host_the_token_is_that_of_the_handle() {
    let scope = |scope: &str| TokenRequest::builder().scope(scope).build().expect("a token request");
    for (location, own) in [("/end", "token-1"), ("https://other.example.com/end", "token-2")] {
        let (builder, _) = tokens();
        let tokens = builder.origin("https://api.example.com").origin("https://other.example.com").build();
        let tokens = tokens.expect("a cache").with_request(&scope("handle"));
        let api = redirecting(location);
        let service = FollowRedirectLayer::new().layer(BearerAuthLayer::new(tokens).layer(api.clone()));
        let mut request = get("https://api.example.com/start");
        request.extensions_mut().insert(scope("request"));
        service.oneshot(request).await.expect("a response");
        let seen = api.seen();
        assert_eq!((bearer(&seen[0]), bearer(&seen[1])), (Some("token-1"), Some(own)), "{location}");
    }
}

/// reqwest removes the header on its way to another host, and does not put it back on the way home.
#[cfg(feature = "reqwest-middleware")]
#[tokio::test]
async fn after_a_redirect_within_reqwest_and_back_a_401_without_an_error_code_rejects_nothing() {
    use client_credentials::{BearerAuthMiddleware, Clock, testing::AuthorizationServer};
    use wiremock::{Mock, MockServer, matchers::path};

    let auth = AuthorizationServer::in_memory();
    let (api, other) = (support::protected_api(&auth).await, MockServer::start().await);
    let to = |location: String| ResponseTemplate::new(307).insert_header("location", location);
    for (server, from, location) in [
        (&api, "/away", format!("{}/back", other.uri())),
        (&other, "/back", format!("{}/end", api.uri())),
        (&api, "/here", format!("{}/end", api.uri())),
    ] {
        Mock::given(path(from)).respond_with(to(location)).with_priority(1).mount(server).await;
    }
    let source = client_credentials::ClientCredentials::builder(auth.token_url(), "abcde", "12345");
    let source = source.http_client(auth.clone()).origin(api.uri()).build().expect("a source");
    let clock = Clock::tokio();
    let tokens = TokenCache::builder(source).clock(clock.clone()).build().expect("a cache");
    tokens.token().await.expect("a token");
    // So that a renewal would start at once.
    clock.jump_wall_clock(2_000);
    let client =
        reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(BearerAuthMiddleware::new(tokens)).build();
    let status = |path: &str| {
        let sent = client.get(format!("{}{path}", api.uri())).send();
        async { sent.await.expect("a response").status() }
    };

    assert_eq!(status("/away").await, StatusCode::UNAUTHORIZED);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let counts = (support::received(&other).await.len(), support::received(&api).await.len());
    assert_eq!((counts, auth.token_requests().len()), ((1, 2), 1), "neither renewed nor sent again");

    // Within one origin the header stays, and what is said of it counts.
    assert_eq!(status("/here").await, StatusCode::OK);
    auth.revoke_all();
    assert_eq!(status("/here").await, StatusCode::OK);
    assert_eq!(auth.token_requests().len(), 2);
}

/// A client that follows redirects on its own, beneath the layer.
#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwests_own_redirects_carry_the_token_to_no_other_server() {
    let elsewhere = support::responding(ResponseTemplate::new(200)).await;
    let redirect = ResponseTemplate::new(307).insert_header("location", elsewhere.uri());
    let api = support::responding(redirect).await;
    let token = AccessToken::new("abcde12345").expect("a token");
    let layer = BearerAuthLayer::new(TokenCache::builder(token).origin(api.uri()).build().expect("a cache"));
    let url = api.uri().parse().expect("a URL");
    let service = layer.layer(reqwest::Client::new());
    let response = service.oneshot(reqwest::Request::new(http::Method::GET, url)).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(support::tokens_seen(&elsewhere).await, ["none"]);
    assert_eq!(support::tokens_seen(&api).await, ["abcde12345"]);
}
