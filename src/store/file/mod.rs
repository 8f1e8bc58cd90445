//! Tokens in files, for the processes of one machine.

mod folder;
mod format;
mod location;
mod sweep;

use std::{
    fmt, io, mem,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::{sync::Semaphore, task::spawn_blocking};
use zeroize::Zeroizing;

use self::{
    folder::{Folder, Limit, refused},
    format::Living,
};
use super::contract::{BoxError, Entry, EntryName, TokenStore};
use crate::error::Error;

/// How many threads one store blocks if its disk hangs.
const THREADS: usize = 4;
/// How long `remove` waits for the lock.
const REMOVE_LIMIT: Duration = Duration::from_secs(2);

/// A [`TokenStore`] in a folder, for the processes of one user on one machine: command-line tools, cron jobs, workers.
///
/// The folder is the user's alone. If it does not exist, it is created, with the mode 0700; each entry is a file with
/// the mode 0600. A folder or a file that other users could read or write, that belongs to another user, or that is a
/// symbolic link, is refused. Whether that is protection enough for tokens without encryption is up to you.
///
/// Entries are replaced atomically. A lock (`flock`) is held while one entry is compared and replaced, never while a
/// token is requested, so a process that is killed or stopped then locks nobody out. Nothing waits for the disk
/// (`fsync`): what a power failure damages counts as absent, like an entry from the future. Entries whose life has
/// ended, and what a killed process left behind, are removed about once an hour.
///
/// The disk must be a local one: on a network, `flock` and replacing are not what they are here. While the disk is full
/// or read-only, the store counts as down, and each process fetches its own tokens.
///
/// This is a handle that is cheap to clone. It needs Unix: elsewhere, making one is an error that says so.
///
/// ```no_run
/// use client_credentials::store::FileStore;
///
/// # fn example() -> Result<(), client_credentials::Error> {
/// let of_the_user = FileStore::in_user_cache_dir("my-tool")?;
/// let of_a_service = FileStore::new("/var/lib/my-service/tokens")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileStore {
    path: Arc<Path>,
    turns: Arc<Semaphore>,
}

impl FileStore {
    /// Keeps tokens in this folder, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// If the folder cannot be created, if other users may read or write it, if it belongs to another user, or if it is
    /// a symbolic link. A disk that is full or read-only is no error here, since that may pass.
    pub fn new(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let path = location::absolute(folder.as_ref())?;
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};

        match Folder::open_or_create(&path) {
            Err(error) if !matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem) => {
                Err(Error::configuration(format!("file_store: {error}")))
            }
            _ => Ok(Self { path: path.into(), turns: Arc::new(Semaphore::new(THREADS)) }),
        }
    }

    /// Keeps tokens where the user's programs keep what can be fetched again: in `my-tool/tokens` within
    /// `$XDG_CACHE_HOME`, which is `~/.cache` by default, or within `~/Library/Caches` on macOS.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new); and if the environment does not say where that is, or if the name is not one of a
    /// folder.
    pub fn in_user_cache_dir(tool: &str) -> Result<Self, Error> {
        Self::new(location::in_user_cache_dir(tool)?)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// In a thread that may block. `work` gets a limit of `most`, which has also passed when this is dropped.
    async fn run<T: Send + 'static>(
        &self,
        most: Duration,
        work: impl FnOnce(&Path, &Limit) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BoxError> {
        let caller = Arc::new(());
        let limit = Limit { most, caller: Arc::downgrade(&caller) };
        let turn = Arc::clone(&self.turns).acquire_owned().await?;
        let path = Arc::clone(&self.path);
        let work = spawn_blocking(move || {
            let _turn = turn;
            work(&path, &limit)
        });
        Ok(work.await.map_err(|_| "the runtime is shutting down")??)
    }
}

#[async_trait]
impl TokenStore for FileStore {
    async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
        let names = names.to_vec();
        self.run(Duration::ZERO, move |path, _| load(path, &names)).await
    }

    async fn put(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
        limit: Duration,
    ) -> Result<bool, BoxError> {
        let (name, old) = (name.clone(), old.map(|old| Zeroizing::new(old.to_vec())));
        // Its life begins now, however late it is written.
        let new = format::encode(&name, new, life, SystemTime::now());
        let put = move |path: &_, limit: &_| put(path, &name, old.as_deref().map(Vec::as_slice), &new, limit);
        self.run(limit, put).await
    }

    async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError> {
        let (name, old) = (name.clone(), Zeroizing::new(old.to_vec()));
        self.run(REMOVE_LIMIT, move |path, limit| remove(path, &name, &old, limit)).await
    }

    fn name(&self) -> &str {
        "files"
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.path).finish_non_exhaustive()
    }
}

fn load(path: &Path, names: &[EntryName]) -> io::Result<Vec<Option<Entry>>> {
    let Some(folder) = Folder::open(path)? else { return Ok(names.iter().map(|_| None).collect()) };
    let entry = |(mut bytes, life): Living| Entry { bytes: mem::take(&mut *bytes), life };
    names.iter().map(|name| Ok(folder.read(name)?.map(entry))).collect()
}

/// `new` is the content of the file.
fn put(path: &Path, name: &EntryName, old: Option<&[u8]>, new: &[u8], limit: &Limit) -> io::Result<bool> {
    let folder = Folder::open_or_create(path)?;
    // Without the lock: most of those who lose need not wait for it.
    if !folder.has(name, old)? {
        return Ok(false);
    }
    // Before the lock is taken, so that it is held for as short as possible.
    let file = folder.write(new)?;
    let lock = folder.lock(limit)?;
    if !folder.has(name, old)? {
        return Ok(false);
    }
    if limit.has_passed(Duration::ZERO) {
        return Err(refused(path, "was not written to: nobody waits for it any longer"));
    }
    file.replace(name)?;
    sweep::sweep_if_due(path, &lock);
    Ok(true)
}

fn remove(path: &Path, name: &EntryName, old: &[u8], limit: &Limit) -> io::Result<bool> {
    let Some(folder) = Folder::open(path)? else { return Ok(false) };
    if !folder.has(name, Some(old))? {
        return Ok(false);
    }
    let _lock = folder.lock(limit)?;
    let removes = folder.has(name, Some(old))?;
    if removes {
        folder.remove(name.as_str())?;
    }
    Ok(removes)
}
