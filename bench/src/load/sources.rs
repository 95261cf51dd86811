//! Creates of many users at once, for a third of the time with an Airbyte that fails in every way; then what there is at
//! Airbyte is compared with what was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Run;
use super::stack::{Answer, Stack};
use crate::Result;

/// Calls at the same time.
const WORKERS: usize = 16;

/// In each phase, in which every user is a new one.
const USERS: usize = 40;

/// Of each user.
const CREATES: usize = 10;

/// After this, a phase makes no more of them.
const PHASE: Duration = Duration::from_secs(15);

/// The simulator's "Postgres" template.
const TEMPLATE: &str = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01";

/// A user of one phase.
struct User {
    name: String,
    bearer: String,
    /// Every second user sends their token along; for the others the function gets one.
    token: Option<Value>,
}

/// A create and its answer.
struct Created {
    user: String,
    /// The name of the database: in no other create's configuration.
    database: String,
    answer: Answer,
    took: Duration,
}

/// Runs the three phases, and compares. Gives also the number of answers of each kind.
pub(super) fn run(stack: &Stack) -> Result<(Vec<Run>, BTreeMap<String, usize>)> {
    let phases = [
        ("POST /sources", "before", Vec::new()),
        ("while Airbyte fails", "failing", faults()),
        ("afterwards", "after", Vec::new()),
    ];
    let (mut runs, mut all) = (Vec::new(), Vec::new());
    for (name, users, faults) in phases {
        let users = sign_in(stack, users)?;
        for fault in &faults {
            stack.inject(fault)?;
        }
        let started = Instant::now();
        let created = create(stack, &users)?;
        let took = started.elapsed();
        stack.clear_faults()?;

        if faults.is_empty()
            && let Some(failed) = created.iter().find(|created| created.answer.status != 201)
        {
            let Answer { status, body } = &failed.answer;
            return Err(
                format!("a create without any fault was answered with {status}: {body}").into(),
            );
        }
        let mut latencies: Vec<_> = created.iter().map(|created| created.took).collect();
        latencies.sort_unstable();
        runs.push(Run {
            name,
            requests: u32::try_from(created.len())?,
            took,
            latency: [50, 99, 100].map(|percent| crate::percentile(&latencies, percent)),
        });
        all.extend(created);
    }
    let answers = compare(&all, &stack.sources()?, &workspaces(stack, &all)?)?;
    Ok((runs, answers))
}

/// One request in four to each of Airbyte's two routes meets one of these, for as long as there are requests.
fn faults() -> Vec<Value> {
    let mints = [
        json!({"respond": {"status": 503}}),
        json!("reset-before-response"),
        json!({"respond": {"status": 429, "headers": [["retry-after", "1"]]}}),
        json!("reset-mid-response"),
    ];
    let creates = [
        json!({"respond": {"status": 429, "headers": [["retry-after", "1"]]}}),
        json!("reset-before-response"),
        json!({"delay": {"ms": 500}}),
        // The source is created, but the client receives an error.
        json!({"respond-after-processing": {"status": 503}}),
        json!("reset-mid-response"),
    ];
    let specs = |route: &'static str, kinds: Vec<Value>| {
        let kinds = kinds.into_iter().cycle().enumerate().take(USERS * CREATES);
        // A request that a fault hits does not count toward the `skip` of later faults.
        kinds.map(move |(index, kind)| json!({"route": route, "times": 1, "skip": index * 3, "kind": kind}))
    };
    specs("widget-token", mints.into())
        .chain(specs("sources", creates.into()))
        .collect()
}

fn sign_in(stack: &Stack, prefix: &str) -> Result<Vec<User>> {
    let mut users = Vec::new();
    for number in 0..USERS {
        let name = format!("{prefix}-{number}");
        let bearer = stack.sign_in(&name)?;
        let token = if number % 2 == 0 {
            Some(mint(stack, &bearer)?["token"].clone())
        } else {
            None
        };
        users.push(User {
            name,
            bearer,
            token,
        });
    }
    Ok(users)
}

/// `POST /token`, which has to succeed.
fn mint(stack: &Stack, bearer: &str) -> Result<Value> {
    let Answer { status, body } = stack.post("/token", bearer, &json!({}))?;
    if status == 200 {
        Ok(body)
    } else {
        Err(format!("no token: {status} {body}").into())
    }
}

/// All creates of a phase, a user's spread over the whole of it.
fn create(stack: &Stack, users: &[User]) -> Result<Vec<Created>> {
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<Created>> {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= USERS * CREATES || started.elapsed() > PHASE {
                return Ok(done);
            }
            done.push(create_one(stack, &users[number % USERS], number / USERS)?);
        }
    };
    let mut created = Vec::new();
    for done in thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(thread::ScopedJoinHandle::join);
        ends.collect::<Vec<_>>()
    }) {
        created.extend(done.map_err(|_| "a worker panicked")??);
    }
    Ok(created)
}

fn create_one(stack: &Stack, user: &User, number: usize) -> Result<Created> {
    let database = format!("{}-{number}", user.name);
    let mut body = json!({
        "source_config_template_id": TEMPLATE,
        "connection_configuration": {
            "host": "db.example.com",
            "database": database,
            "username": "airbyte",
            "password": "not-a-real-password",
        },
    });
    if let Some(token) = &user.token {
        body["token"] = token.clone();
    }
    let started = Instant::now();
    let answer = stack.post("/sources", &user.bearer, &body)?;
    Ok(Created {
        user: user.name.clone(),
        database,
        answer,
        took: started.elapsed(),
    })
}

/// Each user's workspace, as `POST /token` tells it; no two users share one.
fn workspaces(stack: &Stack, created: &[Created]) -> Result<BTreeMap<String, Value>> {
    let users: BTreeSet<_> = created.iter().map(|created| &created.user).collect();
    let mut workspaces = BTreeMap::new();
    for user in users {
        let minted = mint(stack, &stack.sign_in(user)?)?;
        workspaces.insert(user.clone(), minted["workspaceId"].clone());
    }
    let distinct: BTreeSet<_> = workspaces.values().map(Value::to_string).collect();
    if distinct.len() == workspaces.len() {
        Ok(workspaces)
    } else {
        Err("two users share a workspace".into())
    }
}

/// Whether Airbyte has what was answered: every source in its user's workspace, none twice, none that was answered 201
/// missing, none that was certainly refused there. Gives the number of answers of each kind.
fn compare(
    created: &[Created],
    sources: &[Value],
    workspaces: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, usize>> {
    let mut found: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for source in sources {
        let configuration = source["connection_configuration"]
            .as_str()
            .unwrap_or_default();
        let configuration: Value = serde_json::from_str(configuration)?;
        let database = configuration["database"].as_str().unwrap_or_default();
        found.entry(database.to_owned()).or_default().push(source);
    }
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for Created {
        user,
        database,
        answer,
        ..
    } in created
    {
        let sources = found.remove(database).unwrap_or_default();
        let kind = answer.body["type"].as_str();
        *answers
            .entry(format!("{} {}", answer.status, kind.unwrap_or("created")))
            .or_default() += 1;
        // What Airbyte may have done before its answer was lost, nobody can say.
        let (least, most) = match (answer.status, kind) {
            (201, None) => (1, 1),
            (429, Some("rate-limited")) => (0, 0),
            (502, Some("upstream-error")) | (504, Some("upstream-timeout")) => (0, 1),
            _ => {
                faults.push(format!(
                    "{database} was answered with {}: {}",
                    answer.status, answer.body
                ));
                continue;
            }
        };
        if !(least..=most).contains(&sources.len()) {
            faults.push(format!(
                "{database} was answered with {} and is there {} times",
                answer.status,
                sources.len()
            ));
        }
        for source in sources {
            if source["workspace_id"] != workspaces[user]
                || source["external_user_id"] != json!(user)
            {
                faults.push(format!("{database} is in a workspace that is not {user}'s"));
            }
            if answer.status == 201 && answer.body["id"] != source["id"] {
                faults.push(format!("{database} was answered with another source's id"));
            }
        }
    }
    faults.extend(
        found
            .into_keys()
            .map(|database| format!("{database} was never asked for")),
    );
    if faults.is_empty() {
        Ok(answers)
    } else {
        Err(faults.join("\n").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(status: u16, kind: Option<&str>) -> Created {
        let mut body = json!({"id": "source-1"});
        if let Some(kind) = kind {
            body = json!({"type": kind});
        }
        Created {
            user: "alice".to_owned(),
            database: "alice-0".to_owned(),
            answer: Answer { status, body },
            took: Duration::ZERO,
        }
    }

    fn source(workspace: &str, database: &str) -> Value {
        json!({
            "id": "source-1",
            "workspace_id": workspace,
            "external_user_id": "alice",
            "connection_configuration": json!({"database": database}).to_string(),
        })
    }

    #[test]
    fn what_is_there_has_to_be_what_was_answered() {
        let (there, lost) = (vec![source("w", "alice-0")], Vec::new());
        let twice = vec![source("w", "alice-0"), source("w", "alice-0")];
        let elsewhere = vec![source("other", "alice-0")];
        let unasked = vec![source("w", "alice-0"), source("w", "alice-1")];
        let (limited, failed) = (Some("rate-limited"), Some("upstream-error"));
        let cases = [
            (created(201, None), &there, true),
            (created(201, None), &lost, false),
            (created(201, None), &twice, false),
            (created(201, None), &elsewhere, false),
            (created(201, None), &unasked, false),
            (created(429, limited), &lost, true),
            (created(429, limited), &there, false),
            (created(502, failed), &lost, true),
            (created(502, failed), &there, true),
            (created(502, failed), &twice, false),
            (created(500, Some("internal-error")), &lost, false),
            // As the gateway answers where the function has not.
            (created(503, None), &lost, false),
        ];
        let workspaces = BTreeMap::from([("alice".to_owned(), json!("w"))]);
        for (index, (created, sources, fine)) in cases.into_iter().enumerate() {
            let compared = compare(&[created], sources, &workspaces);
            assert_eq!(compared.is_ok(), fine, "case {index}: {compared:?}");
        }
    }
}
