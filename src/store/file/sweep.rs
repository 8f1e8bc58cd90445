//! Removes what nobody will read again.

use std::{
    fs::{self, DirEntry},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::task::spawn_blocking;

use super::folder::{Folder, Limit, Lock, TEMPORARY};
use crate::store::contract::EntryName;

const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// A file that is still being written is younger.
const LEFT_BEHIND: Duration = Duration::from_secs(10 * 60);
/// A runtime that shuts down waits for it.
const LONGEST: Duration = Duration::from_secs(1);

/// If the last sweep was long ago, removes entries whose life has ended, and files that were never completed. Nobody
/// waits for it.
pub(super) fn sweep_if_due(path: &Path, lock: &Lock) {
    // Nothing is written to the lock's file, so its time is free for this.
    let last = lock.file.metadata().and_then(|file| file.modified());
    // An error: it is in the future, because the clock was set back.
    let is_due = last.is_ok_and(|last| last.elapsed().map_or(true, |elapsed| elapsed >= INTERVAL));
    if is_due && lock.file.set_modified(SystemTime::now()).is_ok() {
        let path = path.to_owned();
        spawn_blocking(move || sweep(&path));
    }
}

fn sweep(path: &Path) {
    let began = Instant::now();
    let (Ok(Some(folder)), Ok(files)) = (Folder::open(path), fs::read_dir(path)) else { return };
    for file in files.flatten().take_while(|_| began.elapsed() < LONGEST) {
        let name = file.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with(TEMPORARY) {
            if is_left_behind(&file) {
                let _ = folder.remove(name);
            }
        } else if let Ok(name) = name.parse() {
            remove_if_dead(&folder, &name);
        }
    }
}

fn is_left_behind(file: &DirEntry) -> bool {
    let modified = file.metadata().and_then(|file| file.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= LEFT_BEHIND))
}

fn remove_if_dead(folder: &Folder, name: &EntryName) {
    let is_dead = || matches!(folder.read(name), Ok(None));
    let caller = Arc::new(());
    let limit = Limit { most: LONGEST, caller: Arc::downgrade(&caller) };
    // Somebody may have replaced it since.
    if is_dead()
        && let Ok(_lock) = folder.lock(&limit)
        && is_dead()
    {
        let _ = folder.remove(name.as_str());
    }
}
