use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use huskarl::{
    authorizer::HttpAuthorizer,
    cache::{GrantTokenSource, InMemoryRefreshTokenStore, InMemoryTokenCache},
    core::{
        Error, RetryAdvice,
        client_auth::ClientSecret,
        http::{HttpClient, HttpResponse, Idempotency},
        platform::MaybeSendBoxFuture,
        secrets::{ProvidedSecret, SecretString},
    },
    grant::client_credentials::{ClientCredentialsGrant, ClientCredentialsGrantParameters},
};

use super::{BoxError, Tokens, attaching, wait};
use crate::{endpoint::Endpoint, rows::Row};

pub const ROW: Row = Row::new("huskarl", "none", "huskarl, its `HttpAuthorizer`", |token| {
    let endpoint = Endpoint::of_one_token(token);
    let authorizer = Arc::new(authorizer(&endpoint.url()));
    wait(authorizer.get_headers(&Method::GET, &"https://api.example.com/".parse().expect("a URI"))).expect("a token");
    Box::new(move || {
        let authorizer = Arc::clone(&authorizer);
        attaching(move |mut request| {
            let authorizer = Arc::clone(&authorizer);
            async move {
                let headers = authorizer.get_headers(request.method(), request.uri()).await?;
                request.headers_mut().extend(headers);
                // It wants to see each response.
                authorizer.process_response(request.uri(), &HeaderMap::new());
                Ok::<_, BoxError>(request)
            }
        })
    })
});

pub fn start(url: String) -> Tokens {
    let authorizer = Arc::new(authorizer(&url));
    Box::new(move || {
        let authorizer = Arc::clone(&authorizer);
        Box::pin(async move { Ok(authorizer.cache().token().await.map(drop)?) })
    })
}

fn authorizer(url: &str) -> HttpAuthorizer {
    let grant = ClientCredentialsGrant::builder()
        .token_endpoint(url.parse().expect("a URL"))
        .client_id("abcde")
        .http_client(Client(reqwest::Client::new()))
        .client_auth(ClientSecret::new(ProvidedSecret::new(SecretString::from("12345"))))
        .build();
    let source = GrantTokenSource::builder()
        .grant(grant)
        .grant_parameters(ClientCredentialsGrantParameters::new())
        .refresh_store(InMemoryRefreshTokenStore::default())
        .build();
    HttpAuthorizer::builder().cache(InMemoryTokenCache::builder().source(source).build()).build()
}

struct Client(reqwest::Client);

impl HttpClient for Client {
    fn execute(
        &self,
        request: http::Request<Bytes>,
        _: Idempotency,
    ) -> MaybeSendBoxFuture<'_, Result<HttpResponse, Error>> {
        let failed = |error| Error::new(RetryAdvice::No, error);
        Box::pin(async move {
            let response = self.0.execute(request.try_into().map_err(failed)?).await.map_err(failed)?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok(HttpResponse { status, headers, body: response.bytes().await.map_err(failed)? })
        })
    }
}
