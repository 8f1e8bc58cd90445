//! The tower side: a layer that attaches tokens to outgoing requests.

mod bearer;
mod future;
mod layer;
mod replay;
mod request;
mod service;

#[cfg(feature = "reqwest-middleware")]
pub(crate) use self::bearer::{Attach, Attached, Bearer, Rejected};
pub use self::{
    bearer::grpc_unauthenticated,
    future::ResponseFuture,
    layer::BearerAuthLayer,
    replay::{NoReplay, Replay, ReplayFn, TryClone, replay_fn},
    request::{BearerRequest, BearerResponse},
    service::BearerAuth,
};
