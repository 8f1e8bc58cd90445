//! The connection to the token endpoint.

use super::table::Table;
use crate::{client_credentials::builder::Transport, error::Error};

const FIELDS: &[&str] =
    &["proxy", "ca_file", "ca_only", "client_certificate_file", "client_key_file", "connect_timeout"];

#[cfg(not(feature = "reqwest"))]
pub(super) fn read(table: &mut Table) -> Result<Option<Transport>, Error> {
    match table.table("http", FIELDS)? {
        Some(_) => Err(table.refuse("http", "needs the feature `reqwest`")),
        None => Ok(None),
    }
}
#[cfg(feature = "reqwest")]
pub(super) fn read(table: &mut Table) -> Result<Option<Transport>, Error> {
    match table.table("http", FIELDS)? {
        Some(_) => Err(table.refuse("http", "needs the feature `reqwest`")),
        None => Ok(None),
    }
}
#[cfg(feature = "reqwest")]
#[derive(Clone)]
pub(in crate::client_credentials) struct HttpSettings;
#[cfg(feature = "reqwest")]
impl HttpSettings {
    pub(in crate::client_credentials) fn has_certificate(&self) -> bool {
        false
    }
    pub(in crate::client_credentials) fn client(
        &self,
    ) -> Result<std::sync::Arc<dyn crate::http_client::HttpClient>, Error> {
        todo!()
    }
}
