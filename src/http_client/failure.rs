//! Converts the errors of HTTP clients.

use crate::{
    error::{BoxError, Error, ErrorKind},
    fault::{Fault, without_debug_data},
};

/// Converts a client's own error. `proxy` is a space and the URL of its proxy, or empty.
pub(super) fn failed(cause: BoxError, https: bool, proxy: &str) -> Error {
    if let Some(error) = Error::find(&*cause) {
        return error.clone();
    }
    described(Fault::of(&*cause, https), proxy).caused_by(without_debug_data(cause))
}

pub(super) fn described(fault: Fault, proxy: &str) -> Error {
    let error = Error::new(fault.into(), fault.message(proxy));
    let error = if fault == Fault::ProxyCredentials { error.lasting() } else { error };
    error.with_advice(fault.advice())
}

/// The error for a redirect. `target` describes where it leads, at most by an origin.
pub(crate) fn redirected(target: &str) -> Error {
    let what = format!(
        "the response is a redirect to {target}; it is not followed, because the target could receive the secret"
    );
    Error::new(ErrorKind::Redirect, what).with_advice("configure the URL that it redirects to")
}
