//! A check that memory and open files do not grow over many invocations by many users.

use std::path::Path;

use serde_json::json;

use crate::Result;
use crate::function::Function;
use crate::machine;
use crate::subject::{parse_body, source_body, source_event, token_event};
use crate::table::{Metric, Table};
use crate::upstreams::{Upstreams, workspace_of};

/// The numbers of invocations after which a sample is taken. The first one ends the warm-up.
const CHECKPOINTS: [u32; 4] = [2_000, 5_000, 10_000, 20_000];

/// Each user calls twice in a row: the second call uses the cached token, which is evicted long before the user returns.
const USERS: u32 = 5_000;

/// Limit of the growth of resident memory after the warm-up. Caching the tokens of all users would take several times as
/// much.
const MAX_GROWTH_KIB: u32 = 512;

/// A function and its calls.
struct Subject {
    name: &'static str,
    /// The status of a success.
    status: u64,
    /// The field of the response that holds the workspace's ID.
    workspace_field: &'static str,
    event: fn(user: &str, number: u32) -> Result<Vec<u8>>,
}

/// The resources that a process holds.
struct Sample {
    resident_kib: u32,
    open_files: u32,
}

const SUBJECTS: [Subject; 2] = [
    Subject {
        name: "mint-token",
        status: 200,
        workspace_field: "workspaceId",
        event: |user, _| token_event(user),
    },
    Subject {
        name: "create-source",
        status: 201,
        workspace_field: "workspace_id",
        event: |user, number| {
            let mut body = source_body();
            // Bodies of many sizes, to provoke fragmentation of the heap.
            let padding = "x".repeat(usize::try_from(number % 64)? * 64);
            body["connection_configuration"]["jdbc_url_params"] = json!(padding);
            source_event(user, &body)
        },
    },
];

/// Invokes both functions, prints a table, and fails if either of them has grown.
pub(crate) fn run(programs: &Path) -> Result<()> {
    let mut table = Table::new([
        "mint-token, KiB",
        "mint-token, open files",
        "create-source, KiB",
        "create-source, open files",
    ]);
    let mut samples = Vec::new();
    for subject in &SUBJECTS {
        samples.push(take_samples(programs, subject)?);
    }
    for (index, checkpoint) in CHECKPOINTS.iter().enumerate() {
        let values = samples
            .iter()
            .flat_map(|samples| [samples[index].resident_kib, samples[index].open_files])
            .map(|value| vec![f64::from(value)]);
        let heading = format!("after {checkpoint} invocations");
        table.add(&Metric::plain(&heading, 0), &values.collect::<Vec<_>>());
    }
    crate::print(&format!(
        "{}\nresident memory and open files, {USERS} users\n\n{table}",
        machine::description()
    ))?;

    for (subject, samples) in SUBJECTS.iter().zip(samples) {
        for (sample, checkpoint) in samples.iter().zip(CHECKPOINTS).skip(1) {
            let growth = sample.resident_kib.saturating_sub(samples[0].resident_kib);
            if growth > MAX_GROWTH_KIB {
                return Err(format!(
                    "memory of {} grew by {growth} KiB between {} and {checkpoint} invocations; the limit is {MAX_GROWTH_KIB} KiB",
                    subject.name, CHECKPOINTS[0]
                )
                .into());
            }
            if sample.open_files > samples[0].open_files {
                return Err(format!(
                    "open files of {} grew from {} to {} between {} and {checkpoint} invocations",
                    subject.name, samples[0].open_files, sample.open_files, CHECKPOINTS[0]
                )
                .into());
            }
        }
    }
    Ok(())
}

fn take_samples(programs: &Path, subject: &Subject) -> Result<Vec<Sample>> {
    let upstreams = Upstreams::start()?;
    let program = programs.join(subject.name);
    let (mut function, _) = Function::start(&program, &upstreams.environment())?;
    let process = function.process();
    let mut samples = Vec::new();
    let mut number = 0;
    for checkpoint in CHECKPOINTS {
        while number < checkpoint {
            let user = format!("user-{}", number / 2 % USERS);
            let invocation = function.invoke(&(subject.event)(&user, number)?)?;
            let body = parse_body(&invocation.response, subject.status)?;
            if body[subject.workspace_field] != json!(workspace_of(&user).to_string()) {
                return Err(format!("wrong workspace for {user}: {body}").into());
            }
            number += 1;
        }
        function.await_ready()?;
        samples.push(Sample {
            resident_kib: process.resident_kib()?,
            open_files: process.open_files()?.try_into()?,
        });
    }
    Ok(samples)
}
