//! Logs. Two rules, whatever level is asked for and however often it is changed:
//! libraries that see request bodies stay quiet, and the audit trail is written.

use std::io::{self, Write};

use clap::ValueEnum;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::audit;
use crate::traces::Traces;
use keylease_api::text::{one_line, one_line_of_json};

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Targets that may log below INFO: our own, and the controller runtime, which
/// logs object references and watch states, no content. Everything else (the
/// AWS SDK, hyper, the Kubernetes client) may have a secret key in its hands
/// and is capped, so that `--log trace` cannot print one.
const MAY_BE_VERBOSE: [&str; 2] = ["keylease", "kube_runtime"];

/// Targets that print a whole body where they warn: the Kubernetes client does,
/// of an answer that it cannot decode, and that may be a Secret.
const PRINTS_BODIES: [&str; 1] = ["kube_client"];

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// The level, for as long as the process runs.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// What is logged now, in the form that [`LogLevel::set`] takes.
    ///
    /// # Errors
    /// A sentence, when logging has ended.
    pub fn get(&self) -> Result<String, String> {
        self.0
            .with_current(ToString::to_string)
            .map_err(|e| e.to_string())
    }

    /// Logs this from now on.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the filter.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        self.0.reload(parse(filter)?).map_err(|e| e.to_string())
    }
}

/// Starts logging to standard error, and exporting spans where traces are wanted.
///
/// # Errors
/// A sentence that says what is wrong with the filter.
pub fn init(filter: &str, format: LogFormat, traces: Option<&Traces>) -> Result<LogLevel, String> {
    let (logs, level) = logs(filter, format, io::stderr)?;
    tracing_subscriber::registry()
        .with(layers(logs, traces))
        .try_init()
        .map_err(|e| e.to_string())?;
    Ok(level)
}

/// A list, and not one layer on the other: each has a filter, and only a list of
/// such tells the macros that what no filter wants is off for good. On a layer
/// that is an `Option` they ask each time.
fn layers(logs: Boxed, traces: Option<&Traces>) -> Vec<Boxed> {
    let traces = traces.map(|traces| traces.layer().boxed());
    std::iter::once(logs).chain(traces).collect()
}

/// One line for each event, whatever is quoted in it: the one place where text of
/// others (of tenants, of AWS, of the API server) is made safe for the log and for
/// the audit trail in it.
struct Lines<W> {
    format: LogFormat,
    to: W,
}

impl<W> Lines<W> {
    fn safe(&self, event: &str) -> String {
        let line = event.strip_suffix('\n').unwrap_or(event);
        let safe = match self.format {
            LogFormat::Json => one_line_of_json(line),
            LogFormat::Text => one_line(line),
        };
        format!("{safe}\n")
    }
}

/// The formatter writes each event at once.
impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = self.safe(&String::from_utf8_lossy(event));
        self.to.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Lines<W> {
    type Writer = Lines<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Lines {
            format: self.format,
            to: self.to.make_writer(),
        }
    }
}

fn logs<W>(filter: &str, format: LogFormat, to: W) -> Result<(Boxed, LogLevel), String>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wanted = parse(filter).map_err(|e| format!("--log: {e}"))?;
    let (wanted, handle) = reload::Layer::new(wanted);
    let audit = FilterFn::new(|metadata| metadata.target() == audit::TARGET);
    let filter = wanted.and(FilterFn::new(is_wanted)).or(audit);
    let text = fmt::layer().with_writer(Lines { format, to });
    let layer = match format {
        LogFormat::Json => text.json().flatten_event(true).with_ansi(false).boxed(),
        LogFormat::Text => text.with_ansi(false).boxed(),
    };
    Ok((layer.with_filter(filter).boxed(), LogLevel(handle)))
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(filter)
        .map_err(|e| format!("{filter:?} is no log filter ({e}); try info or keylease=debug"))
}

/// Spans are left out: each of our lines says what it is about, and a span that
/// is entered at every poll costs more than the line. Those of [`crate::traces`]
/// are for another layer.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    let safe = *metadata.level() <= cap(metadata.target());
    safe && metadata.is_event()
}

/// The most that a target may log.
fn cap(target: &str) -> LevelFilter {
    let of = |crates: &[&str]| crates.iter().any(|name| is_within(target, name));
    if of(&PRINTS_BODIES) {
        LevelFilter::ERROR
    } else if of(&MAY_BE_VERBOSE) {
        LevelFilter::TRACE
    } else {
        LevelFilter::INFO
    }
}

fn is_within(target: &str, name: &str) -> bool {
    let rest = target.strip_prefix(name);
    rest.is_some_and(|r| r.is_empty() || r.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::Secret;
    use parking_lot::Mutex;
    use tracing::{Subscriber, info_span, subscriber};

    use super::*;
    use crate::metrics::Metrics;
    use crate::traces;
    use keylease_api::text::is_unsafe;

    /// What the subscriber of a process says to the macro of a span, once and for
    /// all. The log is at its most talkative.
    fn is_off_for_good(span: &'static Metadata<'static>, traces: Option<&Traces>) -> bool {
        let (logs, _) = logs("trace", LogFormat::Json, io::stderr).unwrap();
        let subscriber = tracing_subscriber::registry().with(layers(logs, traces));
        subscriber.register_callsite(span).is_never()
    }

    /// One of ours, and one as kube-rs opens it for each reconciliation.
    fn spans() -> [&'static Metadata<'static>; 2] {
        subscriber::with_default(tracing_subscriber::registry(), || {
            let ours = info_span!(target: traces::TARGET, "reconcile");
            let theirs = info_span!(target: "kube_runtime::controller", "reconciling object");
            [&ours, &theirs].map(|span| span.metadata().unwrap())
        })
    }

    #[test]
    fn without_a_collector_no_span_costs_anything() {
        for span in spans() {
            assert!(is_off_for_good(span, None), "{span:?}");
        }
    }

    #[tokio::test]
    async fn with_a_collector_only_our_spans_are_opened() {
        let traces = Traces::start("http://127.0.0.1:9", "one", Metrics::default()).unwrap();
        let [ours, theirs] = spans();
        assert!(!is_off_for_good(ours, Some(&traces)));
        assert!(is_off_for_good(theirs, Some(&traces)));
    }

    /// Where a test finds what was logged.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        /// Logs what a tenant wrote, as message and as field, and as an audit
        /// record; the lines that come of it.
        fn lines(format: LogFormat, said: &str) -> Vec<String> {
            let kept = Self::default();
            let to = kept.clone();
            let (logs, _) = logs("info", format, move || to.clone()).unwrap();
            let subscriber = tracing_subscriber::registry().with(layers(logs, None));
            subscriber::with_default(subscriber, || {
                tracing::info!(error = said, "{}", said);
                tracing::info!(target: audit::TARGET, user = said, "audit");
            });
            let text = String::from_utf8(kept.0.lock().clone()).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    /// A tenant writes an audit record into what the operator quotes.
    #[test]
    fn nobodys_text_begins_a_line() {
        for end in [
            "\n",
            "\r\n",
            "\r",
            "\u{85}",
            "\u{2028}",
            "\u{1b}[1G",
            "\u{202e}",
        ] {
            let forged =
                format!("a{end}2026-11-28T00:00:00Z  INFO keylease::audit: audit act=issue");
            for format in [LogFormat::Text, LogFormat::Json] {
                let lines = Kept::lines(format, &forged);
                assert_eq!(lines.len(), 2, "{format:?} {end:?}: {lines:#?}");
                for line in &lines {
                    assert!(!line.contains(is_unsafe), "{format:?} {end:?}: {line:?}");
                }
                if format == LogFormat::Json {
                    let event: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
                    assert_eq!(event["error"], forged, "nothing is lost");
                }
            }
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_a_hint() {
        assert!(parse("info,keylease=debug").is_ok());
        let refusal = parse("keylease=chatty").unwrap_err();
        assert!(refusal.contains("try info"), "{refusal}");
    }

    #[test]
    fn libraries_that_see_secrets_are_capped() {
        for target in [
            "aws_smithy_runtime::client::http::body",
            "hyper::proto",
            "kube_client::client",
            "rustls",
            "keylease_but_not_ours",
        ] {
            assert!(cap(target) <= LevelFilter::INFO, "{target}");
        }
        assert_eq!(cap("keylease::controller"), LevelFilter::TRACE);
        assert_eq!(cap("kube_runtime::watcher"), LevelFilter::TRACE);
    }

    /// What was logged.
    #[derive(Clone, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);

    impl Write for Text {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// An API server whose only answer is a Secret that cannot be decoded.
    fn garbled_server() -> String {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = r#"{"kind": "Secret", "data": "c2VjcmV0LWtleQ=="}"#;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            let length = body.len();
            write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        });
        url
    }

    /// The Kubernetes client warns of an answer that it cannot decode, body and
    /// all.
    #[tokio::test]
    async fn no_body_of_an_answer_is_printed() {
        let text = Text::default();
        let into = text.clone();
        let lines = fmt::layer().with_writer(move || into.clone());
        let lines = lines.with_filter(FilterFn::new(is_wanted));
        let _log = subscriber::set_default(tracing_subscriber::registry().with(lines));
        let config = kube::Config::new(garbled_server().parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let secrets: kube::Api<Secret> = kube::Api::default_namespaced(client);
        let answer = secrets.get("any").await;
        assert!(
            matches!(answer, Err(kube::Error::SerdeError(_))),
            "{answer:?}"
        );
        tracing::warn!("what is ours is printed");
        let text = String::from_utf8(text.0.lock().clone()).unwrap();
        assert!(text.contains("what is ours is printed"), "{text}");
        assert!(!text.contains("c2VjcmV0LWtleQ"), "{text}");
    }
}
