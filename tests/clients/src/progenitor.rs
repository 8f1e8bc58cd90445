use client_credentials::TokenCache;
use progenitor_client::{ClientHooks, ClientInfo, Error, OperationInfo};
use reqwest::{Request, Response};

use crate::generated::Client; // with `with_inner_type` of a `TokenCache`

impl ClientHooks<TokenCache> for Client {
    /// Waits for a token, and says why there is none.
    async fn pre<E>(&self, request: &mut Request, _: &OperationInfo) -> Result<(), Error<E>> {
        let header = self.inner().header_for(request.url().as_str()).await;
        header.map(drop).map_err(|error| Error::Custom(error.to_string()))
    }

    async fn exec(&self, mut request: Request, _: &OperationInfo) -> reqwest::Result<Response> {
        let Ok(mut header) = self.inner().header_for(request.url().as_str()).await else {
            return self.client().execute(request).await;
        };
        loop {
            request.headers_mut().insert("authorization", header.value().clone());
            let (url, copy) = (request.url().clone(), request.try_clone());
            let response = self.client().execute(request).await?;
            // A redirect that the client followed says nothing about the token.
            let redirected = *response.url() != url;
            if redirected || !header.on_response(response.status(), response.headers().get_all("www-authenticate")) {
                return Ok(response);
            }
            let Some(copy) = copy else { return Ok(response) };
            header = match header.replaced().await {
                Some(header) => header,
                None => return Ok(response),
            };
            request = copy;
        }
    }
}
