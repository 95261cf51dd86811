//! Names for the cases of a table.

use std::fmt::Display;
use std::thread;

/// A case under test: its name is printed if the test panics before this is dropped.
#[must_use = "dropping it ends the case"]
pub struct Case(String);

/// Starts a case.
pub fn case(name: impl Display) -> Case {
    Case(name.to_string())
}

impl Drop for Case {
    #[expect(
        clippy::print_stderr,
        reason = "the test runner prints it if the test fails"
    )]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("in case: {}", self.0);
        }
    }
}
