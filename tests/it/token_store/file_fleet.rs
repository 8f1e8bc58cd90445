//! Processes that share a token in files.

use std::{
    env, io,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use client_credentials::{
    ClientCredentials, TokenCache,
    store::{EncryptionKey, EntryName, FileStore, TokenStore},
    testing::{AuthorizationServer, MockResponse},
};

use super::{
    files::files,
    folder::Folder,
    program::{self, succeeds, wait_until_started},
};

const LEASE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn processes_make_one_token_request() {
    make_one_token_request(8).await;
}

pub(super) async fn make_one_token_request(processes: usize) {
    let (folder, auth) = (Folder::new("fleet-cold"), slow_server().await);
    let alone = all_succeed((0..processes).map(|_| asks(&auth, "abcde", folder.path())).collect());
    assert_count(&auth, 1, alone);
    assert!(living_leases(folder.path()).await <= alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_the_quick_retry() {
    let (folder, auth) = (Folder::new("fleet-retry"), slow_server().await);
    auth.respond_next(MockResponse::status(503));
    let alone = all_succeed((0..4).map(|_| asks(&auth, "abcde", folder.path())).collect());
    assert_count(&auth, 2, alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_holds_nobody_up_for_longer_than_its_lease() {
    kill_holders(3).await;
}

/// At so many moments of a token request.
pub(super) async fn kill_holders(moments: u32) {
    let (folder, auth) = (Folder::new("fleet-killed"), slow_server().await);
    let rounds: Vec<_> = (0..moments)
        .map(|moment| {
            let (client, folder, auth) = (format!("client-{moment}"), folder.path().to_owned(), auth.clone());
            tokio::task::spawn_blocking(move || {
                let mut holder = wait_until_started(asks(&auth, &client, &folder));
                thread::sleep(Duration::from_millis(400) * moment / moments);
                holder.kill().expect("killed");
                let killed = holder.wait_with_output().expect("its end");
                let killed = is_alone(&String::from_utf8_lossy(&killed.stderr));
                let others = (0..3).map(|_| asks(&auth, &client, &folder)).collect();
                let alone = all_succeed(others) + usize::from(killed);
                let all = auth.token_requests();
                let token_requests = all.iter().filter(|request| request.client_id() == Some(&client)).count();
                assert!((1..=2 + 2 * alone).contains(&token_requests), "{token_requests}, {alone} of them alone");
            })
        })
        .collect();
    for round in rounds {
        round.await.expect("a round");
    }
}

/// With Ctrl-Z, or by a machine that stands still.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_stopped_leaves_no_lease_behind() {
    let (folder, auth) = (Folder::new("fleet-stopped"), slow_server().await);
    let holder = wait_until_started(asks(&auth, "abcde", folder.path()));
    while auth.token_requests().is_empty() {
        thread::sleep(Duration::from_millis(1));
    }
    signal("STOP", &holder);
    let mut alone = all_succeed(vec![asks(&auth, "abcde", folder.path())]);
    assert_eq!(auth.token_requests().len(), 2);
    signal("CONT", &holder);
    alone += all_succeed(vec![holder]);
    assert!(living_leases(folder.path()).await <= alone);
    alone += all_succeed(vec![asks(&auth, "abcde", folder.path())]);
    assert_count(&auth, 2, alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_with_traffic_renew_one_token() {
    have_traffic(4, Duration::from_secs(6)).await;
}

/// With tokens of two seconds, which an instance renews after 1.3 to 1.5.
pub(super) async fn have_traffic(processes: usize, time: Duration) {
    let (folder, begun) = (Folder::new("fleet-traffic"), Instant::now());
    let auth = AuthorizationServer::start().await;
    auth.set_lifetime(Duration::from_secs(2));
    let traffic = |_| {
        let mut process = of("has_traffic", &auth, "abcde", folder.path());
        process.env("MILLISECONDS", time.as_millis().to_string()).spawn().expect("a process")
    };
    let alone = all_succeed((0..processes).map(traffic).collect());
    let renewals = |time: Duration| usize::try_from(time.as_millis() / 1300).expect("few");
    let most = renewals(begun.elapsed()) + 2 + alone * (renewals(time) + 1);
    let (token_requests, least) = (auth.token_requests().len(), usize::try_from(time.as_secs() / 2).expect("few"));
    assert!((least..=most).contains(&token_requests), "{token_requests}, not {least} to {most}");
}

#[tokio::test]
#[ignore = "run by the tests above, in processes of its own"]
async fn wants_a_token() {
    let tokens = tokens();
    println!("started");
    tokens.token().await.expect("a token");
}

#[tokio::test]
#[ignore = "run by the test above, in processes of its own"]
async fn has_traffic() {
    let (tokens, start) = (tokens(), Instant::now());
    let time = env::var("MILLISECONDS").expect("a variable").parse().map(Duration::from_millis).expect("a number");
    while start.elapsed() < time {
        tokens.token().await.expect("a token");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn tokens() -> TokenCache {
    let [folder, token_url, client] = ["FOLDER", "TOKEN_URL", "CLIENT"].map(|name| env::var(name).expect("a variable"));
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).init();
    let source =
        ClientCredentials::builder(token_url, client.as_str(), "12345").any_origin().build().expect("complete");
    let key = EncryptionKey::from_bytes(b"0123456789abcdefghijklmnopqrstuv").expect("a key");
    let store = FileStore::new(folder).expect("a store");
    TokenCache::builder(source).shared(store, key).build().expect("complete")
}

async fn slow_server() -> AuthorizationServer {
    let auth = AuthorizationServer::start().await;
    auth.respond_always(MockResponse::usual().with_delay(Duration::from_millis(300)));
    auth
}

fn asks(auth: &AuthorizationServer, client: &str, folder: &Path) -> Child {
    of("wants_a_token", auth, client, folder).spawn().expect("a process")
}

fn of(name: &str, auth: &AuthorizationServer, client: &str, folder: &Path) -> Command {
    let mut command = program::of(&format!("token_store::file_fleet::{name}"), folder);
    command.env("TOKEN_URL", auth.token_url()).env("CLIENT", client);
    command
}

/// Each process that does without the store sends a token request of its own, and may have left a lease to wait for.
fn assert_count(auth: &AuthorizationServer, shared: usize, alone: usize) {
    let token_requests = auth.token_requests().len();
    assert!((shared..=shared + 2 * alone).contains(&token_requests), "{token_requests}, {alone} of them alone");
}

/// How many did without the store for a while, as they may where there is no processor to run them.
fn all_succeed(processes: Vec<Child>) -> usize {
    processes.into_iter().map(succeeds).filter(|log| is_alone(log)).count()
}

fn is_alone(log: &str) -> bool {
    log.contains("the token store is down")
}

async fn living_leases(folder: &Path) -> usize {
    let store = FileStore::new(folder).expect("a store");
    let leases: Vec<EntryName> = files(folder).iter().filter_map(|file| file.parse().ok()).collect();
    let leases: Vec<_> = leases.into_iter().filter(|name| name.as_str().ends_with(".lease")).collect();
    let begun = Instant::now();
    loop {
        let living = store.load(&leases).await.expect("it works").into_iter().flatten().count();
        // It is kept for a second from when the token request began.
        if living == 0 || begun.elapsed() > LEASE / 2 {
            return living;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn signal(name: &str, process: &Child) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status();
    assert!(status.expect("kill").success());
}
