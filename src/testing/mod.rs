//! Stand-ins for an authorization server and for an API that checks its tokens, for tests of applications.
//!
//! Both run on a loopback socket, for an application's real HTTP client, or in memory, for tokio's paused clock. (With
//! real sockets, a paused clock runs ahead of the network.)
//!
//! ```
//! use client_credentials::{BearerAuthLayer, ClientCredentials, Clock, TokenCache, TryClone};
//! use client_credentials::testing::{AuthorizationServer, MockResponse, ProtectedApi};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let auth = AuthorizationServer::in_memory();
//! let api = ProtectedApi::in_memory(&auth);
//! let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345")
//!     .http_client(auth.clone())
//!     .origin(api.origin())
//!     .build()?;
//! let tokens = TokenCache::builder(source).clock(Clock::tokio()).build()?;
//! let client = ServiceBuilder::new().layer(BearerAuthLayer::new(tokens).with_replay(TryClone)).service(api.clone());
//! let get = || http::Request::get(format!("{}/stats", api.origin())).body(String::new()).expect("a request");
//!
//! auth.respond_next(MockResponse::status(503)); // the token request is retried
//! assert_eq!(client.clone().oneshot(get()).await?.status(), 200);
//! auth.revoke_all(); // 401: the token is renewed, and the request sent again
//! assert_eq!(client.oneshot(get()).await?.status(), 200);
//! assert_eq!((auth.token_requests().len(), api.requests().len()), (3, 3));
//! # Ok(())
//! # }
//! ```

mod authorization_server;
#[cfg(feature = "store")]
mod memory_store;
mod mock_response;
mod protected_api;
mod server;
#[cfg(feature = "store")]
mod store_contract;

pub use self::{
    authorization_server::{AuthorizationServer, ReceivedTokenRequest},
    mock_response::MockResponse,
    protected_api::ProtectedApi,
};
#[cfg(feature = "store")]
pub use self::{
    memory_store::{MemoryStore, StoreOperation},
    store_contract::{BrokenContract, check_token_store},
};
