//! Several caches over one store, as the instances of an application have them, each with a line of its own to one
//! authorization server in memory.
#![allow(dead_code, unreachable_pub)]

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use client_credentials::{
    ClientCredentials, Clock, Error, HttpClient, SecretBody, TokenCache, TokenCacheBuilder, async_trait,
    store::TokenStore,
    testing::{AuthorizationServer, MemoryStore},
};
use http::{Request, Response};
use tokio::time::{Instant, sleep};

pub const SECRET: &str = "s3cr3t-of-the-client";

pub struct Fleet {
    pub auth: AuthorizationServer,
    pub store: MemoryStore,
    pub instances: Vec<Instance>,
    made: Instant,
    /// When the token requests reached the server.
    asked: Arc<Mutex<Vec<Duration>>>,
    /// Whether a new token ends the one before it.
    ends_the_old_one: Arc<AtomicBool>,
}

pub struct Instance {
    pub tokens: TokenCache,
    pub clock: Clock,
    line: Arc<AtomicBool>,
}

impl Fleet {
    /// With tokens that live for an hour.
    pub fn of(count: usize) -> Self {
        let auth = AuthorizationServer::in_memory();
        auth.set_client("abcde", SECRET);
        let (store, made) = (MemoryStore::new(), Instant::now());
        let mut fleet =
            Self { auth, store, instances: Vec::new(), made, asked: Arc::default(), ends_the_old_one: Arc::default() };
        fleet.instances = (0..count).map(|_| fleet.instance()).collect();
        fleet
    }

    pub fn instance(&self) -> Instance {
        self.instance_with(SECRET, |builder| builder.shared_in_the_clear(self.store.clone()))
    }

    /// One more, which shares its tokens as `shared` says.
    pub fn instance_with(&self, secret: &str, shared: impl FnOnce(TokenCacheBuilder) -> TokenCacheBuilder) -> Instance {
        let (is_cut, clock) = (Arc::new(AtomicBool::new(false)), Clock::tokio());
        let line = Line {
            auth: self.auth.clone(),
            is_cut: Arc::clone(&is_cut),
            made: self.made,
            asked: Arc::clone(&self.asked),
            ends_the_old_one: Arc::clone(&self.ends_the_old_one),
        };
        let source = ClientCredentials::builder("https://auth.example.com/token", "abcde", secret.to_owned())
            .http_client(line)
            .any_origin()
            .build()
            .expect("complete");
        let builder = shared(TokenCache::builder(source).clock(clock.clone()));
        Instance { tokens: builder.build().expect("complete"), clock, line: is_cut }
    }

    /// Over another store.
    pub fn instance_over(&self, store: impl TokenStore) -> Instance {
        self.instance_with(SECRET, |builder| builder.shared_in_the_clear(store))
    }

    /// As Zoom does, from now on.
    pub fn each_token_ends_the_one_before_it(&self) {
        self.ends_the_old_one.store(true, Ordering::SeqCst);
    }

    /// Token requests that reached the server.
    pub fn count(&self) -> usize {
        self.asked().len()
    }

    /// When they did, since the fleet was made.
    pub fn asked(&self) -> Vec<Duration> {
        self.asked.lock().expect("no panic").clone()
    }

    pub fn now(&self) -> Duration {
        self.made.elapsed()
    }

    /// The tokens of all instances.
    pub async fn tokens(&self) -> Vec<String> {
        let mut tokens = Vec::new();
        for instance in &self.instances {
            tokens.push(instance.token().await);
        }
        tokens
    }

    /// Each instance sends a request every second. Returns how many had no token.
    pub async fn live(&self, time: Duration) -> usize {
        let (end, mut without) = (Instant::now() + time, 0);
        while Instant::now() < end {
            for instance in &self.instances {
                without += usize::from(instance.tokens.token().await.is_err());
            }
            sleep(Duration::from_secs(1)).await;
        }
        without
    }
}

impl Instance {
    pub async fn token(&self) -> String {
        self.tokens.token().await.expect("a token").expose_secret().to_owned()
    }

    /// Its network fails from now on, or works again.
    pub fn cut(&self, is_cut: bool) {
        self.line.store(is_cut, Ordering::SeqCst);
    }
}

/// The network between an instance and the authorization server.
struct Line {
    auth: AuthorizationServer,
    is_cut: Arc<AtomicBool>,
    made: Instant,
    asked: Arc<Mutex<Vec<Duration>>>,
    ends_the_old_one: Arc<AtomicBool>,
}

#[async_trait]
impl HttpClient for Line {
    async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(Error::transient(io::Error::from(io::ErrorKind::ConnectionRefused)));
        }
        self.asked.lock().expect("no panic").push(self.made.elapsed());
        if self.ends_the_old_one.load(Ordering::SeqCst) {
            self.auth.revoke_all();
        }
        self.auth.send(request).await
    }
}

/// All at once.
pub async fn together<T>(calls: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (call, done) in calls.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(output) = call.as_mut().poll(cx) {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
