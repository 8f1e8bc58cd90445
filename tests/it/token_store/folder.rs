//! A folder for one test.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

/// Does not exist at first, and is removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// `name` is different in each test.
    pub(super) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("client-credentials-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
