//! The faults that can be ordered, and the orders that wait to be carried out.

use std::time::Duration;

/// An order to misbehave: which requests, how many of them, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The requests that it is for.
    pub route: Route,
    /// How many requests are hit; `None` for all, until [cleared](crate::Airbyte::clear_faults).
    pub times: Option<u32>,
    /// How many requests are let through before the first is hit.
    pub skip: u32,
    /// What happens to a request that is hit.
    pub kind: FaultKind,
}

impl Fault {
    /// An order that hits every request on `route` until it is cleared.
    #[must_use]
    pub fn new(route: Route, kind: FaultKind) -> Self {
        Self {
            route,
            times: None,
            skip: 0,
            kind,
        }
    }

    /// The same order for `times` requests only.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// The same order, with `skip` requests let through first.
    #[must_use]
    pub fn skip(self, skip: u32) -> Self {
        Self { skip, ..self }
    }
}

/// A part of Airbyte's API. The widget's page and `/_sim/` never fail on order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Every request, to paths that do not exist as well.
    Any,
    /// `POST /api/v1/account/applications/token`.
    ApplicationToken,
    /// `POST /api/v1/embedded/widget_token`.
    WidgetToken,
    /// `POST /api/v1/integrations/sources/`: the creation of a source, not the listing.
    Sources,
    /// `GET /api/v1/integrations/templates/sources/` and one template of it.
    Templates,
}

impl Route {
    /// Whether a request with `method` for `path` is one of this part.
    fn covers(self, method: &str, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::ApplicationToken => {
                (method, path) == ("POST", "/api/v1/account/applications/token")
            }
            Self::WidgetToken => (method, path) == ("POST", "/api/v1/embedded/widget_token"),
            Self::Sources => (method, path) == ("POST", "/api/v1/integrations/sources/"),
            Self::Templates => {
                method == "GET" && path.starts_with("/api/v1/integrations/templates/sources/")
            }
        }
    }
}

/// What happens to a request that a [`Fault`] hits.
///
/// A connection that cannot be opened at all is not among them, see [`Airbyte::refuse_connections`]. Speaking TLS to a
/// stand-in fails in the handshake, since it speaks plain HTTP.
///
/// [`Airbyte::refuse_connections`]: crate::Airbyte::refuse_connections
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// This is answered in place of the real answer; the request has no effect.
    Respond(CannedResponse),
    /// The request takes effect, a source is created for instance, and then this is answered.
    RespondAfterProcessing(CannedResponse),
    /// The connection is reset (TCP RST) when the request has been read; the request has no effect.
    ResetBeforeResponse,
    /// The request takes effect, the first half of the answer's bytes is sent, then the connection is reset.
    ResetMidResponse,
    /// The connection is closed in good order (TCP FIN) when the request has been read; the request has no effect.
    CloseBeforeResponse,
    /// There is never an answer, and the connection stays open until the client closes it; the request has no effect.
    Hang,
    /// The request takes effect, and its answer is sent a few bytes at a time.
    Drip {
        /// How many bytes are sent at once, at least 1.
        bytes_per_tick: usize,
        /// The time between two sendings.
        tick: Duration,
    },
    /// The request waits this long and is then processed and answered as usual.
    Delay(Duration),
}

/// An HTTP answer, written to the connection as it is given.
///
/// A `content-length` is added unless the headers have one or a `transfer-encoding`. The connection stays open, so an
/// answer whose headers lie about its length spoils it for the next request, as on a real server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CannedResponse {
    /// The status, not necessarily one that HTTP knows.
    pub status: u16,
    /// The headers: names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl CannedResponse {
    /// An answer with `status`, no headers and no body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same answer with another body.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    /// The same answer with a JSON body and `content-type: application/json`.
    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }
}

/// The orders that are open, in the order in which they were given.
#[derive(Debug, Default)]
pub(crate) struct FaultQueue(Vec<Fault>);

impl FaultQueue {
    pub(crate) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What a request is to suffer, if anything: the oldest order for it decides.
    ///
    /// An order that lets the request through leaves it to the next one.
    pub(crate) fn take(&mut self, method: &str, path: &str) -> Option<FaultKind> {
        let mut hit = None;
        for (index, fault) in self.0.iter_mut().enumerate() {
            if fault.times == Some(0) || !fault.route.covers(method, path) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            hit = Some(index);
            break;
        }
        let fault = &mut self.0[hit?];
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

    fn answer(status: u16) -> FaultKind {
        FaultKind::Respond(CannedResponse::new(status))
    }

    fn orders(faults: impl IntoIterator<Item = Fault>) -> FaultQueue {
        FaultQueue(faults.into_iter().collect())
    }

    #[test]
    fn an_order_hits_its_own_route_only() {
        let mut orders = orders([Fault::new(Route::Sources, FaultKind::Hang)]);

        assert_eq!(orders.take(WIDGET_TOKEN.0, WIDGET_TOKEN.1), None);
        assert_eq!(orders.take("GET", SOURCES.1), None);
        assert_eq!(orders.take(SOURCES.0, SOURCES.1), Some(FaultKind::Hang));
    }

    #[test]
    fn an_order_for_any_route_hits_all_until_cleared() {
        let mut orders = orders([Fault::new(Route::Any, FaultKind::Hang)]);

        for _ in 0..3 {
            assert_eq!(
                orders.take(WIDGET_TOKEN.0, WIDGET_TOKEN.1),
                Some(FaultKind::Hang)
            );
            assert_eq!(orders.take("GET", "/nowhere"), Some(FaultKind::Hang));
        }
        orders.clear();
        assert_eq!(orders.take(SOURCES.0, SOURCES.1), None);
    }

    #[test]
    fn skip_and_times_count_the_requests_of_the_route() {
        let mut orders = orders([Fault::new(Route::Sources, FaultKind::Hang).skip(1).times(2)]);

        let taken = [(); 5].map(|()| {
            assert_eq!(orders.take(WIDGET_TOKEN.0, WIDGET_TOKEN.1), None);
            orders.take(SOURCES.0, SOURCES.1).is_some()
        });

        assert_eq!(taken, [false, true, true, false, false]);
    }

    #[test]
    fn orders_are_carried_out_one_after_the_other() {
        let mut orders = orders([
            Fault::new(Route::Sources, answer(503)).skip(1).times(1),
            Fault::new(Route::Any, answer(429)).times(1),
            Fault::new(Route::Sources, answer(500)).times(0),
        ]);

        assert_eq!(orders.take(SOURCES.0, SOURCES.1), Some(answer(429)));
        assert_eq!(orders.take(SOURCES.0, SOURCES.1), Some(answer(503)));
        assert_eq!(orders.take(SOURCES.0, SOURCES.1), None);
    }
}
