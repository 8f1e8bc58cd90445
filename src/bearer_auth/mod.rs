//! The tower side: a layer that attaches tokens to outgoing requests.

mod future;
mod layer;
mod service;
mod waiting;

pub use self::{future::ResponseFuture, layer::BearerAuthLayer, service::BearerAuth};
