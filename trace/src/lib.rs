//! The way of a release as spans: begun in CI, ended in every cluster, and sent to an OpenTelemetry collector.
//!
//! A span is data that is made once its work is over; nothing here watches a program run. [`otlp`] writes spans as the
//! collectors' protocol has them, [`settings`] reads the environment variables that OpenTelemetry names, [`export`] sends,
//! with a bounded queue: spans are worth less than the work they tell of.

pub mod context;
pub mod export;
pub mod otlp;
pub mod settings;
pub mod span;

pub use context::TraceParent;
pub use export::{Exporter, Fate};
pub use settings::Settings;
pub use span::{Kind, Span, Value};
