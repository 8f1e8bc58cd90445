//! What is logged.
#![allow(dead_code, unreachable_pub)]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry::LookupSpan};

const TARGET: &str = "client_credentials";

/// What is logged in this thread while the guard lives, a line for each event, with its message and its fields. Spans
/// have lines that begin with `open`, `record` and `follows`.
#[derive(Clone)]
pub struct Log {
    of_every_crate: bool,
    lines: Arc<Mutex<Vec<(Level, &'static str, String)>>>,
    fields: Arc<Mutex<BTreeSet<String>>>,
}

/// Where there is one subscriber alone, tracing asks the thread that comes to an event first whether anybody wants it.
/// A test without a subscriber would then switch the event off for the one that waits for it.
static ANOTHER: LazyLock<tracing::Dispatch> = LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));

impl Log {
    /// By this crate.
    pub fn start() -> (Self, DefaultGuard) {
        Self::with(false)
    }

    /// By every crate, at the finest level.
    pub fn of_every_crate() -> (Self, DefaultGuard) {
        Self::with(true)
    }

    fn with(of_every_crate: bool) -> (Self, DefaultGuard) {
        LazyLock::force(&ANOTHER);
        let log = Self { of_every_crate, lines: Arc::default(), fields: Arc::default() };
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
        (log, guard)
    }

    /// What this crate has logged since the last call, at `level` and above.
    pub fn take(&self, level: Level) -> Vec<String> {
        self.drain().into_iter().filter(|(of, _)| *of <= level).map(|(_, line)| line).collect()
    }

    /// The same at every level, with the level.
    pub fn drain(&self) -> Vec<(Level, String)> {
        let lines = std::mem::take(&mut *self.lines.lock().expect("no panic"));
        lines.into_iter().filter(|(_, target, _)| *target == TARGET).map(|(level, _, line)| (level, line)).collect()
    }

    /// The same as one text.
    pub fn all(&self) -> String {
        self.take(Level::TRACE).join("\n")
    }

    /// Everything so far, as one text with levels and targets. It stays there.
    pub fn text(&self) -> String {
        let lines = self.lines.lock().expect("no panic");
        lines.iter().map(|(level, target, line)| format!("{level} {target}: {line}\n")).collect()
    }

    /// The names of all fields of this crate's events and spans.
    pub fn fields(&self) -> BTreeSet<String> {
        self.fields.lock().expect("no panic").clone()
    }

    fn push(&self, of: &'static Metadata<'static>, level: Level, what: &str, line: &Line) {
        let text = format!("{what}{}:{}", line.message, line.fields);
        self.lines.lock().expect("no panic").push((level, of.target(), text));
        if of.target() == TARGET {
            self.fields.lock().expect("no panic").extend(line.names.iter().map(|name| (*name).to_owned()));
        }
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
    names: Vec<&'static str>,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            write!(self.message, "{value:?}").expect("a string");
        } else {
            write!(self.fields, " {}={value:?}", field.name()).expect("a string");
            self.names.push(field.name());
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // A span of this crate may follow from one of a caller.
        self.of_every_crate || metadata.is_span() || metadata.target() == TARGET
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.push(event.metadata(), *event.metadata().level(), "", &line);
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        let mut line = Line::default();
        attributes.record(&mut line);
        let of = attributes.metadata();
        self.push(of, Level::DEBUG, &format!("open {}", of.name()), &line);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let mut line = Line::default();
        values.record(&mut line);
        let of = context.span(id).expect("an open span").metadata();
        self.push(of, Level::DEBUG, &format!("record {}", of.name()), &line);
    }

    fn on_follows_from(&self, id: &span::Id, follows: &span::Id, context: Context<'_, S>) {
        let of = |id| context.span(id).expect("an open span").metadata();
        let text = format!("{} follows {}", of(id).name(), of(follows).name());
        self.lines.lock().expect("no panic").push((Level::DEBUG, of(id).target(), text));
    }
}
