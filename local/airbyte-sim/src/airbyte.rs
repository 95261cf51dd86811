//! A running stand-in, and everything a test can ask of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::fault::Fault;
use crate::journal::Exchange;
use crate::jwt::Key;
use crate::options::{Application, Options};
use crate::server::{self, Command};
use crate::source::Source;
use crate::state::{State, lock};

/// A running stand-in. It stops, and its connections end, when it is dropped.
pub struct Airbyte {
    state: Arc<State>,
    address: SocketAddr,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Airbyte {
    /// Starts a stand-in on the current Tokio runtime. It accepts connections from the moment this returns.
    ///
    /// # Errors
    /// If the address is not a loopback address, or cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        if !options.address.ip().is_loopback() {
            let problem = format!("{} is not a loopback address", options.address.ip());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
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

    /// Its URL, without a trailing slash: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request on Airbyte's API so far, those to unknown paths included, in the order in which they arrived. The
    /// widget's page and `/_sim/` leave no trace in it.
    #[must_use]
    pub fn journal(&self) -> Vec<Exchange> {
        self.state.journal.exchanges()
    }

    /// Forgets the journal so far.
    pub fn clear_journal(&self) {
        self.state.journal.clear();
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Orders a fault. Several orders can be open at once; a request suffers the oldest that is for it.
    pub fn order(&self, fault: Fault) {
        lock(&self.state.orders).push(fault);
    }

    /// Takes back every order. A request that already suffers one goes on suffering it.
    pub fn clear_faults(&self) {
        lock(&self.state.orders).clear();
    }

    /// Ends every connection and refuses new ones, until told to [accept](Self::accept_connections) again. The port
    /// stays taken in the meantime.
    ///
    /// # Errors
    /// If another process took the port at the very moment; the stand-in has then stopped.
    pub async fn refuse_connections(&self) -> io::Result<()> {
        self.command(Command::Refuse).await
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// If another process took the port at the very moment; the stand-in has then stopped.
    pub async fn accept_connections(&self) -> io::Result<()> {
        self.command(Command::Accept).await
    }

    async fn command(
        &self,
        command: fn(oneshot::Sender<io::Result<()>>) -> Command,
    ) -> io::Result<()> {
        let stopped = || io::Error::other("the stand-in has stopped");
        let (reply, result) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| stopped())?;
        result.await.map_err(|_| stopped())?
    }

    /// Replaces the organization tokens that are accepted.
    pub fn set_organization_tokens(&self, tokens: Vec<String>) {
        lock(&self.state.settings).organization_tokens = tokens;
    }

    /// Replaces the applications whose credentials are accepted. Tokens that others were given stay valid.
    pub fn set_applications(&self, applications: Vec<Application>) {
        lock(&self.state.settings).applications = applications;
    }

    /// Sets how long scoped tokens issued from now on are valid, in whole seconds.
    pub fn set_scoped_token_lifetime(&self, lifetime: Duration) {
        lock(&self.state.settings).scoped_token_lifetime = lifetime;
    }

    /// Sets how long application tokens issued from now on are valid, in whole seconds.
    pub fn set_application_token_lifetime(&self, lifetime: Duration) {
        lock(&self.state.settings).application_token_lifetime = lifetime;
    }

    /// Answers 401 to every scoped token issued so far.
    pub fn revoke_scoped_tokens(&self) {
        lock(&self.state.settings).scoped_token_key = Key::random();
    }

    /// Answers 401 to every application token issued so far.
    pub fn revoke_application_tokens(&self) {
        lock(&self.state.settings).application_token_key = Key::random();
    }

    /// Every source, in the order of creation.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        lock(&self.state.sources).clone()
    }

    /// The workspace of an organization's external user; `None` if there is none yet, or the organization's id is no UUID.
    #[must_use]
    pub fn workspace_of(&self, organization_id: &str, external_user_id: &str) -> Option<Uuid> {
        self.state
            .find_workspace(Uuid::try_parse(organization_id).ok()?, external_user_id)
    }
}

impl Drop for Airbyte {
    fn drop(&mut self) {
        self.task.abort();
    }
}
