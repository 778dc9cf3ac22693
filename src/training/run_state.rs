//! A run on disk: what it needs to go on as if it had never stopped.
//!
//! `run.json` is written last, under a temporary name, and names the files of parameters and optimiser; so
//! whatever interrupts a save, the last whole state is the one that is found.

use std::fs::File;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::ModuleRecord;
use burn::tensor::Bytes;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::config::TrainingConfig;
use super::lock::lock;
use super::observer::CurvePoint;
use crate::evaluation::answer_logits;
use crate::files::write_atomically;
use crate::layers::SequenceMixer;
use crate::models::LanguageModel;
use crate::tasks::{Batch, Task, fingerprint};
use crate::{Error, Result};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) step: usize,
    pub(super) examples: usize,
    pub(super) seconds: f64,
    pub(super) curve: Vec<CurvePoint>,
}

#[derive(Serialize, Deserialize)]
struct RunFile {
    /// What must be the same for the run to be the same: settings, task, and the size of the model.
    settings: serde_json::Value,
    progress: Progress,
    model: String,
    optimizer: String,
    /// What the model said to the folder's question; nothing in files older than this.
    #[serde(default)]
    answer: Vec<f64>,
}

const RUN: &str = "run.json";

/// A folder that holds the state of one run.
pub(super) struct RunFolder {
    path: PathBuf,
    settings: serde_json::Value,
    /// Models of one size whose layers differ, in their positions for example, answer it differently with the same weights.
    /// `None` where the task seldom asks for anything.
    question: Option<Batch>,
    /// Open as long as the folder is this run's: two would remove each other's files.
    _lock: File,
}

impl RunFolder {
    /// Makes the folder, so that one that cannot be written is known before anything is trained.
    pub(super) fn open(
        path: &Path,
        config: &TrainingConfig,
        task: &(impl Task + ?Sized),
        parameters: usize,
    ) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(Error::io(path))?;
        tempfile::tempfile_in(path).map_err(Error::io(path))?;
        let lock = lock(path)?;
        let plain = TrainingConfig { folder: None, ..config.clone() };
        let settings = serde_json::json!({
            "training": plain,
            "task": task.name(),
            "lengths": task.lengths(),
            "example": fingerprint(task),
            "parameters": parameters,
        });
        let question = (0..64)
            .map(|seed| task.training_example(&mut ChaCha8Rng::seed_from_u64(seed)))
            .find(|example| !example.targets.is_empty())
            .map(|example| Batch::evaluation(vec![example], task.padding()));
        Ok(Self { path: path.into(), settings, question, _lock: lock })
    }

    /// Logits at the last target of the question: a few; none if one is not finite, or nothing is asked.
    fn answer<M: SequenceMixer>(&self, model: &LanguageModel<M>) -> Vec<f64> {
        let Some(question) = &self.question else { return Vec::new() };
        let logits = answer_logits(&model.valid(), question);
        let [targets, _] = logits.dims();
        let last: Vec<f64> = logits.narrow(0, targets - 1, 1).into_data().iter::<f64>().take(64).collect();
        if last.iter().all(|logit| logit.is_finite()) { last } else { Vec::new() }
    }

    pub(super) fn save<M: SequenceMixer>(
        &self,
        model: &LanguageModel<M>,
        optimizer: &ModuleOptimizer,
        progress: &Progress,
    ) -> Result<()> {
        let step = progress.step;
        let (model_name, optimizer_name) = (format!("model-{step}.bpk"), format!("optimizer-{step}.bpk"));
        let place = |name: &str| self.path.join(name);
        let bytes = model.valid().into_record().into_bytes();
        write_atomically(&place(&model_name), &bytes.map_err(|problem| Error::file(&self.path, problem))?)?;
        let bytes = optimizer.into_bytes();
        write_atomically(
            &place(&optimizer_name),
            &bytes.map_err(|problem| Error::file(&self.path, problem))?,
        )?;
        let run = RunFile {
            settings: self.settings.clone(),
            progress: progress.clone(),
            model: model_name,
            optimizer: optimizer_name,
            answer: self.answer(model),
        };
        let json = serde_json::to_vec_pretty(&run).expect("a run is plain data");
        write_atomically(&place(RUN), &json)?;
        self.remove_older(&[&run.model, &run.optimizer]);
        Ok(())
    }

    /// What is left behind is only clutter: failing to remove it fails nothing.
    fn remove_older(&self, current: &[&str]) {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_of_a_step(&name) && !current.contains(&name.as_str()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// The model and the optimiser of the run that is there. `optimizer` makes one for a model's parameters, whose
    /// identities come with the file.
    pub(super) fn load<M: SequenceMixer>(
        &self,
        model: LanguageModel<M>,
        optimizer: impl FnOnce(&LanguageModel<M>) -> ModuleOptimizer,
    ) -> Result<(LanguageModel<M>, ModuleOptimizer, Option<Progress>)> {
        let path = self.path.join(RUN);
        if !path.exists() {
            let optimizer = optimizer(&model);
            return Ok((model, optimizer, None));
        }
        let json = std::fs::read(&path).map_err(Error::io(&path))?;
        let run: RunFile = serde_json::from_slice(&json).map_err(|problem| {
            Error::file(&path, format!("{problem}; remove {} to begin anew", self.path.display()))
        })?;
        if run.settings != self.settings {
            let (found, asked) = (&run.settings, &self.settings);
            let problem = format!(
                "the run there was started with other settings ({found}, asked for {asked}); use another folder or the same settings"
            );
            return Err(Error::file(&path, problem));
        }
        let model_path = self.path.join(&run.model);
        let record = ModuleRecord::from_bytes(read(&model_path)?)
            .map_err(|problem| Error::file(&model_path, problem))?;
        let model = model.try_load_record(record).map_err(|problem| Error::file(&model_path, problem))?;
        if !alike(&run.answer, &self.answer(&model)) {
            let problem = "the run there is of another architecture of the same size: with its weights this model \
                           says other things; use another folder or the same model";
            return Err(Error::file(&path, problem));
        }
        let optimizer_path = self.path.join(&run.optimizer);
        let optimizer = optimizer(&model)
            .from_bytes(read(&optimizer_path)?)
            .map_err(|problem| Error::file(&optimizer_path, problem))?;
        Ok((model, optimizer, Some(run.progress)))
    }
}

/// Whether a file's name is one that [`RunFolder::save`] gives.
fn is_of_a_step(name: &str) -> bool {
    ["model-", "optimizer-"]
        .iter()
        .find_map(|kind| name.strip_prefix(kind)?.strip_suffix(".bpk"))
        .is_some_and(|step| step.parse::<usize>().is_ok())
}

/// Whether two answers are the same, on whatever device each was said.
fn alike(a: &[f64], b: &[f64]) -> bool {
    let largest =
        |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |most: f64, value| most.max(value.abs()));
    let difference = largest(&mut a.iter().zip(b).map(|(a, b)| a - b));
    difference <= 1e-2 * largest(&mut a.iter().copied())
}

fn read(path: &Path) -> Result<Bytes> {
    Ok(Bytes::from_bytes_vec(std::fs::read(path).map_err(Error::io(path))?))
}
