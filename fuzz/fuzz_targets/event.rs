//! A Lambda event, all the way to the members of a small body.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use shared::body::{self, Object};
use shared::caller::{Caller, MAX_LENGTH, NAMED_USER};
use shared::event::{Event, HttpEvent};
use shared::origin::{AllowedOrigins, Origin};
use shared::problem::{Kind, Problem};

const MAX_BODY: usize = 1024;

static ALLOWED: LazyLock<AllowedOrigins> = LazyLock::new(|| {
    AllowedOrigins::parse("http://localhost:5173,https://app.example.com:8443")
        .expect("two origins")
});

fuzz_target!(|json: &[u8]| {
    // Whatever JSON comes can be answered: a strange event is no failed invocation.
    let event = serde_json::from_slice::<Event>(json);
    assert_eq!(
        event.is_ok(),
        serde_json::from_slice::<&RawValue>(json).is_ok()
    );
    match event {
        Ok(Event(Ok(event))) => {
            if let Err(problem) = request(&event) {
                assert!((400..500).contains(&problem.kind().status()), "{problem:?}");
                assert!(serde_json::from_str::<&RawValue>(&problem.to_json("request")).is_ok());
            }
        }
        Ok(Event(Err(error))) => assert_eq!(Problem::from(error).kind(), Kind::InvalidRequest),
        Err(_) => {}
    }
});

/// As the functions do it.
fn request(event: &HttpEvent) -> Result<(), Problem> {
    let caller = Caller::from_authorizer(&event.request_context.authorizer)?;
    let header = event.headers.origin.as_deref();
    let from_header = ALLOWED.choose(header, None)?;
    if let Some(header) = header {
        assert_eq!(
            Origin::parse(header).as_ref(),
            Ok(from_header),
            "nothing is replaced"
        );
    }

    let text = body::text(event, MAX_BODY)?;
    assert!(text.len() <= MAX_BODY);
    let mut body = Object::parse(&text)?;
    let allowed_origin = body.string("allowedOrigin");
    let named_user = body.string(NAMED_USER);
    let user = body.finish_with_user(caller.external_user_id("sub", named_user.as_deref()))?;
    let id = user.as_str();
    assert!((1..=MAX_LENGTH).contains(&id.chars().count()));
    assert!(!id.chars().any(char::is_control) && id.trim() == id);
    match caller {
        Caller::Jwt(claims) => assert_eq!(claims["sub"], id),
        Caller::Backend => assert_eq!(named_user.as_deref(), Some(id)),
    }

    let origin = ALLOWED.choose(header, allowed_origin.as_deref())?;
    if header.is_some() {
        assert_eq!(origin, from_header, "the header comes first");
    } else if let Some(asked) = allowed_origin {
        assert_eq!(Origin::parse(&asked).as_ref(), Ok(origin));
    }
    assert_eq!(
        Origin::parse(origin.as_str()).as_ref(),
        Ok(origin),
        "the normal form is its own"
    );
    Ok(())
}
