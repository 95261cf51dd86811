//! What a developer sees while the stack runs.

use std::sync::{Mutex, PoisonError};

/// Prints lines on standard error while the stack runs.
#[derive(Debug)]
pub(super) struct Console(Mutex<Mode>);

#[derive(Debug)]
enum Mode {
    /// While the stack starts: lines are of interest only if something goes wrong.
    KeepingBack(Vec<String>),
    Printing,
    /// While it stops: what others say then is only that they are being ended.
    Silent,
}

impl Console {
    pub(super) fn keeping_back() -> Self {
        Self(Mutex::new(Mode::KeepingBack(Vec::new())))
    }

    pub(super) fn say(&self, line: &str) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Mode::KeepingBack(lines) => lines.push(line.to_owned()),
            Mode::Printing => print(line),
            Mode::Silent => {}
        }
    }

    /// Forgets what was kept back, and prints every line from now on.
    pub(super) fn start_printing(&self) {
        self.change(Mode::Printing);
    }

    /// Prints what was kept back, if anything still is.
    pub(super) fn print_what_was_kept_back(&self) {
        if let Mode::KeepingBack(lines) = self.change(Mode::Printing) {
            for line in lines {
                print(&line);
            }
        }
    }

    /// Prints nothing from now on.
    pub(super) fn fall_silent(&self) {
        self.change(Mode::Silent);
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
