//! What both adapters share: which requests get a token, what a response says about it, and how a request is sent
//! again.

mod adapter;
mod attached;
mod bearer;
mod by_hand;
mod deadline;
mod header;
mod permission;
mod replay;
mod request;

#[cfg(feature = "reqwest-middleware")]
pub(crate) use self::request::sealed::Request;
pub(crate) use self::{
    adapter::Bearer,
    attached::{Attached, Awaited, Obtained, Rejected},
    bearer::wanted,
};
pub use self::{
    attached::grpc_unauthenticated,
    by_hand::BearerHeader,
    header::TokenHeader,
    replay::{NoReplay, Replay, ReplayFn, TryClone, replay_fn},
    request::{BearerRequest, BearerResponse},
};
