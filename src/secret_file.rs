//! Reads a file that holds a secret.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// Larger files are refused.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The path as errors and `Debug` show it, unless it looks like the content of a file.
pub(crate) fn shown_path(path: &Path) -> String {
    let text = path.display().to_string();
    let is_content = text.contains("-----BEGIN ") || text.starts_with("eyJ") || text.contains(char::is_control);
    if is_content { "[redacted] (write its path, not its content)".into() } else { text }
}

/// The text of a regular file, without a byte order mark and the line ends at its end. `subject` is the file in errors,
/// which are of this kind.
pub(crate) fn read(path: &Path, subject: &str, kind: ErrorKind) -> Result<Zeroizing<String>, Error> {
    let refuse = |what| Err(Error::new(kind, format!("{subject} {what}")));
    let bytes = read_bytes(path, MAX_FILE_BYTES + 1, subject, kind)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return refuse("is larger than 64 KiB");
    }
    let Ok(text) = std::str::from_utf8(&bytes) else { return refuse("is not UTF-8") };
    match text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']) {
        "" => refuse("is empty"),
        value => Ok(Zeroizing::new(value.to_owned())),
    }
}

/// At most `limit` bytes of a regular file.
pub(crate) fn read_bytes(path: &Path, limit: u64, subject: &str, kind: ErrorKind) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unreadable = |error| Error::new(kind, format!("{subject} cannot be read")).caused_by(Box::new(error));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    // Opening a pipe blocks until another process writes to it, and a device may never end.
    if !metadata.is_file() {
        return Err(Error::new(kind, format!("{subject} is not a regular file")));
    }
    // Enough capacity from the start: growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(limit) as usize + 64));
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
    Ok(bytes)
}
