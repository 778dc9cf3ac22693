//! Files that are either whole or not there.

use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// Writes under a temporary name beside `path`, then renames.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_together(&[(path, bytes)])
}

/// Writes files that belong together, all under temporary names first: what can fail has failed before the first is renamed.
pub(crate) fn write_together(files: &[(&Path, &[u8])]) -> Result<()> {
    let written: Vec<NamedTempFile> =
        files.iter().map(|(path, bytes)| beside(path, bytes)).collect::<Result<_>>()?;
    for (file, (path, _)) in written.into_iter().zip(files) {
        file.persist(path).map_err(|problem| Error::io(path)(problem.error))?;
    }
    Ok(())
}

/// These bytes in a file without a name that stays.
fn beside(path: &Path, bytes: &[u8]) -> Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // As any new file's, less what the user's mask takes away: a temporary one is its owner's alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(Error::io(path))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    file.as_file().sync_all().map_err(Error::io(path))?;
    Ok(file)
}
