//! Stores of shared tokens: the contract, encryption, files.

mod contract;
mod encryption_key;
