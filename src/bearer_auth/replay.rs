use std::fmt;

/// Whether, and how, a request is copied so that it can be sent again after its token was rejected.
pub trait Replay<Req> {
    /// A copy, made before the request is sent; `None`: this one is sent once.
    fn copy(&self, request: &Req) -> Option<Req>;
}

/// Sends every request once: the default, which fits every body.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReplay;

impl<Req> Replay<Req> for NoReplay {
    fn copy(&self, _request: &Req) -> Option<Req> {
        None
    }
}

/// Copies what can be copied: an `http::Request` whose body is `Clone`, a `reqwest::Request` by its `try_clone`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TryClone;

impl<B: Clone> Replay<http::Request<B>> for TryClone {
    fn copy(&self, request: &http::Request<B>) -> Option<http::Request<B>> {
        Some(request.clone())
    }
}

#[cfg(feature = "reqwest")]
impl Replay<reqwest::Request> for TryClone {
    fn copy(&self, request: &reqwest::Request) -> Option<reqwest::Request> {
        let mut copy = request.try_clone()?;
        // `try_clone` leaves the version at its default.
        *copy.version_mut() = request.version();
        Some(copy)
    }
}

/// Copies requests with a function, for bodies that are not `Clone` or that only some requests may have twice.
pub fn replay_fn<F>(function: F) -> ReplayFn<F> {
    ReplayFn { function }
}

/// A [`Replay`] made of a function, by [`replay_fn`].
#[derive(Clone, Copy)]
pub struct ReplayFn<F> {
    function: F,
}

impl<F, Req> Replay<Req> for ReplayFn<F>
where
    F: Fn(&Req) -> Option<Req>,
{
    fn copy(&self, request: &Req) -> Option<Req> {
        (self.function)(request)
    }
}

impl<F> fmt::Debug for ReplayFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayFn").finish_non_exhaustive()
    }
}
