//! The tower side: a layer that attaches tokens to outgoing requests.

mod attempt;
mod future;
mod layer;
mod service;

pub use self::{future::ResponseFuture, layer::BearerAuthLayer, service::BearerAuth};
