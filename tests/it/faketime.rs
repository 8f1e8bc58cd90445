//! A program whose clocks libfaketime moves.

use std::{
    env,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use client_credentials::{AccessToken, TokenCache, token_fn};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Runs itself again under faketime, where an hour passes in a second.
#[tokio::test]
#[ignore = "needs faketime (Debian: apt-get install faketime)"]
async fn a_token_expires_by_the_clocks_of_faketime() {
    if env::var_os("FAKETIME").is_none() {
        let this = env::current_exe().expect("the test program");
        let mut again = Command::new("faketime");
        again.args(["-f", "+0 x3600"]).arg(this);
        again.args(["--ignored", "--exact", "faketime::a_token_expires_by_the_clocks_of_faketime"]);
        assert!(again.status().expect("faketime runs").success());
        return;
    }
    let count = AtomicUsize::new(0);
    let source = token_fn(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move { Ok(AccessToken::new(format!("token-{number}"))?.with_expires_in(HOUR)) }
    });
    let tokens = TokenCache::builder(source).any_origin().wait_limit(24 * HOUR).build().expect("a cache");
    let first = tokens.token().await.expect("a token");
    thread::sleep(2 * HOUR);
    assert_ne!(tokens.token().await.expect("a token").expose_secret(), first.expose_secret());
}
