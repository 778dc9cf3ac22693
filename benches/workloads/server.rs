//! One request a line, one reply a line.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::decoding::DecodingWorkload;
use crate::model::ModelRequest;
use crate::op::{self, OpWorkload};
use crate::training::TrainingWorkload;
use crate::{Variant, Workload, arrays, limits};

/// What is asked for.
#[derive(Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
enum Request {
    /// Replies `{"gemm": flop/s, "read": byte/s}`.
    Limits,
    /// Replies `{"available": whether there is such a workload}`.
    Load { workload: Kind },
    /// Writes what must agree to a file.
    Results { file: PathBuf },
    /// Replies `{"seconds": for one time}`.
    Run { variant: Variant, times: u32 },
}

/// What to load. The inputs of an op and the parameters of a model are in a file; so are `tokens [batch, seq]`.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind {
    Op { name: String, file: PathBuf },
    RandomOp { name: String, seq: usize },
    Training { model: ModelRequest, file: PathBuf },
    Decoding { model: ModelRequest, file: PathBuf, tokens: usize },
}

impl Kind {
    fn load(self) -> Option<Box<dyn Workload>> {
        let op = |found: Option<OpWorkload>| found.map(|op| Box::new(op) as Box<dyn Workload>);
        match self {
            Self::Op { name, file } => op(OpWorkload::new(&name, |_| arrays::read(&file))),
            Self::RandomOp { name, seq } => op(OpWorkload::new(&name, |op| op::random(op, seq))),
            Self::Training { model, file } => {
                let arrays = arrays::read(&file);
                Some(Box::new(TrainingWorkload::new(model.build(&arrays), &arrays["tokens"])))
            }
            Self::Decoding { model, file, tokens } => {
                let arrays = arrays::read(&file);
                Some(Box::new(DecodingWorkload::new(model.build(&arrays), &arrays["tokens"], tokens)))
            }
        }
    }
}

/// Answers until stdin ends.
///
/// # Panics
///
/// Where a request makes no sense: the other side reads the message and stops.
pub fn serve() {
    let mut workload = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("requests are text");
        let request = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let reply = answer(request, &mut workload);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{reply}").and_then(|()| out.flush()).expect("someone reads the replies");
    }
}

fn answer(request: Request, workload: &mut Option<Box<dyn Workload>>) -> Value {
    match request {
        Request::Limits => json!({ "gemm": limits::gemm(), "read": limits::read() }),
        Request::Load { workload: kind } => {
            *workload = kind.load();
            json!({ "available": workload.is_some() })
        }
        Request::Results { file } => {
            arrays::write(&workload.as_mut().expect("one was loaded").results(), &file);
            json!({})
        }
        Request::Run { variant, times } => {
            let workload = workload.as_mut().expect("one was loaded");
            let spent: Duration = (0..times).map(|_| workload.run(variant)).sum();
            json!({ "seconds": spent.as_secs_f64() / f64::from(times) })
        }
    }
}
