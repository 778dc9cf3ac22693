//! Natural text.

use std::path::Path;

use burn_sequence::{Error, Result};

use super::{files, folder};

/// A file's.
///
/// # Errors
///
/// If it cannot be read.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })
}

/// The sentences of this project's pages: text that no published model has seen.
///
/// # Errors
///
/// If they are not there.
pub fn documentation() -> Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let pages = ["design.md", "choosing-a-mixer.md", "adding-a-mixer.md", "notation.md"];
    let pages = pages.iter().map(|page| read(&folder.join(page))).collect::<Result<Vec<_>>>()?;
    let mut code = false;
    let prose = |line: &&str| {
        code ^= line.starts_with("```");
        !code && !line.starts_with(['`', '|', '#', '-'])
    };
    Ok(pages.iter().flat_map(|page| page.lines()).filter(prose).collect::<Vec<_>>().join(" "))
}

/// Keeps the text beside the records of models that read it.
///
/// # Errors
///
/// If there are runs, and another text or none; or if it cannot be written.
pub fn only(folder: &Path, text: &str) -> Result<()> {
    let path = folder.join("text.txt");
    if folder::holds_runs(folder) {
        let problem = match path.is_file() {
            true if read(&path)? == text => return Ok(()),
            true => "runs there read this, not the text given now: name another folder by --out",
            false => "is missing, and runs there read one: put it there, or name another folder by --out",
        };
        return Err(Error::File { path, problem: problem.into() });
    }
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })?;
    files::write(&path, text)
}
