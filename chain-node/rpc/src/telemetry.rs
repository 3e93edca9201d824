//! Logs and traces of a process: one call at its start, one guard kept to its end.
//!
//! Logs go to standard error, as text or as one JSON object a line. Spans go to an OTLP collector when
//! one is named; without it the trace context still travels, so that other processes' spans join up.
//! Neither ever holds headers or payloads: the libraries that would write them are silenced here for
//! good, whatever filter is asked for.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What is logged when no filter is asked for. Refused TLS handshakes are shown: the operator has to
/// see who knocks with a wrong certificate.
pub const DEFAULT_FILTER: &str = "info,arc_malachitebft_core_consensus=warn,tonic=warn,tonic::transport::server::io_stream=debug";

/// Never logged and never traced: what these write at finer levels includes bytes of calls, and spans
/// about exporting spans would never end.
const SILENCED: &str = "h2=off,hyper=off,hyper_util=off,tower=off,rustls=warn,opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry_otlp=warn,sqlx=warn";

/// How long the last spans may take to leave when the process ends.
const FLUSH: Duration = Duration::from_secs(5);

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl FromStr for LogFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(Error::Format(other.to_owned())),
        }
    }
}

/// What a process reports, and where to.
#[derive(Clone, Debug, Default)]
pub struct TelemetryConfig {
    /// The process's name in traces: `gateway`, `holder-sh`.
    pub service_name: String,
    /// Further facts about the process, such as its organisation: `("xinqiao.org", "bureau-js")`.
    pub attributes: Vec<(String, String)>,
    /// Where an OTLP collector listens for gRPC: `http://127.0.0.1:4317`. `None`: spans are not exported.
    pub otlp_endpoint: Option<String>,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Which lines and spans there are, as `tracing` directives; [`DEFAULT_FILTER`] when `None`.
    pub filter: Option<String>,
}

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The filter's directives cannot be read.
    #[error("the log filter {filter:?} cannot be read: {reason}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The log format is neither text nor json.
    #[error("{0:?} is no log format: text or json")]
    Format(String),
    /// The exporter cannot be built.
    #[error("spans cannot be exported to {endpoint}: {reason}")]
    Exporter {
        /// The collector's address.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The thread that exports cannot be started.
    #[error("the thread that exports spans cannot be started: {0}")]
    Runtime(#[from] std::io::Error),
    /// Something else in the process has set up tracing already.
    #[error("tracing is already set up in this process")]
    AlreadySet,
}

/// Keep it until the process ends: dropping it sends the last spans off.
#[must_use = "dropping the guard ends telemetry"]
pub struct TelemetryGuard {
    provider: SdkTracerProvider,
    exporting: Option<tokio::runtime::Runtime>,
}

impl fmt::Debug for TelemetryGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryGuard").finish_non_exhaustive()
    }
}

impl TelemetryGuard {
    /// Sends off what has been gathered, and waits for it.
    pub fn flush(&self) {
        if let Err(error) = self.provider.force_flush() {
            tracing::warn!(%error, "spans could not be exported");
        }
    }
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if self.exporting.is_some()
            && let Err(error) = self.provider.shutdown_with_timeout(FLUSH)
        {
            tracing::warn!(%error, "the last spans could not be exported");
        }
        if let Some(runtime) = self.exporting.take() {
            // Not a plain drop: that would panic inside an async main.
            runtime.shutdown_background();
        }
    }
}

/// Sets up logs and traces for the whole process.
///
/// # Errors
/// [`Error`] when the filter or the endpoint cannot be used, or when it was called before.
pub fn init(config: TelemetryConfig) -> Result<TelemetryGuard, Error> {
    let filter = filter(config.filter.as_deref().unwrap_or(DEFAULT_FILTER))?;
    let (provider, exporting) = provider(&config)?;
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("xinqiao"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log_format {
        LogFormat::Text => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(spans)
        .with(lines)
        .try_init()
        .map_err(|_| Error::AlreadySet)?;
    Ok(TelemetryGuard {
        provider,
        exporting,
    })
}

fn filter(directives: &str) -> Result<EnvFilter, Error> {
    // For one target the last directive counts: what is silenced stays so.
    EnvFilter::builder()
        .parse(format!("{directives},{SILENCED}"))
        .map_err(|error| Error::Filter {
            filter: directives.to_owned(),
            reason: error.to_string(),
        })
}

fn provider(
    config: &TelemetryConfig,
) -> Result<(SdkTracerProvider, Option<tokio::runtime::Runtime>), Error> {
    let facts = config
        .attributes
        .iter()
        .map(|(k, v)| KeyValue::new(k.clone(), v.clone()));
    let resource = Resource::builder()
        .with_service_name(config.service_name.clone())
        .with_attributes(facts)
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = &config.otlp_endpoint else {
        return Ok((builder.build(), None));
    };
    // A runtime of its own, so that flushing cannot wait for the very runtime it blocks.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("otlp-export")
        .enable_all()
        .build()?;
    let exporter = {
        let _entered = runtime.enter();
        SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(FLUSH)
            .build()
            .map_err(|error| Error::Exporter {
                endpoint: endpoint.clone(),
                reason: error.to_string(),
            })?
    };
    Ok((builder.with_batch_exporter(exporter).build(), Some(runtime)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_payloads_stays_silent_whatever_is_asked_for() {
        let shown = filter("trace,h2=trace,hyper=debug").unwrap().to_string();
        assert!(
            shown.contains("h2=off") && shown.contains("hyper=off"),
            "{shown}"
        );
        assert!(!shown.contains("h2=trace"), "{shown}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error_that_names_it() {
        let error = filter("info,[").unwrap_err().to_string();
        assert!(error.contains("info,["), "{error}");
    }

    #[test]
    fn log_formats_are_text_or_json() {
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert_eq!("text".parse::<LogFormat>().unwrap(), LogFormat::Text);
        assert!("yaml".parse::<LogFormat>().is_err());
    }
}
