//! Folders of one run at a time.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use crate::{Error, Result};

/// Makes a folder this run's, as long as the file is open; where the file system has no locks it goes without.
///
/// # Errors
///
/// If another run has it, of this process or of another; or if it cannot be written.
pub(super) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(Error::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let problem = "another run is training in this folder; wait for it, or name another folder";
            Err(Error::file(folder, problem))
        }
        Err(TryLockError::Error(source)) if source.kind() == ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(source)) => Err(Error::io(&path)(source)),
    }
}
