//! In the place of `sharing`, where the feature `store` is off.

use super::{clock::Moment, context::Context, fetch::Flying, flight::TokenResult};

pub(super) struct Visit;

impl Context {
    pub(super) fn has_store(&self) -> bool {
        false
    }
}

impl Flying {
    pub(super) async fn ask_store(self) -> Option<(Self, Option<Visit>)> {
        self.may_request.then_some((self, None))
    }

    pub(super) async fn tell_store(&self, _: Option<Visit>, _: &TokenResult, _: Option<&TokenResult>, _: Moment) {}
}
