//! How much memory a device has, and how much of it is taken, by whomever.

use std::fs;

/// The memory of a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What is taken.
    pub used: u64,
    /// What there is.
    pub total: u64,
}

impl Memory {
    /// That of this machine, if its system tells: Linux does.
    #[must_use]
    pub fn of_machine() -> Option<Self> {
        let told = fs::read_to_string("/proc/meminfo").ok()?;
        let bytes = |name: &str| -> Option<u64> {
            let line = told.lines().find_map(|line| line.strip_prefix(name))?;
            let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
            Some(kilobytes * 1024)
        };
        let (total, available) = (bytes("MemTotal:")?, bytes("MemAvailable:")?);
        Some(Self {
            used: total.saturating_sub(available),
            total,
        })
    }
}
