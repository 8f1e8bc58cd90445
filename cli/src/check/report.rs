//! What a token response says.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use client_credentials::{AccessToken, TokenSource};
use serde_json::{Map, Value};

use super::{attempts::Obtained, exchange::Seen};
use crate::streams::say;

/// Both are in whole seconds, and a response takes a moment.
const SAME_TIME: Duration = Duration::from_secs(2);

pub(super) fn show(obtained: &Obtained) {
    let token = &obtained.token;
    say("");
    line("lifetime", &lifetime(token));
    line("scope", &scope(&obtained.source.defaults().scope().unwrap_or_default(), token.scope()));
    match claims(token.expose_secret()) {
        Some(claims) => line("JWT", &jwt(&claims)),
        None => line("JWT", "no: the token can only be read by the server"),
    }
    if let Some(seen) = &obtained.seen {
        line("clock", &clock(seen));
    }
}

pub(super) fn line(what: &str, said: &str) {
    say(format!("{what:<10}{said}"));
}

fn lifetime(token: &AccessToken) -> String {
    match token.expires_in() {
        Some(time) => {
            format!("{} s; renewed after about three quarters of it, at most 1 h before its end", time.as_secs())
        }
        None => "not stated; 1 h is assumed, or what is left until a JWT's `exp`".to_owned(),
    }
}

fn scope(requested: &str, granted: Option<&str>) -> String {
    let Some(granted) = granted else {
        return match requested {
            "" => "none requested, and none stated".to_owned(),
            _ => format!("{}, as requested (the response states none)", quoted(requested)),
        };
    };
    let all: Vec<_> = granted.split([' ', ',']).collect();
    let missing: Vec<_> = requested.split(' ').filter(|scope| !all.contains(scope)).collect();
    if requested.is_empty() {
        format!("none requested; granted {}", quoted(granted))
    } else if missing.is_empty() {
        format!("{}, as requested", quoted(requested))
    } else {
        format!(
            "requested {}, granted {}: {} is missing",
            quoted(requested),
            quoted(granted),
            quoted(&missing.join(" "))
        )
    }
}

/// The claims of a token that is a JWT. Nobody has checked its signature.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let parts: Vec<_> = token.split('.').collect();
    let [_, claims, _] = parts[..] else { return None };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()
}

fn jwt(claims: &Map<String, Value>) -> String {
    let mut said: Vec<_> = ["aud", "scope", "scp", "roles"]
        .into_iter()
        .filter_map(|name| Some(format!("{name} {}", quoted(&claims.get(name)?.to_string()))))
        .collect();
    if let Some(exp) = claims.get("exp").and_then(Value::as_f64) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        said.push(format!("exp in {:.0} s", exp - now));
    }
    if said.is_empty() {
        "has neither aud, scope nor exp".to_owned()
    } else {
        format!("{} (not verified)", said.join(", "))
    }
}

fn clock(seen: &Seen) -> String {
    let Some(date) = seen.date else { return "the response has no `Date`".to_owned() };
    match (date.duration_since(seen.received), seen.sent.duration_since(date)) {
        (Ok(behind), _) if behind >= SAME_TIME => {
            format!("this machine's is {} s behind the server's; set it", behind.as_secs())
        }
        (_, Ok(ahead)) if ahead >= SAME_TIME => {
            format!("this machine's is {} s ahead of the server's; set it", ahead.as_secs())
        }
        _ => format!("this machine's and the server's differ by less than {} s", SAME_TIME.as_secs()),
    }
}

/// What a server said, on one line and not too long.
pub(super) fn quoted(text: &str) -> String {
    let shown: String =
        text.chars().flat_map(char::escape_debug).filter(|character| *character != '\\').take(200).collect();
    format!("`{shown}`")
}
