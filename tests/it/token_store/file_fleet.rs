//! Processes that share a token in files.

use std::{
    env,
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
async fn fifty_processes_make_one_token_request() {
    for (responses, token_requests) in [(&[][..], 1), (&[503][..], 2)] {
        let (folder, auth) = (Folder::new(&format!("fleet-{token_requests}")), slow_server().await);
        for status in responses {
            auth.respond_next(MockResponse::status(*status));
        }
        let processes: Vec<_> = (0..50).map(|_| asks(&auth, "abcde", folder.path())).collect();
        processes.into_iter().for_each(|process| drop(succeeds(process)));
        assert_eq!(auth.token_requests().len(), token_requests);
        assert_eq!(living_leases(folder.path()).await, 0);
    }
}

/// At twenty moments of its token request.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_holds_nobody_up_for_longer_than_its_lease() {
    let (folder, auth) = (Folder::new("fleet-killed"), slow_server().await);
    let rounds: Vec<_> = (0..20)
        .map(|round| {
            let (client, folder, auth) = (format!("client-{round}"), folder.path().to_owned(), auth.clone());
            tokio::task::spawn_blocking(move || {
                let mut holder = wait_until_started(asks(&auth, &client, &folder));
                thread::sleep(Duration::from_millis(round * 20));
                holder.kill().and_then(|()| holder.wait()).expect("killed");
                let others: Vec<_> = (0..3).map(|_| asks(&auth, &client, &folder)).collect();
                others.into_iter().for_each(|process| drop(succeeds(process)));
                let all = auth.token_requests();
                let token_requests = all.iter().filter(|request| request.client_id() == Some(&client)).count();
                assert!((1..=2).contains(&token_requests), "{client}: {token_requests}");
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
    succeeds(asks(&auth, "abcde", folder.path()));
    assert_eq!(auth.token_requests().len(), 2, "its lease never ends, or was none");
    signal("CONT", &holder);
    succeeds(holder);
    assert_eq!(living_leases(folder.path()).await, 0);
    succeeds(asks(&auth, "abcde", folder.path()));
    assert_eq!(auth.token_requests().len(), 2, "the token is not shared");
}

/// A process alone sends four token requests in this time.
#[tokio::test(flavor = "multi_thread")]
async fn processes_with_traffic_renew_one_token() {
    let folder = Folder::new("fleet-traffic");
    let auth = AuthorizationServer::builder().lifetime(Duration::from_secs(2)).start().await;
    let traffic = |_| of("has_traffic", &auth, "abcde", folder.path()).spawn().expect("a process");
    let processes: Vec<_> = (0..8).map(traffic).collect();
    processes.into_iter().for_each(|process| drop(succeeds(process)));
    let token_requests = auth.token_requests().len();
    assert!((3..=8).contains(&token_requests), "{token_requests}");
}

#[tokio::test]
#[ignore = "run by the tests above, in processes of its own"]
async fn wants_a_token() {
    let tokens = tokens();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::TRACE).init();
    println!("started");
    let start = Instant::now();
    tokens.token().await.expect("a token");
    eprintln!("DONE {:?}", start.elapsed());
    // 7 s, and as much again for a machine with other things to do.
    assert!(start.elapsed() < Duration::from_secs(14), "{:?}", start.elapsed());
}

#[tokio::test]
#[ignore = "run by the test above, in processes of its own"]
async fn has_traffic() {
    let (tokens, start) = (tokens(), Instant::now());
    while start.elapsed() < Duration::from_secs(6) {
        tokens.token().await.expect("a token");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn tokens() -> TokenCache {
    let [folder, token_url, client] = ["FOLDER", "TOKEN_URL", "CLIENT"].map(|name| env::var(name).expect("a variable"));
    let source =
        ClientCredentials::builder(token_url, client.as_str(), "12345").any_origin().build().expect("complete");
    let key = EncryptionKey::from_bytes(b"0123456789abcdefghijklmnopqrstuv").expect("a key");
    let store = FileStore::new(folder).expect("a store");
    TokenCache::builder(source).shared(store, key).build().expect("complete")
}

async fn slow_server() -> AuthorizationServer {
    let auth = AuthorizationServer::builder().start().await;
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
