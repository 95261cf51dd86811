//! Requests that reached Airbyte, for the browser tests.

use airbyte_sim::{Airbyte, Exchange};

pub(crate) const WIDGET_TOKEN: &str = "/api/v1/embedded/widget_token";

/// Returns the requests to a path.
pub(crate) fn calls(airbyte: &Airbyte, path: &str) -> Vec<Exchange> {
    let mut requests = airbyte.requests();
    requests.retain(|exchange| exchange.path == path);
    requests
}
