//! Accepted and rejected tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use local_stack::issuer::Issuer;
use serde_json::{Map, Value, json};

use crate::support::{ANY_PORT, World, header, message};

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Alice's claims with changes; null removes one.
fn claims(world: &World, changes: Value) -> Map<String, Value> {
    let Value::Object(changes) = changes else {
        panic!("not an object")
    };
    let mut claims = world.issuer().claims("alice");
    claims.extend(changes);
    claims.retain(|_, value| !value.is_null());
    claims
}

/// Expects a 401 with this description, and no invocation.
async fn expect_rejected(world: &World, token: &str, description: &str) {
    let response = world
        .post("/token", &[("authorization", &format!("Bearer {token}"))])
        .await;
    assert_eq!(response.status(), 401, "{description}");
    assert_eq!(message(&response), "Unauthorized");
    let expected =
        format!(r#"Bearer scope="" error="invalid_token" error_description="{description}""#);
    assert_eq!(
        header(&response, "www-authenticate"),
        Some(expected.as_str())
    );
    assert!(
        world.lambda.events().is_empty(),
        "{description}: the function was invoked"
    );
}

#[tokio::test]
async fn accepts_token_with_and_without_scheme() {
    let world = World::start().await;
    let token = world.issuer().token(&claims(
        &world,
        json!({"roles": ["a", "b"], "admin": true, "nick": null}),
    ));
    for authorization in [
        token.clone(),
        format!("Bearer {token}"),
        format!("bearer {token}"),
    ] {
        let response = world
            .post("/token", &[("authorization", &authorization)])
            .await;
        assert_eq!(response.status(), 200);
    }
    let events = world.lambda.events();
    assert_eq!(events.len(), 3);
    for event in events {
        let jwt = &event["requestContext"]["authorizer"]["jwt"];
        assert_eq!(jwt["claims"]["sub"], "alice");
        assert_eq!(jwt["claims"]["roles"], "[a b]");
        assert_eq!(jwt["claims"]["admin"], "true");
        assert!(
            jwt["claims"]["exp"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
                > now()
        );
        assert_eq!(jwt["scopes"], Value::Null);
    }
}

#[tokio::test]
async fn challenges_request_without_token() {
    let world = World::open().await;
    for headers in [
        &[][..],
        &[("authorization", "")],
        &[("x-authorization", "a")],
    ] {
        let response = world.post("/token", headers).await;
        assert_eq!(
            (response.status().as_u16(), message(&response)),
            (401, "Unauthorized".to_owned()),
            "{headers:?}"
        );
        assert_eq!(header(&response, "www-authenticate"), Some("Bearer"));
    }
    assert!(world.lambda.events().is_empty());
}

#[tokio::test]
async fn rejects_malformed_token() {
    let world = World::start().await;
    for text in ["x", "a.b.c", "Basic YWxpY2U6", "..."] {
        expect_rejected(&world, text, "the token is malformed").await;
    }
}

#[tokio::test]
async fn rejects_token_of_other_issuer() {
    let world = World::start().await;
    let forger = Issuer::start(ANY_PORT).await.unwrap();
    let claims = claims(&world, json!({}));
    // With its own key ID, and with the real one.
    expect_rejected(
        &world,
        &forger.token(&claims),
        "the token has an unknown key ID",
    )
    .await;
    let header = Header {
        kid: Some(world.issuer().key_id().to_owned()),
        ..Header::new(Algorithm::RS256)
    };
    expect_rejected(
        &world,
        &forger.sign(&header, &claims),
        "the token has an invalid signature",
    )
    .await;
}

#[tokio::test]
async fn rejects_missing_or_unknown_key_id() {
    let world = World::start().await;
    let claims = claims(&world, json!({}));
    let unknown = Header {
        kid: Some("unknown".to_owned()),
        ..Header::new(Algorithm::RS256)
    };
    expect_rejected(
        &world,
        &world.issuer().sign(&unknown, &claims),
        "the token has an unknown key ID",
    )
    .await;
    expect_rejected(
        &world,
        &world.issuer().sign(&Header::new(Algorithm::RS256), &claims),
        "the token has no key ID",
    )
    .await;
}

#[tokio::test]
async fn rejects_changed_claims() {
    let world = World::start().await;
    let token = world.issuer().token(&claims(&world, json!({})));
    let [head, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("{token}")
    };
    let bobs =
        URL_SAFE_NO_PAD.encode(Value::from(claims(&world, json!({"sub": "bob"}))).to_string());
    expect_rejected(
        &world,
        &format!("{head}.{bobs}.{signature}"),
        "the token has an invalid signature",
    )
    .await;
    expect_rejected(
        &world,
        &format!("{head}.{bobs}."),
        "the token has an invalid signature",
    )
    .await;
}

#[tokio::test]
async fn rejects_algorithms_other_than_rsa() {
    let world = World::start().await;
    let claims = claims(&world, json!({}));
    let key_id = world.issuer().key_id();

    let body = URL_SAFE_NO_PAD.encode(Value::from(claims.clone()).to_string());
    for none in ["none", "None", "NONE"] {
        let head =
            URL_SAFE_NO_PAD.encode(json!({"alg": none, "typ": "JWT", "kid": key_id}).to_string());
        expect_rejected(&world, &format!("{head}.{body}."), "the token is malformed").await;
    }

    // The public key as the secret of a symmetric signature.
    let public_key = world.issuer().public_key_pem();
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let header = Header {
            kid: Some(key_id.to_owned()),
            ..Header::new(algorithm)
        };
        let key = EncodingKey::from_secret(public_key.as_bytes());
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        expect_rejected(&world, &token, "the token has an unsupported algorithm").await;
    }
}

#[tokio::test]
async fn rejects_invalid_claims() {
    let world = World::start().await;
    let now = now();
    let cases = [
        (json!({"exp": now - 1}), "the token has expired"),
        (json!({"exp": null}), "the token has no expiration time"),
        (json!({"nbf": now + 600}), "the token is not yet valid"),
        (
            json!({"iat": now + 600}),
            "the token was issued in the future",
        ),
        (
            json!({"aud": "another-app"}),
            "the token does not have a valid audience",
        ),
        (
            json!({"aud": null}),
            "the token does not have a valid audience",
        ),
        (
            json!({"iss": "https://issuer.example"}),
            "the token does not have a valid issuer",
        ),
        (
            json!({"iss": format!("{}/", world.issuer().url())}),
            "the token does not have a valid issuer",
        ),
    ];
    for (changes, description) in cases {
        expect_rejected(
            &world,
            &world.issuer().token(&claims(&world, changes)),
            description,
        )
        .await;
    }
}

#[tokio::test]
async fn accepts_other_rsa_algorithms_and_client_id() {
    let world = World::start().await;
    let by_client = claims(&world, json!({"aud": null, "client_id": "app"}));
    for algorithm in [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512] {
        let header = Header {
            kid: Some(world.issuer().key_id().to_owned()),
            ..Header::new(algorithm)
        };
        let token = world.issuer().sign(&header, &by_client);
        let response = world.post("/token", &[("authorization", &token)]).await;
        assert_eq!(response.status(), 200, "{algorithm:?}");
    }
}

#[tokio::test]
async fn requires_scope_of_route() {
    let world = World::start().await;
    let call = async |changes| {
        let token = world.issuer().token(&claims(&world, changes));
        world.post("/scoped", &[("authorization", &token)]).await
    };
    for changes in [
        json!({}),
        json!({"scope": "read"}),
        json!({"scope": "rewrite"}),
    ] {
        let response = call(changes).await;
        assert_eq!(
            (response.status().as_u16(), message(&response)),
            (403, "Forbidden".to_owned())
        );
    }
    assert_eq!(call(json!({"scope": "read write"})).await.status(), 200);
    let [event] = &world.lambda.events()[..] else {
        panic!("not one event")
    };
    assert_eq!(
        event["requestContext"]["authorizer"]["jwt"]["scopes"],
        json!(["read", "write"])
    );
}

#[tokio::test]
async fn rejects_tokens_while_issuer_is_unreachable() {
    let world = World::start_with_issuer_out_of_reach().await;
    expect_rejected(
        &world,
        &world.issuer().token(&claims(&world, json!({}))),
        "OIDC discovery endpoint communication error",
    )
    .await;
    let [line] = &world.console()[..] else {
        panic!("{:?}", world.console())
    };
    let start = "failed to fetch the issuer's signing keys: http://127.0.0.1:9/.well-known/openid-configuration: ";
    assert!(line.starts_with(start), "{line}");
}

#[tokio::test]
async fn rejects_calls_of_iam_route() {
    let world = World::start().await;
    let bearer = world.bearer("alice");
    for headers in [
        &[][..],
        &[("authorization", bearer.as_str())],
        &[("authorization", "AWS4-HMAC-SHA256 Credential=a")],
    ] {
        let response = world.post("/signed", headers).await;
        assert_eq!(
            (response.status().as_u16(), message(&response)),
            (403, "Forbidden".to_owned())
        );
    }
    assert!(world.lambda.events().is_empty());
    let expected = "POST /signed: rejected, because AWS signatures cannot be verified locally";
    assert_eq!(world.console(), [expected; 3]);
}

#[tokio::test]
async fn issuer_issues_accepted_tokens() {
    let world = World::start().await;
    let ask = async |query: &str| {
        let url = format!("{}/token?{query}", world.issuer().url());
        let request = http::Request::get(url).header("origin", "http://localhost:5173");
        let response = world
            .send(request.body(http_body_util::Full::default()).unwrap())
            .await;
        assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
        (
            response.status().as_u16(),
            String::from_utf8(response.body().to_vec()).unwrap(),
        )
    };
    let (status, token) = ask("sub=alice").await;
    assert_eq!(status, 200);
    assert_eq!(
        world
            .post("/token", &[("authorization", &token)])
            .await
            .status(),
        200
    );

    // A plus sign is one, as in an e-mail address; a space is %20.
    for (query, subject) in [
        ("sub=alice+test@example.com", "alice+test@example.com"),
        ("sub=alice%2Btest%20x", "alice+test x"),
    ] {
        let (_, token) = ask(query).await;
        world.post("/token", &[("authorization", &token)]).await;
        let event = world.lambda.events().pop().unwrap();
        let claims = &event["requestContext"]["authorizer"]["jwt"]["claims"];
        assert_eq!(claims["sub"], subject);
    }

    let (_, expired) = ask("sub=alice&exp=-1").await;
    let (_, other_audience) = ask("sub=alice&aud=another").await;
    let (_, changed) = ask("sub=alice&claims=%7B%22iss%22:%22https://issuer.example%22%7D").await;
    for token in [expired, other_audience, changed] {
        assert_eq!(
            world
                .post("/token", &[("authorization", &token)])
                .await
                .status(),
            401
        );
    }
    for (query, problem) in [
        ("", "`sub` is required, as in /token?sub=alice\n"),
        ("sub=", "`sub` is required, as in /token?sub=alice\n"),
        (
            "sub=a&exp=x",
            "`exp` must be a number of seconds from now\n",
        ),
        (
            "sub=a&lifetime=1",
            "unknown parameter `lifetime`, expected `sub`, `aud`, `exp` or `claims`\n",
        ),
    ] {
        assert_eq!(ask(query).await, (400, problem.to_owned()));
    }
}
