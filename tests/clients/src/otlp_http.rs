use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError};
use reqwest_middleware::ClientWithMiddleware;
use tokio::runtime::Handle;

/// For `with_http_client` of opentelemetry-otlp's exporters.
#[derive(Debug)]
pub struct OtlpClient {
    /// With `BearerAuthMiddleware` among its middlewares.
    pub client: ClientWithMiddleware,
    pub runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let client = self.client.clone();
        // Exporters send from a thread that is in no runtime.
        let sent = self.runtime.spawn(async move {
            let response = client.execute(request.try_into()?).await?;
            let builder = http::Response::builder().status(response.status());
            Ok(builder.body(response.bytes().await?)?)
        });
        sent.await?
    }
}
