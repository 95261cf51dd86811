//! cargo-lambda, as a developer uses it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::binary::{forget_the_running_package, repository, target_folder};
use crate::{Answer, Binary, Environment, moto};

/// How long `cargo lambda watch` may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both functions under `cargo lambda watch`, which ends with this.
pub struct CargoLambda {
    program: PathBuf,
    address: SocketAddr,
    watch: Child,
}

impl CargoLambda {
    /// Starts `cargo lambda watch` with this environment for the functions, and waits until it listens.
    pub async fn watch(environment: &Environment) -> CargoLambda {
        // It lives where moto does.
        let program = moto::python().with_file_name("cargo-lambda");
        // It cannot be given port 0; the port is free again when it is dropped here.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let mut command = Command::new(&program);
        forget_the_running_package(&mut command);
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
            // By the variable: with `--target-dir`, its call of `cargo metadata` fails.
            .env("CARGO_TARGET_DIR", target_folder())
            .envs(
                environment
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
            let ended = this.watch.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "cargo lambda watch ended: {ended:?}");
            assert!(
                started.elapsed() < PATIENCE,
                "cargo lambda watch does not listen"
            );
            sleep(Duration::from_millis(50)).await;
        }
        this
    }

    /// `cargo lambda invoke NAME --data-file FILE`. The first invocation of a function waits until it is built.
    ///
    /// # Panics
    /// When it fails, or prints something else than an answer.
    #[must_use]
    pub fn invoke(&self, binary: Binary, file: &Path) -> Answer {
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
        Answer::new("", &stdout, Duration::ZERO)
    }
}

impl Drop for CargoLambda {
    /// Asks it to stop, upon which it ends its functions too; being killed, it would leave them behind.
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-INT", &self.watch.id().to_string()])
            .status();
        let started = Instant::now();
        while matches!(self.watch.try_wait(), Ok(None)) && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.watch.kill();
        let _ = self.watch.wait();
    }
}
