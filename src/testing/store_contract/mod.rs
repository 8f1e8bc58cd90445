//! Runs the contract of [`TokenStore`] against a store.

mod bench;
mod entries;
mod lives;
mod races;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::time::timeout;

use self::bench::Bench;
use crate::store::TokenStore;

/// One rule takes no longer.
const RULE_LIMIT: Duration = Duration::from_secs(60);

type Checked<T = ()> = Result<T, String>;
type Rule = fn(Bench) -> Pin<Box<dyn Future<Output = Checked> + Send>>;

const RULES: [(&str, Rule); 17] = [
    ("load returns what was put, in the order of the names", |bench| Box::pin(entries::round_trip(bench))),
    ("load returns nothing for what was never put", |bench| Box::pin(entries::absent(bench))),
    ("entries with different names are kept apart", |bench| Box::pin(entries::apart(bench))),
    ("put without an old value stores only where nothing is stored", |bench| Box::pin(entries::put_first(bench))),
    ("put replaces only what equals the old value", |bench| Box::pin(entries::put_next(bench))),
    ("remove removes only what equals the old value", |bench| Box::pin(entries::remove(bench))),
    ("an entry is arbitrary bytes", |bench| Box::pin(entries::arbitrary(bench))),
    ("an entry may have 256 KiB", |bench| Box::pin(entries::big(bench))),
    ("an entry is absent once its life has ended", |bench| Box::pin(lives::end(bench))),
    ("load returns what is left of a life", |bench| Box::pin(lives::left(bench))),
    ("a put replaces the life", |bench| Box::pin(lives::replaced(bench))),
    ("what is refused makes no life longer", |bench| Box::pin(lives::refused(bench))),
    ("a life may have 400 days", |bench| Box::pin(lives::long(bench))),
    ("one of simultaneous operations wins", |bench| Box::pin(races::one_wins(bench))),
    ("no put is lost", |bench| Box::pin(races::count(bench))),
    ("a put that arrives after its limit changes nothing", |bench| Box::pin(races::late(bench))),
    ("an operation that is dropped is done or not, and blocks no other", |bench| Box::pin(races::dropped(bench))),
];

/// Runs the contract of [`TokenStore`] against a store, for the tests of your own.
///
/// It uses names of its own, which cannot collide with those of tokens, and removes them at the end: the store may be
/// one in use. It takes about ten seconds. Let tokio's clock run, unless the store's lives end by it.
///
/// ```
/// use client_credentials::testing::{MemoryStore, check_token_store};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// check_token_store(MemoryStore::new()).await.expect("the contract");
/// # }
/// ```
///
/// # Errors
///
/// If the store breaks rules: all of them, and what it did.
pub async fn check_token_store(store: impl TokenStore) -> Result<(), BrokenContract> {
    let bench = Bench::new(Arc::new(store));
    let mut broken = Vec::new();
    for (rule, run) in RULES {
        // In a task of its own: a panic of the store breaks one rule.
        let outcome = match tokio::spawn(timeout(RULE_LIMIT, run(bench.clone()))).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(format!("not done after {RULE_LIMIT:?}")),
            Err(error) => Err(error.to_string()),
        };
        broken.extend(outcome.err().map(|what| format!("{rule}: {what}")));
    }
    let _ = timeout(RULE_LIMIT, bench.clean_up()).await;
    if broken.is_empty() { Ok(()) } else { Err(BrokenContract(broken)) }
}

/// The rules of [`TokenStore`] that a store broke, one a line, each with what the store did.
pub struct BrokenContract(Vec<String>);

impl fmt::Display for BrokenContract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl fmt::Debug for BrokenContract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl std::error::Error for BrokenContract {}
