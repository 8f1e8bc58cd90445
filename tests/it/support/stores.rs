//! A token store in memory that a test interferes with.

use std::time::Duration;

use client_credentials::{
    async_trait,
    store::{BoxError, Entry, EntryName, TokenStore},
    testing::MemoryStore,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    BeforeLoad,
    BeforePut,
    AfterPut,
    BeforeRemove,
}

/// `interfere` is called at each [`Moment`], and may wait, fail, or never end.
pub struct InterferedWith<F> {
    pub store: MemoryStore,
    pub interfere: F,
}

#[async_trait]
impl<F, Fut> TokenStore for InterferedWith<F>
where
    F: Fn(Moment) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send,
{
    async fn load(&self, names: &[EntryName]) -> Result<Vec<Option<Entry>>, BoxError> {
        (self.interfere)(Moment::BeforeLoad).await?;
        self.store.load(names).await
    }

    async fn put(
        &self,
        name: &EntryName,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
        limit: Duration,
    ) -> Result<bool, BoxError> {
        (self.interfere)(Moment::BeforePut).await?;
        let is_stored = self.store.put(name, old, new, life, limit).await?;
        (self.interfere)(Moment::AfterPut).await?;
        Ok(is_stored)
    }

    async fn remove(&self, name: &EntryName, old: &[u8]) -> Result<bool, BoxError> {
        (self.interfere)(Moment::BeforeRemove).await?;
        self.store.remove(name, old).await
    }
}
