//! A token endpoint on a real socket, on loopback.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::{runtime::Runtime, time::sleep};

use crate::servers::{self, Server};

/// What the endpoint does with its n-th token request, counted from 1.
#[derive(Clone)]
pub enum Answer {
    Token { token: String, seconds: u64 },
    Status(u16, &'static str),
    Hang,
}

/// It has a thread of its own, as it would have a machine of its own.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});

pub struct Endpoint {
    server: Server,
}

impl Endpoint {
    /// Each answer takes so long.
    pub fn start(exchange: Duration, answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let count = AtomicUsize::new(0);
        let answer = Arc::new(answer);
        let server = RUNTIME.block_on(Server::start(move |_request| {
            let answer = answer(count.fetch_add(1, Ordering::SeqCst) + 1);
            async move {
                sleep(exchange).await;
                match answer {
                    Answer::Token { token, seconds } => servers::json(&format!(
                        r#"{{"access_token":"{token}","expires_in":{seconds},"token_type":"Bearer"}}"#
                    )),
                    Answer::Status(status, body) => {
                        let mut response = Response::new(Bytes::from_static(body.as_bytes()));
                        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                        response
                    }
                    Answer::Hang => std::future::pending().await,
                }
            }
        }));
        Self { server }
    }

    /// Issues one token, of so many bytes, for a day.
    pub fn of_one_token(bytes: usize) -> Self {
        Self::start(Duration::ZERO, move |_| Answer::Token { token: "t".repeat(bytes), seconds: 24 * 3600 })
    }

    pub fn url(&self) -> String {
        format!("{}/token", self.server.origin())
    }

    /// How many token requests came in.
    pub fn count(&self) -> usize {
        self.server.count()
    }
}
