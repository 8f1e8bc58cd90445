//! The token in another header, or behind another word than `Bearer`.

use crate::support::{
    api::{Api, Body, api_tokens},
    get,
};
use client_credentials::{AccessToken, BearerAuthLayer, ErrorKind, TokenCache, TokenHeader, TryClone};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use tower::{Layer, ServiceBuilder, ServiceExt};

const URL: &str = "https://api.example.com/stats";

fn headers() -> [(TokenHeader, &'static str, &'static str); 5] {
    let header = |header: Result<TokenHeader, _>| header.expect("a token header");
    [
        (header(TokenHeader::authorization("Zoho-oauthtoken")), "authorization", "Zoho-oauthtoken "),
        (header(TokenHeader::authorization("")), "authorization", ""),
        (header(TokenHeader::proxy_authorization("Bearer")), "proxy-authorization", "Bearer "),
        (header(TokenHeader::for_client_without_redirects("x-api-token", "")), "x-api-token", ""),
        (header(TokenHeader::for_client_without_redirects("X-Auth", "Token ")), "x-auth", "Token "),
    ]
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let all: Vec<_> = headers.get_all(HeaderName::try_from(name).expect("a name")).iter().collect();
    assert_eq!(all.len(), 1, "{headers:?}");
    assert!(all[0].is_sensitive());
    all[0].to_str().expect("text")
}

#[tokio::test(start_paused = true)]
async fn another_header_is_sensitive_and_its_token_is_replaced_when_it_was_rejected() {
    for (header, name, prefix) in headers() {
        let (tokens, source) = api_tokens();
        let good = format!("{prefix}token-2");
        let api = Api::new(move |request| {
            let good = request.headers().get(name).is_some_and(|value| *value == good);
            Response::builder().status(if good { 200 } else { 401 }).body(Body::default()).expect("a response")
        });
        let layer = BearerAuthLayer::new(tokens).with_header(header).with_replay(TryClone);
        let service = layer.layer(api.clone());
        // The first waits for its token, the second finds it cached.
        for _ in 0..2 {
            assert_eq!(service.clone().oneshot(get(URL)).await.expect("a response").status(), StatusCode::OK);
        }
        let seen = api.seen();
        let values: Vec<_> = seen.iter().map(|request| only(request.headers(), name)).collect();
        assert_eq!(values, ["1", "2", "2"].map(|number| format!("{prefix}token-{number}")));
        assert!(name == "authorization" || seen.iter().all(|request| !request.headers().contains_key("authorization")));
        assert_eq!(source.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn another_header_goes_where_authorization_goes_and_one_that_the_caller_set_stays() {
    for (header, name, _) in headers() {
        let (tokens, source) = api_tokens();
        let api = Api::open();
        let service = BearerAuthLayer::new(tokens.clone()).with_header(header).layer(api.clone());
        let own = || Request::get(URL).header(name, "mine").body(Body::default()).expect("a request");
        service.clone().oneshot(get("https://elsewhere.test/")).await.expect("a response");
        service.clone().oneshot(own()).await.expect("a response");
        assert_eq!(source.count(), 0);
        tokens.token().await.expect("a token");
        service.clone().oneshot(own()).await.expect("a response");
        service.oneshot(get("http://api.example.com/")).await.expect_err("plain http");
        let seen = api.seen();
        assert_eq!(seen.len(), 3);
        assert!(!seen[0].headers().contains_key(name));
        assert!(seen[1..].iter().all(|request| request.headers()[name] == "mine"), "{seen:?}");
    }
}

/// A gateway's token in one header, the API's in another.
#[tokio::test(start_paused = true)]
async fn two_layers_send_two_tokens_and_each_prefix_keeps_its_own() {
    let tokens = |token: &str| {
        let token = AccessToken::new(token).expect("a token");
        TokenCache::builder(token).origin("https://api.example.com").build().expect("a cache")
    };
    let (gateway, own) = (tokens("gateway"), tokens("own"));
    let api = Api::open();
    let service = ServiceBuilder::new()
        .layer(
            BearerAuthLayer::new(gateway.clone()).with_header(TokenHeader::proxy_authorization("Bearer").expect("one")),
        )
        .layer(BearerAuthLayer::new(own))
        // The same cache behind two more prefixes.
        .layer(
            BearerAuthLayer::new(gateway.clone())
                .with_header(TokenHeader::for_client_without_redirects("x-one", "One").expect("one")),
        )
        .layer(
            BearerAuthLayer::new(gateway)
                .with_header(TokenHeader::for_client_without_redirects("x-two", "Two").expect("one")),
        )
        .service(api.clone());
    for _ in 0..2 {
        service.clone().oneshot(get(URL)).await.expect("a response");
    }
    for request in api.seen() {
        let value = |name: &str| only(request.headers(), name).to_owned();
        assert_eq!(value("proxy-authorization"), "Bearer gateway");
        assert_eq!(value("authorization"), "Bearer own");
        assert_eq!((value("x-one"), value("x-two")), ("One gateway".into(), "Two gateway".into()));
    }
}

#[test]
fn what_is_not_a_header_is_refused() {
    for refused in [
        TokenHeader::authorization("Bearer\r\nx-evil: 1"),
        TokenHeader::proxy_authorization("b\u{fc}cher"),
        TokenHeader::for_client_without_redirects("not a name", ""),
        TokenHeader::for_client_without_redirects("", ""),
        TokenHeader::for_client_without_redirects("host", ""),
    ] {
        let error = refused.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().starts_with("token header: "), "{error}");
    }
}

#[cfg(feature = "reqwest-middleware")]
#[tokio::test]
async fn the_middleware_sends_another_header_too() {
    use client_credentials::BearerAuthMiddleware;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::header};

    let api = MockServer::start().await;
    let sent = Mock::given(header("authorization", "Zoho-oauthtoken abcde"));
    sent.respond_with(ResponseTemplate::new(200)).expect(1).mount(&api).await;
    let token = AccessToken::new("abcde").expect("a token");
    let tokens = TokenCache::builder(token).origin(api.uri()).build().expect("a cache");
    let name = TokenHeader::authorization("Zoho-oauthtoken").expect("a token header");
    let middleware = BearerAuthMiddleware::new(tokens).with_header(name);
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
    client.get(api.uri()).send().await.expect("a response");
}
