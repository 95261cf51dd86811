//! `cargo lambda watch` and `cargo lambda invoke`, as a developer runs them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::binary::{remove_package_variables, repository, target_directory};
use crate::{Binary, Config, Response, moto};

/// Timeout of the start and of the end of `cargo lambda watch`.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Both functions under `cargo lambda watch`, which stops when this is dropped.
pub struct CargoLambda {
    program: PathBuf,
    address: SocketAddr,
    watch: Child,
}

impl CargoLambda {
    /// Starts `cargo lambda watch` with this configuration of the functions, and waits until it listens.
    pub async fn watch(config: &Config) -> CargoLambda {
        // It is installed in the same environment as moto.
        let program = moto::python().with_file_name("cargo-lambda");
        // It does not support port 0. The listener is dropped here, which frees the port again.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let mut command = Command::new(&program);
        remove_package_variables(&mut command);
        command
            .args([
                "lambda",
                "watch",
                "--ignore-changes",
                "--disable-cors",
                "--invoke-address",
                "127.0.0.1",
            ])
            .args(["--invoke-port", &address.port().to_string()])
            // The variable, because with `--target-dir` its call of `cargo metadata` fails.
            .env("CARGO_TARGET_DIR", target_directory())
            .envs(
                config
                    .variables()
                    .iter()
                    .filter(|(name, _)| !name.starts_with("AWS_LAMBDA_")),
            )
            .current_dir(repository())
            .stdin(Stdio::null());
        let watch = command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut this = CargoLambda {
            program,
            address,
            watch,
        };
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let exit = this.watch.try_wait().expect("a child can be waited for");
            assert!(exit.is_none(), "cargo lambda watch exited: {exit:?}");
            assert!(
                started.elapsed() < TIMEOUT,
                "cargo lambda watch did not listen within {TIMEOUT:?}"
            );
            sleep(Duration::from_millis(50)).await;
        }
        this
    }

    /// Runs `cargo lambda invoke NAME --data-file FILE`. The first invocation of a function waits until it is built.
    ///
    /// # Panics
    /// If it fails, or prints anything but a response.
    #[must_use]
    pub fn invoke(&self, binary: Binary, file: &Path) -> Response {
        let output = Command::new(&self.program)
            .args([
                "lambda",
                "invoke",
                binary.name(),
                "--invoke-address",
                "127.0.0.1",
            ])
            .args([
                "--invoke-port",
                &self.address.port().to_string(),
                "--data-file",
            ])
            .arg(file)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "{}: {stdout}{stderr}",
            file.display()
        );
        Response::parse("", &stdout, Duration::ZERO)
    }
}

impl Drop for CargoLambda {
    /// Sends SIGINT, on which it stops its functions too. SIGKILL would leave them running.
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-INT", &self.watch.id().to_string()])
            .status();
        let started = Instant::now();
        while matches!(self.watch.try_wait(), Ok(None)) && started.elapsed() < TIMEOUT {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.watch.kill();
        let _ = self.watch.wait();
    }
}
