//! What is wrong with the folder.

use std::{error::Error as StdError, fmt, io, path::Path};

use crate::error::Error;

/// What is wrong, and the cause. It names the file or the folder.
#[derive(Debug)]
pub(super) struct Failure {
    what: String,
    cause: Option<io::Error>,
}

impl Failure {
    pub(super) fn new(what: String) -> Self {
        Self { what, cause: None }
    }

    /// An operation that failed, such as "cannot be read".
    pub(super) fn of(path: &Path, what: &str, cause: impl Into<io::Error>) -> Self {
        Self { what: format!("{} {what}", path.display()), cause: Some(cause.into()) }
    }

    /// Whether it says nothing about how the store is set up.
    pub(super) fn may_pass(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};

        self.cause.as_ref().is_some_and(|io| matches!(io.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem))
    }

    pub(super) fn into_configuration_error(self) -> Error {
        let error = Error::configuration(format!("file_store: {self}"));
        match self.cause {
            Some(cause) => error.caused_by(Box::new(cause)),
            None => error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}
