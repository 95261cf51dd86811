//! Load through the whole local stack, gateway to simulator, and a check of every request's outcome.

pub(crate) mod denied_user;
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

/// The figures of one load phase.
struct Phase {
    name: &'static str,
    requests: u32,
    /// Duration of the whole phase.
    duration: Duration,
    /// Median, 99th percentile and maximum.
    latency: [Duration; 3],
}

/// Starts the stack, sends the load, and prints a table.
pub(crate) fn run(programs: &Path) -> Result<()> {
    tokens::check_for_wrk()?;
    let stack = Stack::start(&programs.join("local-stack"))?;
    let (phases, outcomes) = send_load(&stack).map_err(|error| {
        format!(
            "{error}\nthe local stack printed last:\n{}",
            stack.last_lines()
        )
    })?;
    drop(stack);

    let outcomes: Vec<_> = outcomes
        .iter()
        .map(|(outcome, count)| format!("{count} × {outcome}"))
        .collect();
    crate::print(&format!(
        "{}\n\n{}\nPOST /sources: {}; every source is in its user's workspace, none is duplicated, none is lost",
        machine::description(),
        table(&phases),
        outcomes.join(", ")
    ))
}

fn send_load(stack: &Stack) -> Result<(Vec<Phase>, BTreeMap<String, usize>)> {
    let mut phases = vec![tokens::run(stack)?];
    let (creates, outcomes) = sources::run(stack)?;
    phases.extend(creates);
    Ok((phases, outcomes))
}

fn table(phases: &[Phase]) -> Table {
    let mut table = Table::new(phases.iter().map(|phase| phase.name));
    let mut add = |metric: Metric, value: &dyn Fn(&Phase) -> f64| {
        let values: Vec<_> = phases.iter().map(|phase| vec![value(phase)]).collect();
        table.add(&metric, &values);
    };
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    add(Metric::plain("requests", 0), &|phase| phase.requests.into());
    add(Metric::plain("requests per second", 0), &|phase| {
        f64::from(phase.requests) / phase.duration.as_secs_f64()
    });
    add(Metric::plain("latency p50, ms", 1), &|phase| {
        ms(phase.latency[0])
    });
    add(Metric::plain("latency p99, ms", 1), &|phase| {
        ms(phase.latency[1])
    });
    add(Metric::plain("latency max, ms", 1), &|phase| {
        ms(phase.latency[2])
    });
    table
}
