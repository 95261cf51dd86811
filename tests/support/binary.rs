//! The programs under test.

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

    /// The name of the package, of the binary and of the function.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Binary::MintToken => "mint-token",
            Binary::CreateSource => "create-source",
        }
    }

    /// Where the program is. The first call of a process has cargo bring both up to date.
    pub(crate) fn path(self) -> PathBuf {
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        FOLDER.get_or_init(build).join(self.name())
    }
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is one folder below the root")
}

/// Cargo's target folder.
pub(crate) fn target_folder() -> PathBuf {
    let folder = profile_folder();
    folder
        .parent()
        .expect("a profile's folder is inside the target folder")
        .to_path_buf()
}

/// The folder of the running test's profile, in which programs are as well.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    // target/PROFILE/deps/e2e-HASH
    let folder = test.ancestors().nth(2);
    folder
        .expect("cargo puts tests into PROFILE/deps")
        .to_path_buf()
}

/// Takes from a cargo's environment what another cargo set to tell the running test about its package. Build scripts look
/// at some of it, so that much would be built again, and once more when cargo is next called from outside.
pub(crate) fn forget_the_running_package(command: &mut Command) {
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

/// Builds both functions in the profile and target folder of the running test, and tells the folder they are in.
fn build() -> PathBuf {
    let folder = profile_folder();
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    forget_the_running_package(&mut command);
    let output = command
        .args(["build", "--quiet", "--profile", profile, "--target-dir"])
        .arg(target_folder())
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
    folder
}
