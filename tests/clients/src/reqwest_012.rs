use client_credentials::TokenCache;
use reqwest_012::{Client, Response, Url};

pub async fn get(client: &Client, tokens: &TokenCache, url: Url) -> Result<Response, Box<dyn std::error::Error>> {
    let mut header = tokens.header_for(url.as_str()).await?;
    loop {
        let response = client.get(url.clone()).header("authorization", header.value()).send().await?;
        // A redirect that the client followed says nothing about the token.
        let redirected = *response.url() != url;
        if redirected || !header.on_response(response.status(), response.headers().get_all("www-authenticate")) {
            return Ok(response);
        }
        header = match header.replaced().await {
            Some(header) => header,
            None => return Ok(response),
        };
    }
}
