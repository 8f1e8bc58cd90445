//! The authentication method, and the fields that belong to it.

#[cfg(feature = "jwt")]
use super::listed;
use super::{one_of, table::Table};
#[cfg(feature = "jwt")]
use crate::client_credentials::{ClientAssertion, authentication::KeyFile};
use crate::{
    client_credentials::{ClientAuthentication, Secret},
    error::Error,
};

const METHODS: &str = "`client_secret_post`, `client_secret_basic`, `client_secret_basic_raw`, `client_secret_jwt`, \
                       `private_key_jwt`, `client_assertion`, `tls_client_auth`, `self_signed_tls_client_auth`, `none`";

/// `None`: there is neither a method nor a secret, so it must be set in code.
pub(super) fn read(
    table: &mut Table,
    overridden: &mut Vec<&'static str>,
) -> Result<Option<ClientAuthentication>, Error> {
    let Some(method) = table.text("authentication")? else {
        return Ok(secret(table, overridden)?.map(ClientAuthentication::client_secret_post));
    };
    let by_secret: fn(Secret) -> ClientAuthentication = match method.as_str() {
        "client_secret_post" => ClientAuthentication::client_secret_post,
        "client_secret_basic" => ClientAuthentication::client_secret_basic,
        "client_secret_basic_raw" => ClientAuthentication::client_secret_basic_raw,
        "client_assertion" => {
            return file(table, "client_assertion_file").map(ClientAuthentication::client_assertion).map(Some);
        }
        "tls_client_auth" => return Ok(Some(ClientAuthentication::tls_client_auth())),
        "self_signed_tls_client_auth" => return Ok(Some(ClientAuthentication::self_signed_tls_client_auth())),
        "none" => return Ok(Some(ClientAuthentication::none())),
        #[cfg(feature = "jwt")]
        "client_secret_jwt" => {
            let secret = secret(table, overridden)?.ok_or_else(|| missing(table))?;
            return assertion(table, ClientAuthentication::client_secret_jwt(secret)).map(Some);
        }
        #[cfg(feature = "jwt")]
        "private_key_jwt" => return private_key(table).map(Some),
        #[cfg(not(feature = "jwt"))]
        "client_secret_jwt" | "private_key_jwt" => {
            return Err(table.refuse("authentication", "needs the feature `jwt`"));
        }
        _ => return Err(table.refuse("authentication", &format!("is not a known method; the methods are {METHODS}"))),
    };
    let secret = secret(table, overridden)?.ok_or_else(|| missing(table))?;
    Ok(Some(by_secret(secret)))
}

fn secret(table: &mut Table, overridden: &mut Vec<&'static str>) -> Result<Option<Secret>, Error> {
    one_of(table, ["client_secret", "client_secret_file"], overridden)
}

fn missing(table: &Table) -> Error {
    table.refuse("client_secret", "missing; set `client_secret_file` (preferred) or `client_secret`")
}

fn file(table: &mut Table, name: &str) -> Result<Secret, Error> {
    table.text(name)?.map(Secret::file).ok_or_else(|| table.refuse(name, "missing; set it to the path of the file"))
}

#[cfg(feature = "jwt")]
fn private_key(table: &mut Table) -> Result<ClientAuthentication, Error> {
    let pem = file(table, "private_key_file")?;
    let algorithm = table.text("algorithm")?.unwrap_or_default();
    let key = KeyFile::new(&algorithm, pem).ok_or_else(|| {
        table.refuse("algorithm", &format!("missing or unknown; set it to one of {}", listed(&KeyFile::ALGORITHMS)))
    })?;
    let mut signed = ClientAuthentication::private_key_jwt(key);
    if let Some(path) = table.text("certificate_file")? {
        signed = signed.certificate_file(Secret::file(path));
    }
    assertion(table, signed)
}

#[cfg(feature = "jwt")]
fn assertion(table: &mut Table, mut assertion: ClientAssertion) -> Result<ClientAuthentication, Error> {
    if let Some(key_id) = table.text("key_id")? {
        assertion = assertion.key_id(key_id);
    }
    if let Some(audience) = table.text("assertion_audience")? {
        assertion = assertion.audience(audience);
    }
    if let Some(lifetime) = table.seconds("assertion_lifetime")? {
        assertion = assertion.lifetime(lifetime);
    }
    Ok(assertion.into())
}
