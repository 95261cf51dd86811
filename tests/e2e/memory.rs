//! Memory and open files over many invocations, each for another user.

use std::fs;
use std::ops::Range;

use e2e::{Binary, Event, Function, TestEnv, faker_source};

/// More users than `create-source` caches tokens for, so that its cache is full.
const WARM_UP: u32 = 1_100;
const INVOCATIONS: u32 = 1_700;

/// Limit of the growth after the warm-up. Caching the tokens of all later users would take more than twice as much.
const MAX_GROWTH_KIB: u64 = 256;

#[tokio::test]
async fn mint_token_memory_stays_bounded() {
    expect_bounded_memory(Binary::MintToken, Event::mint_token).await;
}

#[tokio::test]
async fn create_source_memory_stays_bounded() {
    let source = faker_source();
    expect_bounded_memory(Binary::CreateSource, |user| {
        Event::create_source(user, &source)
    })
    .await;
}

async fn expect_bounded_memory(binary: Binary, event: impl Fn(&str) -> Event) {
    let env = TestEnv::new().await;
    let function = env.start(binary).await;
    let invoke = async |users: Range<u32>| {
        for user in users {
            let response = function.invoke(event(&format!("user-{user}"))).await;
            response.expect_success(binary.success());
        }
        (function.memory_kib("VmRSS"), open_files(&function))
    };

    let (memory_before, files_before) = invoke(0..WARM_UP).await;
    let (memory, files) = invoke(WARM_UP..INVOCATIONS).await;

    assert!(
        memory <= memory_before + MAX_GROWTH_KIB,
        "memory grew from {memory_before} to {memory} KiB"
    );
    assert!(
        files <= files_before,
        "open files grew from {files_before} to {files}"
    );
}

fn open_files(function: &Function) -> usize {
    let directory = format!("/proc/{}/fd", function.process_id());
    fs::read_dir(directory).unwrap().count()
}
