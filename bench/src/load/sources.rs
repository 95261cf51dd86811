//! Load on `POST /sources` by many users in three phases, each create with an `Idempotency-Key`. In the second phase, Airbyte
//! fails in every way. Then every create is sent again with its key. At the end, the sources in Airbyte are compared with the
//! responses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Phase;
use super::stack::{Response, Stack};
use crate::Result;

/// Concurrent calls.
const WORKERS: usize = 16;

/// Users of each phase, all of them new.
const USERS: usize = 40;

/// Sources that each user creates.
const CREATES_PER_USER: usize = 10;

/// Limit of a phase's duration; it then starts no further create.
const MAX_PHASE_DURATION: Duration = Duration::from_secs(15);

/// The simulator's "Postgres" template.
const TEMPLATE: &str = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01";

/// A user of one phase.
struct User {
    name: String,
    bearer: String,
    /// Every second user sends a token; for the others, the function mints one.
    token: Option<Value>,
}

/// A create and its response.
struct Create {
    user: String,
    /// The database name in its configuration, which is unique, and its `Idempotency-Key`.
    database: String,
    bearer: String,
    body: Value,
    response: Response,
    duration: Duration,
    /// The response to the same request, sent again.
    repeated: Option<Response>,
}

/// Runs the three phases and verifies the result. Returns the count of each outcome as well.
pub(super) fn run(stack: &Stack) -> Result<(Vec<Phase>, BTreeMap<String, usize>)> {
    let plan = [
        ("POST /sources", "before", Vec::new()),
        ("POST /sources, Airbyte failing", "failing", faults()),
        ("POST /sources, recovered", "after", Vec::new()),
    ];
    let (mut phases, mut creates) = (Vec::new(), Vec::new());
    for (name, user_prefix, faults) in plan {
        let users = sign_in(stack, user_prefix)?;
        for fault in &faults {
            stack.inject(fault)?;
        }
        let started = Instant::now();
        let batch = create_all(stack, &users)?;
        let duration = started.elapsed();
        stack.clear_faults()?;

        if faults.is_empty()
            && let Some(failed) = batch.iter().find(|create| create.response.status != 201)
        {
            let Response { status, body } = &failed.response;
            return Err(
                format!("a create returned {status} without an injected failure: {body}").into(),
            );
        }
        let mut latencies: Vec<_> = batch.iter().map(|create| create.duration).collect();
        latencies.sort_unstable();
        phases.push(Phase {
            name,
            requests: u32::try_from(batch.len())?,
            duration,
            latency: [50, 99, 100].map(|percent| crate::percentile(&latencies, percent)),
        });
        creates.extend(batch);
    }
    phases.push(repeat_all(stack, &mut creates)?);
    let outcomes = verify(&creates, &stack.sources()?, &workspaces(stack, &creates)?)?;
    Ok((phases, outcomes))
}

/// Returns the failures to inject: on each of Airbyte's two routes, every fourth request fails.
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
        let kinds = kinds
            .into_iter()
            .cycle()
            .enumerate()
            .take(USERS * CREATES_PER_USER);
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

/// Mints a token; fails if that does not succeed.
fn mint(stack: &Stack, bearer: &str) -> Result<Value> {
    let Response { status, body } = stack.post("/token", bearer, &json!({}))?;
    if status == 200 {
        Ok(body)
    } else {
        Err(format!("POST /token returned {status}: {body}").into())
    }
}

/// Sends all creates of a phase. Those of one user are spread over the whole phase.
fn create_all(stack: &Stack, users: &[User]) -> Result<Vec<Create>> {
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<Create>> {
        let mut creates = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= USERS * CREATES_PER_USER || started.elapsed() > MAX_PHASE_DURATION {
                return Ok(creates);
            }
            creates.push(create(stack, &users[number % USERS], number / USERS)?);
        }
    };
    let mut all = Vec::new();
    for creates in thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(thread::ScopedJoinHandle::join);
        results.collect::<Vec<_>>()
    }) {
        all.extend(creates.map_err(|_| "a worker panicked")??);
    }
    Ok(all)
}

/// Sends all creates again, each with its key.
fn repeat_all(stack: &Stack, creates: &mut [Create]) -> Result<Phase> {
    let started = Instant::now();
    let repeat = |chunk: &mut [Create]| -> Result<Vec<Duration>> {
        let mut durations = Vec::new();
        for create in chunk {
            let started = Instant::now();
            let response = stack.create(&create.bearer, &create.database, &create.body)?;
            create.repeated = Some(response);
            durations.push(started.elapsed());
        }
        Ok(durations)
    };
    let chunk_size = creates.len().div_ceil(WORKERS).max(1);
    let mut latencies = Vec::new();
    for durations in thread::scope(|scope| {
        let chunks = creates.chunks_mut(chunk_size);
        let workers: Vec<_> = chunks
            .map(|chunk| scope.spawn(move || repeat(chunk)))
            .collect();
        let results = workers.into_iter().map(thread::ScopedJoinHandle::join);
        results.collect::<Vec<_>>()
    }) {
        latencies.extend(durations.map_err(|_| "a worker panicked")??);
    }
    latencies.sort_unstable();
    Ok(Phase {
        name: "POST /sources, repeated",
        requests: u32::try_from(latencies.len())?,
        duration: started.elapsed(),
        latency: [50, 99, 100].map(|percent| crate::percentile(&latencies, percent)),
    })
}

fn create(stack: &Stack, user: &User, number: usize) -> Result<Create> {
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
    let response = stack.create(&user.bearer, &database, &body)?;
    Ok(Create {
        user: user.name.clone(),
        database,
        bearer: user.bearer.clone(),
        body,
        response,
        duration: started.elapsed(),
        repeated: None,
    })
}

/// Returns each user's workspace, as `POST /token` returns it. Fails if two users share one.
fn workspaces(stack: &Stack, creates: &[Create]) -> Result<BTreeMap<String, Value>> {
    let users: BTreeSet<_> = creates.iter().map(|create| &create.user).collect();
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

/// Checks that Airbyte's sources match the responses: every source is in its user's workspace, none is duplicated, none is
/// missing after a 201, and none exists after an error that excludes it. Returns the count of each outcome.
fn verify(
    creates: &[Create],
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
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut mismatches = Vec::new();
    for create in creates {
        let Create { user, database, .. } = create;
        let sources = found.remove(database).unwrap_or_default();
        let responses = [Some(&create.response), create.repeated.as_ref()];
        let kinds = responses.map(|response| response.map(kind));
        let shown = match kinds {
            [Some(first), Some(repeated)] => format!("{first}, then {repeated}"),
            [first, _] => first.unwrap_or_default().to_owned(),
        };
        let kinds = kinds.map(Option::unwrap_or_default);
        let expected = match (kinds[0], kinds[1]) {
            // A failure that certainly created nothing has freed the key, so that a repeated request creates the source.
            ("created", "")
            | ("created" | "rate-limited" | "upstream-error" | "upstream-timeout", "created") => {
                1..=1
            }
            ("rate-limited", "") => 0..=0,
            // Airbyte may have created the source before its response was lost.
            ("upstream-error" | "upstream-timeout", "" | "create-outcome-unknown") => 0..=1,
            _ => {
                let bodies = responses.map(|response| {
                    response.map(|Response { status, body }| format!("{status} {body}"))
                });
                let bodies: Vec<_> = bodies.into_iter().flatten().collect();
                mismatches.push(format!(
                    "{database}: unexpected response {}",
                    bodies.join(", then ")
                ));
                continue;
            }
        };
        if !expected.contains(&sources.len()) {
            mismatches.push(format!(
                "{database}: {} source(s) after {shown}",
                sources.len()
            ));
        }
        *outcomes.entry(shown).or_default() += 1;
        for source in sources {
            if source["workspace_id"] != workspaces[user]
                || source["external_user_id"] != json!(user)
            {
                mismatches.push(format!("{database}: not in the workspace of {user}"));
            }
            let is_others = |response: &&Response| {
                response.status == 201 && response.body["id"] != source["id"]
            };
            if responses.iter().flatten().any(is_others) {
                mismatches.push(format!("{database}: a response has another source's ID"));
            }
        }
    }
    mismatches.extend(
        found
            .into_keys()
            .map(|database| format!("{database}: exists without a request")),
    );
    if mismatches.is_empty() {
        Ok(outcomes)
    } else {
        Err(mismatches.join("\n").into())
    }
}

/// Returns the kind of a response: the problem's type, or `created`. API Gateway's own errors have none.
fn kind(response: &Response) -> &str {
    match (response.status, response.body["type"].as_str()) {
        (201, None) => "created",
        (_, kind) => kind.unwrap_or("no problem type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, problem: Option<&str>) -> Response {
        let body = match problem {
            None => json!({"id": "source-1"}),
            Some(problem) => json!({"type": problem}),
        };
        Response { status, body }
    }

    fn create(status: u16, problem: Option<&str>) -> Create {
        Create {
            user: "alice".to_owned(),
            database: "alice-0".to_owned(),
            bearer: String::new(),
            body: Value::Null,
            response: response(status, problem),
            duration: Duration::ZERO,
            repeated: None,
        }
    }

    fn repeated(first: Create, status: u16, problem: Option<&str>) -> Create {
        Create {
            repeated: Some(response(status, problem)),
            ..first
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
    fn verifies_sources_against_responses() {
        let (none, one) = (vec![], vec![source("w", "alice-0")]);
        let duplicate = vec![source("w", "alice-0"), source("w", "alice-0")];
        let misplaced = vec![source("other", "alice-0")];
        let unrequested = vec![source("w", "alice-0"), source("w", "alice-1")];
        let (limited, failed) = (Some("rate-limited"), Some("upstream-error"));
        let cases = [
            ("created", create(201, None), &one, Ok(())),
            (
                "lost",
                create(201, None),
                &none,
                Err("alice-0: 0 source(s) after created"),
            ),
            (
                "duplicated",
                create(201, None),
                &duplicate,
                Err("alice-0: 2 source(s) after created"),
            ),
            (
                "in another workspace",
                create(201, None),
                &misplaced,
                Err("alice-0: not in the workspace of alice"),
            ),
            (
                "not requested",
                create(201, None),
                &unrequested,
                Err("alice-1: exists without a request"),
            ),
            ("rate limited", create(429, limited), &none, Ok(())),
            (
                "created though rate limited",
                create(429, limited),
                &one,
                Err("alice-0: 1 source(s) after rate-limited"),
            ),
            ("failed", create(502, failed), &none, Ok(())),
            ("failed after creation", create(502, failed), &one, Ok(())),
            (
                "duplicated by a retry",
                create(502, failed),
                &duplicate,
                Err("alice-0: 2 source(s) after upstream-error"),
            ),
            (
                "replayed",
                repeated(create(201, None), 201, None),
                &one,
                Ok(()),
            ),
            (
                "created after a failure",
                repeated(create(502, failed), 201, None),
                &one,
                Ok(()),
            ),
            (
                "duplicated by a repeated request",
                repeated(create(201, None), 201, None),
                &duplicate,
                Err("alice-0: 2 source(s) after created, then created"),
            ),
            (
                "not replayed",
                repeated(create(201, None), 409, Some("create-outcome-unknown")),
                &one,
                Err(
                    r#"alice-0: unexpected response 201 {"id":"source-1"}, then 409 {"type":"create-outcome-unknown"}"#,
                ),
            ),
            (
                "internal error",
                create(500, Some("internal-error")),
                &none,
                Err(r#"alice-0: unexpected response 500 {"type":"internal-error"}"#),
            ),
            (
                "response of the gateway itself",
                create(503, None),
                &none,
                Err(r#"alice-0: unexpected response 503 {"id":"source-1"}"#),
            ),
        ];
        let workspaces = BTreeMap::from([("alice".to_owned(), json!("w"))]);
        for (case, create, sources, expected) in cases {
            let result = verify(&[create], sources, &workspaces);
            let result = result.map(drop).map_err(|error| error.to_string());
            assert_eq!(result, expected.map_err(str::to_owned), "{case}");
        }
    }
}
