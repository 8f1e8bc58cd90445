//! The crate's own stand-in for an authorization server, and APIs of the tests that check its tokens.
#![allow(dead_code, unreachable_pub)]

use std::time::Duration;

use bytes::Bytes;
use client_credentials::testing::{self, ReceivedTokenRequest};
use http::{Request, Response, StatusCode, header};

use super::servers::{Server, answer, challenge};

/// On loopback.
#[derive(Clone)]
pub struct AuthorizationServer(testing::AuthorizationServer);

/// Which tokens are good, for the APIs that check them.
#[derive(Clone)]
pub struct Issued(testing::AuthorizationServer);

impl AuthorizationServer {
    /// Issues `token-1`, `token-2` … with this lifetime.
    pub async fn start(lifetime: Duration) -> Self {
        Self(testing::AuthorizationServer::builder().lifetime(lifetime).start().await)
    }

    pub fn token_url(&self) -> String {
        self.0.token_url()
    }

    /// Token requests so far.
    pub fn token_requests(&self) -> usize {
        self.received().len()
    }

    pub fn received(&self) -> Vec<ReceivedTokenRequest> {
        self.0.token_requests()
    }

    /// Makes every token worthless that was issued so far.
    pub fn revoke_all(&self) {
        self.0.revoke_all();
    }

    pub fn issued(&self) -> Issued {
        Issued(self.0.clone())
    }

    /// An API that answers 200 to a good token and 401 with a challenge (RFC 6750) to anything else; over HTTP/1 and
    /// HTTP/2.
    pub async fn protected_api(&self) -> Server {
        let issued = self.issued();
        Server::start(move |request| {
            let answer = issued.check(&request);
            async move { answer }
        })
        .await
    }
}

impl Issued {
    pub fn check(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match header {
            Some(authorization) if self.is_good(authorization) => answer(StatusCode::OK, request.body().clone()),
            Some(_) => challenge("Bearer realm=\"api\", error=\"invalid_token\""),
            None => challenge("Bearer realm=\"api\""),
        }
    }

    /// Whether the value of an `Authorization` header has a token that is good now.
    pub fn is_good(&self, authorization: &str) -> bool {
        authorization.strip_prefix("Bearer ").is_some_and(|token| self.0.accepts(token))
    }
}
