//! Resource usage of a process, as the operating system reports it.

use std::fs;
use std::io;
use std::time::Duration;

use crate::Result;

/// A process, by its id.
#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Returns the CPU time used so far, user and system, of all threads.
    #[cfg(target_os = "linux")]
    pub(crate) fn cpu_time(self) -> Result<Duration> {
        use nix::time::clock_getcpuclockid;
        use nix::unistd::Pid;

        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.0)?))?;
        Ok(clock.now()?.into())
    }

    /// Fails: only Linux is supported.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn cpu_time(self) -> Result<Duration> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    /// Returns the resident memory, in KiB.
    pub(crate) fn resident_kib(self) -> Result<u32> {
        self.status("VmRSS")
    }

    /// Returns the peak of the resident memory, in KiB.
    pub(crate) fn peak_resident_kib(self) -> Result<u32> {
        self.status("VmHWM")
    }

    /// Returns the number of open file descriptors.
    pub(crate) fn open_files(self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.0))?.count())
    }

    fn status(self, name: &str) -> Result<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = value.and_then(|value| value.trim().strip_suffix(" kB"));
        let value = value.ok_or_else(|| format!("/proc/{}/status has no {name}", self.0))?;
        Ok(value.parse()?)
    }
}
