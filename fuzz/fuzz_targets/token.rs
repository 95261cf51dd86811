//! An opaque token: any string as the token, and inside each of its layers, because a fuzzer does not find valid base64.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret as _;
use serde_json::json;
use shared::airbyte::token::{MAX_LENGTH, decode_unverified, unverified_expiry};

fuzz_target!(|text: &str| {
    check(text);
    check(&STANDARD.encode(text));
    let jwt = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(text));
    let inner = json!({ "token": jwt, "widgetUrl": "https://cloud.airbyte.com/embedded-widget" });
    check(&STANDARD.encode(inner.to_string()));
    let _ = unverified_expiry(text);
});

fn check(opaque: &str) {
    match decode_unverified(opaque) {
        // The messages are constants, so that nothing of the token is in a response.
        Err(error) => assert!(error.to_string().len() < 100),
        Ok(token) => {
            assert!(opaque.len() <= MAX_LENGTH);
            let jwt = token.scoped_token.expose_secret();
            assert_eq!(jwt.split('.').count(), 3);
            assert!(
                jwt.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_=.".contains(&byte)),
                "fits into a header"
            );
            assert_eq!(unverified_expiry(jwt), Some(token.expires_at));
            assert!(token.is_expired_at(token.expires_at));
            let widget_url = token
                .widget_url
                .trim_start_matches(|c: char| c <= ' ')
                .to_ascii_lowercase();
            assert!(
                widget_url.starts_with("http"),
                "{widget_url:?} cannot be a script"
            );
        }
    }
}
