//! Tokens in files, with several processes: none is lost, and whoever dies harms nobody.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use client_credentials::store::{FileStore, TokenStore};

use super::{
    files::{files, name},
    folder::Folder,
    program::{self, wait_until_started},
};

const LIFE: Duration = Duration::from_secs(600);
const LIMIT: Duration = Duration::from_secs(30);
const INCREMENTS: usize = 10;

#[tokio::test]
async fn processes_lose_no_change() {
    lose_no_change(8).await;
}

pub(super) async fn lose_no_change(processes: usize) {
    let folder = Folder::new("files-processes");
    let all: Vec<_> = (0..processes).map(|_| program("increments", folder.path()).spawn()).collect();
    for process in all {
        program::succeeds(process.expect("a process"));
    }
    let store = FileStore::new(folder.path()).expect("a store");
    let count = load(&store).await.expect("stored");
    assert_eq!(String::from_utf8(count), Ok((processes * INCREMENTS).to_string()));
    assert_eq!(files(folder.path()), [name("token").as_str(), "lock"], "left behind");
}

#[tokio::test]
#[ignore = "run by the test above, in processes of its own"]
async fn increments() {
    let store = FileStore::new(env::var_os("FOLDER").expect("run by a test")).expect("a store");
    for _ in 0..INCREMENTS {
        loop {
            let old = load(&store).await;
            let count = old.as_ref().map_or(0, |old| String::from_utf8_lossy(old).parse().expect("a number"));
            let new = (count + 1_usize).to_string();
            if store.put(&name("token"), old.as_deref(), new.as_bytes(), LIFE, LIMIT).await.expect("it works") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_a_whole_entry() {
    kill_writers(10).await;
}

/// Whatever a process was doing when it was killed: the entry is whole, and the next put works.
pub(super) async fn kill_writers(moments: u32) {
    let folder = Folder::new("files-killed");
    let store = FileStore::new(folder.path()).expect("a store");
    let mut seen = 0;
    for moment in 0..moments {
        let mut writer = wait_until_started(program("writes", folder.path()).spawn().expect("a process"));
        thread::sleep(Duration::from_micros(9700) * moment / moments);
        writer.kill().and_then(|()| writer.wait()).expect("killed");
        let old = load(&store).await;
        if let Some(old) = &old {
            assert!(old.len() > 100_000 && old.iter().all(|byte| *byte == old[0]), "it is mixed");
            seen += 1;
        }
        let stored = store.put(&name("token"), old.as_deref(), b"whole", LIFE, LIMIT).await;
        assert!(stored.expect("it works"), "nobody else writes");
        assert!(store.remove(&name("token"), b"whole").await.expect("it works"));
    }
    assert!(seen > moments / 2, "the writers were hardly ever writing: {seen}");
}

#[tokio::test]
#[ignore = "run by the test above, in processes of its own"]
async fn writes() {
    let store = FileStore::new(env::var_os("FOLDER").expect("run by a test")).expect("a store");
    let mut old = None;
    for byte in (b'a'..=b'z').cycle() {
        let new = vec![byte; 100_001 + usize::from(byte)];
        assert!(store.put(&name("token"), old.as_deref(), &new, LIFE, LIMIT).await.expect("it works"));
        if old.replace(new).is_none() {
            println!("started");
        }
    }
}

/// As if it was stopped (Ctrl-Z) at the worst moment: others give up in time, and their writes do not come later.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_that_holds_the_lock_delays_no_write_beyond_its_limit() {
    let folder = Folder::new("files-locked");
    let store = FileStore::new(folder.path()).expect("a store");
    assert!(store.put(&name("token"), None, b"first", LIFE, LIMIT).await.expect("stored"));
    let lock = folder.path().join("lock");
    let mut command = Command::new("flock");
    let holder = command.arg("--no-fork").arg(&lock).args(["sh", "-c", "echo started; exec sleep 600"]);
    let mut holder = wait_until_started(holder.stdout(Stdio::piped()).spawn().expect("flock"));

    let limit = Duration::from_millis(250);
    let error = store.put(&name("token"), Some(b"first"), b"late", LIFE, limit).await.expect_err("it is locked");
    assert_eq!(error.to_string(), format!("{} was locked for 250ms", lock.display()));
    assert_eq!(load(&store).await, Some(b"first".to_vec()), "reading needs no lock");
    assert!(!store.put(&name("token"), None, b"no", LIFE, limit).await.expect("refusing needs no lock"));
    // One that nobody waits for any longer.
    let name_of_token = name("token");
    let dropped = store.put(&name_of_token, Some(b"first"), b"late", LIFE, limit);
    tokio::time::timeout(Duration::from_millis(50), dropped).await.expect_err("it is locked");
    tokio::time::sleep(limit).await;
    holder.kill().and_then(|()| holder.wait()).expect("killed");
    assert!(store.put(&name("lease"), None, b"next", LIFE, LIMIT).await.expect("stored"));
    assert_eq!(load(&store).await, Some(b"first".to_vec()));
    assert_eq!(files(folder.path()).len(), 3, "left behind: {:?}", files(folder.path()));
}

/// What it waits for is a thread of its own runtime, as on a machine that is short of processors.
#[test]
fn a_put_that_starts_late_is_stored_if_its_caller_still_waits() {
    let folder = Folder::new("files-late");
    let store = FileStore::new(folder.path()).expect("a store");
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().expect("a runtime");
    runtime.block_on(async {
        let busy = |time| tokio::task::spawn_blocking(move || thread::sleep(Duration::from_millis(time)));
        busy(100);
        assert!(store.put(&name("token"), None, b"late", LIFE, Duration::from_millis(50)).await.expect("it works"));
        let busy = busy(100);
        let (name, limit) = (name("token"), Duration::from_millis(50));
        let dropped = store.put(&name, Some(b"late"), b"later", LIFE, limit);
        tokio::select! { biased; _ = dropped => panic!("no thread is free"), () = async {} => {} }
        busy.await.expect("a thread");
        assert_eq!(load(&store).await, Some(b"late".to_vec()));
    });
}

/// What fails is a write that was begun: a limit on the size of files, beyond which writing fails as on a full disk.
#[test]
fn a_write_that_fails_leaves_the_old_entry() {
    let folder = Folder::new("files-full");
    in_shell("trap '' XFSZ; ulimit -f 4; exec \"$@\"", "fills", folder.path());
    assert_eq!(files(folder.path()), [name("token").as_str(), "lock"], "left behind");
}

#[tokio::test]
#[ignore = "run by the tests around it, where it cannot write as much"]
async fn fills() {
    let store = FileStore::new(env::var_os("FOLDER").expect("run by a test")).expect("a store");
    assert!(store.put(&name("token"), None, b"first", LIFE, LIMIT).await.expect("stored"));
    let big = vec![b'.'; 256 * 1024];
    let error = store.put(&name("token"), Some(b"first"), &big, LIFE, LIMIT).await.expect_err("full").to_string();
    let is_full = error.contains("File too large") || error.contains("No space left on device");
    assert!(is_full && error.starts_with(&store.path().display().to_string()), "{error}");
    assert_eq!(load(&store).await, Some(b"first".to_vec()));
    assert!(store.put(&name("token"), Some(b"first"), b"second", LIFE, LIMIT).await.expect("stored"));
}

/// Only where this user may mount one: a disk that is really full, and really read-only.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_or_read_only_says_so() {
    let folder = Folder::new("files-disk");
    fs::create_dir(folder.path()).expect("a folder");
    let mount = ["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs"];
    if !Command::new("unshare").args(mount).arg(folder.path()).status().is_ok_and(|status| status.success()) {
        return;
    }
    let unshared = "exec unshare --user --map-root-user --mount sh -c";
    let full = format!("{unshared} 'mount -t tmpfs -o size=64k,mode=0700 tmpfs \"$FOLDER\" && exec \"$@\"' sh \"$@\"");
    in_shell(&full, "fills", folder.path());
    let read_only = format!("{unshared} 'mount -t tmpfs -o ro,mode=0700 tmpfs \"$FOLDER\" && exec \"$@\"' sh \"$@\"");
    in_shell(&read_only, "cannot_write", folder.path());
}

#[tokio::test]
#[ignore = "run by the test above, on a disk that is read-only"]
async fn cannot_write() {
    let folder = env::var("FOLDER").expect("run by a test");
    for path in [folder.clone(), format!("{folder}/new")] {
        // That may pass, so the program starts.
        let store = FileStore::new(path).expect("a store");
        assert_eq!(load(&store).await, None);
        let error = store.put(&name("token"), None, b"first", LIFE, LIMIT).await.expect_err("read-only").to_string();
        assert!(error.ends_with("Read-only file system (os error 30)"), "{error}");
    }
}

async fn load(store: &FileStore) -> Option<Vec<u8>> {
    let entries = store.load(&[name("token")]).await.expect("it works");
    entries.first().and_then(|entry| Some(entry.as_ref()?.bytes.clone()))
}

fn program(name: &str, folder: &Path) -> Command {
    program::of(&format!("token_store::file_processes::{name}"), folder)
}

/// The same, by a shell that runs it with `exec "$@"`.
fn in_shell(script: &str, name: &str, folder: &Path) {
    let program = program(name, folder);
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args()).env("FOLDER", folder);
    program::succeeds(shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a shell"));
}
