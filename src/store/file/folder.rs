//! The folder, and the files in it. All paths are relative to the open folder, and no symbolic link is followed.

use std::{
    fmt,
    fs::{DirBuilder, File},
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    sync::Weak,
    thread,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, lstat, open, openat, renameat, statat,
        unlinkat,
    },
    io::Errno,
    process::geteuid,
};
use zeroize::Zeroizing;

use super::format::{self, Living};
use crate::store::contract::EntryName;

/// What the names of files begin with that are being written.
pub(super) const TEMPORARY: &str = ".tmp-";
const LOCK: &str = "lock";
/// A larger file is not an entry.
const LARGEST: u64 = 16 * 1024 * 1024;

/// How long a change may wait for the lock, and whether anybody still waits for the change.
pub(super) struct Limit {
    /// Counted in pauses, not by a clock: a process that gets no processor, or stood still, has not waited.
    pub most: Duration,
    pub caller: Weak<()>,
}

impl Limit {
    pub(super) fn has_passed(&self, waited: Duration) -> bool {
        waited >= self.most || self.caller.strong_count() == 0
    }
}

pub(super) struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

impl Folder {
    /// `None`: it does not exist.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match open(path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(not_opened(path, error)),
        };
        let stat = fstat(&fd).map_err(|error| failed(path, "cannot be opened", error))?;
        check(&stat, path, "700")?;
        Ok(Some(Self { path: path.to_owned(), fd }))
    }

    pub(super) fn open_or_create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = Self::open(path)? {
            return Ok(folder);
        }
        let not_created = |error| failed(path, "cannot be created", error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(not_created)?;
        Self::open(path)?.ok_or_else(|| not_created(Errno::NOENT.into()))
    }

    /// Whether these bytes are stored under that name, or nothing is.
    pub(super) fn has(&self, name: &EntryName, bytes: Option<&[u8]>) -> io::Result<bool> {
        let stored = self.read(name)?;
        Ok(stored.as_ref().map(|(stored, _)| &stored[..]) == bytes)
    }

    pub(super) fn read(&self, name: &EntryName) -> io::Result<Option<Living>> {
        let path = self.path.join(name.as_str());
        // Not blocking: opening a pipe would wait for somebody to write to it.
        let fd = match self.open_file(name.as_str(), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(not_opened(&path, error)),
        };
        let unreadable = |error| failed(&path, "cannot be read", error);
        let stat = fstat(&fd).map_err(|error| unreadable(error.into()))?;
        check_file(&stat, &path)?;
        let size = stat.st_size as u64;
        if size > LARGEST {
            return Ok(None);
        }
        // Enough capacity from the start: growing would leave a copy behind.
        let mut content = Zeroizing::new(Vec::with_capacity(size as usize + 64));
        File::from(fd).take(LARGEST).read_to_end(&mut content).map_err(unreadable)?;
        Ok(format::decode(name, &content, SystemTime::now()))
    }

    /// Writes a file that is not an entry yet.
    pub(super) fn write(&self, content: &[u8]) -> io::Result<Written<'_>> {
        let name = format!("{TEMPORARY}{:016x}", fastrand::u64(..));
        let unwritable = |error| failed(&self.path, "cannot be written to", error);
        let fd = self
            .open_file(&name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
            .map_err(|error| unwritable(error.into()))?;
        let written = Written { folder: self, name };
        File::from(fd).write_all(content).map_err(unwritable)?;
        Ok(written)
    }

    /// Waits for the lock. It is polled, at least once: a thread that blocks in `flock` while its holder is stopped
    /// could not be ended.
    pub(super) fn lock(&self, limit: &Limit) -> io::Result<Lock> {
        let (path, mut waited) = (self.path.join(LOCK), Duration::ZERO);
        let not_locked = |error: Errno| failed(&path, "cannot be locked", error);
        loop {
            let fd = self.open_file(LOCK, OFlags::RDWR | OFlags::CREATE).map_err(|error| not_opened(&path, error))?;
            let stat = fstat(&fd).map_err(not_locked)?;
            check_file(&stat, &path)?;
            match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let lock = Lock { file: File::from(fd) };
                    // If somebody removed the file, others may have locked a new one.
                    let current = statat(&self.fd, LOCK, AtFlags::SYMLINK_NOFOLLOW);
                    if current.is_ok_and(|current| current.st_ino == stat.st_ino) {
                        return Ok(lock);
                    }
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(not_locked(error)),
            }
            if limit.has_passed(waited) {
                return Err(refused(&path, format_args!("was locked for {:?}", limit.most)));
            }
            let pause = Duration::from_micros(fastrand::u64(100..2_000));
            thread::sleep(pause);
            waited += pause;
        }
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed(&self.path.join(name), "cannot be removed", error)),
        }
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        openat(&self.fd, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
    }
}

/// A complete file, which is removed when this is dropped.
pub(super) struct Written<'a> {
    folder: &'a Folder,
    name: String,
}

impl Written<'_> {
    /// Makes it the entry of that name, in one step.
    pub(super) fn replace(self, entry: &EntryName) -> io::Result<()> {
        let Folder { fd, path } = self.folder;
        renameat(fd, &self.name, fd, entry.as_str()).map_err(|error| failed(path, "cannot be written to", error))
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        // If it is an entry now, there is no file of that name.
        let _ = self.folder.remove(&self.name);
    }
}

pub(super) struct Lock {
    pub file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it is not enough if the process was forked meanwhile.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn check_file(stat: &Stat, path: &Path) -> io::Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refused(path, "is not a regular file (remove it)"));
    }
    check(stat, path, "600")
}

/// Refuses what belongs to somebody else, or what others can open.
fn check(stat: &Stat, path: &Path, right: &str) -> io::Result<()> {
    let (owner, user, mode) = (stat.st_uid, geteuid().as_raw(), Mode::from_raw_mode(stat.st_mode));
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if owner != user {
        let advice = if is_folder { "use a folder of its own" } else { "remove it" };
        let why = format!("belongs to user {owner}, and this process runs as user {user} ({advice})");
        return Err(refused(path, why));
    }
    if mode.intersects(Mode::RWXG | Mode::RWXO) {
        let found = (mode & (Mode::RWXU | Mode::RWXG | Mode::RWXO)).as_raw_mode();
        let or = if is_folder { "; the store creates a missing folder with that mode" } else { "" };
        let at = path.display();
        let why = format!("is open to other users: its mode is {found:04o} (chmod {right} {at}{or})");
        return Err(refused(path, why));
    }
    Ok(())
}

fn not_opened(path: &Path, error: Errno) -> io::Error {
    // The error itself differs between systems.
    match lstat(path).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Symlink) => refused(path, "is a symbolic link, which is not followed"),
        _ => failed(path, "cannot be opened", error),
    }
}

/// An operation that failed, such as "cannot be read".
fn failed(path: &Path, what: &str, cause: impl Into<io::Error>) -> io::Error {
    let cause = cause.into();
    io::Error::new(cause.kind(), format!("{} {what}: {cause}", path.display()))
}

/// What must not be used, or not now.
pub(super) fn refused(path: &Path, why: impl fmt::Display) -> io::Error {
    io::Error::other(format!("{} {why}", path.display()))
}
