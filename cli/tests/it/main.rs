//! The command as a process: what it prints where, its exit codes, and what it sends.
#![allow(unreachable_pub)]

mod check;
mod check_api;
mod real_server;
mod settings;
mod store;
mod support;
mod token;
mod usage;
