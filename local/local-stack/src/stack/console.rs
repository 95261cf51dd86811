//! What a developer sees while the stack runs.

use std::sync::{Mutex, PoisonError};

/// Prints lines on standard error, or keeps them back while the stack starts.
#[derive(Debug)]
pub(super) struct Console {
    held: Mutex<Option<Vec<String>>>,
}

impl Console {
    /// Keeps lines back until it is told otherwise.
    pub(super) fn holding() -> Self {
        Self {
            held: Mutex::new(Some(Vec::new())),
        }
    }

    pub(super) fn say(&self, line: &str) {
        match &mut *self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(held) => held.push(line.to_owned()),
            None => print(line),
        }
    }

    /// Prints lines from now on. Those kept back are of interest only if something went wrong.
    pub(super) fn forget(&self) {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Prints what was kept back, and from now on every line.
    pub(super) fn release(&self) {
        let held = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        held.into_iter().flatten().for_each(|line| print(&line));
    }
}

#[expect(clippy::print_stderr, reason = "a program for a terminal")]
pub(super) fn print(line: &str) {
    eprintln!("{line}");
}
