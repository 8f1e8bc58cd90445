//! Reads a file that holds a secret.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use zeroize::Zeroizing;

/// Larger files are refused.
const MAX_FILE_BYTES: u64 = 64 * 1024;

pub(crate) type SecretText = Zeroizing<String>;

/// What is wrong with the file, and the cause.
#[derive(Clone)]
pub(crate) struct NotRead(pub &'static str, pub Option<Arc<io::Error>>);

/// The path as errors and `Debug` show it, unless it looks like the content of a file.
pub(crate) fn shown_path(path: &Path) -> String {
    let text = path.display().to_string();
    let is_content = text.contains("-----BEGIN ") || text.starts_with("eyJ") || text.contains(char::is_control);
    if is_content { "[redacted] (write its path, not its content)".into() } else { text }
}

/// The text of a regular file, without a byte order mark and the line ends at its end.
pub(crate) fn read(path: &Path) -> Result<SecretText, NotRead> {
    let unreadable = |error| NotRead("cannot be read", Some(Arc::new(error)));
    let kind = fs::metadata(path).map_err(unreadable)?.file_type();
    // Opening a pipe blocks until another process writes to it, and a device may never end. Reading a directory fails
    // with its own error.
    if !kind.is_file() && !kind.is_dir() {
        return Err(NotRead("is not a regular file", None));
    }
    let bytes = read_bytes(path).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(NotRead("is larger than 64 KiB", None));
    }
    let Ok(text) = std::str::from_utf8(&bytes) else { return Err(NotRead("is not UTF-8", None)) };
    match text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']) {
        "" => Err(NotRead("is empty", None)),
        value => Ok(Zeroizing::new(value.to_owned())),
    }
}

fn read_bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    // Enough capacity from the start: growing would leave a copy behind.
    let size = file.metadata()?.len().min(MAX_FILE_BYTES) as usize;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 64));
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
