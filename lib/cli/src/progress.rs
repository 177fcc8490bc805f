//! A progress bar for work that takes longer than a second.
//!
//! On a terminal only; never on stdout.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::words::say;

const PATIENCE: Duration = Duration::from_secs(1);

/// Shows how far a transfer is, once it has taken a second.
pub struct Progress {
    bar: ProgressBar,
    began: Instant,
    shown: bool,
    allowed: bool,
}

impl Progress {
    /// Begins; `total` in bytes where it is known. `quiet` shows nothing.
    pub fn start(title: &str, total: Option<u64>, quiet: bool) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_style(style(total.is_some()));
        bar.set_message(crate::text::visible(&say(title)).into_owned());
        Progress {
            bar,
            began: Instant::now(),
            shown: false,
            allowed: !quiet && io::stderr().is_terminal(),
        }
    }

    /// Says that so many bytes more are done.
    pub fn advance(&mut self, bytes: u64) {
        self.bar.inc(bytes);
        if self.allowed && !self.shown && self.began.elapsed() >= PATIENCE {
            self.shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.tick();
        }
    }

    /// Returns how many bytes are done.
    pub fn done(&self) -> u64 {
        self.bar.position()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(known: bool) -> ProgressStyle {
    let template = if known {
        "{msg} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
    } else {
        "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}"
    };
    ProgressStyle::with_template(template).expect("the templates are checked by a test")
}

#[cfg(test)]
mod tests {
    use super::{PATIENCE, Progress, style};

    #[test]
    fn templates_parse() {
        style(true);
        style(false);
    }

    #[test]
    fn bytes_add_up_and_early_work_is_not_shown() {
        let mut progress = Progress::start("x", Some(10), false);
        progress.advance(3);
        progress.advance(4);
        assert_eq!(progress.done(), 7);
        assert!(!progress.shown || progress.began.elapsed() >= PATIENCE);
    }
}
