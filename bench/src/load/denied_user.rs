//! A user whom Airbyte denies a token, beside others who must not notice.
//!
//! Both functions run in four instances each, for a minute without the denied user and for a minute with. Each request of the
//! others is for a new user, so that `create-source` cannot use a cached token.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::compare::BENCH_AGENTS;
use crate::function::Function;
use crate::subject::{source_body, source_event, token_event};
use crate::table::{Metric, Table};
use crate::upstreams::{DENIED_USER, Traffic, Upstreams};
use crate::{Result, machine};

/// Concurrent instances of a function.
const INSTANCES: u32 = 4;

/// Users other than the denied one, and the time between two requests of one of them.
const USERS: u32 = 20;
const USER_INTERVAL: Duration = Duration::from_millis(500);

/// The time between two requests of the denied user.
const DENIED_INTERVAL: Duration = Duration::from_millis(100);

/// Duration of a run.
const DURATION: Duration = Duration::from_secs(60);

/// `SECRET_TTL_SECONDS`: short, so that the secret is read during a run.
const SECRET_TTL: Duration = Duration::from_secs(10);

/// A function and its calls.
struct Subject {
    name: &'static str,
    /// The status of a success.
    status: u64,
    event: fn(user: &str) -> Result<Vec<u8>>,
}

const SUBJECTS: [Subject; 2] = [
    Subject {
        name: "mint-token",
        status: 200,
        event: token_event,
    },
    Subject {
        name: "create-source",
        status: 201,
        event: |user| source_event(user, &source_body()),
    },
];

/// A request that is due.
struct Request {
    /// Since the start of the run.
    due: Duration,
    user: String,
}

/// A request and its response.
struct Exchange {
    is_denied: bool,
    /// The status and, for a problem, its type.
    outcome: (u64, Option<String>),
    /// From when it was due to the response.
    latency: Duration,
}

/// The figures of one run of one function.
struct Run {
    exchanges: Vec<Exchange>,
    traffic: Traffic,
    /// The sum of the metric `CredentialRejected`.
    credential_rejected: f64,
}

/// Runs both functions without and with the denied user, prints a table, and fails if another user noticed.
pub(crate) fn run(programs: &Path) -> Result<()> {
    let mut table = Table::new([
        "mint-token, without",
        "create-source, without",
        "mint-token, with",
        "create-source, with",
    ]);
    let mut runs = run_both(programs, false)?;
    runs.extend(run_both(programs, true)?);
    add_rows(&mut table, &runs);
    crate::print(&format!(
        "{}\n{INSTANCES} instances of each function, {} s; {USERS} users at {}/s each, without and with a denied user at {}/s\n\n{table}",
        machine::description(),
        DURATION.as_secs(),
        per_second(USER_INTERVAL),
        per_second(DENIED_INTERVAL),
    ))?;
    for (run, subject) in runs.iter().zip(SUBJECTS.iter().cycle()) {
        check(run, subject)?;
    }
    Ok(())
}

fn run_both(programs: &Path, with_denied_user: bool) -> Result<Vec<Run>> {
    thread::scope(|scope| {
        let runs = SUBJECTS
            .each_ref()
            .map(|subject| scope.spawn(move || run_one(programs, subject, with_denied_user)));
        runs.into_iter()
            .map(|run| run.join().map_err(|_| "a run panicked")?)
            .collect()
    })
}

fn run_one(programs: &Path, subject: &Subject, with_denied_user: bool) -> Result<Run> {
    let upstreams = Upstreams::start()?;
    let mut environment = upstreams.environment();
    environment.push(("SECRET_TTL_SECONDS", SECRET_TTL.as_secs().to_string()));
    if std::env::var_os(BENCH_AGENTS).is_some() {
        environment.push(("AIRBYTE_API", "agents".to_owned()));
    }
    let mut functions = Vec::new();
    for number in 0..INSTANCES {
        let (mut function, _) = Function::start(&programs.join(subject.name), &environment)?;
        // Airbyte accepts the credential before it denies a user.
        let user = format!("first-{number}");
        let exchange = invoke(&mut function, subject, &user, Instant::now())?;
        if exchange.outcome.0 != subject.status {
            return Err(format!("{}: {:?}", subject.name, exchange.outcome).into());
        }
        functions.push(function);
    }

    let requests = schedule(with_denied_user);
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let work = |function: &mut Function| -> Result<Vec<Exchange>> {
        let mut exchanges = Vec::new();
        while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let due = started + request.due;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            exchanges.push(invoke(function, subject, &request.user, due)?);
        }
        Ok(exchanges)
    };
    let results = thread::scope(|scope| {
        let workers: Vec<_> = functions
            .iter_mut()
            .map(|function| scope.spawn(|| work(function)))
            .collect();
        let results = workers.into_iter().map(thread::ScopedJoinHandle::join);
        results.collect::<Vec<_>>()
    });
    let mut exchanges = Vec::new();
    for result in results {
        exchanges.extend(result.map_err(|_| "a worker panicked")??);
    }
    let mut credential_rejected = 0.0;
    for function in &mut functions {
        function.await_ready()?;
        credential_rejected += sum_of_metric(&function.output()?, "CredentialRejected");
    }
    Ok(Run {
        exchanges,
        traffic: upstreams.traffic(),
        credential_rejected,
    })
}

/// Returns the requests of a run, in the order in which they are due.
fn schedule(with_denied_user: bool) -> Vec<Request> {
    let times = |interval: Duration, offset: Duration| {
        (0..)
            .map(move |number| offset + interval * number)
            .take_while(|due| *due < DURATION)
            .zip(0..)
    };
    let mut requests = Vec::new();
    for user in 0..USERS {
        let offset = USER_INTERVAL * user / USERS;
        requests.extend(times(USER_INTERVAL, offset).map(|(due, number)| Request {
            due,
            user: format!("user-{user}-{number}"),
        }));
    }
    if with_denied_user {
        requests.extend(
            times(DENIED_INTERVAL, Duration::ZERO).map(|(due, _)| Request {
                due,
                user: DENIED_USER.to_owned(),
            }),
        );
    }
    requests.sort_by_key(|request| request.due);
    requests
}

fn invoke(
    function: &mut Function,
    subject: &Subject,
    user: &str,
    due: Instant,
) -> Result<Exchange> {
    let invocation = function.invoke(&(subject.event)(user)?)?;
    let latency = due.elapsed();
    let response: Value = serde_json::from_slice(&invocation.response)?;
    let body: Value = serde_json::from_str(response["body"].as_str().unwrap_or_default())?;
    Ok(Exchange {
        is_denied: user == DENIED_USER,
        outcome: (
            response["statusCode"].as_u64().unwrap_or_default(),
            body["type"].as_str().map(str::to_owned),
        ),
        latency,
    })
}

/// Sums a metric up over all lines of a log.
fn sum_of_metric(log: &str, name: &str) -> f64 {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?[name].as_f64())
        .sum()
}

fn add_rows(table: &mut Table, runs: &[Run]) {
    let mut add = |name: &str, decimals: usize, value: &dyn Fn(&Run) -> f64| {
        let values: Vec<_> = runs.iter().map(|run| vec![value(run)]).collect();
        table.add(&Metric::plain(name, decimals), &values);
    };
    let count = |run: &Run, is_counted: &dyn Fn(&Exchange) -> bool| {
        let counted = run.exchanges.iter().filter(|e| is_counted(e)).count();
        u32::try_from(counted).map_or(f64::INFINITY, f64::from)
    };
    let is_success = |exchange: &Exchange| exchange.outcome.1.is_none();
    add("requests of others", 0, &|run| {
        count(run, &|e| !e.is_denied)
    });
    add("of these, succeeded", 0, &|run| {
        count(run, &|e| !e.is_denied && is_success(e))
    });
    add("requests of the denied user", 0, &|run| {
        count(run, &|e| e.is_denied)
    });
    add("reads of the secret", 0, &|run| {
        run.traffic.secret_reads.into()
    });
    add("calls to Airbyte", 0, &|run| {
        run.traffic.airbyte_calls.into()
    });
    add("CredentialRejected", 0, &|run| run.credential_rejected);
    for (name, percent) in [("p50", 50), ("p99", 99), ("max", 100)] {
        add(&format!("latency of others {name}, ms"), 1, &|run| {
            let others = run.exchanges.iter().filter(|e| !e.is_denied);
            let mut latencies: Vec<_> = others.map(|exchange| exchange.latency).collect();
            latencies.sort_unstable();
            crate::percentile(&latencies, percent).as_secs_f64() * 1e3
        });
    }
}

/// Fails if another user noticed the denied one, or if the denied one got another response than 403.
fn check(run: &Run, subject: &Subject) -> Result<()> {
    let success = (subject.status, None);
    let denied = (403, Some("forbidden".to_owned()));
    for exchange in &run.exchanges {
        let expected = if exchange.is_denied {
            &denied
        } else {
            &success
        };
        if exchange.outcome != *expected {
            return Err(format!(
                "{}: expected {expected:?}, got {:?}",
                subject.name, exchange.outcome
            )
            .into());
        }
    }
    // One during init, and one whenever the time to live has passed.
    let max_reads = f64::from(INSTANCES) * (1.0 + DURATION.div_duration_f64(SECRET_TTL));
    let reads = run.traffic.secret_reads;
    if f64::from(reads) > max_reads {
        return Err(format!(
            "{}: {reads} reads of the secret; expected at most {max_reads}",
            subject.name
        )
        .into());
    }
    if run.credential_rejected > 0.0 {
        return Err(format!(
            "{}: CredentialRejected is {}",
            subject.name, run.credential_rejected
        )
        .into());
    }
    Ok(())
}

fn per_second(interval: Duration) -> f64 {
    Duration::from_secs(1).div_duration_f64(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_requests_in_order_at_documented_rates() {
        for (with_denied_user, denied) in [(false, 0), (true, 600)] {
            let requests = schedule(with_denied_user);

            assert!(requests.is_sorted_by_key(|request| request.due));
            let is_denied = |request: &&Request| request.user == DENIED_USER;
            assert_eq!(requests.iter().filter(is_denied).count(), denied);
            assert_eq!(requests.len() - denied, 20 * 2 * 60);
        }
    }

    #[test]
    fn sums_metric_over_lines() {
        let log =
            "{\"CredentialRejected\":1}\nno JSON\n{\"CredentialRejected\":2}\n{\"Requests\":1}";
        assert!((sum_of_metric(log, "CredentialRejected") - 3.0).abs() < f64::EPSILON);
    }

    fn run_of(exchange: Exchange) -> Run {
        Run {
            exchanges: vec![exchange],
            traffic: Traffic::default(),
            credential_rejected: 0.0,
        }
    }

    #[test]
    fn fails_on_unexpected_responses() {
        let exchange = |is_denied, status, problem: Option<&str>| Exchange {
            is_denied,
            outcome: (status, problem.map(str::to_owned)),
            latency: Duration::ZERO,
        };
        let rejected = Some("credential-rejected");
        for (name, exchange, is_ok) in [
            ("served", exchange(false, 200, None), true),
            ("harmed", exchange(false, 502, rejected), false),
            ("denied", exchange(true, 403, Some("forbidden")), true),
            ("not denied", exchange(true, 200, None), false),
        ] {
            let result = check(&run_of(exchange), &SUBJECTS[0]);
            assert_eq!(result.is_ok(), is_ok, "{name}");
        }
    }

    #[test]
    fn fails_on_extra_reads_and_rejections() {
        let run = || {
            run_of(Exchange {
                is_denied: false,
                outcome: (200, None),
                latency: Duration::ZERO,
            })
        };
        let mut reads = run();
        reads.traffic.secret_reads = 29;
        assert!(check(&reads, &SUBJECTS[0]).is_err());
        let mut rejections = run();
        rejections.credential_rejected = 1.0;
        assert!(check(&rejections, &SUBJECTS[0]).is_err());
        assert!(check(&run(), &SUBJECTS[0]).is_ok());
    }
}
