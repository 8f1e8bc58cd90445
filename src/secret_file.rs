//! Reads a file that holds a secret.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// Larger files are refused.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What is wrong with the file, and the cause.
#[derive(Clone)]
pub(crate) struct NotRead(pub &'static str, pub Option<Arc<io::Error>>);

impl NotRead {
    /// `field` is the name of the file's setting.
    pub(crate) fn into_error(self, kind: ErrorKind, field: &str, shown_path: &str) -> Error {
        let error = Error::new(kind, format!("{field}: the file {shown_path} {}", self.0));
        match self.1 {
            Some(cause) => error.caused_by(Box::new(io::Error::new(cause.kind(), cause))),
            None => error,
        }
    }
}

/// The path as errors and `Debug` show it, unless it looks like the content of a file.
pub(crate) fn shown_path(path: &Path) -> String {
    let text = path.display().to_string();
    let is_content = text.contains("-----BEGIN ") || text.starts_with("eyJ") || text.contains(char::is_control);
    if is_content { "[redacted] (write its path, not its content)".into() } else { text }
}

/// The text of a regular file, without a byte order mark and the line ends at its end.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, NotRead> {
    let bytes = read_bytes(path, MAX_FILE_BYTES + 1)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(NotRead("is larger than 64 KiB", None));
    }
    let Ok(text) = std::str::from_utf8(&bytes) else { return Err(NotRead("is not UTF-8", None)) };
    match text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']) {
        "" => Err(NotRead("is empty", None)),
        value => Ok(Zeroizing::new(value.to_owned())),
    }
}

/// At most `limit` bytes of a regular file.
pub(crate) fn read_bytes(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, NotRead> {
    let unreadable = |error| NotRead("cannot be read", Some(Arc::new(error)));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    // Opening a pipe blocks until another process writes to it, and a device may never end.
    if !metadata.is_file() {
        return Err(NotRead("is not a regular file", None));
    }
    // Enough capacity from the start: growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(limit) as usize + 64));
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
    Ok(bytes)
}
