//! The ways to print a token.

use std::time::{Duration, SystemTime};

use clap::ArgMatches;
use client_credentials::AccessToken;
use serde_json::json;

use crate::time::utc;

/// `left` is how long it can be used.
pub(super) fn text(options: &ArgMatches, token: &AccessToken, left: Option<Duration>) -> String {
    let secret = token.expose_secret();
    if options.get_flag("header") {
        format!("Authorization: Bearer {secret}\n")
    } else if options.get_flag("curl") {
        let quoted = secret.replace('\\', "\\\\").replace('"', "\\\"");
        format!("header = \"Authorization: Bearer {quoted}\"\n")
    } else if options.get_flag("json") {
        json(token, left)
    } else {
        format!("{secret}\n")
    }
}

/// By the names of RFC 6749 section 5.1. Without a lifetime if the server has stated none.
fn json(token: &AccessToken, left: Option<Duration>) -> String {
    let mut members = json!({ "access_token": token.expose_secret(), "token_type": "Bearer" });
    if let (Some(_), Some(left)) = (token.expires_in(), left) {
        members["expires_in"] = left.as_secs().into();
        members["expires_at"] = utc(SystemTime::now() + left).into();
    }
    if let Some(scope) = token.scope() {
        members["scope"] = scope.into();
    }
    format!("{members}\n")
}
