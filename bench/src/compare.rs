//! Cold starts and warm invocations of all programs, interleaved in rounds, so that other load on the machine affects all
//! of them alike.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::Result;
use crate::chart;
use crate::function::Function;
use crate::machine;
use crate::subject::Subject;
use crate::table::{Metric, Table};
use crate::upstreams::{Traffic, Upstreams};

/// The numbers of measurements.
pub(crate) struct SampleSizes {
    /// Cold starts of each subject: one per round.
    pub(crate) cold_starts: u32,
    /// Measured invocations of a warm run.
    pub(crate) warm_invocations: u32,
}

/// The variable that adds columns for the other generation of Airbyte's API, or selects it.
pub(crate) const BENCH_AGENTS: &str = "BENCH_AGENTS";

/// Every third round has a warm run.
const ROUNDS_PER_WARM_RUN: u32 = 3;

/// Invocations of a warm run before the measured ones.
const WARM_UP_INVOCATIONS: u32 = 200;

/// The measurements of one process.
struct Round {
    cold: ColdStart,
    warm: Option<WarmRun>,
}

struct ColdStart {
    /// From spawn to the first request for an event.
    init: Duration,
    first_invocation: Duration,
    cpu: Duration,
    peak_kib: u32,
    traffic: Traffic,
}

struct WarmRun {
    p50: Duration,
    p99: Duration,
    /// The CPU time of all measured invocations.
    cpu: Duration,
    traffic: Traffic,
    peak_kib: u32,
    invocations: u32,
}

/// The size of a program and of the archive that is deployed.
#[derive(Clone, Copy)]
struct Size {
    bytes: u32,
    zipped: u32,
}

/// Measures all subjects and prints a table.
pub(crate) fn run(programs: &Path, sizes: &SampleSizes) -> Result<()> {
    // The first one is the baseline of the ratios.
    let mut subjects = vec![
        Subject::floor(programs)?,
        Subject::mint_token(programs)?,
        Subject::create_source_with_token(programs)?,
        Subject::create_source_without_token(programs)?,
    ];
    if std::env::var_os(BENCH_AGENTS).is_some() {
        subjects.extend(Subject::with_agents_api(programs)?);
    }
    let upstreams = Upstreams::start()?;
    // One start of each that is not counted, so that the programs are in the page cache.
    for subject in &subjects {
        measure(subject, &upstreams, None)?;
    }
    let mut rounds: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
    for round in 0..sizes.cold_starts {
        let warm = (round % ROUNDS_PER_WARM_RUN == 0).then_some(sizes.warm_invocations);
        show_progress(round + 1, sizes.cold_starts)?;
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let measured = measure(&subjects[index], &upstreams, warm)?;
            rounds[index].push(measured);
        }
    }
    let mut columns = Vec::new();
    for (subject, rounds) in subjects.iter().zip(rounds) {
        columns.push((subject.name, rounds, size(&subject.program)?));
    }
    let table = table(&columns);
    print_table(&table, sizes)?;
    write_chart(&table, programs)
}

fn measure(subject: &Subject, upstreams: &Upstreams, warm: Option<u32>) -> Result<Round> {
    let before = upstreams.traffic();
    let mut environment = upstreams.environment();
    let own = subject.environment.iter();
    environment.extend(own.map(|&(name, value)| (name, value.to_owned())));
    let (mut function, init) = Function::start(&subject.program, &environment)?;
    let first = function.invoke(&subject.event)?;
    let process = function.process();
    let cold = ColdStart {
        init,
        first_invocation: first.duration,
        cpu: process.cpu_time()?,
        peak_kib: process.peak_resident_kib()?,
        traffic: upstreams.traffic() - before,
    };
    subject.check(&first.response)?;

    let Some(invocations) = warm else {
        return Ok(Round { cold, warm: None });
    };
    for _ in 0..WARM_UP_INVOCATIONS {
        function.invoke(&subject.event)?;
    }
    let (traffic_before, cpu_before) = (upstreams.traffic(), process.cpu_time()?);
    let mut responses = Vec::new();
    for _ in 0..invocations {
        responses.push(function.invoke(&subject.event)?);
    }
    let cpu = process.cpu_time()?.saturating_sub(cpu_before);
    let traffic = upstreams.traffic() - traffic_before;
    let mut latencies = Vec::new();
    for invocation in &responses {
        subject.check(&invocation.response)?;
        latencies.push(invocation.duration);
    }
    latencies.sort_unstable();
    let warm = WarmRun {
        p50: crate::percentile(&latencies, 50),
        p99: crate::percentile(&latencies, 99),
        cpu,
        traffic,
        peak_kib: process.peak_resident_kib()?,
        invocations,
    };
    Ok(Round {
        cold,
        warm: Some(warm),
    })
}

fn size(program: &Path) -> Result<Size> {
    let bytes = fs::read(program)?;
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
    deflate.write_all(&bytes)?;
    Ok(Size {
        bytes: bytes.len().try_into()?,
        zipped: deflate.finish()?.len().try_into()?,
    })
}

fn show_progress(round: u32, rounds: u32) -> io::Result<()> {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        write!(terminal, "\rround {round} of {rounds} ")?;
        if round == rounds {
            writeln!(terminal)?;
        }
    }
    Ok(())
}

fn table(columns: &[(&str, Vec<Round>, Size)]) -> Table {
    let mib = |kib: u32| f64::from(kib) / 1024.0;
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let us = |duration: Duration| duration.as_secs_f64() * 1e6;
    let per = |count: u32, invocations: u32| f64::from(count) / f64::from(invocations);

    let mut table = Table::new(columns.iter().map(|(name, ..)| *name));
    let mut add_cold = |metric: Metric, value: &dyn Fn(&ColdStart) -> f64| {
        let values = columns
            .iter()
            .map(|(_, rounds, _)| rounds.iter().map(|round| value(&round.cold)).collect());
        table.add(&metric, &values.collect::<Vec<_>>());
    };
    add_cold(Metric::ratio("cold start, ms", 2), &|cold| {
        ms(cold.init + cold.first_invocation)
    });
    add_cold(
        Metric::ratio("… init: spawn to first poll, ms", 2),
        &|cold| ms(cold.init),
    );
    add_cold(Metric::ratio("… first invocation, ms", 2), &|cold| {
        ms(cold.first_invocation)
    });
    add_cold(Metric::ratio("CPU time of a cold start, ms", 2), &|cold| {
        ms(cold.cpu)
    });
    add_cold(
        Metric::ratio("peak memory of a cold start, MiB", 1),
        &|cold| mib(cold.peak_kib),
    );
    add_cold(Metric::plain("secret reads per cold start", 0), &|cold| {
        cold.traffic.secret_reads.into()
    });
    add_cold(Metric::plain("Airbyte calls per cold start", 0), &|cold| {
        cold.traffic.airbyte_calls.into()
    });
    add_cold(Metric::plain("connections per cold start", 0), &|cold| {
        cold.traffic.connections.into()
    });

    let mut add_warm = |metric: Metric, value: &dyn Fn(&WarmRun) -> f64| {
        let values = columns.iter().map(|(_, rounds, _)| {
            rounds
                .iter()
                .filter_map(|round| round.warm.as_ref())
                .map(value)
                .collect()
        });
        table.add(&metric, &values.collect::<Vec<_>>());
    };
    add_warm(Metric::ratio("warm invocation p50, µs", 0), &|warm| {
        us(warm.p50)
    });
    add_warm(Metric::ratio("warm invocation p99, µs", 0), &|warm| {
        us(warm.p99)
    });
    add_warm(
        Metric::ratio("CPU time per warm invocation, µs", 0),
        &|warm| us(warm.cpu / warm.invocations),
    );
    add_warm(Metric::ratio("peak memory, MiB", 1), &|warm| {
        mib(warm.peak_kib)
    });
    add_warm(
        Metric::plain("secret reads per warm invocation", 2),
        &|warm| per(warm.traffic.secret_reads, warm.invocations),
    );
    add_warm(
        Metric::plain("Airbyte calls per warm invocation", 2),
        &|warm| per(warm.traffic.airbyte_calls, warm.invocations),
    );
    add_warm(
        Metric::plain("connections per warm invocation", 2),
        &|warm| per(warm.traffic.connections, warm.invocations),
    );

    let mut add_size = |metric: Metric, value: &dyn Fn(Size) -> u32| {
        let values = columns
            .iter()
            .map(|(_, _, size)| vec![f64::from(value(*size)) / 1024.0 / 1024.0]);
        table.add(&metric, &values.collect::<Vec<_>>());
    };
    add_size(Metric::ratio("binary size, MiB", 2), &|size| size.bytes);
    add_size(Metric::ratio("zipped size, MiB", 2), &|size| size.zipped);
    table
}

fn print_table(table: &Table, sizes: &SampleSizes) -> Result<()> {
    let SampleSizes {
        cold_starts,
        warm_invocations,
    } = sizes;
    crate::print(&format!(
        "{}\n{cold_starts} cold starts and {} warm runs of {warm_invocations} invocations each; medians, with the ratio to the floor in parentheses\n\n{table}",
        machine::description(),
        cold_starts.div_ceil(ROUNDS_PER_WARM_RUN),
    ))
}

/// Writes the chart to `bench.svg` in the target directory, from where `make pictures` takes it.
fn write_chart(table: &Table, programs: &Path) -> Result<()> {
    let target = programs.parent().unwrap_or(programs);
    let file = target.join("bench.svg");
    fs::write(&file, chart::svg(table))?;
    crate::print(&format!("chart: {}", file.display()))
}
