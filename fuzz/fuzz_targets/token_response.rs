//! The response of a hostile token endpoint: a line each for status, content type and `Retry-After`, and then the body.
#![no_main]

use std::{cell::OnceCell, error::Error as _, sync::Arc};

use client_credentials::{ClientCredentials, Error, HttpClient, SecretBody, TokenRequest, TokenSource, async_trait};
use http::{HeaderValue, Request, Response, StatusCode};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

const SECRET: &str = "s3cr3t";

struct Endpoint(Vec<u8>);

#[async_trait]
impl HttpClient for Endpoint {
    async fn send(&self, _: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        let mut lines = self.0.splitn(4, |byte| *byte == b'\n');
        let mut line = || lines.next().unwrap_or_default();
        let status = std::str::from_utf8(line()).ok().and_then(|status| status.parse().ok());
        let (content_type, retry_after, body) = (line(), line(), line());
        let mut response = Response::new(SecretBody::from(body.to_vec()));
        *response.status_mut() = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or_default();
        for (name, value) in [("content-type", content_type), ("retry-after", retry_after)] {
            if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_bytes(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

fuzz_target!(|input: &[u8]| {
    let source = ClientCredentials::builder("https://auth.example.com/token", "abcde", SECRET)
        .any_origin()
        .http_client(Arc::new(Endpoint(input.to_vec())))
        .build()
        .expect("a source");
    let outcome = RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
        runtime.block_on(source.token(&TokenRequest::default()))
    });
    match outcome {
        Ok(token) => {
            let secret = token.expose_secret();
            assert!(secret.bytes().all(|byte| byte.is_ascii_graphic()) && !secret.is_empty());
            assert!(token.authorization().is_sensitive());
            let shown = format!("{token:?}");
            // Not what the server put elsewhere, too.
            let elsewhere = token.scope().is_some_and(|scope| scope.contains(secret));
            assert!(secret.len() < 16 || elsewhere || !shown.contains(secret), "{shown}");
        }
        Err(error) => {
            let mut shown = format!("{error}\n{error:?}");
            let mut cause = error.source();
            while let Some(error) = cause {
                shown.push_str(&error.to_string());
                cause = error.source();
            }
            assert!(!shown.contains(SECRET), "{shown}");
            let bad = |character: char| character.is_control() && character != '\n';
            assert!(!error.to_string().contains(bad), "{shown}");
            assert!(error.to_string().chars().count() < 1000, "{shown}");
        }
    }
});
