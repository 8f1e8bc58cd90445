//! A token with the claims that an API demands.

use base64::{Engine, engine::general_purpose::STANDARD};
use client_credentials::TokenRequest;
use http::header::WWW_AUTHENTICATE;
use reqwest::Response;
use reqwest_middleware::ClientWithMiddleware;

/// The claims in a 401 such as `Bearer error="insufficient_claims", claims="eyJhY2…"` (Microsoft Entra ID).
fn demanded(response: &Response) -> Option<String> {
    let challenge = response.headers().get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let (claims, _) = challenge.split_once("claims=\"")?.1.split_once('"')?;
    String::from_utf8(STANDARD.decode(claims).ok()?).ok()
}

/// Sends the request again if the API demands claims, with a token that has them. The client has the middleware.
async fn get(client: &ClientWithMiddleware, url: &str) -> Result<Response, Box<dyn std::error::Error>> {
    let response = client.get(url).send().await?;
    let Some(claims) = demanded(&response) else { return Ok(response) };
    let with_claims = TokenRequest::builder().parameter("claims", claims).build()?;
    Ok(client.get(url).with_extension(with_claims).send().await?)
}

mod tests {
    use client_credentials::{BearerAuthMiddleware, ClientCredentials, TokenCache};
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{body_string_contains, header, method},
    };

    use super::*;

    const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#;

    #[tokio::test]
    async fn the_demanded_claims_are_in_the_next_token() {
        let (auth, api) = (MockServer::start().await, MockServer::start().await);
        let issues = |token: &str| {
            ResponseTemplate::new(200).set_body_string(format!(r#"{{"access_token":"{token}","expires_in":3600}}"#))
        };
        let form: String = form_urlencoded::byte_serialize(CLAIMS.as_bytes()).collect();
        let with_claims = Mock::given(method("POST")).and(body_string_contains(format!("claims={form}")));
        with_claims.respond_with(issues("with-claims")).expect(1).mount(&auth).await;
        Mock::given(method("POST")).respond_with(issues("without")).expect(1).mount(&auth).await;
        let challenge = format!(r#"Bearer error="insufficient_claims", claims="{}""#, STANDARD.encode(CLAIMS));
        let demanding = ResponseTemplate::new(401).insert_header("www-authenticate", challenge);
        Mock::given(header("authorization", "Bearer without")).respond_with(demanding).expect(2).mount(&api).await;
        let accepted = Mock::given(header("authorization", "Bearer with-claims"));
        accepted.respond_with(ResponseTemplate::new(200)).expect(2).mount(&api).await;

        let source = ClientCredentials::builder(auth.uri(), "abcde", "12345").origin(api.uri()).build();
        let middleware = BearerAuthMiddleware::new(TokenCache::from(source.expect("complete")));
        let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
        for _ in 0..2 {
            assert_eq!(get(&client, &api.uri()).await.expect("a response").status(), 200);
        }
    }
}
