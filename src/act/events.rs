//! Events on requests and accounts. They are told after the status is written, and losing
//! one changes nothing.

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

use super::KubeCalls;
use keylease_api::text::cut;
use keylease_core::plan::effect::Announcement;

/// Writes events.
#[derive(Clone)]
pub struct Announcer {
    client: Client,
    reporter: Reporter,
    calls: KubeCalls,
}

impl Announcer {
    /// An announcer that signs as this instance (the pod's name).
    pub fn new(client: Client, calls: KubeCalls, instance: String) -> Self {
        let reporter = Reporter {
            controller: "keylease.dev/controller".to_owned(),
            instance: Some(instance),
        };
        Self {
            client,
            reporter,
            calls,
        }
    }

    /// Tells one announcement.
    pub async fn tell(&self, object: &impl Resource<DynamicType = ()>, what: &Announcement) {
        let event = Event {
            type_: if what.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: what.reason.as_str().to_owned(),
            note: Some(cut(&what.message)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let reference = object.object_ref(&());
        // One for each event: a recorder keeps what it published for six minutes
        // and looks through all of it each time, to count repetitions. We tell
        // changes, which do not repeat.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        let publish = recorder.publish(&event, &reference);
        if let Err(fault) = self.calls.make("create_event", publish).await {
            tracing::warn!(
                reason = what.reason.as_str(),
                error = fault.message,
                "event was lost"
            );
        }
    }
}
