//! Tokens that several instances share through a store.

mod entries;
mod failures;
mod identity;
mod leases;
mod outages;
mod rejections;
mod reports;
mod taking;
