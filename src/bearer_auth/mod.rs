//! The tower side: a layer that attaches tokens to outgoing requests.

mod future;
mod layer;
mod replay;
mod request;
mod service;

pub use self::{
    future::ResponseFuture,
    layer::BearerAuthLayer,
    replay::{NoReplay, Replay, ReplayFn, TryClone, replay_fn},
    request::{BearerRequest, BearerResponse},
    service::BearerAuth,
};
#[cfg(feature = "reqwest-middleware")]
pub(crate) use self::{
    future::replayed,
    request::{Attach, Destination, decide, rejection, set},
};
