//! Whether memory and open files stay what they are over many invocations by many users.

use std::path::Path;

use serde_json::json;

use crate::Result;
use crate::function::Function;
use crate::machine;
use crate::subject::{body_of, source_body, source_event, token_event};
use crate::table::{Metric, Table};
use crate::upstreams::{Upstreams, workspace_of};

/// After how many invocations it is looked; the first of these are the warm-up.
const MARKS: [u32; 4] = [2_000, 5_000, 10_000, 20_000];

/// Each calls twice in a row, so that a token which was kept for them is used, and has long been given up when they come
/// again.
const USERS: u32 = 5_000;

/// How much resident memory may grow after the warm-up, in KiB. Tokens of all users, kept for ever, would take several
/// times that.
const MAX_GROWTH_KIB: u32 = 512;

/// A function and the calls it gets.
struct Subject {
    name: &'static str,
    status: u64,
    /// The member of the answer that names the workspace.
    workspace: &'static str,
    event: fn(user: &str, number: u32) -> Result<Vec<u8>>,
}

/// What a look shows.
struct Look {
    resident_kib: u32,
    open_files: u32,
}

const SUBJECTS: [Subject; 2] = [
    Subject {
        name: "mint-token",
        status: 200,
        workspace: "workspaceId",
        event: |user, _| token_event(user),
    },
    Subject {
        name: "create-source",
        status: 201,
        workspace: "workspace_id",
        event: |user, number| {
            let mut body = source_body();
            // Bodies of many sizes, so that memory gets fragmented if it can.
            let padding = "x".repeat(usize::try_from(number % 64)? * 64);
            body["connection_configuration"]["jdbc_url_params"] = json!(padding);
            source_event(user, &body)
        },
    },
];

/// Invokes both functions, prints a table, and fails if either has grown.
pub(crate) fn run(programs: &Path) -> Result<()> {
    let mut table = Table::new([
        "mint-token, KiB",
        "open files",
        "create-source, KiB",
        "open files",
    ]);
    let mut looks = Vec::new();
    for subject in &SUBJECTS {
        looks.push(watch(programs, subject)?);
    }
    for (index, mark) in MARKS.iter().enumerate() {
        let values = looks
            .iter()
            .flat_map(|looks| [looks[index].resident_kib, looks[index].open_files])
            .map(|value| vec![f64::from(value)]);
        let heading = format!("after {mark} invocations");
        table.add(&Metric::plain(&heading, 0), &values.collect::<Vec<_>>());
    }
    crate::print(&format!(
        "{}\nresident memory and open files, {USERS} users\n\n{table}",
        machine::shape()
    ))?;

    for (subject, looks) in SUBJECTS.iter().zip(looks) {
        for (look, mark) in looks.iter().zip(MARKS).skip(1) {
            let growth = look.resident_kib.saturating_sub(looks[0].resident_kib);
            if growth > MAX_GROWTH_KIB {
                return Err(format!(
                    "{} has grown by {growth} KiB from {} invocations to {mark}; {MAX_GROWTH_KIB} KiB are allowed",
                    subject.name, MARKS[0]
                )
                .into());
            }
            if look.open_files > looks[0].open_files {
                return Err(format!("{} keeps more and more files open", subject.name).into());
            }
        }
    }
    Ok(())
}

fn watch(programs: &Path, subject: &Subject) -> Result<Vec<Look>> {
    let upstreams = Upstreams::start()?;
    let program = programs.join(subject.name);
    let (mut function, _) = Function::start(&program, &upstreams.environment())?;
    let process = function.process();
    let mut looks = Vec::new();
    let mut number = 0;
    for mark in MARKS {
        while number < mark {
            let user = format!("user-{}", number / 2 % USERS);
            let invocation = function.invoke(&(subject.event)(&user, number)?)?;
            let body = body_of(&invocation.answer, subject.status)?;
            if body[subject.workspace] != json!(workspace_of(&user).to_string()) {
                return Err(format!("{user} got into another workspace: {body}").into());
            }
            number += 1;
        }
        function.settle()?;
        looks.push(Look {
            resident_kib: process.resident_kib()?,
            open_files: process.open_files()?.try_into()?,
        });
    }
    Ok(looks)
}
