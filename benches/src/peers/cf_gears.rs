use std::convert::Infallible;

use toolkit_auth::oauth2::{BearerAuthLayer, OAuthClientConfig, TokenProvider};
use toolkit_http::HttpError;
use toolkit_utils::SecretString;
use tower::{Layer, ServiceExt};

use super::{Tokens, stay, wait};
use crate::{
    endpoint::Endpoint,
    rows::Row,
    send::{Echo, request, through},
};

pub const ROW: Row = Row::new("cf-gears", "none", "cf-gears-toolkit-auth, its `BearerAuthLayer`", |token| {
    let endpoint = Endpoint::of_one_token(token);
    let layer = BearerAuthLayer::new(wait(async {
        let provider = provider(&endpoint.url());
        provider.get().await.expect("a token");
        provider
    }));
    Box::new(move || {
        stay();
        through(layer.layer(Echo.map_err(never)), vec![request()])
    })
});

pub fn start(url: String) -> Tokens {
    let provider = provider(&url);
    Box::new(move || {
        let provider = provider.clone();
        Box::pin(async move { Ok(provider.get().await.map(drop)?) })
    })
}

fn provider(url: &str) -> TokenProvider {
    let config = OAuthClientConfig {
        token_endpoint: Some(url.parse().expect("a URL")),
        client_id: "abcde".into(),
        client_secret: SecretString::new("12345"),
        ..OAuthClientConfig::default()
    };
    TokenProvider::new(config).expect("the settings are complete")
}

fn never(error: Infallible) -> HttpError {
    match error {}
}
