//! What it takes to read Airbyte's opaque token, which every request does once.

use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, Throughput};
use shared::airbyte::token::{MAX_LENGTH, decode_unverified};

/// The sample answer of Airbyte's "Authentication & Token Management" page.
const SAMPLE: &str = include_str!("../tests/data/vendor-sample.txt");

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("token decoding");
    let sample = SAMPLE.trim();
    let url_safe = sample.replace('+', "-").replace('/', "_");
    let tokens = [
        ("the vendor's sample", sample.to_owned()),
        (
            "URL-safe, without padding",
            url_safe.trim_end_matches('=').to_owned(),
        ),
        // What somebody could send to keep the function busy: as long as is looked at, and wrong at its very end.
        ("the longest, cut off", longest_cut_off()),
        (
            "the longest, no base64",
            format!("{}!", "A".repeat(MAX_LENGTH - 1)),
        ),
    ];
    for (name, token) in &tokens {
        group.throughput(Throughput::Bytes(token.len() as u64));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| decode_unverified(black_box(token)).is_ok());
        });
    }
    group.finish();
    criterion.final_summary();
}

/// Base64 of JSON without its closing brace.
fn longest_cut_off() -> String {
    let padding = "x".repeat(MAX_LENGTH / 4 * 3 - 20);
    let token = STANDARD.encode(format!(r#"{{"token":"{padding}""#));
    assert!(token.len() <= MAX_LENGTH, "longer than is looked at");
    token
}
