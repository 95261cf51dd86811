//! Fault injection: the failures that can be injected, and the queue of those that wait for a request.

use std::time::Duration;

use serde_json::Value;

/// A failure to inject: into which requests, into how many of them, and which one.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The requests that it applies to.
    pub route: Route,
    /// The user that the requests' bodies name; `None` for any request.
    pub user: Option<String>,
    /// The number of requests that fail; `None` for all, until [cleared](crate::Airbyte::clear_faults).
    pub times: Option<u32>,
    /// The number of requests that succeed before the first one fails.
    pub skip: u32,
    /// The failure.
    pub kind: FaultKind,
}

impl Fault {
    /// Creates a fault that fails every request on `route` until it is cleared.
    #[must_use]
    pub fn new(route: Route, kind: FaultKind) -> Self {
        Self {
            route,
            user: None,
            times: None,
            skip: 0,
            kind,
        }
    }

    /// Limits the fault to requests whose bodies name this user, by `externalUserId` or `workspace_name`.
    #[must_use]
    pub fn user(self, user: impl Into<String>) -> Self {
        Self {
            user: Some(user.into()),
            ..self
        }
    }

    fn applies_to(&self, method: &str, path: &str, body: &[u8]) -> bool {
        self.route.covers(method, path)
            && self
                .user
                .as_deref()
                .is_none_or(|user| names_user(body, user))
    }

    /// Limits the fault to `times` requests.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// Lets `skip` requests succeed first.
    #[must_use]
    pub fn skip(self, skip: u32) -> Self {
        Self { skip, ..self }
    }
}

fn names_user(body: &[u8], user: &str) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    ["externalUserId", "workspace_name"]
        .iter()
        .any(|name| body[*name] == user)
}

/// A part of Airbyte's API, in every generation that has it. The widget's page and `/_sim/` never fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Every request, including those to unknown paths.
    Any,
    /// `POST /api/v1/account/applications/token`.
    ApplicationToken,
    /// `POST /api/v1/embedded/widget_token` and `POST /api/v1/account/applications/widget-token`.
    WidgetToken,
    /// `POST /api/v1/account/applications/scoped-token` and `GET …/scoped-token/info`.
    ScopedToken,
    /// `POST /api/v1/integrations/sources/` and `POST /api/v1/integrations/connectors`: creation, not listing.
    Sources,
    /// `GET /api/v1/integrations/templates/sources`, with or without a trailing slash, and one template of it.
    Templates,
}

impl Route {
    /// Whether a request with `method` for `path` belongs to this part.
    #[must_use]
    pub fn covers(self, method: &str, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::ApplicationToken => {
                (method, path) == ("POST", "/api/v1/account/applications/token")
            }
            Self::WidgetToken => matches!(
                (method, path),
                (
                    "POST",
                    "/api/v1/embedded/widget_token" | "/api/v1/account/applications/widget-token"
                )
            ),
            Self::ScopedToken => matches!(
                (method, path),
                ("POST", "/api/v1/account/applications/scoped-token")
                    | ("GET", "/api/v1/account/applications/scoped-token/info")
            ),
            Self::Sources => matches!(
                (method, path),
                (
                    "POST",
                    "/api/v1/integrations/sources/" | "/api/v1/integrations/connectors"
                )
            ),
            Self::Templates => path
                .strip_prefix("/api/v1/integrations/templates/sources")
                .is_some_and(|rest| method == "GET" && (rest.is_empty() || rest.starts_with('/'))),
        }
    }
}

/// The failure that a [`Fault`] injects.
///
/// A connection that cannot be opened is not among them, see [`Airbyte::refuse_connections`]. A TLS handshake with a
/// simulator always fails, because it speaks plain HTTP.
///
/// [`Airbyte::refuse_connections`]: crate::Airbyte::refuse_connections
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Sends this response instead of the real one. The request has no effect.
    Respond(CannedResponse),
    /// Processes the request, so that a source is created for example, and then sends this response.
    RespondAfterProcessing(CannedResponse),
    /// Resets the connection (TCP RST) after reading the request. The request has no effect.
    ResetBeforeResponse,
    /// Processes the request, sends the first half of the response's bytes, then resets the connection.
    ResetMidResponse,
    /// Closes the connection (TCP FIN) after reading the request. The request has no effect.
    CloseBeforeResponse,
    /// Never responds, and keeps the connection open until the client closes it. The request has no effect.
    Hang,
    /// Processes the request, and sends the response a few bytes at a time.
    Drip {
        /// The number of bytes per write, at least 1.
        bytes_per_tick: usize,
        /// The time between two writes.
        tick: Duration,
    },
    /// Waits this long, then processes the request and responds as usual.
    Delay(Duration),
}

/// An HTTP response that is written to the connection unchanged.
///
/// `content-length` is added unless the headers contain it or `transfer-encoding`. The connection stays open, so a
/// response with a wrong length breaks it for the next request, as on a real server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CannedResponse {
    /// The status, which may be unknown to HTTP.
    pub status: u16,
    /// The headers: names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl CannedResponse {
    /// Creates a response with `status`, no headers and no body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Replaces the body.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    /// Replaces the body by JSON, and adds `content-type: application/json`.
    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }
}

/// The injected faults, oldest first.
#[derive(Debug, Default)]
pub(crate) struct FaultQueue(Vec<Fault>);

impl FaultQueue {
    pub(crate) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the failure to inject into this request, if any: that of the oldest fault that applies.
    ///
    /// A fault that skips the request leaves it to the next one.
    pub(crate) fn take(&mut self, method: &str, path: &str, body: &[u8]) -> Option<FaultKind> {
        let mut applies = None;
        for (index, fault) in self.0.iter_mut().enumerate() {
            if fault.times == Some(0) || !fault.applies_to(method, path, body) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            applies = Some(index);
            break;
        }
        let fault = &mut self.0[applies?];
        let kind = fault.kind.clone();
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        self.0.retain(|fault| fault.times != Some(0));
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: (&str, &str) = ("POST", "/api/v1/integrations/sources/");
    const WIDGET_TOKEN: (&str, &str) = ("POST", "/api/v1/embedded/widget_token");

    fn respond(status: u16) -> FaultKind {
        FaultKind::Respond(CannedResponse::new(status))
    }

    fn queue(faults: impl IntoIterator<Item = Fault>) -> FaultQueue {
        FaultQueue(faults.into_iter().collect())
    }

    #[test]
    fn routes_cover_both_generations() {
        for (route, method, path) in [
            (
                Route::ApplicationToken,
                "POST",
                "/api/v1/account/applications/token",
            ),
            (Route::WidgetToken, "POST", "/api/v1/embedded/widget_token"),
            (
                Route::WidgetToken,
                "POST",
                "/api/v1/account/applications/widget-token",
            ),
            (
                Route::ScopedToken,
                "POST",
                "/api/v1/account/applications/scoped-token",
            ),
            (
                Route::ScopedToken,
                "GET",
                "/api/v1/account/applications/scoped-token/info",
            ),
            (Route::Sources, "POST", "/api/v1/integrations/sources/"),
            (Route::Sources, "POST", "/api/v1/integrations/connectors"),
            (
                Route::Templates,
                "GET",
                "/api/v1/integrations/templates/sources",
            ),
            (
                Route::Templates,
                "GET",
                "/api/v1/integrations/templates/sources/",
            ),
            (
                Route::Templates,
                "GET",
                "/api/v1/integrations/templates/sources/1",
            ),
        ] {
            assert!(route.covers(method, path), "{route:?}: {method} {path}");
        }
    }

    #[test]
    fn routes_exclude_other_requests() {
        for (route, method, path) in [
            (
                Route::WidgetToken,
                "POST",
                "/api/v1/account/applications/token",
            ),
            (Route::Sources, "GET", "/api/v1/integrations/connectors"),
            (Route::Sources, "GET", "/api/v1/integrations/sources/"),
            (
                Route::Templates,
                "GET",
                "/api/v1/integrations/templates/sourcesque",
            ),
            (
                Route::Templates,
                "POST",
                "/api/v1/integrations/templates/sources",
            ),
        ] {
            assert!(!route.covers(method, path), "{route:?}: {method} {path}");
        }
    }

    #[test]
    fn applies_to_any_route_until_cleared() {
        let mut queue = queue([Fault::new(Route::Any, FaultKind::Hang)]);

        for _ in 0..3 {
            assert_eq!(
                queue.take(WIDGET_TOKEN.0, WIDGET_TOKEN.1, b""),
                Some(FaultKind::Hang)
            );
            assert_eq!(queue.take("GET", "/nowhere", b""), Some(FaultKind::Hang));
        }
        queue.clear();
        assert_eq!(queue.take(SOURCES.0, SOURCES.1, b""), None);
    }

    #[test]
    fn counts_skip_and_times_per_route() {
        let mut queue = queue([Fault::new(Route::Sources, FaultKind::Hang).skip(1).times(2)]);

        let taken = [(); 5].map(|()| {
            assert_eq!(queue.take(WIDGET_TOKEN.0, WIDGET_TOKEN.1, b""), None);
            queue.take(SOURCES.0, SOURCES.1, b"").is_some()
        });

        assert_eq!(taken, [false, true, true, false, false]);
    }

    #[test]
    fn applies_oldest_fault_first() {
        let mut queue = queue([
            Fault::new(Route::Sources, respond(503)).skip(1).times(1),
            Fault::new(Route::Any, respond(429)).times(1),
            Fault::new(Route::Sources, respond(500)).times(0),
        ]);

        assert_eq!(queue.take(SOURCES.0, SOURCES.1, b""), Some(respond(429)));
        assert_eq!(queue.take(SOURCES.0, SOURCES.1, b""), Some(respond(503)));
        assert_eq!(queue.take(SOURCES.0, SOURCES.1, b""), None);
    }

    #[test]
    fn applies_to_one_user() {
        let mut queue = queue([Fault::new(Route::Any, FaultKind::Hang).user("bob")]);

        for (name, body, expected) in [
            ("embedded", r#"{"externalUserId": "bob"}"#, true),
            ("agents", r#"{"workspace_name": "bob"}"#, true),
            ("another user", r#"{"externalUserId": "alice"}"#, false),
            ("no user", r#"{"name": "bob"}"#, false),
            ("no JSON", "bob", false),
        ] {
            let taken = queue.take(WIDGET_TOKEN.0, WIDGET_TOKEN.1, body.as_bytes());
            assert_eq!(taken.is_some(), expected, "{name}");
        }
    }
}
