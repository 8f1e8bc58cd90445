//! What both adapters share: which requests get a token, what a response says about it, and how a request is sent again.

mod bearer;
mod by_hand;
mod permission;
mod replay;
mod request;

#[cfg(feature = "reqwest-middleware")]
pub(crate) use self::bearer::Rejected;
pub(crate) use self::bearer::{Attach, Attached, Bearer, Pending};
pub use self::{
    bearer::grpc_unauthenticated,
    by_hand::BearerHeader,
    replay::{NoReplay, Replay, ReplayFn, TryClone, replay_fn},
    request::{BearerRequest, BearerResponse},
};
