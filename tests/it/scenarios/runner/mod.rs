//! Reads the scenarios, plays them on a paused clock, and compares what was seen with what they expect.

mod check;
mod format;
mod play;
mod rhythm;
mod seen;
mod sense;
mod store;
mod watch;
mod words;
mod world;

use std::{
    fmt::{self, Write as _},
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use self::{format::Scenario, seen::Seen};

/// Each scenario is played with these, so that no expectation rests on one draw of the jitter.
const SEEDS: [u64; 2] = [1, 2];

/// Plays every file of the directory whose name contains `chosen`, and panics with what did not come out.
pub(crate) fn run_all(directory: &Path, chosen: Option<&str>, seed: Option<u64>) {
    let files = files(directory, chosen.unwrap_or_default());
    assert!(!files.is_empty(), "no scenario has {:?} in its name", chosen.unwrap_or_default());
    let seeds = seed.map_or(SEEDS.to_vec(), |seed| vec![seed]);
    let work: Vec<_> = files.iter().flat_map(|file| seeds.iter().map(move |seed| (file, *seed))).collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((file, seed)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = file.file_name().unwrap_or_default().to_string_lossy();
                    let outcome = match fs::read_to_string(file) {
                        Ok(text) => run_text(&name, &text, *seed),
                        Err(error) => Err(format!("{name}: {error}")),
                    };
                    match outcome {
                        Ok(played) if chosen.is_some() => println!("{played}"),
                        Ok(_) => {}
                        Err(report) => failures.lock().expect("no panic").push((file, report)),
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no panic");
    failures.sort();
    // One report for each file: the other seeds tell the same story.
    failures.dedup_by_key(|(file, _)| *file);
    let mut text = String::new();
    for (_, report) in &failures {
        let _ = write!(text, "\n{report}\n");
    }
    assert!(failures.is_empty(), "{} of {} scenarios did not come out:\n{text}", failures.len(), files.len());
}

fn files(directory: &Path, chosen: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("the directory of the scenarios")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains(chosen)))
        .collect();
    files.sort();
    files
}

/// A scenario that was played. `Display` tells what was seen.
pub(crate) struct Played {
    head: String,
    seed: u64,
    scenario: Scenario,
    seen: Seen,
}

/// Plays one scenario.
///
/// # Errors
///
/// A report: why the text is no scenario, or what was seen and what was expected instead.
pub(crate) fn run_text(name: &str, text: &str, seed: u64) -> Result<Played, String> {
    let scenario = Scenario::read(text).map_err(|what| format!("tests/scenarios/{name}: {what}"))?;
    let (title, why) = (scenario.title.trim(), scenario.why.trim().replace('\n', "\n       "));
    let head = format!("tests/scenarios/{name}: {title}\n  why: {why}\n");
    let (scenario, seen) = watch::over(|| play::play(scenario, seed)).map_err(|what| format!("{head}  {what}"))?;
    let failures = check::check(&scenario, &seen, &check::quotes(text));
    let played = Played { head, seed, scenario, seen };
    if failures.is_empty() {
        return Ok(played);
    }
    Err(format!("{played}  what was expected:\n    {}\n", failures.join("\n    ")))
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time_line = seen::time_line(&self.scenario, &self.seen);
        write!(f, "{}  what was seen (SEED={}):\n{time_line}", self.head, self.seed)
    }
}
