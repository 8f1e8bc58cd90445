use client_credentials::TokenCache;
use tokio::runtime::{Builder, Runtime};
use ureq::{Agent, Body, http::Response};

pub struct Client {
    agent: Agent,
    tokens: TokenCache,
    /// Fetches and renews tokens: with a thread of its own, so that it works between the calls, too.
    runtime: Runtime,
}

impl Client {
    pub fn new(tokens: TokenCache) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        // A 401 is a response to read, and a redirect is not followed.
        let agent = Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        Ok(Self { agent, tokens, runtime })
    }

    pub fn get(&self, url: &str) -> Result<Response<Body>, Box<dyn std::error::Error>> {
        let mut header = self.runtime.block_on(self.tokens.header_for(url))?;
        loop {
            let response = self.agent.get(url).header("authorization", header.value()).call()?;
            if !header.on_response(response.status(), response.headers().get_all("www-authenticate")) {
                return Ok(response);
            }
            header = match self.runtime.block_on(header.replaced()) {
                Some(header) => header,
                None => return Ok(response),
            };
        }
    }
}
