//! Output for the developer while the stack runs.

use std::sync::{Mutex, PoisonError};

/// Prints lines on standard error.
#[derive(Debug)]
pub(super) struct Console(Mutex<Mode>);

#[derive(Debug)]
enum Mode {
    /// While the stack starts: lines are printed only if it fails, warnings in any case.
    Buffering {
        lines: Vec<String>,
        warnings: Vec<String>,
    },
    Printing,
    /// While the stack stops: processes report that they are being stopped.
    Muted,
}

impl Console {
    /// Returns a console that buffers lines.
    pub(super) fn buffered() -> Self {
        Self(Mutex::new(Mode::Buffering {
            lines: Vec::new(),
            warnings: Vec::new(),
        }))
    }

    /// Prints or buffers a line.
    pub(super) fn line(&self, line: &str) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Mode::Buffering { lines, .. } => lines.push(line.to_owned()),
            Mode::Printing => print(line),
            Mode::Muted => {}
        }
    }

    /// Prints a line, at the latest when the stack has started.
    pub(super) fn warn(&self, line: &str) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Mode::Buffering { warnings, .. } => warnings.push(line.to_owned()),
            Mode::Printing => print(line),
            Mode::Muted => {}
        }
    }

    /// Discards the buffered lines but for the warnings, and prints every line from now on.
    pub(super) fn unbuffer(&self) {
        if let Mode::Buffering { warnings, .. } = self.change(Mode::Printing) {
            for line in warnings {
                print(&line);
            }
        }
    }

    /// Prints the buffered lines, and every line from now on.
    pub(super) fn flush(&self) {
        if let Mode::Buffering { lines, warnings } = self.change(Mode::Printing) {
            for line in lines.into_iter().chain(warnings) {
                print(&line);
            }
        }
    }

    /// Discards every line from now on.
    pub(super) fn mute(&self) {
        self.change(Mode::Muted);
    }

    fn change(&self, mode: Mode) -> Mode {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, mode)
    }
}

#[expect(clippy::print_stderr, reason = "a program for a terminal")]
pub(super) fn print(line: &str) {
    eprintln!("{line}");
}
