//! Looking at what reached Airbyte.

use airbyte_sim::{Airbyte, Exchange};

pub(crate) const APPLICATION_TOKEN: &str = "/api/v1/account/applications/token";
pub(crate) const WIDGET_TOKEN: &str = "/api/v1/embedded/widget_token";
pub(crate) const SOURCES: &str = "/api/v1/integrations/sources/";

/// The paths that were called, in order.
pub(crate) fn paths(airbyte: &Airbyte) -> Vec<String> {
    airbyte
        .requests()
        .into_iter()
        .map(|exchange| exchange.path)
        .collect()
}

/// The calls to one path.
pub(crate) fn calls(airbyte: &Airbyte, path: &str) -> Vec<Exchange> {
    let mut requests = airbyte.requests();
    requests.retain(|exchange| exchange.path == path);
    requests
}
