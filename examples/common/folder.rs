//! The folder of an experiment: its records, and whose it is.

use std::fs::{DirEntry, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use burn_sequence::{Error, Result};

use super::records::{CurveRecord, Record, Records, Run};

/// The records of an experiment.
#[derive(Default)]
pub struct Results {
    pub records: Vec<Record>,
    pub curves: Vec<CurveRecord>,
    /// Runs whose loss stopped being a number.
    pub diverged: Vec<Run>,
}

/// The files of an experiment's folder.
pub struct Files {
    pub records: Records<Record>,
    pub curves: Records<CurveRecord>,
    pub diverged: Records<Run>,
}

impl Files {
    fn paths(folder: &Path) -> [PathBuf; 3] {
        ["results.jsonl", "curves.jsonl", "diverged.jsonl"].map(|name| folder.join(name))
    }

    /// To add to them; they are made where there are none.
    ///
    /// # Errors
    ///
    /// If they cannot be read or written.
    pub fn open(folder: &Path) -> Result<Self> {
        let [records, curves, diverged] = Self::paths(folder);
        Ok(Self {
            records: Records::open(&records)?,
            curves: Records::open(&curves)?,
            diverged: Records::open(&diverged)?,
        })
    }

    /// Whether this is what was written down of a run's training. Trained again, on another machine or by another version, it may
    /// have come out as another model.
    pub fn hold(&self, run: &Run, curve: &[CurveRecord]) -> bool {
        self.curves.records.iter().filter(|point| point.run == *run).eq(curve)
    }

    /// What they hold.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn read(folder: &Path) -> Result<Results> {
        let [records, curves, diverged] = Self::paths(folder);
        Ok(Results {
            records: Records::read(&records)?,
            curves: Records::read(&curves)?,
            diverged: Records::read(&diverged)?,
        })
    }
}

/// Whether a folder holds records, or a run that was begun.
pub fn holds_runs(folder: &Path) -> bool {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let holds_records = |file: DirEntry| {
        file.path().extension().is_some_and(|kind| kind == "jsonl")
            && file.metadata().is_ok_and(|file| file.len() > 0)
    };
    entries(&folder.join("state")).next().is_some() || entries(folder).any(holds_records)
}

/// Whether runs may go into a folder: where there are some already, by `--resume` alone.
///
/// # Errors
///
/// [`Error::Config`] if not.
pub fn check_new(folder: &Path, resume: bool) -> Result<()> {
    if !resume && holds_runs(folder) {
        return Err(Error::Config(format!(
            "{} holds earlier runs: go on with them by --resume, or name another folder by --out",
            folder.display()
        )));
    }
    Ok(())
}

/// Makes a folder this process's, as long as the file is open: two would overwrite each other's records. Where the file system
/// has no locks it goes without.
///
/// # Errors
///
/// If another has it, or it cannot be written.
pub fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let io = |source| Error::Io { path: path.clone(), source };
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })?;
    let file = File::create(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Config(format!(
            "{}: another process is running in this folder; wait, or name another by --out",
            folder.display()
        ))),
        Err(TryLockError::Error(source)) if source.kind() == ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}
