//! What the crate tells a subscriber.
#![allow(dead_code, unreachable_pub)]

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry::LookupSpan};

/// All that this crate logged in this thread, one line each: level, message, fields; spans by `open`, `record` and `follows`.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    pub fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
        (log, guard)
    }

    /// What was logged since this was asked last, from `level` on.
    pub fn take(&self, level: Level) -> Vec<String> {
        let mut lines = self.0.lock().expect("no panic");
        lines.drain(..).filter(|(of, _)| *of <= level).map(|(_, line)| line).collect()
    }

    pub fn all(&self) -> String {
        self.take(Level::TRACE).join("\n")
    }

    fn push(&self, level: Level, line: String) {
        self.0.lock().expect("no panic").push((level, line));
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            write!(self.message, "{value:?}").expect("a string");
        } else {
            write!(self.fields, " {}={value:?}", field.name()).expect("a string");
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
        self.push(*event.metadata().level(), format!("{}:{}", line.message, line.fields));
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        let mut line = Line::default();
        attributes.record(&mut line);
        self.push(Level::DEBUG, format!("open {}:{}", attributes.metadata().name(), line.fields));
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let mut line = Line::default();
        values.record(&mut line);
        let name = context.span(id).expect("an open span").name();
        self.push(Level::DEBUG, format!("record {name}:{}", line.fields));
    }

    fn on_follows_from(&self, id: &span::Id, follows: &span::Id, context: Context<'_, S>) {
        let name = |id| context.span(id).expect("an open span").name();
        self.push(Level::DEBUG, format!("{} follows {}", name(id), name(follows)));
    }
}
