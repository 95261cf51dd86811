//! Load through the whole local stack, gateway to simulator, and what came of each request.

mod sources;
mod stack;
mod tokens;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::machine;
use crate::table::{Metric, Table};
use stack::Stack;

/// Requests of one kind that were made at once.
struct Run {
    name: &'static str,
    requests: u32,
    /// All together.
    took: Duration,
    /// Median, 99th percentile, longest.
    latency: [Duration; 3],
}

/// Starts the stack, loads it, and prints a table.
pub(crate) fn run(programs: &Path) -> Result<()> {
    tokens::check_for_wrk()?;
    let stack = Stack::start(&programs.join("local-stack"))?;
    let (runs, answers) = load(&stack).map_err(|error| format!("{}{error}", stack.last_lines()))?;
    drop(stack);

    let answers: Vec<_> = answers
        .iter()
        .map(|(answer, count)| format!("{count} × {answer}"))
        .collect();
    crate::print(&format!(
        "{}\n\n{}\nPOST /sources: {}; every source in its user's workspace, none twice, none lost",
        machine::shape(),
        table(&runs),
        answers.join(", ")
    ))
}

fn load(stack: &Stack) -> Result<(Vec<Run>, BTreeMap<String, usize>)> {
    let mut runs = vec![tokens::run(stack)?];
    let (creates, answers) = sources::run(stack)?;
    runs.extend(creates);
    Ok((runs, answers))
}

fn table(runs: &[Run]) -> Table {
    let mut table = Table::new(runs.iter().map(|run| run.name));
    let mut add = |metric: Metric, value: &dyn Fn(&Run) -> f64| {
        let values: Vec<_> = runs.iter().map(|run| vec![value(run)]).collect();
        table.add(&metric, &values);
    };
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    add(Metric::plain("requests", 0), &|run| run.requests.into());
    add(Metric::plain("per second", 0), &|run| {
        f64::from(run.requests) / run.took.as_secs_f64()
    });
    add(Metric::plain("p50, ms", 1), &|run| ms(run.latency[0]));
    add(Metric::plain("p99, ms", 1), &|run| ms(run.latency[1]));
    add(Metric::plain("longest, ms", 1), &|run| ms(run.latency[2]));
    table
}
