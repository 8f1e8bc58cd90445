//! Removes what nobody will read again.

use std::{
    fs::{self, DirEntry},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use super::{
    folder::{Folder, Lock, TEMPORARY},
    limit::Limit,
};
use crate::store::contract::EntryName;

const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// A file that is still being written is younger.
const LEFT_BEHIND: Duration = Duration::from_secs(10 * 60);
/// A runtime that shuts down waits for it.
const LONGEST: Duration = Duration::from_secs(1);

/// Whether the last sweep was long ago. Only the caller that gets `true` sweeps.
pub(super) fn is_due(lock: &Lock) -> bool {
    // Nothing is written to the lock's file, so its time is free for this.
    let last = lock.file.metadata().and_then(|file| file.modified());
    // An error: it is in the future, because the clock was set back.
    let is_due = last.is_ok_and(|last| last.elapsed().map_or(true, |elapsed| elapsed >= INTERVAL));
    is_due && lock.file.set_modified(SystemTime::now()).is_ok()
}

/// Removes entries whose life has ended, and files that were never completed.
pub(super) fn sweep(path: &Path) {
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
    if !is_dead() {
        return;
    }
    let (limit, _waiting) = Limit::new(LONGEST);
    // Somebody may have replaced it since.
    if let Ok(_lock) = folder.lock(&limit)
        && is_dead()
    {
        let _ = folder.remove(name.as_str());
    }
}
