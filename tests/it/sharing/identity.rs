//! Which instances share a token.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use client_credentials::{
    AccessToken, ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, Error, Identifying, Secret,
    TokenCache, TokenIdentity, TokenRequest, TokenSource, async_trait, store::EncryptionKey, testing::MemoryStore,
};
use tracing::Level;

use crate::support::{log::Log, source::Source};

fn credentials(secret: impl Into<ClientAuthentication>) -> ClientCredentialsBuilder {
    ClientCredentials::builder("https://auth.example.com/token", "abcde", secret)
}

async fn identity(source: ClientCredentialsBuilder, request: &TokenRequest) -> TokenIdentity {
    let source = source.any_origin().build().expect("complete");
    source.identity(request).expect("it says").await.expect("readable")
}

#[tokio::test]
async fn everything_that_changes_the_token_counts_and_the_secret_does_not() {
    let usual = TokenRequest::default();
    let scopes = TokenRequest::builder().scope("a b").audience("api").build().expect("complete");
    let same = identity(credentials("12345").scope("a b"), &usual).await;
    assert_eq!(same, identity(credentials("another secret").scope("b a"), &usual).await);
    assert_eq!(
        same,
        identity(credentials("12345").scope("c"), &TokenRequest::builder().scope("b a").build().expect("complete"))
            .await
    );
    let basic = ClientAuthentication::client_secret_basic("12345");
    let id = Secret::from_fn(|| async { Ok("vwxyz") });
    let others = [
        (credentials("12345"), &usual),
        (credentials("12345").scope("a b"), &scopes),
        (credentials("12345").scope("a b").resource("https://api.example.com"), &usual),
        (credentials("12345").scope("a b").audience("https://api.example.com"), &usual),
        (credentials("12345").scope("a b").parameter("tenant", "7"), &usual),
        (credentials("12345").scope("a b").header("x-merchant-id", "7"), &usual),
        (credentials("12345").scope("a b").grant_type("account_credentials"), &usual),
        (credentials("12345").scope("a b").comma_separated_scopes(), &usual),
        (credentials(basic).scope("a b"), &usual),
        (ClientCredentials::builder("https://auth.example.com/token", id, "12345").scope("a b"), &usual),
        (ClientCredentials::builder("https://auth.example.com/token?tenant=7", "abcde", "12345").scope("a b"), &usual),
        (ClientCredentials::discover("https://auth.example.com/token/", "abcde", "12345").scope("a b"), &usual),
    ];
    let mut seen = vec![same];
    for (source, request) in others {
        let other = identity(source, request).await;
        assert!(!seen.contains(&other), "number {}", seen.len());
        seen.push(other);
    }
}

#[tokio::test]
async fn a_clients_id_counts_as_it_reads_now() {
    let read = Arc::new(AtomicUsize::new(0));
    let id = Secret::from_fn({
        let read = Arc::clone(&read);
        move || {
            let number = read.load(Ordering::SeqCst);
            async move { if number < 2 { Ok(format!("client-{number}")) } else { Err(Error::transient("no vault")) } }
        }
    });
    let source = ClientCredentials::builder("https://auth.example.com/token", id, "12345").any_origin();
    let source = source.build().expect("complete");
    let request = TokenRequest::default();
    let mut identities = Vec::new();
    for number in 0..3 {
        read.store(number, Ordering::SeqCst);
        identities.push(source.identity(&request).expect("it says").await);
    }
    assert_ne!(identities[0].as_ref().expect("readable"), identities[1].as_ref().expect("readable"));
    identities[2].as_ref().expect_err("unreadable");
}

#[tokio::test]
async fn a_source_that_says_nothing_needs_a_namespace() {
    let source = || TokenCache::builder(Source::new()).any_origin();
    let error = source().shared_in_the_clear(MemoryStore::new()).build().expect_err("a namespace is missing");
    assert_eq!(
        error.to_string(),
        "namespace: missing; the token source does not say what identifies its tokens, so give them a name that \
         nobody else uses in this store, such as `.namespace(\"my-service\")`"
    );
    source().shared_in_the_clear(MemoryStore::new()).namespace("mine").build().expect("complete");
    source().namespace("mine").build().expect_err("nothing is shared");
    source().shared_in_the_clear(MemoryStore::new()).namespace("").build().expect_err("empty");
    let key = EncryptionKey::from_bytes(&std::array::from_fn::<u8, 32, _>(|at| at as u8)).expect("a key");
    let client = Arc::new(credentials("12345").any_origin().build().expect("complete"));
    TokenCache::builder(client).any_origin().shared(MemoryStore::new(), key).build().expect("forwarded by an `Arc`");
}

#[tokio::test(start_paused = true)]
async fn only_the_same_namespace_and_the_same_request_share() {
    let (source, store) = (Source::new(), MemoryStore::new());
    let cache = |namespace: &str| {
        source.builder().shared_in_the_clear(store.clone()).namespace(namespace).build().expect("complete")
    };
    let scope = |scope: &str| TokenRequest::builder().scope(scope).build().expect("a scope");
    let mut tokens = Vec::new();
    for (namespace, request) in
        [("a", scope("x y")), ("a", scope("y x")), ("b", scope("x y")), ("a", scope("x")), ("b", scope("x y"))]
    {
        let token = cache(namespace).token_for(&request).await.expect("a token");
        tokens.push(token.expose_secret().to_owned());
    }
    assert_eq!(tokens, ["token-1", "token-1", "token-2", "token-3", "token-2"]);
}

/// A source that cannot say which token this is.
struct Unsure;

#[async_trait]
impl TokenSource for Unsure {
    async fn token(&self, _: &TokenRequest) -> Result<AccessToken, Error> {
        AccessToken::new("abcde12345")
    }

    fn identity<'a>(&'a self, _: &'a TokenRequest) -> Option<Identifying<'a>> {
        Some(Box::pin(async { Err(Error::transient("no idea")) }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_identified_is_obtained_without_the_store() {
    let (log, _guard) = Log::start();
    let store = MemoryStore::new();
    let tokens = TokenCache::builder(Unsure).any_origin().shared_in_the_clear(store.clone()).build().expect("complete");
    tokens.token().await.expect("a token");
    assert!(store.operations().is_empty());
    let told = log.take(Level::WARN);
    assert!(told[0].starts_with("the token store is not used: the token source cannot say which token this is"));
    assert!(told[0].contains("no idea"), "{told:?}");
}

#[test]
fn an_identity_shows_no_input() {
    let identity = TokenIdentity::new().with("s3cr3t-header");
    assert_eq!(format!("{identity:?}"), "TokenIdentity { inputs: 1, .. }");
}
