//! Many tokens of one source: which one a request wants, and how many are kept.

use crate::support::source::{Outcome, Source, hours, millis, minutes, seconds};
use crate::support::{
    api::{Api, Body, bearer},
    get,
};
use client_credentials::{
    AccessToken, BearerAuthLayer, ClientCredentials, Clock, Error, TokenCache, TokenRequest, TryClone,
    testing::AuthorizationServer,
};
use http::StatusCode;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};

fn scope(scope: impl AsRef<str>) -> TokenRequest {
    TokenRequest::builder().scope(scope).build().expect("a token request")
}

async fn token(tokens: &TokenCache, request: &TokenRequest) -> String {
    tokens.token_for(request).await.expect("a token").expose_secret().to_owned()
}

fn small(source: &Source, most: usize) -> TokenCache {
    let builder = source.builder().origin("https://api.example.com").clock(Clock::tokio());
    builder.most_keys(most).build().expect("the settings are complete")
}

#[tokio::test(start_paused = true)]
async fn another_scope_resource_audience_or_parameter_is_another_token() {
    let source = Source::new();
    let tokens = source.cache();
    let build = || TokenRequest::builder();
    let different = [
        build(),
        build().scope("a"),
        build().scope("b"),
        build().scope("a b"),
        build().resource("https://a.test"),
        build().resource("https://a.test").resource("https://b.test"),
        build().audience("a"),
        build().parameter("tenant", "a"),
        build().parameter("tenant", "b"),
    ]
    .map(|request| request.build().expect("a token request"));
    for _ in 0..2 {
        for (at, request) in different.iter().enumerate() {
            assert_eq!(token(&tokens, request).await, format!("token-{}", at + 1), "{request:?}");
        }
    }
    // The order of scopes, and naming one twice, make no difference.
    for same in ["a b", "b a", "b a b"] {
        assert_eq!(token(&tokens, &scope(same)).await, "token-4");
    }
    assert_eq!(source.count(), different.len());
}

/// On servers with one token for each client, two tokens for the same would end each other.
#[tokio::test(start_paused = true)]
async fn a_request_that_adds_nothing_to_the_sources_defaults_is_for_its_own_token() {
    let auth = AuthorizationServer::in_memory();
    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").http_client(auth.clone()).any_origin();
    let source = source.scope("b a").audience("https://a.test").parameter("tenant", "7").build().expect("complete");
    let tokens = TokenCache::builder(std::sync::Arc::new(source)).clock(Clock::tokio()).build().expect("complete");
    let own = tokens.token().await.expect("a token");
    let build = || TokenRequest::builder();
    let all = build().scope("a b").audience("https://a.test").parameter("tenant", "7");
    for same in [build().scope("a b"), build().audience("https://a.test"), build().parameter("tenant", "7"), all] {
        let same = same.build().expect("a token request");
        assert_eq!(token(&tokens, &same).await, own.expose_secret(), "{same:?}");
        let of_a_handle = tokens.with_request(&same).token().await.expect("a token");
        assert_eq!(of_a_handle.expose_secret(), own.expose_secret(), "{same:?}");
    }
    assert_eq!(auth.token_requests().len(), 1);
    let others =
        [build().scope("a"), build().scope("a b c"), build().parameter("tenant", "8"), build().resource("a:b")];
    for (at, other) in others.into_iter().enumerate() {
        let other = other.build().expect("a token request");
        tokens.token_for(&other).await.expect("a token");
        assert_eq!(auth.token_requests().len(), at + 2, "{other:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_extension_of_the_request_says_which_token_it_wants() {
    let source = Source::new();
    let tokens = source.cache();
    let api = Api::open();
    let service = BearerAuthLayer::new(tokens).layer(api.clone());
    for wanted in [None, Some(scope("a")), Some(scope("b")), Some(scope("a")), Some(TokenRequest::default())] {
        let mut request = get("https://api.example.com");
        if let Some(wanted) = wanted {
            request.extensions_mut().insert(wanted);
        }
        service.clone().oneshot(request).await.expect("a response");
    }
    let seen = api.seen();
    let carried: Vec<_> = seen.iter().map(|request| bearer(request).expect("a token")).collect();
    assert_eq!(carried, ["token-1", "token-2", "token-3", "token-2", "token-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_handle_for_one_token_request_is_what_an_adapter_is_built_on() {
    let source = Source::new();
    let tokens = source.cache();
    let orders = tokens.with_request(&scope("orders"));
    let api = Api::accepting("none", Some("Bearer error=\"invalid_token\""));
    let send = |tokens: &TokenCache, wanted: Option<TokenRequest>| {
        let service = BearerAuthLayer::new(tokens.clone()).layer(api.clone());
        let mut request = get("https://api.example.com");
        if let Some(wanted) = wanted {
            request.extensions_mut().insert(wanted);
        }
        service.oneshot(request)
    };
    assert!(orders.try_token().is_none());
    sleep(millis(1)).await;
    assert_eq!(orders.try_token().expect("a token").expose_secret(), "token-1");
    assert_eq!(orders.token().await.expect("a token").expose_secret(), "token-1");
    assert_eq!(token(&tokens, &scope("orders")).await, "token-1", "it shares its token with the cache");
    assert_eq!(tokens.token().await.expect("a token").expose_secret(), "token-2");
    // What a request says itself comes first.
    for wanted in [None, Some(scope("stats")), Some(TokenRequest::default())] {
        sleep(millis(2000)).await;
        send(&orders, wanted).await.expect("a response");
    }
    let seen = api.seen();
    let carried: Vec<_> = seen.iter().map(|request| bearer(request).expect("a token")).collect();
    assert_eq!(carried, ["token-1", "token-4", "token-2"]);
    // Each of these 401s is about its own token, and its renewal runs beside it.
    sleep(millis(1)).await;
    let asked: Vec<_> = source.asked().into_iter().map(|asked| asked.request).collect();
    let (own, orders, stats) = (TokenRequest::default(), scope("orders"), scope("stats"));
    assert_eq!(asked, [&orders, &own, &orders, &stats, &own].map(Clone::clone));
    assert_eq!(tokens.with_request(&stats).token().await.expect("a token").expose_secret(), "token-6");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_the_least_used_goes_first_and_the_sources_own_never_does() {
    let source = Source::new();
    let tokens = small(&source, 3);
    tokens.token().await.expect("a token");
    for key in ["a", "b", "c"] {
        token(&tokens, &scope(key)).await;
    }
    token(&tokens, &scope("a")).await;
    assert_eq!(source.count(), 4);
    // "b" was used least recently.
    token(&tokens, &scope("d")).await;
    for (key, kept) in [("c", true), ("a", true), ("d", true), ("b", false), ("c", false)] {
        let before = source.count();
        token(&tokens, &scope(key)).await;
        assert_eq!(source.count() == before, kept, "{key}");
    }
    for key in 0..100 {
        token(&tokens, &scope(format!("s{key}"))).await;
    }
    let before = source.count();
    tokens.token().await.expect("a token");
    assert_eq!(source.count(), before, "the source's own is still there");
}

/// Sends a request with this key, and returns the token that it carried.
async fn send(tokens: &TokenCache, key: &TokenRequest) -> String {
    let api = Api::open();
    let mut request = get("https://api.example.com");
    request.extensions_mut().insert(key.clone());
    BearerAuthLayer::new(tokens.clone()).layer(api.clone()).oneshot(request).await.expect("a response");
    bearer(&api.seen()[0]).expect("a token").to_owned()
}

/// Requests do not ask the cache while they have a lease; it has to notice all the same that a token is used.
#[tokio::test(start_paused = true)]
async fn a_key_that_requests_use_stays_and_one_that_none_uses_makes_room() {
    let source = Source::new();
    let tokens = small(&source, 3);
    for key in ["a", "b", "c"] {
        token(&tokens, &scope(key)).await;
    }
    for key in 0..20 {
        assert_eq!(send(&tokens, &scope("a")).await, "token-1");
        token(&tokens, &scope(format!("s{key}"))).await;
    }
    assert_eq!(source.count(), 23, "its token was never requested again");
    // Once no request uses it, it makes room.
    for key in 20..30 {
        token(&tokens, &scope(format!("s{key}"))).await;
    }
    assert_eq!(send(&tokens, &scope("a")).await, "token-34");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_one_request_has_used_is_not_in_use() {
    let source = Source::new();
    let tokens = small(&source, 4);
    for key in 0..5 {
        send(&tokens, &scope(format!("s{key}"))).await;
    }
    assert_eq!(send(&tokens, &scope("s0")).await, "token-6", "the first made room for the fifth");
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_all_in_use_are_kept_up_to_twice_the_bound() {
    let source = Source::new();
    let tokens = small(&source, 4);
    for key in 0..8 {
        for used in 0..=key {
            send(&tokens, &scope(format!("s{used}"))).await;
        }
    }
    assert_eq!(source.count(), 8, "none was requested twice");
    for key in (0..=8).chain((0..=8).rev()) {
        send(&tokens, &scope(format!("s{key}"))).await;
    }
    assert_eq!(source.count(), 10, "the ninth, for which the first made room");
    for key in 8..50 {
        for _ in 0..2 {
            send(&tokens, &scope(format!("s{key}"))).await;
        }
    }
    let before = source.count();
    for key in (0..50).rev() {
        send(&tokens, &scope(format!("s{key}"))).await;
    }
    let kept = before + 50 - source.count();
    assert!((4..=8).contains(&kept), "{kept} of 50 were kept");
}

/// A response finds the token that its request carried by the key. If the key has made room, there is nothing to renew.
#[tokio::test(start_paused = true)]
async fn a_rejection_of_a_token_that_is_no_longer_kept_requests_none() {
    let source = Source::new();
    let tokens = small(&source, 1);
    let forgotten = tokens.token_for(&scope("a")).await.expect("a token");
    token(&tokens, &scope("b")).await;
    tokens.reject(&forgotten);
    sleep(minutes(1)).await;
    assert_eq!(source.count(), 2);
    assert_eq!(token(&tokens, &scope("a")).await, "token-3");
}

/// Unless the request itself is there to say which token it needs.
#[tokio::test(start_paused = true)]
async fn a_request_whose_token_made_room_meanwhile_is_sent_again_with_another_token_for_its_key() {
    let source = Source::new();
    let tokens = small(&source, 1);
    let others = tokens.clone();
    let api = tower::service_fn(move |request: http::Request<Body>| {
        let (others, carried) = (others.clone(), bearer(&request).expect("a token").to_owned());
        async move {
            if carried != "token-1" {
                return Ok::<_, std::convert::Infallible>(http::Response::new(carried));
            }
            for key in 0..9 {
                token(&others, &scope(format!("s{key}"))).await;
            }
            let rejection = http::Response::builder().status(StatusCode::UNAUTHORIZED);
            Ok(rejection.body(carried).expect("a response"))
        }
    });
    let mut request = get("https://api.example.com");
    request.extensions_mut().insert(scope("a"));
    let service = BearerAuthLayer::new(tokens).with_replay(TryClone).layer(api);
    let response = service.oneshot(request).await.expect("a response");
    assert_eq!((response.status(), response.body().as_str()), (StatusCode::OK, "token-11"));
    assert_eq!(source.asked().last().expect("a token request").request, scope("a"));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_keys_are_kept_by_default() {
    let source = Source::new();
    let tokens = source.cache();
    for _ in 0..2 {
        for key in 0..1000 {
            token(&tokens, &scope(format!("s{key}"))).await;
        }
    }
    assert_eq!(source.count(), 1000);
    token(&tokens, &scope("one-more")).await;
    token(&tokens, &scope("s0")).await;
    assert_eq!(source.count(), 1002, "the first one made room");
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_is_not_lost() {
    let source = Source::new();
    let tokens = small(&source, 4);
    // Held by a handle.
    let handle = tokens.with_request(&scope("handle"));
    handle.token().await.expect("a token");
    // On its way, with nobody left who waits for it.
    source.delay(seconds(10));
    assert!(tokio::time::timeout(millis(1), tokens.token_for(&scope("flying"))).await.is_err());
    source.delay(seconds(0));
    // Held back after a failure.
    source.respond(Outcome::Fails(Error::permanent("no such scope")));
    tokens.token_for(&scope("failing")).await.expect_err("it fails");
    source.respond(Outcome::Lives(hours(1)));
    // Held back after a rejection.
    let rejected = tokens.token_for(&scope("rejected")).await.expect("a token");
    sleep(seconds(2)).await;
    tokens.reject(&rejected);
    let rejected = tokens.token_for(&scope("rejected")).await.expect("a token");
    for key in 0..100 {
        token(&tokens, &scope(format!("s{key}"))).await;
    }
    let before = source.count();
    handle.token().await.expect("a token");
    assert_eq!(token(&tokens, &scope("handle")).await, "token-1", "the same for those who ask by name");
    tokens.token_for(&scope("failing")).await.expect_err("it is still held back");
    tokens.reject(&rejected);
    assert_eq!(token(&tokens, &scope("rejected")).await, rejected.expose_secret());
    tokens.token_for(&scope("flying")).await.expect("the token that was on its way");
    assert_eq!(source.count(), before);
    tokens.reject(&handle.token().await.expect("a token"));
    assert_ne!(handle.token().await.expect("a token").expose_secret(), "token-1", "whoever reports it");
    // When it is over, they make room like any other.
    drop(handle);
    sleep(minutes(10)).await;
    for key in 0..100 {
        token(&tokens, &scope(format!("s{key}"))).await;
    }
    let before = source.count();
    token(&tokens, &scope("handle")).await;
    assert_eq!(source.count(), before + 1);
}

#[test]
fn a_bound_of_zero_is_refused() {
    let source = AccessToken::new("abcde").expect("a token");
    let error = TokenCache::builder(source).any_origin().most_keys(0).build().expect_err("it is refused");
    assert!(error.to_string().starts_with("most_keys: zero"), "{error}");
}
