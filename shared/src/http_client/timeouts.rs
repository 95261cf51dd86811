//! Timeouts of connections.

use std::time::Duration;

/// The timeout for opening a connection, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The time after which an idle connection is closed. Load balancers usually close idle connections after a minute, so a
/// request is seldom sent on a connection that the server has just closed.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);
