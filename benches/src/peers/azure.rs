use std::sync::Arc;

use async_trait::async_trait;
use azure_core::{
    Bytes, Error, Result,
    credentials::TokenCredential,
    error::ErrorKind,
    http::{
        AsyncRawResponse, ClientOptions, Context, HttpClient, Method, Request, StatusCode, Transport,
        headers::{AUTHORIZATION, Headers},
        policies::{Policy, PolicyResult, auth::BearerTokenAuthorizationPolicy},
    },
};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};

use super::{Tokens, stay, wait};
use crate::{
    endpoint::Endpoint,
    rows::Row,
    send::{Sender, now},
};

const SCOPE: &str = "https://api.example.com/.default";

pub const BASE: Row = Row::new("azure-none", "azure-none", "azure_core's last policy alone", |_| {
    Box::new(|| sender(vec![Arc::new(Echo)]))
});

pub const ROW: Row = Row::new("azure", "azure-none", "azure_core's bearer policy over azure_identity", |token| {
    let endpoint = Endpoint::of_one_token(token);
    let policy = BearerTokenAuthorizationPolicy::new(credential(endpoint.url()), [SCOPE]);
    let policies: Vec<Arc<dyn Policy>> = vec![Arc::new(policy), Arc::new(Echo)];
    wait(policies[0].send(&Context::new(), &mut request(), &policies[1..])).expect("a response");
    Box::new(move || sender(policies.clone()))
});

pub fn start(url: String) -> Tokens {
    let credential = credential(url);
    Box::new(move || {
        let credential = Arc::clone(&credential);
        Box::pin(async move { Ok(credential.get_token(&[SCOPE], None).await.map(drop)?) })
    })
}

fn sender(policies: Vec<Arc<dyn Policy>>) -> Sender {
    stay();
    let (context, mut request) = (Context::new(), request());
    Box::new(move || {
        request.headers_mut().remove(AUTHORIZATION);
        now(policies[0].send(&context, &mut request, &policies[1..])).expect("a response");
    })
}

fn request() -> Request {
    Request::new("https://api.example.com/v1/things?page=2".parse().expect("a URL"), Method::Post)
}

fn credential(url: String) -> Arc<ClientSecretCredential> {
    let transport = Transport::new(Arc::new(Loopback { client: reqwest::Client::new(), url }));
    let client_options = ClientOptions { transport: Some(transport), ..ClientOptions::default() };
    let options = ClientSecretCredentialOptions { client_options };
    ClientSecretCredential::new("tenant", "abcde".into(), "12345".into(), Some(options))
        .expect("the settings are complete")
}

/// Sends every token request to this URL: an authority must be https.
#[derive(Debug)]
struct Loopback {
    client: reqwest::Client,
    url: String,
}

#[async_trait]
impl HttpClient for Loopback {
    async fn execute_request(&self, _request: &Request) -> Result<AsyncRawResponse> {
        let failed = |error| Error::with_error(ErrorKind::Io, error, "the token request failed");
        let response = self.client.post(&self.url).send().await.map_err(failed)?;
        let status = StatusCode::from(response.status().as_u16());
        let body = response.bytes().await.map_err(failed)?;
        Ok(AsyncRawResponse::from_bytes(status, Headers::new(), body))
    }
}

#[derive(Debug)]
struct Echo;

#[async_trait]
impl Policy for Echo {
    async fn send(&self, _: &Context, _: &mut Request, _: &[Arc<dyn Policy>]) -> PolicyResult {
        Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::new(), Bytes::new()))
    }
}
