//! What `docs/other-clients.md` shows for token requests by reqwest 0.12 works with it.

use std::error::Error as _;

use client_credentials::testing::{Answer, AuthorizationServer};
use client_credentials::{Body, Error, HttpClient, async_trait};
use client_credentials::{ClientCredentials, TokenCache};
use http_body_util::LengthLimitError;
use http_body_util::{BodyExt, Limited};
use reqwest_0_12 as reqwest;

struct Reqwest012(reqwest::Client);

#[async_trait]
impl HttpClient for Reqwest012 {
    async fn send(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Error> {
        let failed = |error: reqwest::Error| Error::transient(error.without_url());
        let request = request.map(Body::into_bytes).try_into().map_err(failed)?;
        let response: http::Response<_> = self.0.execute(request).await.map_err(failed)?.into();
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, 1024 * 1024).collect().await.map_err(Error::transient)?;
        Ok(http::Response::from_parts(parts, body.to_bytes().into()))
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

fn tokens(auth: &AuthorizationServer) -> TokenCache {
    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345")
        .http_client(Reqwest012(client()))
        .any_origin()
        .build();
    source.expect("the settings are complete").into()
}

#[tokio::test]
async fn tokens_are_fetched_by_it() {
    let auth = AuthorizationServer::start().await;
    let tokens = tokens(&auth);
    assert_eq!(tokens.token().await.expect("a token").expose_secret(), "token-1");
    assert_eq!(auth.token_requests().len(), 1);
}

#[tokio::test]
async fn a_response_that_is_too_large_is_an_error() {
    let auth = AuthorizationServer::start().await;
    auth.answer_always(Answer::status(200).with_body(vec![b' '; 1024 * 1024 + 1]));
    let error = tokens(&auth).token().await.expect_err("too large");
    let cause = error.source().expect("what Limited says");
    assert!(cause.is::<LengthLimitError>(), "{cause}");
}

#[test]
fn this_is_the_code_of_the_page() {
    let page = include_str!("../../docs/other-clients.md");
    let mut blocks = page.split("```rust,ignore\n").filter(|block| block.contains("impl HttpClient for Reqwest012"));
    let (block, _) = blocks.next().and_then(|block| block.split_once("\n```")).expect("the program");
    let this: Vec<_> = include_str!("reqwest_0_12.rs").lines().map(str::trim).collect();
    let code = block.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    let missing: Vec<_> = code.filter(|line| !this.contains(line)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
