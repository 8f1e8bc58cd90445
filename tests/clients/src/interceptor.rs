use client_credentials::TokenCache;
use tonic::{Request, Status, service::Interceptor};

#[derive(Clone)]
pub struct WithToken {
    pub tokens: TokenCache,
    /// Where the channel goes, such as `https://collector.example.com:4317`: an interceptor does not see it.
    pub origin: String,
}

impl Interceptor for WithToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        // The feature `tonic` makes a status of the error.
        let Some(header) = self.tokens.try_header_for(self.origin.as_str())? else {
            return Err(Status::unavailable("the first access token is on its way"));
        };
        request.metadata_mut().as_mut().insert("authorization", header.value().clone());
        Ok(request)
    }
}
