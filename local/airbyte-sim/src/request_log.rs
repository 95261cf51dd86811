//! The request log: requests and how they ended.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request to Airbyte's API, and how it ended.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When the request had been read, in milliseconds since the Unix epoch.
    pub at: u64,
    /// The number of its connection, counted from 1.
    pub connection: u64,
    /// The request's method.
    pub method: String,
    /// The request's path, without the query.
    pub path: String,
    /// The request's query, without the question mark.
    pub query: Option<String>,
    /// The request's headers in order, names in lower case. Bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The request's body.
    pub body: Vec<u8>,
    /// The response's status, even if only a part of the response was sent.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Exchange {
    /// Returns the value of the request's first header `name` (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Parses the request's body as JSON.
    ///
    /// # Errors
    /// The body is not JSON.
    pub fn json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
    }
}

/// How an [`Exchange`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not ended yet.
    Pending,
    /// The whole response was handed to the connection.
    Completed,
    /// An injected failure reset the connection.
    Reset,
    /// An injected failure closed the connection without a response.
    Closed,
    /// The client closed the connection, or the simulator stopped, before the whole response was sent.
    Abandoned,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Abandoned => "abandoned",
        })
    }
}

/// The newest exchanges, up to a capacity.
pub(crate) struct RequestLog {
    exchanges: Mutex<Exchanges>,
    capacity: usize,
    /// Whether each exchange is printed when it ends.
    print_requests: bool,
}

#[derive(Default)]
struct Exchanges {
    kept: VecDeque<Exchange>,
    /// The number of exchanges before the first that is kept, so that the numbers of the others do not change.
    forgotten: usize,
}

impl RequestLog {
    pub(crate) fn new(capacity: usize, print_requests: bool) -> Self {
        Self {
            exchanges: Mutex::default(),
            capacity,
            print_requests,
        }
    }

    /// Records a request. The [`Entry`] records how it ends.
    pub(crate) fn begin(self: &Arc<Self>, exchange: Exchange) -> Entry {
        let mut exchanges = self.lock();
        if exchanges.kept.len() >= self.capacity && exchanges.kept.pop_front().is_some() {
            exchanges.forgotten += 1;
        }
        exchanges.kept.push_back(exchange);
        let number = exchanges.forgotten + exchanges.kept.len() - 1;
        drop(exchanges);
        Entry {
            log: Arc::clone(self),
            number,
        }
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.lock().kept.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        let mut exchanges = self.lock();
        exchanges.forgotten += exchanges.kept.len();
        exchanges.kept.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Exchanges> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log entry of a request that is being served. If it is dropped before its end, the request was abandoned.
pub(crate) struct Entry {
    log: Arc<RequestLog>,
    number: usize,
}

impl Entry {
    /// Records the status of the response, before it is sent.
    pub(crate) fn status(&self, status: u16) {
        self.update(|exchange| exchange.status = Some(status));
    }

    /// Records how the request ends. Called before the client can see the end, because it may then read the log.
    pub(crate) fn end(&self, outcome: Outcome) {
        self.update(|exchange| exchange.outcome = outcome);
    }

    fn update(&self, change: impl FnOnce(&mut Exchange)) {
        let mut exchanges = self.log.lock();
        let Some(index) = self.number.checked_sub(exchanges.forgotten) else {
            return;
        };
        if let Some(exchange) = exchanges.kept.get_mut(index) {
            change(exchange);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let print_requests = self.log.print_requests;
        self.update(|exchange| {
            if exchange.outcome == Outcome::Pending {
                exchange.outcome = Outcome::Abandoned;
            }
            if print_requests {
                print_exchange(exchange);
            }
        });
    }
}

/// Prints one line without headers or bodies, because they contain secrets.
#[expect(clippy::print_stderr, reason = "the log of a program for a terminal")]
fn print_exchange(exchange: &Exchange) {
    let Exchange { method, path, .. } = exchange;
    match (exchange.status, exchange.outcome) {
        (Some(status), Outcome::Completed) => eprintln!("{method} {path} {status}"),
        (Some(status), outcome) => eprintln!("{method} {path} {status}, {outcome}"),
        (None, outcome) => eprintln!("{method} {path} {outcome}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> Exchange {
        Exchange {
            at: 0,
            connection: 1,
            method: "GET".to_owned(),
            path: path.to_owned(),
            query: None,
            headers: vec![("accept".to_owned(), "*/*".to_owned())],
            body: Vec::new(),
            status: None,
            outcome: Outcome::Pending,
        }
    }

    fn outcomes(log: &RequestLog) -> Vec<(String, Outcome)> {
        log.exchanges()
            .into_iter()
            .map(|exchange| (exchange.path, exchange.outcome))
            .collect()
    }

    #[test]
    fn records_dropped_entries_as_abandoned() {
        let log = Arc::new(RequestLog::new(10, false));
        log.begin(request("/completed")).end(Outcome::Completed);
        drop(log.begin(request("/dropped")));
        let _pending = log.begin(request("/pending"));

        assert_eq!(
            outcomes(&log),
            [
                ("/completed".to_owned(), Outcome::Completed),
                ("/dropped".to_owned(), Outcome::Abandoned),
                ("/pending".to_owned(), Outcome::Pending),
            ]
        );
    }

    #[test]
    fn drops_oldest_exchanges() {
        let log = Arc::new(RequestLog::new(2, false));
        let oldest = log.begin(request("/1"));
        let second = log.begin(request("/2"));
        let third = log.begin(request("/3"));
        oldest.end(Outcome::Completed);
        second.end(Outcome::Reset);
        third.end(Outcome::Closed);

        assert_eq!(
            outcomes(&log),
            [
                ("/2".to_owned(), Outcome::Reset),
                ("/3".to_owned(), Outcome::Closed)
            ]
        );
    }

    #[test]
    fn ignores_entries_from_before_clearing() {
        let log = Arc::new(RequestLog::new(10, false));
        let before = log.begin(request("/before"));
        log.clear();
        let after = log.begin(request("/after"));
        before.end(Outcome::Reset);
        after.end(Outcome::Completed);

        assert_eq!(outcomes(&log), [("/after".to_owned(), Outcome::Completed)]);
    }

    #[test]
    fn finds_headers_by_name() {
        assert_eq!(request("/").header("accept"), Some("*/*"));
        assert_eq!(request("/").header("authorization"), None);
    }
}
