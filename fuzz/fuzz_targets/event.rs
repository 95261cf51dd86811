//! A Lambda event, down to the fields of a small body.
#![no_main]

use std::sync::LazyLock;

use lambda_http::Request;
use lambda_http::http::header::ORIGIN;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use shared::lambda::event;
use shared::outcome::ProblemType;
use shared::problem::Problem;
use shared::request::RequestError;
use shared::request::body::{self, JsonObject};
use shared::request::caller::{Caller, MAX_LENGTH};
use shared::request::origin::{AllowedOrigins, Origin};

const MAX_BODY_BYTES: usize = 1024;

static ALLOWED: LazyLock<AllowedOrigins> = LazyLock::new(|| {
    AllowedOrigins::parse("http://localhost:5173,https://app.example.com:8443")
        .expect("two origins")
});

fuzz_target!(|json: &[u8]| {
    // Every JSON value has a response: an unknown event is not a failed invocation.
    let Ok(event) = serde_json::from_slice::<&RawValue>(json) else {
        return;
    };
    match event::parse(event) {
        Ok(request) => {
            if let Err(problem) = handle(&request) {
                let response = problem.to_response("request");
                assert!(response.status().is_client_error(), "{problem:?}");
                assert!(serde_json::from_str::<&RawValue>(response.body()).is_ok());
            }
        }
        Err(error) => assert_eq!(
            Problem::from(error).problem_type(),
            ProblemType::InvalidRequest
        ),
    }
});

/// Reads the request as the functions do.
fn handle(request: &Request) -> Result<(), Problem> {
    let caller = Caller::from_request(request)?;
    let from_header = ALLOWED.check_header(request)?;
    if let Some(header) = request.headers().get(ORIGIN) {
        let header = header.to_str().expect("an allowed origin is ASCII");
        assert_eq!(
            Origin::parse(header).as_ref().ok(),
            from_header,
            "no origin is replaced"
        );
    }

    let text = body::text(request, MAX_BODY_BYTES)?;
    assert!(text.len() <= MAX_BODY_BYTES);
    let mut body = JsonObject::parse(text)?;
    let allowed_origin = body.string("allowedOrigin");
    let user = body.external_user_id(&caller, "sub");
    body.build(|| Some(()))?;
    let user = user.map_err(RequestError::from)?;
    let id = user.as_str();
    assert!((1..=MAX_LENGTH).contains(&id.chars().count()));
    assert!(!id.chars().any(char::is_control) && id.trim() == id);
    if let Caller::Jwt(claims) = caller {
        assert_eq!(claims["sub"], id);
    }

    let origin = ALLOWED.resolve(from_header, allowed_origin.as_deref())?;
    if from_header.is_some() {
        assert_eq!(Some(origin), from_header, "the header decides");
    } else if let Some(requested) = allowed_origin {
        assert_eq!(Origin::parse(&requested).as_ref(), Ok(origin));
    }
    assert_eq!(
        Origin::parse(origin.as_str()).as_ref(),
        Ok(origin),
        "normalization is idempotent"
    );
    Ok(())
}
