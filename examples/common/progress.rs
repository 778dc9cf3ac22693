//! What a run shows while it trains: a bar on a terminal, plain lines elsewhere; Ctrl-C ends it in good order.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn_sequence::training::{CurvePoint, Observer, StepReport};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C end the run after the current step; a second one ends the program.
pub fn catch_interrupts() {
    let caught = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\ninterrupted: saving after this step (again to end at once)");
    });
    if let Err(problem) = caught {
        eprintln!("Ctrl-C will end the program at once: {problem}");
    }
}

/// As Ctrl-C does.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// Whether Ctrl-C was pressed.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// How many runs of the experiment are done, and the time that the others will take.
pub struct Overall {
    bar: ProgressBar,
    began: Instant,
}

impl Overall {
    /// Above the bars of the runs.
    pub fn new(bars: &MultiProgress) -> Self {
        let style = ProgressStyle::with_template("{prefix:28} {bar:24} {pos}/{len} runs [{elapsed}<{eta}]");
        let bar = bars.add(ProgressBar::new(0)).with_style(style.expect("a valid template"));
        bar.set_prefix("all");
        bar.tick();
        Self { bar, began: Instant::now() }
    }

    /// So many runs are left.
    pub fn expect(&self, left: usize) {
        self.bar.set_length(self.bar.position() + left as u64);
    }

    /// One more.
    pub fn finished(&self) {
        self.bar.inc(1);
        if self.bar.is_hidden() {
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let spent = self.began.elapsed().as_secs_f64();
            let left = spent / done as f64 * all.saturating_sub(done) as f64;
            println!("{done} of {all} runs done in {spent:.0} s, about {left:.0} s left");
        }
    }
}

/// Shows one run.
pub struct Progress {
    title: String,
    bar: ProgressBar,
    accuracy: f64,
    last_line: usize,
}

impl Progress {
    /// A bar for a run of `steps` steps, among those of the runs beside it.
    pub fn new(bars: &MultiProgress, title: &str, steps: usize) -> Self {
        let style = ProgressStyle::with_template("{prefix:28} {bar:24} {pos}/{len} {msg} [{elapsed}<{eta}]");
        let bar = bars.add(ProgressBar::new(steps as u64)).with_style(style.expect("a valid template"));
        bar.set_prefix(title.to_string());
        Self { title: title.into(), bar, accuracy: 0.0, last_line: 0 }
    }

    /// What it is called.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Leaves the finished bar on the screen.
    pub fn finish(&self) {
        self.bar.abandon();
    }
}

impl Observer for Progress {
    fn on_step(&mut self, report: &StepReport) -> ControlFlow<()> {
        if report.step == 1 {
            (self.accuracy, self.last_line) = (0.0, 0);
        }
        // The accuracy of a step alone jumps about.
        self.accuracy += (report.accuracy - self.accuracy) / 20.0_f64.min(report.step as f64);
        let message = format!("loss {:.3} accuracy {:.3}", report.loss, self.accuracy);
        let every = (report.steps / 10).max(1);
        if !self.bar.is_hidden() {
            self.bar.set_message(message);
            self.bar.set_position(report.step as u64);
        } else if report.step / every > self.last_line {
            self.last_line = report.step / every;
            let seconds = report.elapsed.as_secs_f64();
            println!("{}: step {}/{} {message} ({seconds:.0} s)", self.title, report.step, report.steps);
        }
        if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn on_evaluation(&mut self, point: &CurvePoint) {
        if self.bar.is_hidden() {
            let (examples, accuracy) = (point.examples, point.string_accuracy);
            println!("{}: {examples} examples seen, string accuracy {accuracy:.3}", self.title);
        }
    }
}
