//! `token`: tokens that are kept from call to call, on Unix.
#![cfg(unix)]

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use wiremock::{MockServer, ResponseTemplate};

use crate::support::{Cli, cli, client, folder, issued, server, token_requests};

/// Issues `token-1`, `token-2` …, which live that long.
async fn numbered(expires_in: u64, delay: Duration) -> MockServer {
    let count = AtomicUsize::new(0);
    server(move |_| {
        let token = format!("token-{}", count.fetch_add(1, Ordering::SeqCst) + 1);
        issued(&json!({"access_token": token, "expires_in": expires_in})).set_delay(delay)
    })
    .await
}

/// Calls with the same settings and the same cache folder.
struct Caller {
    arguments: Vec<String>,
    cache: PathBuf,
}

impl Caller {
    fn of(server: &MockServer) -> Self {
        Self { arguments: client(server), cache: folder("kept") }
    }

    fn token(&self, flags: &[&str]) -> Cli {
        let arguments = self.arguments.iter().map(String::as_str).chain(flags.iter().copied());
        cli(&["token"]).args(arguments).cache(&self.cache)
    }

    fn gets(&self, flags: &[&str]) -> String {
        self.token(flags).succeeds().stdout.trim_end().to_owned()
    }
}

#[tokio::test]
async fn calls_share_one_token_request() {
    let server = numbered(3600, Duration::ZERO).await;
    let caller = Caller::of(&server);
    for flags in [&[][..], &[], &["--valid-for", "20m"]] {
        assert_eq!(caller.gets(flags), "token-1");
    }
    assert_eq!(token_requests(&server).await.len(), 1);
    // Another scope is another token.
    assert_eq!(caller.gets(&["--scope", "orders"]), "token-2");
    assert_eq!(caller.gets(&[]), "token-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_at_once_share_it_too() {
    let server = numbered(3600, Duration::from_millis(300)).await;
    let caller = Caller::of(&server);
    let calls: Vec<_> = (0..8).map(|_| caller.token(&[]).start()).collect();
    for call in calls {
        let output = call.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "token-1\n", "{output:?}");
    }
    assert_eq!(token_requests(&server).await.len(), 1);
}

/// From a quarter of its lifetime before its end.
#[tokio::test]
async fn a_token_that_is_due_is_renewed_first() {
    let server = numbered(8, Duration::ZERO).await;
    let caller = Caller::of(&server);
    assert_eq!(caller.gets(&[]), "token-1");
    std::thread::sleep(Duration::from_millis(6100));
    assert_eq!(caller.gets(&[]), "token-2");
    assert_eq!(token_requests(&server).await.len(), 2);
}

#[tokio::test]
async fn what_is_left_of_a_stored_token_is_shown_and_one_that_does_not_last_is_replaced_for_all() {
    let server = numbered(60, Duration::ZERO).await;
    let caller = Caller::of(&server);
    assert_eq!(caller.gets(&[]), "token-1");
    std::thread::sleep(Duration::from_millis(4100));
    let members: Value = serde_json::from_str(&caller.gets(&["--json"])).expect("JSON");
    assert!(members["expires_in"].as_u64().expect("a number") <= 56, "{members}");
    assert_eq!(token_requests(&server).await.len(), 1);
    assert_eq!(caller.gets(&["--valid-for", "56s"]), "token-2");
    assert_eq!(caller.gets(&[]), "token-2");
}

#[tokio::test]
async fn fresh_is_one_new_token_for_all() {
    let server = numbered(3600, Duration::ZERO).await;
    let caller = Caller::of(&server);
    // Nothing is stored, so that the first one is fresh.
    assert_eq!(caller.gets(&["--fresh"]), "token-1");
    assert_eq!(caller.gets(&["--fresh"]), "token-2");
    assert_eq!(caller.gets(&[]), "token-2");
    assert_eq!(token_requests(&server).await.len(), 2);
}

/// The old one is not printed in place of a new one.
#[tokio::test]
async fn fresh_fails_if_there_is_no_new_token() {
    let count = AtomicUsize::new(0);
    let server = server(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => issued(&json!({})),
        _ => ResponseTemplate::new(503).insert_header("retry-after", "60"),
    })
    .await;
    let caller = Caller::of(&server);
    caller.gets(&[]);
    caller.token(&["--fresh"]).fails(75);
}

#[tokio::test]
async fn without_the_store_each_call_requests_a_token() {
    let server = numbered(3600, Duration::ZERO).await;
    let caller = Caller::of(&server);
    assert_eq!(caller.gets(&[]), "token-1");
    assert_eq!(caller.gets(&["--no-store"]), "token-2");
    assert_eq!(caller.gets(&[]), "token-1");
    // `check` neither.
    let arguments = caller.arguments.iter().map(String::as_str);
    cli(&["check"]).args(arguments).cache(&caller.cache).succeeds();
    assert_eq!(caller.gets(&[]), "token-1");
    assert_eq!(token_requests(&server).await.len(), 3);
}

#[tokio::test]
async fn only_the_user_may_read_the_folder() {
    use std::os::unix::fs::PermissionsExt;

    fn modes(folder: &Path, found: &mut Vec<(PathBuf, u32)>) {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            let metadata = entry.metadata().expect("metadata");
            found.push((entry.path(), metadata.permissions().mode() & 0o077));
            if metadata.is_dir() {
                modes(&entry.path(), found);
            }
        }
    }

    let server = numbered(3600, Duration::ZERO).await;
    let caller = Caller::of(&server);
    caller.gets(&[]);
    let mut found = Vec::new();
    modes(&caller.cache, &mut found);
    assert!(found.len() >= 2 && found.iter().all(|(_, others)| *others == 0), "{found:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_used_is_no_failure() {
    let server = numbered(3600, Duration::ZERO).await;
    let mut caller = Caller::of(&server);
    // A file where the folder would be.
    let blocked = caller.cache.join("file");
    std::fs::write(&blocked, "").expect("a file");
    caller.cache = blocked;
    let ended = caller.token(&[]).succeeds();
    assert_eq!(ended.stdout, "token-1\n");
    assert!(ended.stderr.starts_with("the token is not kept for the next call: "), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    // No home at all.
    let mut nowhere = caller.token(&[]);
    nowhere.command.env_remove("XDG_CACHE_HOME").env_remove("HOME");
    let ended = nowhere.succeeds();
    assert_eq!(ended.stdout, "token-2\n");
    assert!(ended.stderr.starts_with("the token is not kept for the next call: "), "{ended:?}");
}

/// As when the process that holds the lock was stopped (Ctrl-Z) at the worst moment.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_store_that_hangs_is_no_failure_and_is_said() {
    use std::{io::Read, process};

    let server = numbered(3600, Duration::ZERO).await;
    let caller = Caller::of(&server);
    caller.gets(&[]);
    let lock = caller.cache.join("client-credentials/tokens/lock");
    let mut holder = process::Command::new("flock");
    holder.arg("--no-fork").arg(lock).args(["sh", "-c", "echo started; exec sleep 600"]);
    let mut holder = holder.stdout(process::Stdio::piped()).spawn().expect("flock");
    let started = holder.stdout.as_mut().expect("its output").read(&mut [0; 8]).expect("locked");
    assert_eq!(started, 8);
    let ended = caller.token(&["--scope", "orders"]).succeeds();
    holder.kill().and_then(|()| holder.wait()).expect("killed");
    assert_eq!(ended.stdout, "token-2\n");
    // In the words of the store or of the command, whichever gives up first.
    let why = ended.stderr.strip_prefix("the token is not kept for the next call: ").expect("one line about it");
    let is_known = why == "its folder is locked, or the disk does not respond\n"
        || why.ends_with("/client-credentials/tokens/lock was locked for 250ms\n");
    assert!(is_known && why.lines().count() == 1, "{ended:?}");
}
