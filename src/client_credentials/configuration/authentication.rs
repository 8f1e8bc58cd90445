//! The authentication method, and the fields that belong to it.

#[cfg(feature = "jwt")]
use super::table::listed;
use super::table::{Table, refuse};
#[cfg(feature = "jwt")]
use crate::client_credentials::{ClientAssertion, PrivateKey, authentication::KeyFile};
use crate::{
    client_credentials::{ClientAuthentication, Secret},
    error::Error,
};

const METHODS: &str = "`client_secret_post`, `client_secret_basic`, `client_secret_basic_raw`, `client_secret_jwt`, \
                       `private_key_jwt`, `client_assertion`, `tls_client_auth`, `self_signed_tls_client_auth`, `none`";

/// `None`: there is neither a method nor a secret, so it must be set in code.
pub(super) fn read(table: &mut Table) -> Result<Option<ClientAuthentication>, Error> {
    let Some(method) = table.text("authentication")? else {
        let secret = table.value_or_file("client_secret", "client_secret_file")?;
        return Ok(secret.map(ClientAuthentication::client_secret_post));
    };
    let authentication = match method.as_str() {
        "client_secret_post" => ClientAuthentication::client_secret_post(secret(table)?),
        "client_secret_basic" => ClientAuthentication::client_secret_basic(secret(table)?),
        "client_secret_basic_raw" => ClientAuthentication::client_secret_basic_raw(secret(table)?),
        #[cfg(feature = "jwt")]
        "client_secret_jwt" => {
            let signed = ClientAuthentication::client_secret_jwt(secret(table)?);
            assertion(table, signed)?
        }
        #[cfg(feature = "jwt")]
        "private_key_jwt" => private_key(table)?,
        #[cfg(not(feature = "jwt"))]
        "client_secret_jwt" | "private_key_jwt" => {
            return Err(refuse("authentication", "needs the feature `jwt`"));
        }
        "client_assertion" => ClientAuthentication::client_assertion(file(table, "client_assertion_file")?),
        "tls_client_auth" => ClientAuthentication::tls_client_auth(),
        "self_signed_tls_client_auth" => ClientAuthentication::self_signed_tls_client_auth(),
        "none" => ClientAuthentication::none(),
        _ => return Err(refuse("authentication", &format!("is not a known method; the methods are {METHODS}"))),
    };
    Ok(Some(authentication))
}

fn secret(table: &mut Table) -> Result<Secret, Error> {
    table
        .value_or_file("client_secret", "client_secret_file")?
        .ok_or_else(|| refuse("client_secret", "missing; set `client_secret_file` (preferred) or `client_secret`"))
}

fn file(table: &mut Table, name: &str) -> Result<Secret, Error> {
    let path = table.text(name)?.ok_or_else(|| refuse(name, "missing; set it to the path of the file"))?;
    let file = Secret::file(path);
    file.check(name)?;
    Ok(file)
}

#[cfg(feature = "jwt")]
fn private_key(table: &mut Table) -> Result<ClientAuthentication, Error> {
    let pem = file(table, "private_key_file")?;
    let name = table.text("algorithm")?.unwrap_or_default();
    let algorithm = PrivateKey::ALGORITHMS.into_iter().find(|known| *known == name).ok_or_else(|| {
        let known = listed(&PrivateKey::ALGORITHMS);
        refuse("algorithm", &format!("missing or unknown; set it to one of {known}"))
    })?;
    let mut signed = ClientAuthentication::private_key_jwt(KeyFile { algorithm, pem });
    if table.has("certificate_file") {
        signed = signed.certificate_file(file(table, "certificate_file")?);
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
