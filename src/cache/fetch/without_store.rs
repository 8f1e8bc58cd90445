//! In the place of `with_store.rs`, without the feature `store`.

use crate::cache::slot::{FlightTask, TokenResult};

pub(super) struct Visit;

impl FlightTask {
    pub(super) async fn ask_store(self) -> Option<(Self, Option<Visit>)> {
        self.may_request.then_some((self, None))
    }

    pub(super) async fn tell_store(&self, _: Option<Visit>, _: &TokenResult, _: Option<&TokenResult>) {}
}
