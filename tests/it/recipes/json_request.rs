//! A token request in JSON.

use client_credentials::{Error, HttpClient, SecretBody, async_trait};
use http::{HeaderValue, Method, Request, Response, header::CONTENT_TYPE};
use serde_json::{Map, Value};

/// Sends as JSON what would be a form.
struct JsonRequests<C>(C);

#[async_trait]
impl<C: HttpClient> HttpClient for JsonRequests<C> {
    async fn send(&self, mut request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        if request.method() == Method::POST {
            let form = form_urlencoded::parse(request.body().as_ref());
            let members: Map<_, _> = form.map(|(name, value)| (name.into_owned(), Value::from(value))).collect();
            *request.body_mut() = SecretBody::from(Value::Object(members).to_string());
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.0.send(request).await
    }
}

mod tests {
    use client_credentials::ClientCredentials;
    use serde_json::json;
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{body_json, header},
    };

    use super::*;
    use crate::support::endpoint::TOKEN;
    use crate::support::endpoint::obtain;

    #[tokio::test]
    async fn what_would_be_a_form_is_sent_as_json() {
        let server = MockServer::start().await;
        let members = json!({
            "grant_type": "client_credentials", "client_id": "abcde", "client_secret": "1&2=3", "audience": "api",
        });
        Mock::given(header("content-type", "application/json"))
            .and(body_json(members))
            .respond_with(ResponseTemplate::new(200).set_body_string(TOKEN))
            .expect(1)
            .mount(&server)
            .await;
        let source = ClientCredentials::builder(server.uri(), "abcde", "1&2=3").audience("api").any_origin();
        obtain(source.http_client(JsonRequests(reqwest::Client::new()))).await.expect("a token");
    }
}
