//! An HTTP cache belongs inside: there it sees whose response it keeps.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use client_credentials::{
    BearerAuthMiddleware, ClientCredentials, TokenCache, TokenRequest, async_trait,
    testing::{AuthorizationServer, ProtectedApi},
};
use http::{Extensions, header::AUTHORIZATION};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};

/// Keeps the body of each URL, but where the request has an `Authorization` header (RFC 9111 section 3.5).
#[derive(Clone, Default)]
struct HttpCache(Arc<Mutex<HashMap<String, String>>>);

#[async_trait]
impl Middleware for HttpCache {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<reqwest::Response> {
        if request.headers().contains_key(AUTHORIZATION) {
            return next.run(request, extensions).await;
        }
        let url = request.url().to_string();
        let kept = self.0.lock().expect("no panic").get(&url).cloned();
        let body = match kept {
            Some(body) => body,
            None => next.run(request, extensions).await?.text().await?,
        };
        self.0.lock().expect("no panic").insert(url, body.clone());
        Ok(http::Response::new(body).into())
    }
}

#[tokio::test]
async fn one_tenants_response_is_served_to_no_other_where_the_cache_is_inside() {
    let auth = AuthorizationServer::start().await;
    let api = ProtectedApi::start(&auth).await;
    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").origin(api.origin());
    let ours = || BearerAuthMiddleware::new(TokenCache::from(source.clone().build().expect("a source")));
    let new = || ClientBuilder::new(reqwest::Client::new());
    let inside = new().with(ours()).with(HttpCache::default()).build();
    let outside = new().with(HttpCache::default()).with(ours()).build();
    let ask = async |client: &ClientWithMiddleware, tenant: &'static str| {
        let token = TokenRequest::builder().scope(tenant).build().expect("a token request");
        // The API returns the body of the request.
        let request = client.get(api.origin()).body(tenant).with_extension(token);
        request.send().await.expect("a response").text().await.expect("a body")
    };
    assert_eq!((ask(&inside, "one").await, ask(&inside, "two").await), ("one".into(), "two".into()));
    // As the page "In production" warns.
    assert_eq!((ask(&outside, "one").await, ask(&outside, "two").await), ("one".into(), "one".into()));
}
