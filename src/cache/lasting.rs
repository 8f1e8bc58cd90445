//! A token for somebody who cannot renew it.

use std::time::Duration;

use super::{TokenCache, slot::Remaining};
use crate::{
    error::{Error, ErrorKind},
    token::AccessToken,
};

impl TokenCache {
    /// Like [`token`](Self::token), for handing the token to a program that cannot renew it: the token can be used for
    /// at least `time`, and its renewal is not due. If that is not so for the cached token, another one is requested;
    /// callers of other methods get the cached token meanwhile.
    ///
    /// ```no_run
    /// # async fn example(tokens: client_credentials::TokenCache) -> Result<(), client_credentials::Error> {
    /// let token = tokens.token_valid_for(std::time::Duration::from_secs(20 * 60)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`token`](Self::token); also while the cached token can still be used, but not for as long as `time`. With
    /// [`ErrorKind::Configuration`], if not even a new token can.
    pub async fn token_valid_for(&self, time: Duration) -> Result<AccessToken, Error> {
        let (slot, since) = (&self.own, self.core.context.clock.now());
        let mut token = self.acquire(slot, None, self.wait_limit()).await?;
        loop {
            match slot.remaining(&token, time, since) {
                Remaining::Enough => break,
                Remaining::TooLittle => token = self.acquire(slot, Some(token.number()), self.wait_limit()).await?,
                Remaining::NeverEnough(left) => return Err(too_short(left, time)),
            }
        }
        self.handed_out(slot, &token);
        Ok(token)
    }
}

fn too_short(left: Duration, time: Duration) -> Error {
    let (left, time) = (left.as_secs(), time.as_secs());
    Error::new(ErrorKind::Configuration, format!("a new token can be used for {left} s, and {time} s are wanted"))
}
