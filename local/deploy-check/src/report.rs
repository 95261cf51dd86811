//! What was found, as a person reads it.

use std::fmt;

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It is as it should be: what it is.
    Right(String),
    /// It is not: what is wrong, and what to do about it.
    Wrong { problem: String, remedy: String },
    /// It could not be looked at: why.
    Unknown(String),
}

impl Finding {
    pub(crate) fn wrong(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Wrong {
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

/// All that was found, in the order of the checks.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<(String, Finding)>);

impl Report {
    pub(crate) fn add(&mut self, name: impl Into<String>, finding: Finding) {
        self.0.push((name.into(), finding));
    }

    /// Whether everything was looked at and is right.
    pub(crate) fn all_right(&self) -> bool {
        self.0
            .iter()
            .all(|(_, finding)| matches!(finding, Finding::Right(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, finding) in &self.0 {
            let (mark, text) = match finding {
                Finding::Right(text) => ("ok", text),
                Finding::Wrong { problem, .. } => ("WRONG", problem),
                Finding::Unknown(why) => ("?", why),
            };
            writeln!(f, "{mark:5}  {name:width$}  {text}")?;
            if let Finding::Wrong { remedy, .. } = finding {
                writeln!(f, "{:5}  {:width$}  -> {remedy}", "", "")?;
            }
        }
        writeln!(
            f,
            "\n{}",
            if self.all_right() {
                "Everything is right: the stack can be deployed."
            } else {
                "Not everything is right: see above."
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_a_line_and_what_is_wrong_has_one_more() {
        let mut report = Report::default();
        report.add("region", Finding::Right("eu-central-1".to_owned()));
        report.add("secret", Finding::wrong("there is none", "create it"));
        report.add("issuer", Finding::Unknown("it is not given".to_owned()));
        assert_eq!(
            report.to_string(),
            "ok     region  eu-central-1\n\
             WRONG  secret  there is none\n\
             \u{20}              -> create it\n\
             ?      issuer  it is not given\n\
             \n\
             Not everything is right: see above.\n"
        );
    }

    #[test]
    fn all_is_right_only_where_everything_was_looked_at() {
        let right = Finding::Right(String::new());
        for (other, expected) in [
            (right.clone(), true),
            (Finding::wrong("", ""), false),
            (Finding::Unknown(String::new()), false),
        ] {
            let mut report = Report::default();
            report.add("one", right.clone());
            report.add("other", other);
            assert_eq!(report.all_right(), expected);
        }
    }
}
