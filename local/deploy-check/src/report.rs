//! The check results, and how they are printed.

use std::fmt;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CheckResult {
    /// Valid. Holds what was found; further lines are indented.
    Pass(String),
    /// Invalid.
    Fail {
        /// What is wrong.
        problem: String,
        /// What to do about it.
        fix: String,
    },
    /// Not checked. Holds the reason.
    Skipped(String),
}

impl CheckResult {
    pub(crate) fn fail(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Fail {
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

/// All results, in the order of the checks.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<(String, CheckResult)>);

impl Report {
    pub(crate) fn add(&mut self, name: impl Into<String>, result: CheckResult) {
        self.0.push((name.into(), result));
    }

    /// Whether no check failed.
    pub(crate) fn passed(&self) -> bool {
        !self
            .0
            .iter()
            .any(|(_, result)| matches!(result, CheckResult::Fail { .. }))
    }

    fn skipped(&self) -> usize {
        self.0
            .iter()
            .filter(|(_, result)| matches!(result, CheckResult::Skipped(_)))
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, result) in &self.0 {
            let (mark, text) = match result {
                CheckResult::Pass(text) => ("ok", text),
                CheckResult::Fail { problem, .. } => ("FAIL", problem),
                CheckResult::Skipped(reason) => ("skip", reason),
            };
            let indent = format!("\n{:4}  {:width$}  ", "", "");
            let text = text.replace('\n', &indent);
            writeln!(f, "{mark:4}  {name:width$}  {text}")?;
            if let CheckResult::Fail { fix, .. } = result {
                writeln!(f, "{:4}  {:width$}  help: {fix}", "", "")?;
            }
        }
        f.write_str("\n")?;
        match (self.passed(), self.skipped()) {
            (false, _) => writeln!(f, "Some checks failed; see above."),
            (true, 0) => writeln!(f, "All checks passed."),
            (true, 1) => writeln!(f, "No check failed; 1 was skipped, see above."),
            (true, count) => writeln!(f, "No check failed; {count} were skipped, see above."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(results: &[(&str, CheckResult)]) -> Report {
        let mut report = Report::default();
        for (name, result) in results {
            report.add(*name, result.clone());
        }
        report
    }

    #[test]
    fn prints_line_per_check_and_help_per_failure() {
        let report = report(&[
            ("region", CheckResult::Pass("eu-central-1".to_owned())),
            ("secret", CheckResult::fail("does not exist", "create it")),
            ("issuer", CheckResult::Skipped("not set".to_owned())),
            ("names", CheckResult::Pass("2\none\nother".to_owned())),
        ]);

        assert_eq!(
            report.to_string(),
            "ok    region  eu-central-1\n\
             FAIL  secret  does not exist\n\
             \u{20}             help: create it\n\
             skip  issuer  not set\n\
             ok    names   2\n\
             \u{20}             one\n\
             \u{20}             other\n\
             \n\
             Some checks failed; see above.\n"
        );
    }

    #[test]
    fn passes_unless_a_check_failed() {
        let pass = ("one", CheckResult::Pass(String::new()));
        let skipped = ("other", CheckResult::Skipped(String::new()));
        let failed = ("other", CheckResult::fail("", ""));
        for (other, passed, summary) in [
            (pass.clone(), true, "All checks passed."),
            (skipped, true, "No check failed; 1 was skipped, see above."),
            (failed, false, "Some checks failed; see above."),
        ] {
            let report = report(&[pass.clone(), other]);
            assert_eq!(report.passed(), passed);
            assert!(report.to_string().ends_with(&format!("\n{summary}\n")));
        }
    }
}
