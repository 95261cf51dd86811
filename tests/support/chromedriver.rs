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

/// How long it may take to start, and to end a session.
const BOUND: Duration = Duration::from_secs(30);

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
    /// When it is missing; the message says what to install.
    pub(crate) async fn start(folder: &TempDir) -> Self {
        const SCRIPT: &str =
            "command -v chromedriver || exit; chromedriver --port=0 & read -r _; kill $!";
        let mut process = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let port = timeout(BOUND, async {
            const STARTED: &str = "started successfully on port ";
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, port)) = line.trim_end_matches('.').split_once(STARTED) {
                    return port.parse().ok();
                }
            }
            None
        });
        let port: Option<u16> = port.await.ok().flatten();
        let port =
            port.unwrap_or_else(|| panic!("chromedriver cannot be started\n{WHAT_TO_INSTALL}"));
        Chromedriver {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            _process: process,
        }
    }

    /// Where it takes WebDriver's commands.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes a session, and waits until its browser has ended. It blocks, for use where a value is dropped.
    pub(crate) fn end(&self, session: &str) -> io::Result<()> {
        let mut connection = TcpStream::connect(self.address)?;
        connection.set_read_timeout(Some(BOUND))?;
        let host = self.address;
        write!(
            connection,
            "DELETE /session/{session} HTTP/1.1\r\nhost: {host}\r\n\r\n"
        )?;
        // The first bytes of the answer will do: it is not sent before the browser has ended.
        connection.read(&mut [0; 512]).map(drop)
    }
}
