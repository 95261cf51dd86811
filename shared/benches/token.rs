//! Cost of decoding an opaque token, which happens once per request.

use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, Throughput};
use shared::airbyte::token::{MAX_LENGTH, decode_unverified};

/// The sample response of Airbyte's "Authentication & Token Management" page.
const SAMPLE: &str = include_str!("../tests/data/vendor-sample.txt");

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("token decoding");
    let sample = SAMPLE.trim();
    let url_safe = sample.replace('+', "-").replace('/', "_");
    let tokens = [
        ("vendor sample", sample.to_owned()),
        (
            "URL-safe, no padding",
            url_safe.trim_end_matches('=').to_owned(),
        ),
        // The worst that a caller can send: the maximum length, and invalid only at the end.
        ("maximum length, truncated JSON", longest_truncated()),
        (
            "maximum length, not base64",
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

/// Returns base64 of JSON without its closing brace.
fn longest_truncated() -> String {
    let padding = "x".repeat(MAX_LENGTH / 4 * 3 - 20);
    let token = STANDARD.encode(format!(r#"{{"token":"{padding}""#));
    assert!(token.len() <= MAX_LENGTH, "longer than the maximum");
    token
}
