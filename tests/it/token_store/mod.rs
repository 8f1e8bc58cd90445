//! Stores of shared tokens: the contract, encryption, files.

mod contract;
#[cfg(all(feature = "file", feature = "reqwest", feature = "tracing", unix))]
mod crowds;
mod encryption_key;
#[cfg(all(feature = "file", feature = "reqwest", feature = "tracing", unix))]
mod file_fleet;
#[cfg(all(feature = "file", unix))]
mod file_processes;
#[cfg(all(feature = "file", unix))]
mod files;
#[cfg(unix)]
mod folder;
#[cfg(all(feature = "file", unix))]
mod program;
