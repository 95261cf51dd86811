//! A stand-in for Airbyte Embedded, for development and tests.
//!
//! It speaks the part of Airbyte's API that a web app's backend and the Embedded Widget need: application tokens,
//! widget tokens, source templates, sources, and the page that the widget's iframe shows. It is written against the
//! vendor's public documentation and code, and shares nothing with the clients that it tests.
//!
//! What a real Airbyte cannot do for a test, this one can: keep a [log](Airbyte::requests) of every request,
//! [inject failures](Airbyte::inject), rotate and revoke credentials, and show each source's configuration exactly as
//! it was received. Everything is also available by HTTP under `/_sim/`, see [`control`].
//!
//! It listens on loopback only and forgets everything when it stops.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use airbyte_sim::{Airbyte, Fault, FaultKind, Options, Route};
//!
//! let airbyte = Airbyte::start(Options::default()).await?;
//! airbyte.inject(Fault::new(Route::WidgetToken, FaultKind::ResetBeforeResponse).times(2));
//! println!("listening on {}", airbyte.url());
//! # Ok(())
//! # }
//! ```
//!
//! # Where it is stricter than Airbyte
//!
//! - `externalUserId` is required of a widget token's request (Airbyte makes one up).
//! - The integration routes for sources take scoped tokens only (Airbyte also takes an organization's credential), so
//!   that a client that sends the wrong one is found out.
//! - Two overlapping first requests for one user get the same workspace (Airbyte may make two, and fail later).

mod airbyte;
mod api;
mod clock;
mod connection_script;
pub mod control;
mod fault;
mod jwt;
mod options;
mod request_log;
mod server;
mod source;
mod state;
mod template;
mod validation;
mod widget;

pub use airbyte::Airbyte;
pub use fault::{CannedResponse, Fault, FaultKind, Route};
pub use options::{Application, Options};
pub use request_log::{Exchange, Outcome};
pub use source::Source;
