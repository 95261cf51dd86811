//! A simulator of Airbyte Embedded, for development and tests.
//!
//! It serves the part of Airbyte's API that a web app's backend and the Embedded Widget need: application tokens,
//! widget tokens, source templates, sources, and the page that the widget's iframe shows. It serves both [generations]
//! of the API at once over one state; each can be switched off. It is written against the vendor's public documentation
//! and code, and shares no code with the clients that it tests.
//!
//! It also does what Airbyte cannot do for a test: it keeps a [log](Airbyte::requests) of every request,
//! [injects failures](Airbyte::inject), rotates and revokes credentials, and shows each source's configuration byte for
//! byte as it was received. Everything is also available over HTTP under `/_sim/`, see [`control`].
//!
//! It listens on loopback only, and keeps its state in memory.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use airbyte_sim::{Airbyte, ErrorShape, Fault, FaultKind, Options, Route};
//!
//! let airbyte = Airbyte::start(Options::default()).await?;
//! airbyte.inject(Fault::new(Route::WidgetToken, FaultKind::ResetBeforeResponse).times(2));
//! airbyte.inject(Fault::new(Route::ApplicationToken, ErrorShape::InvalidClient.into()));
//! println!("listening on {}", airbyte.url());
//! # Ok(())
//! # }
//! ```
//!
//! # Workspaces
//!
//! A user's workspace is created without a lock, as at Airbyte: first mints of one user that overlap each create one, and
//! every later mint of that user fails with 500. [`Options::workspace_creation_time`] sets how long the overlap can be.
//!
//! # Where it is stricter than Airbyte
//!
//! - `externalUserId` is required for a widget token (Airbyte makes one up).
//! - The source routes of the `embedded` generation accept scoped tokens only (Airbyte also accepts an organization's
//!   credential), so that a client that sends the wrong one is found.
//! - In the `agents` generation an organization's token needs `X-Organization-Id` unless [`Options::organizations`] has
//!   exactly one.
//!
//! [generations]: Generation

mod airbyte;
mod api;
mod clock;
mod connection_script;
pub mod control;
mod error_shape;
mod fault;
mod generation;
mod jwt;
mod options;
mod request_log;
mod server;
mod source;
mod state;
mod template;
mod validation;
mod widget;
mod workspace;

pub use airbyte::Airbyte;
pub use error_shape::ErrorShape;
pub use fault::{CannedResponse, Fault, FaultKind, Route};
pub use generation::Generation;
pub use options::{Application, InvalidVariable, Options, SourcesBearer};
pub use request_log::{Exchange, Outcome};
pub use source::Source;
pub use workspace::Workspace;
