//! Files that are whole or not there.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use burn_sequence::{Error, Result};

/// Writes under a temporary name, and renames.
///
/// # Errors
///
/// If that cannot be done.
pub fn write(path: &Path, content: &str) -> Result<()> {
    let io = |source| Error::Io { path: path.into(), source };
    let temporary = path.with_added_extension("tmp");
    let mut file = File::create(&temporary).map_err(io)?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    std::fs::rename(&temporary, path).map_err(io)
}
