//! The scenarios of `tests/scenarios/*.toml`: a token's life hour by hour, told in data. The format is in the README.md
//! next to them.
//!
//! `SCENARIO=outage` runs those with `outage` in their names and prints what was seen; `SEED=7` runs them with the
//! random numbers of that seed alone.

mod runner;

use std::path::Path;

#[test]
fn every_scenario_comes_out_as_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let chosen = std::env::var("SCENARIO").ok();
    let seed = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    runner::run_all(&directory, chosen.as_deref(), seed);
}

#[test]
fn an_unknown_key_is_refused_by_file_and_key() {
    let refusal = report("title = 'a'\nwhy = 'b'\nlasts = '1 min'\n[[callers]]\nat = '0 s'\ncolour = 'red'");
    assert!(refusal.contains("bug-report.toml"), "{refusal}");
    assert!(refusal.contains("unknown field `colour`"), "{refusal}");
    assert!(refusal.contains("line 6"), "{refusal}");
}

#[test]
fn a_scenario_that_makes_no_sense_is_refused_with_what_would() {
    let table = [
        ("[[callers]]\nat = '5 minuts'", "not a time; write it like \"45 min\""),
        (
            "[[callers]]\nfrom = '0 s'\nuntil = '1 min'",
            "[[callers]] number 1: say `at`, or `from`, `until` and `every`",
        ),
        ("[[callers]]\nat = '2 min'", "[[callers]] number 1: `at` is 2 min, but the scenario lasts 1 min"),
        ("[[server]]\nresponds = 'sometimes'", "[[server]] number 1: `responds` is \"sometimes\""),
        ("[[server]]\nresponds = 503\nexpires_in = 20", "[[server]] number 1: `expires_in` says nothing here"),
        ("[[server]]\n[[expect]]\nare = 'served'", "[[expect]] number 1: say one of"),
        ("[[server]]\n[[expect]]\ntoken_requests = 'few'", "write it like 3, \"at most 4\""),
        ("[[server]]\n[[expect]]\ntoken_requests = 1\nare = 'served'", "[[expect]] number 1: `are` says nothing here"),
        ("[[server]]\n[[expect]]\ncallers = 'nobody'", "[[expect]] number 1: no [[callers]] have the name \"nobody\""),
        ("[[clock]]\nat = '1 s'", "[[clock]] number 1: say one of"),
        ("[[revoke]]\nevery = '1 s'", "[[revoke]] number 1: say `at`, or `from`, `until` and `every`"),
        ("[[callers]]\nat = '1 s'\nhosts = 0", "[[callers]] number 1: `hosts` is 0"),
        (
            "[[callers]]\nat = '1 s'\nby_hand = true\nreplays = true",
            "[[callers]] number 1: `replays` says nothing here",
        ),
    ];
    for (text, expected) in table {
        let refusal = report(&format!("title = 'a'\nwhy = 'b'\nlasts = '1 min'\n{text}"));
        assert!(refusal.contains(expected), "{text}\n--- was refused with\n{refusal}\n--- instead of\n{expected}");
    }
}

#[test]
fn a_failing_expectation_shows_the_file_what_was_seen_and_what_was_expected() {
    let text = "title = 'a'\nwhy = 'b'\nlasts = '1 min'\n[[server]]\nexpires_in = 3600\n[[callers]]\nat = '10 s'\n\
        [[expect]]\ntoken_requests = 2\n[[expect]]\ncallers = 'all'\nare = 'failed'";
    let report = report(text);
    for expected in [
        "bug-report.toml: a",
        "0:00:10.000  token request 1: token-1 for 3600 s",
        "0:00:10.000  callers: served with token-1",
        "[[expect]] number 1: token_requests = 2\n      seen: 1",
        "[[expect]] number 2: callers = \"all\", are = \"failed\"\n      seen: 1 of 1 otherwise, first at 0:00:10.000: served with token-1",
    ] {
        assert!(report.contains(expected), "{report}\n--- lacks\n{expected}");
    }
}

fn report(text: &str) -> String {
    match runner::run_text("bug-report.toml", text, 1) {
        Ok(played) => panic!("it came out: {played}"),
        Err(report) => report,
    }
}
