//! What a run shows while it trains: a bar on a terminal, plain lines elsewhere; Ctrl-C ends it in good order.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use burn_sequence::training::{CurvePoint, Observer, StepReport};
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C end the run where it can go on from, after the current step or epoch; a second one ends the program.
pub fn catch_interrupts() {
    let caught = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\ninterrupted: ending in good order (again to end at once)");
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

/// How many runs and steps of the experiment are done, and the time that the others will take.
pub struct Overall {
    bar: ProgressBar,
    began: Instant,
    done: AtomicUsize,
    runs: AtomicUsize,
}

impl Overall {
    /// Above the bars of the runs.
    pub fn new(bars: &MultiProgress) -> Self {
        let style = ProgressStyle::with_template("{prefix:28} {bar:24} {msg} [{elapsed}]");
        let bar = bars.add(ProgressBar::new(0)).with_style(style.expect("a valid template"));
        bar.set_prefix("all");
        bar.enable_steady_tick(Duration::from_secs(1));
        Self { bar, began: Instant::now(), done: AtomicUsize::new(0), runs: AtomicUsize::new(0) }
    }

    /// Runs of so many steps are to come, whatever was expected before.
    pub fn expect(&self, runs: impl Iterator<Item = usize>) {
        self.runs.store(self.done.load(Ordering::SeqCst), Ordering::SeqCst);
        self.bar.set_length(self.bar.position());
        for steps in runs {
            self.runs.fetch_add(1, Ordering::SeqCst);
            self.bar.inc_length(steps as u64);
        }
        self.bar.set_message(self.message());
    }

    /// A run goes on after so many steps of earlier.
    fn skip(&self, steps: usize) {
        self.bar.dec_length(steps as u64);
        self.bar.set_message(self.message());
    }

    fn advance(&self, steps: usize) {
        self.bar.inc(steps as u64);
        self.bar.set_message(self.message());
    }

    /// One more run.
    pub fn finished(&self) {
        self.done.fetch_add(1, Ordering::SeqCst);
        self.bar.set_message(self.message());
        if self.bar.is_hidden() {
            println!("{} after {:.0} s", self.message(), self.began.elapsed().as_secs_f64());
        }
    }

    fn message(&self) -> String {
        let [done, runs] = [&self.done, &self.runs].map(|count| count.load(Ordering::SeqCst));
        let (taken, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let left = match taken {
            0 => String::new(),
            _ => {
                let left = self.began.elapsed().mul_f64(all.saturating_sub(taken) as f64 / taken as f64);
                format!(", about {} left", HumanDuration(left))
            }
        };
        format!("{done} of {runs} runs{left}")
    }
}

/// Shows one run.
pub struct Progress {
    overall: Option<Arc<Overall>>,
    title: String,
    bar: ProgressBar,
    accuracy: f64,
    last_line: usize,
    steps: usize,
    /// Steps done, in this process or earlier.
    step: usize,
    /// Steps done in this process.
    seen: usize,
    /// Whether it is known how many were done earlier.
    begun: bool,
}

impl Progress {
    /// A bar for a run of `steps` steps, among those of the runs beside it; `overall`: it is one of several.
    pub fn new(bars: &MultiProgress, overall: Option<&Arc<Overall>>, title: &str, steps: usize) -> Self {
        let style = ProgressStyle::with_template("{prefix:28} {bar:24} {pos}/{len} {msg} [{elapsed}<{eta}]");
        let bar = bars.add(ProgressBar::new(steps as u64)).with_style(style.expect("a valid template"));
        bar.set_prefix(title.to_string());
        let overall = overall.cloned();
        Self {
            overall,
            title: title.into(),
            bar,
            accuracy: 0.0,
            last_line: 0,
            steps,
            step: 0,
            seen: 0,
            begun: false,
        }
    }

    /// What it is called.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// It is trained, and is asked this question of so many.
    pub fn asks(&mut self, question: usize, questions: usize) {
        self.goes_on_after(self.steps);
        self.reach(self.steps);
        self.bar.set_message(format!("question {question} of {questions}"));
    }

    /// Before its first step in this process: so many were done earlier, and took none of its time.
    pub fn goes_on_after(&mut self, steps: usize) {
        if !std::mem::replace(&mut self.begun, true) {
            self.step = steps;
            self.bar.set_position(steps as u64);
            self.bar.reset_eta();
            self.overall.iter().for_each(|overall| overall.skip(steps));
        }
    }

    fn reach(&mut self, step: usize) {
        self.overall.iter().for_each(|overall| overall.advance(step - self.step));
        self.step = step;
    }

    /// Leaves the finished bar on the screen.
    pub fn finish(&self) {
        self.bar.abandon_with_message("done");
    }
}

impl Observer for Progress {
    fn on_step(&mut self, report: &StepReport) -> ControlFlow<()> {
        if report.step == 1 {
            (self.accuracy, self.last_line, self.seen) = (0.0, 0, 0);
        }
        self.goes_on_after(report.step - 1);
        self.reach(report.step);
        // The accuracy of a step alone jumps about.
        self.seen += 1;
        self.accuracy += (report.accuracy - self.accuracy) / 20.0_f64.min(self.seen as f64);
        let message = format!("loss {:.3} accuracy {:.3}", report.loss, self.accuracy);
        let every = (report.steps / 10).max(1);
        if !self.bar.is_hidden() {
            self.bar.set_message(message);
            self.bar.set_position(report.step as u64);
        } else if report.step / every > self.last_line {
            self.last_line = report.step / every;
            let seconds = report.elapsed.as_secs_f64();
            let left = seconds / self.seen as f64 * (report.steps - report.step) as f64;
            println!(
                "{}: step {}/{} {message} ({seconds:.0} s, about {left:.0} s left)",
                self.title, report.step, report.steps
            );
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
