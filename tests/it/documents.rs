//! What the documents quote is what the crate says: every situation that they tell of is brought about, and the quotes
//! are looked for in what was logged and returned.

use crate::support::situations::said;
use tracing::Level;

const IN_PRODUCTION: &str = include_str!("../../docs/in-production.md");
const WHEN_IT_DOES_NOT_WORK: &str = include_str!("../../docs/when-it-does-not-work.md");

/// Whether `text` is `quote`, where `…` stands for anything; only its beginning, if that is `open`.
fn fits(quote: &str, text: &str, open: bool) -> bool {
    let mut pieces = quote.split('…');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    open || rest.is_empty() || quote.ends_with('…')
}

/// Without its fields, which follow a colon.
fn message(event: &str) -> &str {
    let is_name = |character: char| character.is_ascii_lowercase() || "._".contains(character);
    let ends = event.match_indices(": ").map(|(at, _)| at);
    let end = ends.into_iter().find(|at| event[at + 2..].trim_start_matches(is_name).starts_with('='));
    event[..end.unwrap_or(event.len())].trim_end_matches(':')
}

/// What the field `error` says, its causes behind it. It omits what errors begin with where `source` says it.
fn error(event: &str) -> Option<String> {
    let (_, rest) = event.split_once(" error=\"")?;
    let (error, fields) = rest.split_once("\" source=\"").or_else(|| rest.split_once("\" error.type="))?;
    let error = error.replace("\\\"", "\"");
    let is_whole = error.starts_with("token request to ") || error.starts_with("discovery of ");
    let source = fields.split('"').next()?;
    Some(if is_whole { error } else { format!("token request to {source} failed: {error}") })
}

#[test]
fn the_page_about_what_does_not_work_quotes_what_is_said() {
    let said = said();
    let messages = said.events.iter().map(|(_, event)| message(event).to_owned());
    let texts: Vec<_> = messages.chain(said.errors).collect();
    let logged: Vec<_> = said.events.iter().filter_map(|(_, event)| error(event)).collect();
    let blocks = WHEN_IT_DOES_NOT_WORK.split("```text\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    let quotes: Vec<_> = blocks.flat_map(|(block, _)| block.lines()).collect();
    assert!(quotes.len() > 40, "{quotes:?}");
    let is_said = |quote: &&str| {
        texts.iter().any(|text| fits(quote, text, false)) || logged.iter().any(|text| fits(quote, text, true))
    };
    let invented: Vec<_> = quotes.into_iter().filter(|quote| !is_said(quote)).collect();
    assert!(invented.is_empty(), "nobody says {invented:#?}, of {texts:#?} and {logged:#?}");
}

#[test]
fn every_failure_of_a_token_request_leads_to_a_section() {
    let said = said();
    let rows: Vec<_> =
        WHEN_IT_DOES_NOT_WORK.lines().filter(|line| line.starts_with("| `") && line.contains("](#")).collect();
    let mut types = 0;
    for (_, event) in &said.events {
        let Some((_, rest)) = event.split_once("error.type=\"") else { continue };
        let kind = rest.split('"').next().unwrap_or_default();
        assert!(rows.iter().any(|row| row.contains(&format!("`{kind}`"))), "no row for {kind}");
        types += 1;
    }
    assert!(types > 20);
}

#[test]
fn the_table_of_events_has_each_event_with_its_level_and_no_other() {
    let said = said();
    let rows = IN_PRODUCTION.lines().filter_map(|line| {
        let (message, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let level: Level = rest.split(' ').next()?.parse().ok()?;
        Some((message, level))
    });
    let rows: Vec<_> = rows.collect();
    for (quote, level) in &rows {
        let said = said.events.iter().any(|(of, event)| of == level && fits(quote, event, true));
        assert!(said, "nobody says {quote:?} at {level}");
    }
    for (level, event) in &said.events {
        let documented = rows.iter().any(|(quote, of)| of == level && fits(quote, event, true));
        assert!(documented, "not in the table: {level} {event}");
    }
    let (_, fields) = IN_PRODUCTION.split_once("| field | what it is |").expect("the table of fields");
    let fields = fields.split("\n\n").next().unwrap_or_default();
    let of_spans = IN_PRODUCTION.split_once("is a span `token_request`").expect("the span").1.split("\n\n").next();
    for field in &said.fields {
        let name = format!("`{field}`");
        assert!(fields.contains(&name) || of_spans.unwrap_or_default().contains(&name), "{field} is not documented");
    }
    let documented = fields.lines().filter_map(|row| row.strip_prefix("| "));
    for name in documented.flat_map(|row| row.split(" | ").next().unwrap_or_default().split(", ")) {
        let name = name.trim_matches('`');
        assert!(name.is_empty() || said.fields.contains(name), "{name} is documented, but never written");
    }
}

#[test]
fn every_alert_is_explained() {
    let alerts = include_str!("../../docs/prometheus-alerts.yml");
    let alerts: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 5);
    for alert in alerts {
        assert!(WHEN_IT_DOES_NOT_WORK.contains(&format!("| `{alert}` |")), "{alert} is not explained");
    }
}

/// `tests/clients` compiles and runs them, apart from here: their clients take a while to compile. The one that sends
/// token requests by reqwest 0.12 is in `reqwest_0_12.rs`.
#[test]
fn the_programs_of_the_page_about_other_clients_are_those_that_are_tested() {
    let page = include_str!("../../docs/other-clients.md");
    let shown = page.split("```rust,ignore\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let shown: Vec<_> = shown.map(|(program, _)| program).filter(|program| !program.contains("Reqwest012")).collect();
    let tested = [
        include_str!("../clients/src/reqwest_012.rs"),
        include_str!("../clients/src/blocking.rs"),
        include_str!("../clients/src/interceptor.rs"),
        include_str!("../clients/src/otlp_http.rs"),
        include_str!("../clients/src/kubernetes.rs"),
        include_str!("../clients/src/progenitor.rs"),
    ];
    assert_eq!(shown, tested);
}
