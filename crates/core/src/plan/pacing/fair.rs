//! A queue that is fair between namespaces: start-time fair queueing, each
//! call one unit. Whoever was served least comes next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::Urgency;

/// How far behind the others a namespace that rested may start, in calls: one
/// small issue goes ahead of a namespace that has thousands waiting.
const CREDIT: u64 = 3;
/// Namespaces at rest that are remembered before those of no account are
/// forgotten.
const REMEMBERED: usize = 64;

/// Where something waits in its namespace: what is nearest to its end first,
/// then what waits longest, then in order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    urgency: Urgency,
    since: Timestamp,
    arrival: u64,
}

/// What one namespace has waiting.
#[derive(Debug)]
struct Flow<T> {
    /// How much it was served, on the scale of all. One that rested does not
    /// save up: it starts [`CREDIT`] behind whoever was served last.
    served: u64,
    waiting: BTreeMap<Place, T>,
}

impl<T> Flow<T> {
    fn has_before(&self, urgency: Urgency) -> bool {
        let first = self.waiting.keys().next();
        first.is_some_and(|place| place.urgency < urgency)
    }
}

/// The queue.
#[derive(Debug)]
pub struct Fair<T> {
    flows: HashMap<Arc<str>, Flow<T>>,
    /// Namespaces with something waiting, least served first.
    order: BTreeSet<(u64, Arc<str>)>,
    /// Where whoever was served last stood.
    level: u64,
    arrivals: u64,
    len: usize,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self {
            flows: HashMap::new(),
            order: BTreeSet::new(),
            // A namespace may stand below the first that was served.
            level: CREDIT,
            arrivals: 0,
            len: 0,
        }
    }
}

impl<T> Fair<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether something waits that is nearer to what counts than this urgency.
    pub fn has_before(&self, urgency: Urgency) -> bool {
        self.flows.values().any(|flow| flow.has_before(urgency))
    }

    /// The same, in that namespace.
    pub fn has_before_in(&self, namespace: &Arc<str>, urgency: Urgency) -> bool {
        let flow = self.flows.get(namespace);
        flow.is_some_and(|flow| flow.has_before(urgency))
    }

    /// Lets something wait; its place, to take it out again.
    pub fn push(
        &mut self,
        namespace: &Arc<str>,
        urgency: Urgency,
        since: Timestamp,
        item: T,
    ) -> Place {
        self.arrivals += 1;
        let place = Place {
            urgency,
            since,
            arrival: self.arrivals,
        };
        let start = self.level.saturating_sub(CREDIT);
        let flow = self.flows.entry(namespace.clone()).or_insert(Flow {
            served: start,
            waiting: BTreeMap::new(),
        });
        if flow.waiting.is_empty() {
            flow.served = flow.served.max(start);
            self.order.insert((flow.served, namespace.clone()));
        }
        flow.waiting.insert(place, item);
        self.len += 1;
        place
    }

    /// Who is next, and from where.
    pub fn pop(&mut self) -> Option<(Arc<str>, T)> {
        let (_, namespace) = self.order.first()?;
        let namespace = namespace.clone();
        self.pop_from(&namespace)
    }

    /// Who is next in that namespace.
    pub fn pop_from(&mut self, namespace: &Arc<str>) -> Option<(Arc<str>, T)> {
        let flow = self.flows.get_mut(namespace)?;
        let (_, item) = flow.waiting.pop_first()?;
        let served = flow.served;
        flow.served += 1;
        self.order.remove(&(served, namespace.clone()));
        self.level = self.level.max(served);
        self.len -= 1;
        if flow.waiting.is_empty() {
            self.forget_idle();
        } else {
            self.order.insert((served + 1, namespace.clone()));
        }
        Some((namespace.clone(), item))
    }

    /// Takes something out; `None` if it was served before.
    pub fn remove(&mut self, namespace: &Arc<str>, place: &Place) -> Option<T> {
        let flow = self.flows.get_mut(namespace)?;
        let item = flow.waiting.remove(place)?;
        self.len -= 1;
        if flow.waiting.is_empty() {
            self.order.remove(&(flow.served, namespace.clone()));
        }
        Some(item)
    }

    /// Forgets namespaces at rest whose past would change nothing.
    fn forget_idle(&mut self) {
        if self.flows.len() > REMEMBERED + 2 * self.order.len() {
            let start = self.level.saturating_sub(CREDIT);
            self.flows
                .retain(|_, flow| !flow.waiting.is_empty() || flow.served > start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn filled(namespaces: &[(&str, usize)]) -> Fair<String> {
        let mut queue = Fair::default();
        for (namespace, count) in namespaces {
            for n in 0..*count {
                let name = format!("{namespace}{n}");
                queue.push(&Arc::from(*namespace), Urgency::New, at(0), name);
            }
        }
        queue
    }

    #[test]
    fn namespaces_take_turns_and_each_is_served_in_order() {
        let mut queue = filled(&[("a", 3), ("b", 2), ("c", 1)]);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, x)| x).collect();
        assert_eq!(order, ["a0", "b0", "c0", "a1", "b1", "a2"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_nearest_to_its_end_goes_first_then_the_oldest() {
        let mut queue = Fair::default();
        let ns = Arc::from("a");
        queue.push(&ns, Urgency::New, at(1), "new, old");
        queue.push(&ns, Urgency::Begun, at(9), "begun");
        queue.push(&ns, Urgency::New, at(0), "new, older");
        queue.push(&ns, Urgency::KeyInHand, at(9), "key");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, x)| x).collect();
        assert_eq!(order, ["key", "begun", "new, older", "new, old"]);
    }

    #[test]
    fn a_newcomer_goes_ahead_for_one_issue_and_takes_turns_from_then_on() {
        let mut queue = filled(&[("burst", 5000)]);
        for _ in 0..1000 {
            queue.pop();
        }
        let single: Arc<str> = Arc::from("single");
        let mut waited = Vec::new();
        for _ in 0..8 {
            queue.push(&single, Urgency::New, at(5), "single".to_owned());
            let before = std::iter::from_fn(|| queue.pop()).position(|(ns, _)| &*ns == "single");
            waited.push(before.unwrap());
        }
        assert_eq!(waited[..3], [0, 0, 0]);
        assert!(waited.iter().all(|n| *n <= 1), "{waited:?}");
    }

    #[test]
    fn a_rest_saves_nothing_up() {
        let mut queue = filled(&[("a", 2000), ("b", 1)]);
        for _ in 0..1000 {
            queue.pop();
        }
        let b: Arc<str> = Arc::from("b");
        for _ in 0..100 {
            queue.push(&b, Urgency::New, at(0), "b".to_owned());
        }
        let served = (0..100).filter_map(|_| queue.pop());
        let b_served = served.filter(|(ns, _)| &**ns == "b").count();
        assert!(b_served <= 50 + CREDIT as usize, "{b_served}");
    }

    #[test]
    fn what_is_taken_out_is_not_served_and_idle_namespaces_are_forgotten() {
        let mut queue = Fair::default();
        let ns = Arc::from("a");
        let place = queue.push(&ns, Urgency::New, at(0), 1);
        assert_eq!(queue.remove(&ns, &place), Some(1));
        assert_eq!(queue.remove(&ns, &place), None);
        assert_eq!(queue.pop(), None);
        for n in 0..10_000 {
            queue.push(&Arc::from(format!("ns-{n}")), Urgency::New, at(0), n);
            queue.push(&Arc::from("steady"), Urgency::New, at(0), n);
            queue.pop();
            queue.pop();
        }
        assert!(queue.flows.len() <= REMEMBERED + 3, "{}", queue.flows.len());
    }
}
