//! A secret in all the forms that it can be written in, and what is left of it where a part comes out.
#![allow(unreachable_pub)]

use std::collections::{BTreeMap, HashSet};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

fn each(text: &str, written: impl Fn(char) -> String) -> String {
    text.chars().map(written).collect()
}

pub fn form(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn percent(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Ways to write a text down, one within another, too.
pub fn forms(text: &str) -> Vec<String> {
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let html = |text: &str| each(text, |character| format!("&#{};", u32::from(character)));
    vec![
        text.to_owned(),
        text.to_uppercase(),
        text.to_lowercase(),
        form(text),
        percent(text),
        percent(text).to_lowercase(),
        json(text),
        json(text).replace('/', "\\/"),
        html(text),
        text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('\'', "&apos;"),
        text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect(),
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
        text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        text.bytes().map(|byte| format!("{byte:02X}")).collect(),
        each(text, |character| format!("{character}\0")),
        each(text, |character| format!("\u{200b}{character}")),
        each(text, |character| format!("{character}\u{ad}")),
        STANDARD.encode(text),
        STANDARD_NO_PAD.encode(format!("a{text}")),
        URL_SAFE_NO_PAD.encode(format!("ab{text}")),
        STANDARD.encode(format!("abcde:{text}")),
        STANDARD.encode(format!("client_secret={}", form(text))),
        percent(&percent(text)),
        json(&json(text)),
        html(&json(text)),
        percent(&STANDARD.encode(text)),
    ]
}

/// Letters and digits alone, so that nothing between them hides what is looked for.
fn bare(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whatever a secret can be recognised by, in any form: parts of it, by their length.
pub struct Traces(BTreeMap<usize, HashSet<Vec<u8>>>);

impl Traces {
    pub fn of(secret: &str) -> Self {
        let mut traces = Self(BTreeMap::new());
        traces.add(&bare(secret), 8);
        for form in forms(secret).into_iter().chain([secret.to_owned()]).map(|form| bare(&form)) {
            // Escapes have more in common with anything.
            let is_escaped = form.contains("u00") || form.contains("x00");
            traces.add(&form, if is_escaped { 40 } else { 16 });
        }
        traces
    }

    fn add(&mut self, text: &str, length: usize) {
        let length = length.min(text.len());
        self.0.entry(length).or_default().extend(text.as_bytes().windows(length).map(<[u8]>::to_vec));
    }

    pub fn assert_none_in(&self, text: &str, what: &str) {
        let shown = bare(text);
        for (length, traces) in &self.0 {
            for window in shown.as_bytes().windows(*length) {
                assert!(!traces.contains(window), "{what}: {} is in {text}", String::from_utf8_lossy(window));
            }
        }
    }
}
