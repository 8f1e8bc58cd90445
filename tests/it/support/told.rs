//! What the crate tells a subscriber.
#![allow(dead_code, unreachable_pub)]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry::LookupSpan};

/// All that this crate logged in this thread, one line each: level, message, fields; spans by `open`, `record` and
/// `follows`.
#[derive(Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<(Level, String)>>>,
    fields: Arc<Mutex<BTreeSet<String>>>,
}

/// Where there is one subscriber alone, tracing asks the thread that comes to an event first whether anybody wants it.
/// A test without a subscriber would then switch the event off for the one that waits for it.
static ANOTHER: LazyLock<tracing::Dispatch> = LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));

impl Log {
    pub fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        LazyLock::force(&ANOTHER);
        let log = Self::default();
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
        (log, guard)
    }

    /// What was logged since this was asked last, from `level` on.
    pub fn take(&self, level: Level) -> Vec<String> {
        self.drain().into_iter().filter(|(of, _)| *of <= level).map(|(_, line)| line).collect()
    }

    /// The same, with levels.
    pub fn drain(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut *self.lines.lock().expect("no panic"))
    }

    /// The names of all fields, of events and spans.
    pub fn fields(&self) -> BTreeSet<String> {
        self.fields.lock().expect("no panic").clone()
    }

    pub fn all(&self) -> String {
        self.take(Level::TRACE).join("\n")
    }

    fn push(&self, level: Level, line: String, names: Vec<&'static str>) {
        self.lines.lock().expect("no panic").push((level, line));
        self.fields.lock().expect("no panic").extend(names.into_iter().map(str::to_owned));
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
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "client_credentials" {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        self.push(*event.metadata().level(), format!("{}:{}", line.message, line.fields), line.names);
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        if attributes.metadata().target() != "client_credentials" {
            return;
        }
        let mut line = Line::default();
        attributes.record(&mut line);
        self.push(Level::DEBUG, format!("open {}:{}", attributes.metadata().name(), line.fields), line.names);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let mut line = Line::default();
        values.record(&mut line);
        let span = context.span(id).expect("an open span");
        if span.metadata().target() != "client_credentials" {
            return;
        }
        let name = span.name();
        self.push(Level::DEBUG, format!("record {name}:{}", line.fields), line.names);
    }

    fn on_follows_from(&self, id: &span::Id, follows: &span::Id, context: Context<'_, S>) {
        let name = |id| context.span(id).expect("an open span").name();
        self.push(Level::DEBUG, format!("{} follows {}", name(id), name(follows)), Vec::new());
    }
}
