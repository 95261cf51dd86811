//! The functions under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// One of the two Lambda functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `POST /token`
    MintToken,
    /// `POST /sources`
    CreateSource,
}

impl Binary {
    /// Both functions.
    pub const ALL: [Binary; 2] = [Binary::MintToken, Binary::CreateSource];

    /// Returns the name of the package, the binary and the function.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Binary::MintToken => "mint-token",
            Binary::CreateSource => "create-source",
        }
    }

    /// Returns the status of a success.
    #[must_use]
    pub fn success(self) -> u16 {
        match self {
            Binary::MintToken => 200,
            Binary::CreateSource => 201,
        }
    }

    /// Returns the path of the program. The first call of a process builds both.
    pub(crate) fn path(self) -> PathBuf {
        static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
        DIRECTORY.get_or_init(build).join(self.name())
    }
}

/// Returns the root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is one level below the root")
}

/// Returns cargo's target directory.
pub(crate) fn target_directory() -> PathBuf {
    let directory = profile_directory();
    directory
        .parent()
        .expect("the target directory is the parent of a profile's directory")
        .to_path_buf()
}

/// Returns the directory of the running test's profile, which is also that of the programs.
fn profile_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    // target/PROFILE/deps/e2e-HASH
    let directory = test.ancestors().nth(2);
    directory
        .expect("cargo puts tests into PROFILE/deps")
        .to_path_buf()
}

/// Removes the variables that cargo set for the running test's package. Some build scripts depend on them, so that cargo
/// would rebuild much here, and again when it is next called without them.
pub(crate) fn remove_package_variables(command: &mut Command) {
    const PREFIXES: [&str; 4] = [
        "CARGO_BIN_",
        "CARGO_CRATE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
    ];
    for (name, _) in std::env::vars_os() {
        if PREFIXES
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
}

/// Builds both functions with the running test's profile and target directory. Returns the directory of the programs.
fn build() -> PathBuf {
    let directory = profile_directory();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    remove_package_variables(&mut command);
    let output = command
        .args(["build", "--quiet", "--profile", profile, "--target-dir"])
        .arg(target_directory())
        .args(
            Binary::ALL
                .iter()
                .flat_map(|binary| ["--package", binary.name()]),
        )
        .current_dir(repository())
        .output()
        .expect("cargo can be started");
    assert!(
        output.status.success(),
        "the functions do not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    directory
}
