//! What a run of burn-train shows: its dashboard on a terminal, a line for each epoch elsewhere.

use std::collections::BTreeMap;
use std::time::Instant;

use burn::train::Interrupter;
use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, NumericEntry};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining,
    default_renderer,
};

use super::common::progress::interrupted;

/// For where the output goes; there is one terminal.
pub fn renderer(dashboard: bool, interrupter: Interrupter, title: &str) -> Box<dyn MetricsRenderer> {
    if dashboard {
        return default_renderer(interrupter, None);
    }
    let title = title.to_string();
    Box::new(Lines {
        interrupter,
        title,
        epochs: 0,
        began: Instant::now(),
        done: 0,
        names: BTreeMap::new(),
        last: BTreeMap::new(),
    })
}

/// The last value of every metric, told after each epoch.
struct Lines {
    interrupter: Interrupter,
    title: String,
    epochs: usize,
    began: Instant,
    /// Epochs since then.
    done: usize,
    /// By the metrics' identities.
    names: BTreeMap<String, String>,
    last: BTreeMap<String, f64>,
}

impl Lines {
    fn keep(&mut self, part: &str, state: MetricState) {
        if let MetricState::Numeric(entry, Some(value @ NumericEntry::Final(_))) = state {
            let identity = format!("{:?}", entry.metric_id);
            let name = self.names.get(&identity).map_or("", |name| name);
            self.last.insert(format!("{part} {}", name.to_lowercase()), value.current());
        }
    }
}

impl MetricsRendererTraining for Lines {
    fn update_train(&mut self, state: MetricState) {
        self.keep("train", state);
    }

    fn update_valid(&mut self, state: MetricState) {
        self.keep("valid", state);
    }
}

impl TrainingProgressLogger for Lines {
    fn start(&mut self, total_epochs: usize, _: usize, _: Option<usize>, _: Option<&str>) {
        (self.epochs, self.began, self.done) = (total_epochs, Instant::now(), 0);
    }

    fn update_epoch(&mut self, epoch: usize) {
        let values: Vec<String> =
            self.last.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
        self.done += 1;
        let seconds = self.began.elapsed().as_secs_f64();
        let left = seconds / self.done as f64 * self.epochs.saturating_sub(epoch) as f64;
        println!(
            "{}: epoch {epoch} of {} ({seconds:.0} s, about {left:.0} s left): {}",
            self.title,
            self.epochs,
            values.join(", ")
        );
    }

    fn start_split(&mut self, _: &str, _: usize) {}

    fn update_split(&mut self, _: usize) {
        if interrupted() {
            self.interrupter.stop(Some("Ctrl-C"));
        }
    }

    fn end_split(&mut self) {}

    fn end(&mut self) {}

    fn log_event_training(&mut self, _: String) {}
}

impl EvaluationProgressLogger for Lines {
    fn start_global_progress(&mut self, _: usize) {}

    fn start_test(&mut self, _: &str, _: usize) {}

    fn update_test_progress(&mut self, _: usize) {}

    fn end_test(&mut self) {}

    fn end_global_progress(&mut self) {}

    fn log_event_evaluation(&mut self, _: String) {}
}

impl MetricsRendererEvaluation for Lines {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl MetricsRenderer for Lines {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.names.insert(format!("{:?}", definition.metric_id), definition.name.to_string());
    }
}
