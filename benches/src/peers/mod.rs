//! Other crates that attach tokens, each as its own documentation says, and with a token that it has cached.
//!
//! Those that only hand out a header are put into the smallest tower service that attaches it. gcp_auth,
//! a2a-protocol-client and tower-mcp speak to their own servers only, or have no piece that could be called alone.

mod aliri;
mod aws;
mod azure;
mod cf_gears;
mod google;
mod huskarl;
mod middle;

use std::{error::Error, fmt::Debug, pin::Pin, sync::LazyLock};

use serde::Deserialize;
use tokio::runtime::Runtime;
use tower::{Service, service_fn};

use crate::{
    rows::Row,
    send::{Echo, Request, Sender, request, through},
};

pub const ROWS: &[&Row] = &[
    &middle::ROW,
    &aliri::ROW,
    &azure::BASE,
    &azure::ROW,
    &google::ROW,
    &huskarl::ROW,
    &cf_gears::ROW,
    &aws::BASE,
    &aws::ROW,
    &aliri::CLIENT,
    &aliri::MIDDLEWARE,
];

/// Those whose callers can meet a cold cache. aliri_tokens and middle fetch their first token when they are built.
pub const COLD: &[Cold] = &[
    Cold { name: "google-cloud-auth", start: google::start },
    Cold { name: "azure_identity", start: azure::start },
    Cold { name: "cf-gears-toolkit-auth", start: cf_gears::start },
    Cold { name: "aws-smithy-runtime", start: aws::start },
    Cold { name: "huskarl", start: huskarl::start },
];

/// How to start one without a token, for a token endpoint; within a runtime.
pub struct Cold {
    pub name: &'static str,
    pub start: fn(String) -> Tokens,
}

/// Waits for a token.
pub type Tokens = Box<dyn Fn() -> Waiting>;
pub type Waiting = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Where the peers' own tasks run.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});

/// What the future comes to, on the peers' runtime.
fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// Sends what `attach` makes of the request. The thread stays within the runtime, as a client's would.
fn attaching<F, Fut, E>(mut attach: F) -> Sender
where
    F: FnMut(Request) -> Fut + 'static,
    Fut: Future<Output = Result<Request, E>> + 'static,
    E: Debug + 'static,
{
    stay();
    let service = service_fn(move |request| {
        let attached = attach(request);
        async move {
            let request = attached.await?;
            let Ok(response) = Echo.call(request).await;
            Ok::<_, E>(response)
        }
    });
    through(service, vec![request()])
}

fn stay() {
    std::mem::forget(RUNTIME.enter());
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    expires_in: u64,
}

/// For those that bring no client: a token request with reqwest.
async fn fetch(client: &reqwest::Client, url: &str) -> Result<Issued, BoxError> {
    let form = "grant_type=client_credentials&client_id=abcde&client_secret=12345";
    let response = client.post(url).body(form).send().await?.error_for_status()?.bytes().await?;
    Ok(serde_json::from_slice(&response)?)
}
