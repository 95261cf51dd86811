//! The handle of a running simulator.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::fault::Fault;
use crate::generation::Generation;
use crate::jwt::Key;
use crate::options::{Application, Options, SourcesBearer};
use crate::request_log::Exchange;
use crate::server::{self, Command};
use crate::source::Source;
use crate::state::{State, lock};
use crate::template::Template;
use crate::workspace::Workspace;

/// A running simulator. Dropping it stops it and closes its connections.
pub struct Airbyte {
    state: Arc<State>,
    address: SocketAddr,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Airbyte {
    /// Starts a simulator on the current Tokio runtime. It accepts connections as soon as this returns.
    ///
    /// # Errors
    /// The address is not a loopback address, or cannot be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        if !options.address.ip().is_loopback() {
            let message = format!("{} is not a loopback address", options.address.ip());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = TcpListener::bind(options.address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new(options, format!("http://{address}")));
        let (commands, received) = mpsc::channel(1);
        let task = tokio::spawn(server::run(Arc::clone(&state), address, listener, received));
        Ok(Self {
            state,
            address,
            commands,
            task,
        })
    }

    /// Returns its URL, without a trailing slash: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the logged requests to Airbyte's API, oldest first. Requests to unknown paths are logged; those to the
    /// widget's page and to `/_sim/` are not.
    #[must_use]
    pub fn requests(&self) -> Vec<Exchange> {
        self.state.request_log.exchanges()
    }

    /// Clears the request log.
    pub fn clear_requests(&self) {
        self.state.request_log.clear();
    }

    /// Returns the number of accepted connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Injects a failure. Several faults can be queued; the oldest one that matches a request applies to it.
    pub fn inject(&self, fault: Fault) {
        lock(&self.state.faults).push(fault);
    }

    /// Clears all injected failures. Requests in progress keep theirs.
    pub fn clear_faults(&self) {
        lock(&self.state.faults).clear();
    }

    /// Closes every connection and refuses new ones until [`accept_connections`](Self::accept_connections). The port
    /// stays reserved.
    ///
    /// # Errors
    /// Another process bound the port in between; the simulator has then stopped.
    pub async fn refuse_connections(&self) -> io::Result<()> {
        self.command(Command::Refuse).await
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// Another process bound the port in between; the simulator has then stopped.
    pub async fn accept_connections(&self) -> io::Result<()> {
        self.command(Command::Accept).await
    }

    async fn command(
        &self,
        command: fn(oneshot::Sender<io::Result<()>>) -> Command,
    ) -> io::Result<()> {
        let stopped = || io::Error::other("the simulator has stopped");
        let (reply, result) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| stopped())?;
        result.await.map_err(|_| stopped())?
    }

    /// Replaces the accepted organization tokens.
    pub fn set_organization_tokens(&self, tokens: Vec<String>) {
        lock(&self.state.settings).organization_tokens = tokens;
    }

    /// Replaces the accepted applications. Tokens that were already issued stay valid.
    pub fn set_applications(&self, applications: Vec<Application>) {
        lock(&self.state.settings).applications = applications;
    }

    /// Sets the lifetime of scoped tokens issued from now on, in whole seconds.
    pub fn set_scoped_token_lifetime(&self, lifetime: Duration) {
        lock(&self.state.settings).scoped_token_lifetime = lifetime;
    }

    /// Sets the lifetime of application tokens issued from now on, in whole seconds.
    pub fn set_application_token_lifetime(&self, lifetime: Duration) {
        lock(&self.state.settings).application_token_lifetime = lifetime;
    }

    /// Replaces the generations that are served. The paths of the others return 404.
    pub fn set_generations(&self, generations: &[Generation]) {
        lock(&self.state.settings).generations = generations.to_vec();
    }

    /// Sets the bearer tokens that `POST /api/v1/integrations/connectors` accepts.
    pub fn set_sources_bearer(&self, bearer: SourcesBearer) {
        lock(&self.state.settings).sources_bearer = bearer;
    }

    /// Sets the time between looking for a user's workspace and creating it. First mints of one user that overlap in
    /// this time each create a workspace.
    pub fn set_workspace_creation_time(&self, time: Duration) {
        lock(&self.state.settings).workspace_creation_time = time;
    }

    /// Revokes every scoped token issued so far; they get 401.
    pub fn revoke_scoped_tokens(&self) {
        lock(&self.state.settings).scoped_token_key = Key::random();
    }

    /// Revokes every application token issued so far; they get 401.
    pub fn revoke_application_tokens(&self) {
        lock(&self.state.settings).application_token_key = Key::random();
    }

    /// Returns every source, in order of creation.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        lock(&self.state.sources).clone()
    }

    /// Returns the source templates of a generation, for a form: `id`, `name`, `mode` and `connection_specification` of each.
    /// It does not matter which generations are served.
    #[must_use]
    pub fn source_templates(&self, generation: Generation) -> Vec<Value> {
        let templates = self.state.templates.iter();
        templates
            .filter(|template| template.is_in(generation))
            .map(Template::form)
            .collect()
    }

    /// Returns every workspace, in order of creation. A user with several has lost a race.
    #[must_use]
    pub fn workspaces(&self) -> Vec<Workspace> {
        self.state.workspaces()
    }

    /// Returns the workspace of an organization's user; `None` if there is none, or `organization_id` is not a UUID.
    ///
    /// It is the first one if there are several, see [`workspaces`](Self::workspaces).
    #[must_use]
    pub fn workspace_of(&self, organization_id: &str, external_user_id: &str) -> Option<Uuid> {
        let organization_id = Uuid::try_parse(organization_id).ok()?;
        self.workspaces()
            .into_iter()
            .find(|workspace| {
                workspace.organization_id == organization_id && workspace.name == external_user_id
            })
            .map(|workspace| workspace.id)
    }
}

impl Drop for Airbyte {
    fn drop(&mut self) {
        self.task.abort();
    }
}
