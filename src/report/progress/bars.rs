//! Progress as bars on a terminal: one for each step that runs, one for each layer that moves. What ended becomes a line.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::plain::{line, short, step, took};
use super::Progress;
use crate::engine::Event;

/// Bars that move. Without colour: everything is said in words.
pub struct Bars {
    all: MultiProgress,
    steps: BTreeMap<String, Step>,
    /// Bars with bytes by step and thing, or by layer.
    moving: BTreeMap<String, ProgressBar>,
    cached: usize,
}

struct Step {
    name: String,
    bar: Option<ProgressBar>,
}

/// Names longer than this push what moves off the line.
const NAME: usize = 64;

impl Bars {
    /// Returns bars drawn on `target`.
    pub fn new(target: ProgressDrawTarget) -> Self {
        let all = MultiProgress::with_draw_target(target);
        Self { all, steps: BTreeMap::new(), moving: BTreeMap::new(), cached: 0 }
    }

    fn started(&mut self, id: &str) {
        let step =
            self.steps.entry(id.to_owned()).or_insert_with(|| Step { name: short(id, NAME), bar: None });
        if step.bar.is_none() {
            let bar = self.all.add(ProgressBar::new_spinner().with_style(spinner()));
            bar.set_prefix(step.name.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
            step.bar = Some(bar);
        }
    }

    fn ended(&mut self, id: &str, cached: bool, error: Option<&str>) -> io::Result<()> {
        let of_step = format!("{id} ");
        self.moving.retain(|key, bar| {
            let ended = key.starts_with(&of_step);
            if ended {
                bar.finish_and_clear();
            }
            !ended
        });
        let Some(step) = self.steps.get_mut(id) else { return Ok(()) };
        let elapsed = step.bar.take().map(|bar| {
            bar.finish_and_clear();
            took(bar.elapsed())
        });
        match error {
            Some(error) => self.all.println(format!("  failed  {}: {}", step.name, line(error))),
            None if cached => {
                self.cached += 1;
                Ok(())
            }
            None => {
                let elapsed = elapsed.map(|elapsed| format!(" ({elapsed})")).unwrap_or_default();
                self.all.println(format!("  done    {}{elapsed}", step.name))
            }
        }
    }

    /// Moves the bar called `key`; one that has arrived goes away.
    fn moved(&mut self, key: &str, name: &str, current: u64, total: u64) {
        if total == 0 || current >= total {
            if let Some(bar) = self.moving.remove(key) {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = self.moving.entry(key.to_owned()).or_insert_with(|| {
            self.all.add(ProgressBar::new(total).with_style(bytes_bar()).with_prefix(short(name, 32)))
        });
        bar.set_length(total);
        bar.set_position(current);
    }

    fn say_cached(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.cached) {
            0 => Ok(()),
            1 => self.all.println("  cached  1 step"),
            count => self.all.println(format!("  cached  {count} steps")),
        }
    }
}

fn spinner() -> ProgressStyle {
    styled("  {spinner} {prefix} {elapsed} {wide_msg}", ProgressStyle::default_spinner())
}

fn bytes_bar() -> ProgressStyle {
    let style = styled(
        "  {prefix:32} [{wide_bar}] {decimal_bytes:>9} of {decimal_total_bytes:9} {decimal_bytes_per_sec}",
        ProgressStyle::default_bar(),
    );
    style.progress_chars("=> ")
}

/// A template that does not parse would be a defect; bars then look as the library's own.
fn styled(template: &str, otherwise: ProgressStyle) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or(otherwise)
}

impl Progress for Bars {
    fn stage(&mut self, name: &str, about: &str) -> io::Result<()> {
        self.finish()?;
        self.all.println(format!("{} {}", line(name), line(about)).trim_end())
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Step { id, name } => {
                let name = step(name, NAME);
                self.steps.entry(id.clone()).or_insert(Step { name, bar: None });
            }
            Event::StepStarted { id } => self.started(id),
            Event::StepEnded { id, cached, error } => self.ended(id, *cached, error.as_deref())?,
            Event::Progress { id, what, current, total } => {
                self.moved(&format!("{id} {what}"), what, *current, *total);
            }
            Event::Output { id, line: written } => {
                if let Some(bar) = self.steps.get(id).and_then(|step| step.bar.as_ref()) {
                    bar.set_message(line(written));
                }
            }
            Event::Warning { message, .. } => self.all.println(format!("  warning {}", line(message)))?,
            Event::Layer { id, status, current, total } => {
                self.moved(&format!("layer {id}"), &format!("{id} {status}"), *current, *total);
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        for bar in std::mem::take(&mut self.moving).into_values() {
            bar.finish_and_clear();
        }
        for step in std::mem::take(&mut self.steps).into_values() {
            if let Some(bar) = step.bar {
                bar.finish_and_clear();
            }
        }
        self.say_cached()
    }
}
