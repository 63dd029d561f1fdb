//! Who is let in, and who is called.

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use jiff::Timestamp;

use super::super::fixtures::request;
use super::*;
use keylease_core::plan::pacing::Urgency;

struct Room {
    room: Arc<WaitingRoom>,
    calls: UnboundedReceiver<Concerned>,
}

impl Room {
    fn new() -> Self {
        let (notices, noticed) = Notices::channel();
        Self {
            room: WaitingRoom::new(notices, Metrics::default()),
            calls: noticed.requests,
        }
    }

    fn ask(&self, class: Class, who: &str) -> Option<Seat> {
        self.ask_at(class, who, false)
    }

    fn ask_at(&self, class: Class, who: &str, at_once: bool) -> Option<Seat> {
        self.ask_as(class, who, Urgency::New, at_once)
    }

    fn ask_as(&self, class: Class, who: &str, urgency: Urgency, at_once: bool) -> Option<Seat> {
        let (namespace, name) = who.split_once('/').unwrap();
        let mut asking = request();
        asking.metadata.name = Some(name.to_owned());
        let line = Line {
            account: "123456789012".into(),
            service: Service::Iam,
            class,
        };
        let priority = Priority {
            class,
            namespace: namespace.into(),
            urgency,
            since: Timestamp::UNIX_EPOCH,
        };
        let wish = Wish {
            line,
            priority,
            slots: 2,
            at_once,
        };
        self.room.enter(&asking, wish)
    }

    /// Who was called since the last time.
    fn called(&mut self) -> Vec<String> {
        let calls = std::iter::from_fn(|| {
            let next = futures::FutureExt::now_or_never(self.calls.next());
            next.flatten()
        });
        calls
            .map(|call| match call {
                Concerned::This(who) => format!("{}/{}", who.namespace.unwrap(), who.name),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn is_empty(&self) -> bool {
        let state = self.room.state.lock();
        state.lines.is_empty() && state.guests.is_empty()
    }
}

#[test]
fn a_burst_waits_and_others_do_not_wait_for_it() {
    let mut room = Room::new();
    let a1 = room.ask(Class::Issue, "a/1");
    let a2 = room.ask(Class::Issue, "a/2");
    assert!(a1.is_some() && a2.is_some());
    for n in 3..100 {
        assert!(room.ask(Class::Issue, &format!("a/{n}")).is_none());
    }
    assert!(room.ask(Class::Issue, "b/1").is_some(), "another namespace");
    assert!(room.ask(Class::Revoke, "a/x").is_some(), "another line");
    assert!(room.ask_at(Class::Issue, "a/99", true).is_some(), "a key");
    assert!(room.called().is_empty(), "a still has all its seats");
    drop(a1);
    assert_eq!(room.called(), ["a/3"]);
}

#[test]
fn a_free_seat_goes_to_the_namespace_that_has_none_then_in_turn() {
    let mut room = Room::new();
    let a1 = room.ask(Class::Issue, "a/1");
    let b1 = room.ask(Class::Issue, "b/1");
    assert!(room.ask(Class::Issue, "a/2").is_none());
    assert!(room.ask(Class::Issue, "a/3").is_none());
    assert!(room.ask(Class::Issue, "b/2").is_none());
    drop(b1);
    assert_eq!(room.called(), ["b/2"]);
    assert!(room.ask(Class::Issue, "c/1").is_some());
    let b2 = room.ask(Class::Issue, "b/2");
    assert!(b2.is_some(), "its seat was kept");
    drop((a1, b2));
    assert_eq!(room.called(), ["a/2", "a/3"]);
}

#[test]
fn whoever_is_called_and_does_not_come_gives_its_seat_back() {
    let mut room = Room::new();
    let seats = [room.ask(Class::Issue, "a/1"), room.ask(Class::Issue, "a/2")];
    for name in ["a/3", "a/4", "a/5", "a/6"] {
        assert!(room.ask(Class::Issue, name).is_none());
    }
    drop(seats);
    assert_eq!(room.called(), ["a/3", "a/4"]);
    room.room.leave("a", "5");
    room.room.leave("a", "3");
    assert_eq!(room.called(), ["a/6"], "5 does not wait any more");
    // Deleted while it waits: it is to be revoked now.
    let revoked = room.ask(Class::Revoke, "a/4");
    assert!(revoked.is_some());
    room.room.leave("a", "6");
    drop(revoked);
    assert!(room.is_empty());
}

/// A namespace has one seat at least, also beyond those that there are: that one
/// given up would be had again at once, and given up again.
#[test]
fn a_seat_that_nobody_else_would_get_is_not_wanted() {
    let mut room = Room::new();
    let first = room.ask(Class::Revoke, "a/1").unwrap();
    let second = room.ask(Class::Revoke, "a/2").unwrap();
    let beyond = room.ask(Class::Revoke, "b/1").unwrap();
    let waits = room.ask_as(Class::Revoke, "a/3", Urgency::Begun, false);
    assert!(waits.is_none());
    assert!(!room.room.is_wanted(&beyond, Urgency::KeyDead));
    // Their own wait, so it goes to one of them.
    assert!(room.room.is_wanted(&first, Urgency::KeyDead));
    drop(beyond);
    assert!(room.called().is_empty(), "there are two seats");
    let again = room.ask(Class::Revoke, "b/1").unwrap();
    drop(second);
    drop(again);
    assert_eq!(room.called(), ["a/3"]);
    drop(first);
}

#[test]
fn whose_key_is_dead_is_told_that_others_with_a_key_wait() {
    let mut room = Room::new();
    let first = room.ask(Class::Revoke, "a/1").unwrap();
    let second = room.ask(Class::Revoke, "a/2").unwrap();
    assert!(!room.room.is_wanted(&first, Urgency::KeyDead));
    assert!(
        room.ask_as(Class::Revoke, "a/3", Urgency::KeyDead, false)
            .is_none()
    );
    assert!(
        !room.room.is_wanted(&first, Urgency::KeyDead),
        "no better than it"
    );
    assert!(
        room.ask_as(Class::Revoke, "a/4", Urgency::Begun, false)
            .is_none()
    );
    assert!(room.room.is_wanted(&first, Urgency::KeyDead));
    drop(first);
    assert_eq!(room.called(), ["a/4"], "before the one that came first");
    drop(second);
    assert_eq!(room.called(), ["a/3"]);
}
