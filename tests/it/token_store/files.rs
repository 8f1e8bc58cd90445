//! Tokens in files: who may read them, what is refused, what is damaged, what is left behind.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use client_credentials::{
    async_trait,
    store::{BoxError, Entry, EntryName, FileStore, TokenStore},
    testing::check_token_store,
};

use super::folder::Folder;
use crate::support::process;

const LIFE: Duration = Duration::from_secs(600);
const LIMIT: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Several handles and threads, as processes have them.
#[tokio::test(flavor = "multi_thread")]
async fn files_keep_the_contract() {
    struct Several(Vec<FileStore>);

    impl Several {
        fn one(&self) -> &FileStore {
            &self.0[fastrand(self.0.len())]
        }
    }

    #[async_trait]
    impl TokenStore for Several {
        async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
            self.one().load(names).await
        }

        async fn put(
            &self,
            name: &EntryName,
            old: Option<&[u8]>,
            new: &[u8],
            life: Duration,
            limit: Duration,
        ) -> Result<bool, BoxError> {
            self.one().put(name, old, new, life, limit).await
        }

        async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError> {
            self.one().remove(name, old).await
        }
    }

    let folder = Folder::new("files-contract");
    let several = (0..3).map(|_| FileStore::new(folder.path()).expect("a store")).collect();
    check_token_store(Several(several)).await.expect("the contract");
    let incomplete: Vec<_> = files(folder.path()).into_iter().filter(|file| file.starts_with(".tmp")).collect();
    assert_eq!(incomplete, [""; 0]);
}

#[tokio::test]
async fn folder_and_files_are_the_users_alone() {
    let folder = Folder::new("files-modes");
    let path = folder.path().join("deep/er");
    let store = FileStore::new(path.join("")).expect("a store");
    assert_eq!(store.path(), path);
    put(&store, "token").await.expect("stored");
    for folder in [&path, path.parent().expect("a parent")] {
        assert_eq!(mode(folder), 0o700);
    }
    assert_eq!(files(&path), [format!("{TOKEN}.token"), "lock".into()]);
    for file in files(&path) {
        assert_eq!(mode(&path.join(file)), 0o600);
    }
}

#[tokio::test]
async fn a_folder_that_others_can_open_is_refused() {
    let folder = Folder::new("files-folder-mode");
    let (path, at) = (folder.path(), folder.path().display());
    let store = FileStore::new(path).expect("a store");
    for open in [0o750, 0o701, 0o720, 0o777, 0o1777] {
        fs::set_permissions(path, Permissions::from_mode(open)).expect("a mode");
        let error = FileStore::new(path).expect_err("it is open").to_string();
        let mode = open & 0o777;
        let refused = format!("{at} is open to other users: its mode is {mode:04o} (chmod 700 {at}; ");
        assert_eq!(error, format!("file_store: {refused}the store creates a missing folder with that mode)"));
        // Also if that was done later.
        assert!(put(&store, "token").await.expect_err("it is open").starts_with(&refused));
        assert!(load(&store, "token").await.expect_err("it is open").starts_with(&refused));
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).expect("a mode");
    put(&store, "token").await.expect("stored");
    // Only root can give a folder away.
    if chown(path, Some(12345), None).is_ok() {
        let error = FileStore::new(path).expect_err("another user's").to_string();
        assert!(
            error.starts_with(&format!("file_store: {at} belongs to user 12345, and this process runs")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_file_that_others_can_open_is_refused() {
    let folder = Folder::new("files-file-mode");
    let store = FileStore::new(folder.path()).expect("a store");
    put(&store, "token").await.expect("stored");
    for name in [format!("{TOKEN}.token"), "lock".into()] {
        let path = folder.path().join(name);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("a mode");
        let error = put_over(&store, "token", Some(b"token")).await.expect_err("it is open");
        let at = path.display();
        assert_eq!(error, format!("{at} is open to other users: its mode is 0640 (chmod 600 {at})"));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
    }
    assert!(put_over(&store, "token", Some(b"token")).await.expect("stored"));
}

#[tokio::test]
async fn nothing_is_reached_through_a_link() {
    let (folder, elsewhere) = (Folder::new("files-links"), Folder::new("files-links-elsewhere"));
    let (store, other) = (FileStore::new(folder.path()).expect("a store"), FileStore::new(elsewhere.path()));
    put(&other.expect("a store"), "token").await.expect("stored");
    let target = elsewhere.path().join(format!("{TOKEN}.token"));
    let before = fs::read(&target).expect("a file");

    let entry = folder.path().join(format!("{TOKEN}.token"));
    symlink(&target, &entry).expect("a link");
    let refused = format!("{} is a symbolic link, which is not followed", entry.display());
    assert_eq!(load(&store, "token").await.expect_err("a link"), refused);
    assert_eq!(put(&store, "token").await.expect_err("a link"), refused);
    let removed = store.remove(&name("token"), b"token").await.map_err(|error| error.to_string());
    assert_eq!(removed.expect_err("a link"), refused);
    fs::remove_file(&entry).expect("removed");

    let lock = folder.path().join("lock");
    symlink(elsewhere.path().join("made-through-a-link"), &lock).expect("a link");
    assert!(put(&store, "token").await.expect_err("a link").contains("lock is a symbolic link"));
    assert_eq!(files(folder.path()), ["lock"], "an incomplete file is left behind");

    let linked = elsewhere.path().join("link");
    symlink(folder.path(), &linked).expect("a link");
    // Behind a slash, systems follow it.
    for path in [linked.clone(), linked.join("")] {
        let error = FileStore::new(path).expect_err("a link").to_string();
        assert_eq!(error, format!("file_store: {} is a symbolic link, which is not followed", linked.display()));
    }
    assert_eq!(fs::read(&target).expect("a file"), before);
    assert!(!elsewhere.path().join("made-through-a-link").exists());
}

#[tokio::test]
async fn what_is_not_a_file_is_refused() {
    let folder = Folder::new("files-other");
    fs::write(folder.path(), "a file").expect("a file");
    let error = FileStore::new(folder.path()).expect_err("a file").to_string();
    assert!(error.contains("cannot be opened: Not a directory"), "{error}");
    fs::remove_file(folder.path()).expect("removed");

    let store = FileStore::new(folder.path()).expect("a store");
    let entry = folder.path().join(format!("{TOKEN}.token"));
    fs::create_dir(&entry).expect("a folder");
    let refused = format!("{} is not a regular file (remove it)", entry.display());
    assert_eq!(load(&store, "token").await.expect_err("a folder"), refused);
    fs::remove_dir(&entry).expect("removed");
    // Opening a pipe waits for somebody to write to it.
    assert!(std::process::Command::new("mkfifo").arg(&entry).status().expect("mkfifo").success());
    assert_eq!(load(&store, "token").await.expect_err("a pipe"), refused);
}

#[tokio::test]
async fn damaged_and_swapped_files_are_absent_and_replaced() {
    let folder = Folder::new("files-damaged");
    let store = FileStore::new(folder.path()).expect("a store");
    let (token, lease) = (folder.path().join(format!("{TOKEN}.token")), folder.path().join(format!("{TOKEN}.lease")));
    put(&store, "token").await.expect("stored");
    put(&store, "lease").await.expect("stored");
    let whole = fs::read(&token).expect("a file");
    let swapped = fs::read(&lease).expect("a file");
    let zeros = vec![0; whole.len()];
    for damaged in [
        &whole[..whole.len() - 1],
        &whole[..10],
        b"",
        &zeros,
        b"not an entry, though long enough for one, and more",
        &swapped,
    ] {
        fs::write(&token, damaged).expect("damaged");
        assert_eq!(load(&store, "token").await, Ok(None));
        assert!(!store.remove(&name("token"), b"token").await.expect("it works"));
        assert!(put(&store, "token").await.expect("it works"), "not replaced");
        assert_eq!(load(&store, "token").await, Ok(Some(b"token".to_vec())));
    }
    assert_eq!(load(&store, "lease").await, Ok(Some(b"lease".to_vec())));
}

#[tokio::test]
async fn a_folder_that_was_removed_is_created_again() {
    let folder = Folder::new("files-removed");
    let store = FileStore::new(folder.path()).expect("a store");
    put(&store, "token").await.expect("stored");
    fs::remove_dir_all(folder.path()).expect("removed");
    assert_eq!(load(&store, "token").await, Ok(None));
    assert!(!store.remove(&name("token"), b"token").await.expect("it works"));
    assert!(put(&store, "token").await.expect("stored"));
    assert_eq!(mode(folder.path()), 0o700);
}

/// An hour after the last time, a put removes what nobody will read again, and nothing else.
#[tokio::test]
async fn what_is_dead_is_removed_in_time() {
    let folder = Folder::new("files-sweep");
    let path = |name: &str| folder.path().join(name);
    let store = FileStore::new(folder.path()).expect("a store");
    let dead: EntryName = "0123456789abcdef.token".parse().expect("a name");
    store.put(&dead, None, b"dead", Duration::from_millis(1), LIMIT).await.expect("stored");
    let living: EntryName = "fedcba9876543210.token".parse().expect("a name");
    store.put(&living, None, b"living", LIFE, LIMIT).await.expect("stored");
    for name in [".tmp-0123456789abcdef", ".tmp-fedcba9876543210", "README", "0123456789abcdef.lease"] {
        fs::write(path(name), "somebody's").expect("a file");
        fs::set_permissions(path(name), Permissions::from_mode(0o600)).expect("a mode");
    }
    age(&path(".tmp-0123456789abcdef"), HOUR);
    age(&path("README"), HOUR);
    put(&store, "token").await.expect("stored");
    assert!(path(dead.as_str()).exists(), "it is not time yet");

    age(&path("lock"), 2 * HOUR);
    put(&store, "lease").await.expect("stored");
    let left = [
        ".tmp-fedcba9876543210",
        "9f86d081884c7d65.lease",
        "9f86d081884c7d65.token",
        "README",
        "fedcba9876543210.token",
        "lock",
    ];
    if !swept_within_ten_seconds(folder.path(), &left).await {
        // A sweep ends after a second in which the machine stood still. What it leaves is for the next one.
        age(&path("lock"), 2 * HOUR);
        put_over(&store, "lease", Some(b"lease")).await.expect("stored");
        swept_within_ten_seconds(folder.path(), &left).await;
    }
    assert_eq!(files(folder.path()), left);
    let swept = fs::metadata(path("lock")).and_then(|lock| lock.modified()).expect("a time");
    assert!(swept.elapsed().expect("the past") < HOUR, "the next put would sweep again");
}

async fn swept_within_ten_seconds(folder: &Path, left: &[&str]) -> bool {
    for _ in 0..1000 {
        if files(folder) == left {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[test]
fn the_environment_says_where_caches_are() {
    let folder = Folder::new("files-environment");
    let home = folder.path().to_str().expect("a path");
    let caches = folder.path().join("caches");
    let of_xdg = [("XDG_CACHE_HOME", caches.to_str().expect("a path")), ("HOME", "/nowhere")];
    let of_macos = [("XDG_CACHE_HOME", "/nowhere"), ("HOME", home)];
    let relative = [("XDG_CACHE_HOME", "relative"), ("HOME", home)];
    let cases = if cfg!(target_os = "macos") {
        vec![(of_macos, format!("{home}/Library/Caches/my-tool/tokens"))]
    } else {
        vec![(of_xdg, format!("{home}/caches/my-tool/tokens")), (relative, format!("{home}/.cache/my-tool/tokens"))]
    };
    for (variables, expected) in cases {
        let variables = [&variables[..], &[("EXPECTED", expected.as_str())]].concat();
        process::run("token_store::files::uses_the_cache_dir", &variables);
    }
    let nothing = [("XDG_CACHE_HOME", ""), ("HOME", ""), ("EXPECTED", "")];
    process::run("token_store::files::uses_the_cache_dir", &nothing);
}

#[test]
#[ignore = "run by the test above, with an environment"]
fn uses_the_cache_dir() {
    let store = FileStore::in_user_cache_dir("my-tool");
    match std::env::var("EXPECTED").expect("run by a test").as_str() {
        "" => {
            let error = store.expect_err("no folder").to_string();
            let advice = " set to an absolute path (FileStore::new names the folder)";
            assert!(error.starts_with("file_store: ") && error.contains("HOME") && error.ends_with(advice), "{error}");
        }
        expected => {
            assert_eq!(store.expect("a store").path(), Path::new(expected));
            assert_eq!(mode(Path::new(expected)), 0o700);
        }
    }
    for name in ["", "..", ".", "a/b", "/my-tool", "my-tool/"] {
        let error = FileStore::in_user_cache_dir(name).expect_err("not a name").to_string();
        assert_eq!(error, "file_store: the name of the tool is not one of a folder, such as my-tool");
    }
}

const TOKEN: &str = "9f86d081884c7d65";

pub(super) fn name(what: &str) -> EntryName {
    format!("{TOKEN}.{what}").parse().expect("a name")
}

/// Stores the name's last part where nothing is.
async fn put(store: &FileStore, what: &str) -> Result<bool, String> {
    put_over(store, what, None).await
}

async fn put_over(store: &FileStore, what: &str, old: Option<&[u8]>) -> Result<bool, String> {
    let stored = store.put(&name(what), old, what.as_bytes(), LIFE, LIMIT).await;
    stored.map_err(|error| error.to_string())
}

async fn load(store: &FileStore, what: &str) -> Result<Option<Vec<u8>>, String> {
    let mut entries = store.load(&[name(what)]).await.map_err(|error| error.to_string())?;
    Ok(entries.remove(0).map(|entry| entry.bytes.clone()))
}

pub(super) fn files(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a folder").flatten();
    let mut files: Vec<_> = files.map(|file| file.file_name().into_string().expect("a name")).collect();
    files.sort();
    files
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it exists").permissions().mode() & 0o7777
}

fn age(path: &PathBuf, by: Duration) {
    let file = File::options().write(true).open(path).expect("a file");
    file.set_modified(SystemTime::now() - by).expect("a time");
}

fn fastrand(below: usize) -> usize {
    use std::hash::{BuildHasher, RandomState};

    RandomState::new().hash_one(()) as usize % below
}
