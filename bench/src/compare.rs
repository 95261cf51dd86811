//! Starts and requests, measured side by side in rounds, so that whatever else the machine does hits all alike.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::Result;
use crate::function::Function;
use crate::machine;
use crate::subject::Subject;
use crate::table::{Metric, Table};
use crate::upstreams::{Traffic, Upstreams};

/// How much to measure.
pub(crate) struct Extent {
    /// Cold starts of each subject.
    pub(crate) rounds: u32,
    /// Measured invocations in a warm run.
    pub(crate) warm: u32,
}

/// One round in three has a warm run.
const WARM_EVERY: u32 = 3;

/// Invocations before those that are measured in a warm run.
const WARM_UP: u32 = 200;

/// What one process gave.
pub(crate) struct Round {
    start: Start,
    warm: Option<Warm>,
}

struct Start {
    /// From spawn to the first poll.
    init: Duration,
    first: Duration,
    cpu: Duration,
    peak_kib: u32,
    traffic: Traffic,
}

struct Warm {
    p50: Duration,
    p99: Duration,
    /// All invocations together.
    cpu: Duration,
    traffic: Traffic,
    peak_kib: u32,
    invocations: u32,
}

/// Size of a program as it is, and as the archive that is deployed.
#[derive(Clone, Copy)]
struct Size {
    bytes: u32,
    zipped: u32,
}

/// Measures, and prints a table.
pub(crate) fn run(programs: &Path, extent: &Extent) -> Result<()> {
    // The first one is what the others are compared with.
    let subjects = [
        Subject::floor(programs)?,
        Subject::mint_token(programs)?,
        Subject::create_source_with_token(programs)?,
        Subject::create_source_without_token(programs)?,
    ];
    let upstreams = Upstreams::start()?;
    // One start of each that does not count, so that the programs are in the page cache.
    for subject in &subjects {
        measure(subject, &upstreams, None)?;
    }
    let mut rounds: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
    for round in 0..extent.rounds {
        let warm = (round % WARM_EVERY == 0).then_some(extent.warm);
        show_progress(round + 1, extent.rounds)?;
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
    show(&columns, extent)
}

fn measure(subject: &Subject, upstreams: &Upstreams, warm: Option<u32>) -> Result<Round> {
    let before = upstreams.traffic();
    let (mut function, init) = Function::start(&subject.program, &upstreams.environment())?;
    let first = function.invoke(&subject.event)?;
    let process = function.process();
    let start = Start {
        init,
        first: first.took,
        cpu: process.cpu_time()?,
        peak_kib: process.peak_resident_kib()?,
        traffic: upstreams.traffic() - before,
    };
    subject.check(&first.answer)?;

    let Some(invocations) = warm else {
        return Ok(Round { start, warm: None });
    };
    for _ in 0..WARM_UP {
        function.invoke(&subject.event)?;
    }
    let (traffic_before, cpu_before) = (upstreams.traffic(), process.cpu_time()?);
    let mut answered = Vec::new();
    for _ in 0..invocations {
        answered.push(function.invoke(&subject.event)?);
    }
    let cpu = process.cpu_time()?.saturating_sub(cpu_before);
    let traffic = upstreams.traffic() - traffic_before;
    let mut latencies = Vec::new();
    for invocation in &answered {
        subject.check(&invocation.answer)?;
        latencies.push(invocation.took);
    }
    latencies.sort_unstable();
    let warm = Warm {
        p50: crate::percentile(&latencies, 50),
        p99: crate::percentile(&latencies, 99),
        cpu,
        traffic,
        peak_kib: process.peak_resident_kib()?,
        invocations,
    };
    Ok(Round {
        start,
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

fn show(columns: &[(&str, Vec<Round>, Size)], extent: &Extent) -> Result<()> {
    let mib = |kib: u32| f64::from(kib) / 1024.0;
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let us = |duration: Duration| duration.as_secs_f64() * 1e6;
    let per = |count: u32, invocations: u32| f64::from(count) / f64::from(invocations);

    let mut table = Table::new(columns.iter().map(|(name, ..)| *name));
    let mut of_start = |metric: Metric, value: &dyn Fn(&Start) -> f64| {
        let values = columns
            .iter()
            .map(|(_, rounds, _)| rounds.iter().map(|round| value(&round.start)).collect());
        table.add(&metric, &values.collect::<Vec<_>>());
    };
    of_start(Metric::ratio("cold start, ms", 2), &|start| {
        ms(start.init + start.first)
    });
    of_start(Metric::ratio("… init: spawn to first poll", 2), &|start| {
        ms(start.init)
    });
    of_start(Metric::ratio("… first invocation", 2), &|start| {
        ms(start.first)
    });
    of_start(Metric::ratio("CPU of a cold start, ms", 2), &|start| {
        ms(start.cpu)
    });
    of_start(
        Metric::ratio("peak memory of a cold start, MiB", 1),
        &|start| mib(start.peak_kib),
    );
    of_start(Metric::plain("secret reads per cold start", 0), &|start| {
        start.traffic.secret_reads.into()
    });
    of_start(Metric::plain("Airbyte calls per cold start", 0), &|start| {
        start.traffic.airbyte_calls.into()
    });
    of_start(Metric::plain("connections per cold start", 0), &|start| {
        start.traffic.connections.into()
    });

    let mut of_warm = |metric: Metric, value: &dyn Fn(&Warm) -> f64| {
        let values = columns.iter().map(|(_, rounds, _)| {
            rounds
                .iter()
                .filter_map(|round| round.warm.as_ref())
                .map(value)
                .collect()
        });
        table.add(&metric, &values.collect::<Vec<_>>());
    };
    of_warm(Metric::ratio("warm invocation p50, µs", 0), &|warm| {
        us(warm.p50)
    });
    of_warm(Metric::ratio("warm invocation p99, µs", 0), &|warm| {
        us(warm.p99)
    });
    of_warm(Metric::ratio("CPU per warm invocation, µs", 0), &|warm| {
        us(warm.cpu / warm.invocations)
    });
    of_warm(Metric::ratio("peak memory, MiB", 1), &|warm| {
        mib(warm.peak_kib)
    });
    of_warm(
        Metric::plain("secret reads per warm invocation", 2),
        &|warm| per(warm.traffic.secret_reads, warm.invocations),
    );
    of_warm(
        Metric::plain("Airbyte calls per warm invocation", 2),
        &|warm| per(warm.traffic.airbyte_calls, warm.invocations),
    );
    of_warm(
        Metric::plain("connections per warm invocation", 2),
        &|warm| per(warm.traffic.connections, warm.invocations),
    );

    let mut of_size = |metric: Metric, value: &dyn Fn(Size) -> u32| {
        let values = columns
            .iter()
            .map(|(_, _, size)| vec![f64::from(value(*size)) / 1024.0 / 1024.0]);
        table.add(&metric, &values.collect::<Vec<_>>());
    };
    of_size(Metric::ratio("binary, MiB", 2), &|size| size.bytes);
    of_size(Metric::ratio("zipped, MiB", 2), &|size| size.zipped);

    let Extent { rounds, warm } = extent;
    crate::print(&format!(
        "{}\n{rounds} cold starts each, {} warm runs of {warm} invocations; medians, in brackets the ratio to the floor\n\n{table}",
        machine::shape(),
        rounds.div_ceil(WARM_EVERY),
    ))
}
