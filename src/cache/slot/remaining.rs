//! Whether a token lasts for as long as a caller needs it.

use std::time::Duration;

use super::Slot;
use crate::{cache::clock::Moment, token::AccessToken};

pub(in crate::cache) enum Remaining {
    Enough,
    /// Its renewal is due from now on.
    TooLittle,
    /// Not even for a token that was just requested: how long that one lasts.
    NeverEnough(Duration),
}

impl Slot {
    /// Whether `token` can be used for `time` and is not due. `since` is when the caller came.
    pub(in crate::cache) fn remaining(&self, token: &AccessToken, time: Duration, since: Moment) -> Remaining {
        let (now, mut state) = self.locked();
        let Some(issued) = state.issued_as(token.number()) else { return Remaining::TooLittle };
        let (left, is_new) = (now.until(issued.expires_at), issued.issued_at.reached(since));
        match left >= time {
            true if is_new || !now.reached(issued.renew_at) => Remaining::Enough,
            false if is_new => Remaining::NeverEnough(left),
            _ => {
                issued.renew_at = now;
                self.end_leases();
                Remaining::TooLittle
            }
        }
    }
}
