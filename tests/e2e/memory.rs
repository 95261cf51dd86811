//! Memory and open files over many invocations, each for another user.

use std::fs;

use e2e::{Binary, Event, Function, TestEnv, faker_source};

/// More users than `create-source` keeps tokens for, so that its memory is as full as it gets.
const WARM_UP: u32 = 1_100;
const INVOCATIONS: u32 = 1_700;

/// In KiB. The tokens of the users after the warm-up would take more than twice that if they were all kept.
const MAX_GROWTH: u64 = 256;

#[tokio::test]
async fn mint_token_memory_stays_bounded() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    let before = invoke(&function, Binary::MintToken, 0..WARM_UP).await;
    let after = invoke(&function, Binary::MintToken, WARM_UP..INVOCATIONS).await;
    after.is_no_more_than(&before);
}

#[tokio::test]
async fn create_source_memory_stays_bounded() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let before = invoke(&function, Binary::CreateSource, 0..WARM_UP).await;
    let after = invoke(&function, Binary::CreateSource, WARM_UP..INVOCATIONS).await;
    after.is_no_more_than(&before);
}

/// What a process takes up.
#[derive(Debug)]
struct Size {
    resident_kib: u64,
    open_files: usize,
}

impl Size {
    fn of(function: &Function) -> Size {
        let process = function.process_id();
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.unwrap().trim().strip_suffix(" kB").unwrap();
        Size {
            resident_kib: resident.parse().unwrap(),
            open_files: fs::read_dir(format!("/proc/{process}/fd")).unwrap().count(),
        }
    }

    fn is_no_more_than(&self, before: &Size) {
        let Size {
            resident_kib,
            open_files,
        } = *self;
        assert!(
            resident_kib <= before.resident_kib + MAX_GROWTH,
            "memory grows: {before:?}, then {self:?}"
        );
        assert!(
            open_files <= before.open_files,
            "files stay open: {before:?}, then {self:?}"
        );
    }
}

async fn invoke(function: &Function, binary: Binary, users: std::ops::Range<u32>) -> Size {
    let source = faker_source();
    for user in users {
        let user = format!("user-{user}");
        let (event, status) = match binary {
            Binary::MintToken => (Event::mint_token(&user), 200),
            Binary::CreateSource => (Event::create_source(&user, &source), 201),
        };
        function.invoke(event).await.expect_success(status);
    }
    Size::of(function)
}
