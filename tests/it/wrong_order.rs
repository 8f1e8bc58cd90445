//! What the log tells somebody whose requests go without a token.

use crate::support::{api::Api, get, log::Log, responding};
use client_credentials::{AccessToken, BearerAuthLayer, BearerAuthMiddleware, TokenCache, TokenCacheBuilder};
use http::header::AUTHORIZATION;
use tower::{Layer, ServiceExt};
use tracing::Level;
use wiremock::ResponseTemplate;

fn tokens(origins: &[&str]) -> TokenCache {
    let builder = TokenCache::builder(AccessToken::new("abcde12345").expect("a token"));
    origins.iter().fold(builder, TokenCacheBuilder::origin).build().expect("a cache")
}

#[tokio::test]
async fn the_log_says_why_a_request_goes_without_a_token_or_is_not_sent_again() {
    let (log, _guard) = Log::start();

    // An origin that was not named: once for each, however many requests.
    let service = BearerAuthLayer::new(tokens(&["https://api.example.com"])).layer(Api::open());
    for _ in 0..3 {
        service.clone().oneshot(get("https://other.example.com/")).await.expect("a response");
    }
    let text = log.take(Level::WARN).join("\n");
    assert_eq!(text.matches("no access token attached").count(), 1, "{text}");
    assert!(text.contains("https://other.example.com"), "{text}");

    // With the Host header of somebody else's request.
    for _ in 0..3 {
        let mut request = get("https://api.example.com/");
        request.headers_mut().insert("host", "my-service.example.com".parse().expect("a value"));
        service.clone().oneshot(request).await.expect("a response");
    }
    let text = log.take(Level::WARN).join("\n");
    assert_eq!(text.matches("no access token attached: the request's Host header names").count(), 1, "{text}");
    assert!(text.contains("my-service.example.com"), "{text}");

    // Behind a layer that sets the header.
    let mut request = get("https://api.example.com/");
    request.headers_mut().insert(AUTHORIZATION, "Basic YTpi".parse().expect("a value"));
    service.oneshot(request).await.expect("a response");
    assert!(log.all().contains("the request already has the header `authorization`"));

    // Without a replay.
    let rejecting = Api::accepting("none", None);
    let service = BearerAuthLayer::new(tokens(&["https://api.example.com"])).layer(rejecting);
    service.oneshot(get("https://api.example.com/")).await.expect("a response");
    let text = log.all();
    assert!(text.contains("is not sent again: there is no copy of it (`with_replay`"), "{text}");

    // A 401 that is about something else.
    for challenge in ["Basic realm=\"api\"", "Bearer error=\"insufficient_scope\""] {
        let service =
            BearerAuthLayer::new(tokens(&["https://api.example.com"])).layer(Api::accepting("none", Some(challenge)));
        service.oneshot(get("https://api.example.com/")).await.expect("a response");
        let text = log.all();
        assert!(text.contains("a 401 does not reject the access token") && text.contains("with_rejection"), "{text}");
        assert!(text.contains("https://api.example.com"), "{text}");
    }

    // A redirect within the client.
    let end = responding(ResponseTemplate::new(401).insert_header("www-authenticate", "Bearer")).await;
    let redirect = ResponseTemplate::new(302).insert_header("location", format!("{}/end", end.uri()));
    let start = responding(redirect).await;
    let middleware = BearerAuthMiddleware::new(tokens(&[&start.uri(), &end.uri()]));
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
    for _ in 0..2 {
        client.get(start.uri()).send().await.expect("a response");
    }
    let text = log.all();
    assert_eq!(text.matches("a 401 after a redirect does not reject the access token").count(), 1, "{text}");
    assert!(text.contains(&end.uri()), "{text}");
}
