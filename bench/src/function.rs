//! A running function.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::process::Process;
use crate::runtime_api::{Report, RuntimeApi};

/// Timeout of a start and of an invocation.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A function's process with its own Runtime API; killed when dropped.
pub(crate) struct Function {
    child: Child,
    runtime_api: RuntimeApi,
    /// A file rather than a pipe, which would have to be drained.
    output: File,
    /// Whether it has requested the next event.
    is_ready: bool,
}

/// A completed invocation.
pub(crate) struct Invocation {
    /// From sending the event to having read the response.
    pub(crate) duration: Duration,
    /// The response, in payload format 2.0.
    pub(crate) response: Vec<u8>,
}

impl Function {
    /// Starts a function and waits until it requests its first event. Returns the time until then as well.
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
            is_ready: false,
        };
        let polled_at = function.await_poll()?;
        Ok((function, polled_at - started))
    }

    /// Invokes the function as soon as it is ready.
    pub(crate) fn invoke(&mut self, event: &[u8]) -> Result<Invocation> {
        self.await_ready()?;
        self.is_ready = false;
        self.runtime_api.send(event);
        let Report::Sent(sent_at) = self.report()? else {
            return Err(self.failure("did not take the event"));
        };
        let Report::Responded(responded_at, response) = self.report()? else {
            return Err(self.failure("did not respond"));
        };
        Ok(Invocation {
            duration: responded_at - sent_at,
            response,
        })
    }

    /// Waits until the function requests the next event, which means that it has finished the previous one.
    pub(crate) fn await_ready(&mut self) -> Result<()> {
        if !self.is_ready {
            self.await_poll()?;
        }
        Ok(())
    }

    /// Returns the process, for measurements.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    fn await_poll(&mut self) -> Result<Instant> {
        let Report::Polled(polled_at) = self.report()? else {
            return Err(self.failure("did not request an event"));
        };
        self.is_ready = true;
        Ok(polled_at)
    }

    fn report(&mut self) -> Result<Report> {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            match self.runtime_api.report(Duration::from_millis(100)) {
                Some(Report::Failed(error)) => {
                    return Err(self.failure(&format!("reported {error}")));
                }
                Some(report) => return Ok(report),
                None => {
                    if let Some(status) = self.child.try_wait()? {
                        return Err(self.failure(&format!("exited ({status})")));
                    }
                }
            }
        }
        Err(self.failure(&format!("sent nothing for {TIMEOUT:?}")))
    }

    fn failure(&self, what: &str) -> Box<dyn std::error::Error + Send + Sync> {
        format!("the function {what}; it printed:\n{}", self.output_tail()).into()
    }

    /// Returns everything that it has printed.
    pub(crate) fn output(&self) -> Result<String> {
        let length = usize::try_from(self.output.metadata()?.len())?;
        let mut bytes = vec![0; length];
        // Not `read`, because the process shares the file's offset.
        self.output.read_exact_at(&mut bytes, 0)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the last 4 KiB of its output.
    fn output_tail(&self) -> String {
        let output = self.output().unwrap_or_default();
        let start = output.floor_char_boundary(output.len().saturating_sub(4096));
        output[start..].to_owned()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // An error means that it has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
