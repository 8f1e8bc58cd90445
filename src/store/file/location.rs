//! Where the folder is.

use std::{
    env,
    path::{self, Component, Path, PathBuf},
};

use crate::error::Error;

/// The same folder, also after the process has changed its working directory.
pub(super) fn absolute(folder: &Path) -> Result<PathBuf, Error> {
    let path = path::absolute(folder).map_err(|error| {
        Error::configuration("file_store: the path of the folder cannot be used").caused_by(Box::new(error))
    })?;
    // Without a slash at its end, behind which a symbolic link would be followed.
    Ok(path.components().collect())
}

pub(super) fn in_user_cache_dir(tool: &str) -> Result<PathBuf, Error> {
    let mut components = Path::new(tool).components();
    if !matches!((components.next(), components.next()), (Some(Component::Normal(name)), None) if name == tool) {
        return Err(Error::configuration("file_store: the name of the tool is not one of a folder, such as my-tool"));
    }
    let caches = user_cache_dir().ok_or_else(|| {
        let variables = if cfg!(target_os = "macos") { "HOME is not" } else { "neither XDG_CACHE_HOME nor HOME is" };
        let error = Error::configuration(format!("file_store: {variables} set to an absolute path"));
        error.with_advice("FileStore::new names the folder")
    })?;
    Ok(caches.join(tool).join("tokens"))
}

fn user_cache_dir() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(target_os = "macos") {
        return Some(folder("HOME")?.join("Library/Caches"));
    }
    folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))
}
