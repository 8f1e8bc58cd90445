//! The errors of the HTTP clients that this crate knows.

use crate::{
    error::{BoxError, Error, ErrorKind},
    fault::{Fault, without_debug_data},
};

/// The error that a client's own error becomes; `proxy` is the URL of its proxy behind a blank, or empty.
pub(super) fn failed(cause: BoxError, https: bool, proxy: &str) -> Error {
    if let Some(error) = Error::find(&*cause) {
        return error.clone();
    }
    described(Fault::of(&*cause).over(https), proxy).caused_by(without_debug_data(cause))
}

pub(super) fn described(fault: Fault, proxy: &str) -> Error {
    let error = Error::new(fault.into(), fault.message(proxy));
    let error = if fault == Fault::ProxyCredentials { error.lasting() } else { error };
    match fault.advice() {
        Some(advice) => error.with_advice(advice),
        None => error,
    }
}

/// A redirect to `target`, which is an origin or what is known of it.
pub(crate) fn redirected(target: &str) -> Error {
    Error::new(
        ErrorKind::Redirect,
        format!("the response is a redirect to {target}, which is not followed: where it leads could get a secret"),
    )
    .with_advice("configure the URL that it leads to")
}
