//! A running function.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::process::Process;
use crate::runtime_api::{Report, RuntimeApi};

/// No start and no invocation takes longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

/// A function's process, behind a Runtime API of its own; killed when dropped.
pub(crate) struct Function {
    child: Child,
    runtime_api: RuntimeApi,
    /// A file rather than a pipe: nobody has to read along.
    output: File,
    /// Whether it has asked for the next event.
    ready: bool,
}

/// One invocation.
pub(crate) struct Invocation {
    /// From handing the event out to having read the answer.
    pub(crate) took: Duration,
    /// The answer, in payload format 2.0.
    pub(crate) answer: Vec<u8>,
}

impl Function {
    /// Starts a function and waits until it asks for its first event. Also gives the time that took.
    pub(crate) fn start(
        program: &Path,
        environment: &[(&str, String)],
    ) -> Result<(Self, Duration)> {
        let runtime_api = RuntimeApi::start()?;
        let output = tempfile::tempfile()?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api.address().to_string())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?);
        let started = Instant::now();
        let child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut function = Self {
            child,
            runtime_api,
            output,
            ready: false,
        };
        let polled = function.await_poll()?;
        Ok((function, polled - started))
    }

    /// Invokes the function, once it is ready.
    pub(crate) fn invoke(&mut self, event: &[u8]) -> Result<Invocation> {
        self.settle()?;
        self.ready = false;
        self.runtime_api.hand_out(event);
        let Report::HandedOut(handed_out) = self.report()? else {
            return Err(self.unexpected("did not take the event"));
        };
        let Report::Answered(answered, answer) = self.report()? else {
            return Err(self.unexpected("did not answer"));
        };
        Ok(Invocation {
            took: answered - handed_out,
            answer,
        })
    }

    /// Waits until the function is ready for the next event, and so is done with the last one.
    pub(crate) fn settle(&mut self) -> Result<()> {
        if !self.ready {
            self.await_poll()?;
        }
        Ok(())
    }

    /// The process, to look at.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    fn await_poll(&mut self) -> Result<Instant> {
        let Report::Polled(polled) = self.report()? else {
            return Err(self.unexpected("did not ask for an event"));
        };
        self.ready = true;
        Ok(polled)
    }

    fn report(&mut self) -> Result<Report> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match self.runtime_api.report(Duration::from_millis(100)) {
                Some(Report::Failed(error)) => {
                    return Err(self.unexpected(&format!("reports {error}")));
                }
                Some(report) => return Ok(report),
                None => {
                    if let Some(status) = self.child.try_wait()? {
                        return Err(self.unexpected(&format!("ended ({status})")));
                    }
                }
            }
        }
        Err(self.unexpected("is silent"))
    }

    fn unexpected(&self, what: &str) -> Box<dyn std::error::Error + Send + Sync> {
        format!("the function {what}; it printed:\n{}", self.last_output()).into()
    }

    /// The end of what it printed.
    fn last_output(&self) -> String {
        const ENOUGH: u64 = 4096;
        let length = self.output.metadata().map_or(0, |metadata| metadata.len());
        let mut bytes = vec![0; 4096];
        // Reads without moving the offset, which the process shares.
        let read = self
            .output
            .read_at(&mut bytes, length.saturating_sub(ENOUGH))
            .unwrap_or(0);
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
