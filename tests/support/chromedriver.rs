//! The program that drives Chromium.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub(crate) const WHAT_TO_INSTALL: &str = "the browser tests need Chromium and its driver: on \
    Debian `apt-get install chromium chromium-driver`, elsewhere Chrome or Chromium and the \
    chromedriver of the same version on the PATH";

/// Timeout of its start, and of ending a session.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running driver. It ends when its standard input closes: with its owner, or with the test process, however that
/// ends.
pub(crate) struct Chromedriver {
    address: SocketAddr,
    _process: Child,
}

impl Chromedriver {
    /// Starts a driver on a port that it picks itself. What it and Chromium leave behind is put into `folder`.
    ///
    /// # Panics
    /// When it is missing or does not start; the message lists what to install.
    pub(crate) async fn start(folder: &TempDir) -> Self {
        // It picks a port that is free for IPv6, and ends where the same port turns out to be in use for IPv4.
        const PORT_IN_USE: &str = "port not available";
        const TRIES: usize = 10;
        for _ in 0..TRIES {
            match Self::try_to_start(folder).await {
                Ok(started) => return started,
                Err(output) if output.contains(PORT_IN_USE) => {}
                Err(output) => {
                    panic!("chromedriver cannot be started: {output}\n{WHAT_TO_INSTALL}")
                }
            }
        }
        panic!("chromedriver found no port that is free for IPv4 and IPv6 in {TRIES} tries");
    }

    /// The error is its output before it ended.
    async fn try_to_start(folder: &TempDir) -> Result<Self, String> {
        // The shell closes its own output, which thus ends with the driver.
        const SCRIPT: &str =
            "command -v chromedriver || exit; chromedriver --port=0 & exec >&-; read -r _; kill $!";
        const STARTED: &str = "started successfully on port ";
        let mut process = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut output = Vec::new();
        let port = timeout(TIMEOUT, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, port)) = line.trim_end_matches('.').split_once(STARTED) {
                    return port.parse().ok();
                }
                output.push(line);
            }
            None
        });
        let port: Option<u16> = port.await.ok().flatten();
        let port = port.ok_or_else(|| output.join("\n"))?;
        Ok(Chromedriver {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            _process: process,
        })
    }

    /// Where it takes WebDriver's commands.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes a session, and waits until its browser has ended. It blocks, for use where a value is dropped.
    pub(crate) fn end(&self, session: &str) -> io::Result<()> {
        let mut connection = TcpStream::connect(self.address)?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        let host = self.address;
        write!(
            connection,
            "DELETE /session/{session} HTTP/1.1\r\nhost: {host}\r\n\r\n"
        )?;
        // The first bytes of the response suffice: it is not sent before the browser has ended.
        connection.read(&mut [0; 512]).map(drop)
    }
}
