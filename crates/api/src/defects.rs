//! What of an object could not be read.

/// How many defects a summary names.
const TOLD: usize = 3;
/// Longest text of one defect, in characters.
const MAX_TEXT: usize = 200;

/// The parts of an object that this version cannot read: of a newer version, of
/// before a rule, or malformed. Empty for nearly every object.
///
/// Whoever finds some leaves what cannot be read alone, makes nothing new for
/// the object, and ends what it holds in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defects(Vec<Defect>);

/// One part that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Defect {
    /// Where it stands, as in `spec.limits.maxLeases`.
    path: String,
    /// Where it stands and what is wrong with it.
    text: String,
}

impl Defects {
    /// Notes one more. Path and reason are others' text: they are cut, and
    /// without control characters.
    pub fn add(&mut self, path: &str, why: &str) {
        let text = format!("{path}: {why}");
        let text = text.chars().take(MAX_TEXT);
        let text = text.map(|c| if c.is_control() { ' ' } else { c }).collect();
        let defect = Defect {
            path: path.to_owned(),
            text,
        };
        if !self.0.contains(&defect) {
            self.0.push(defect);
        }
    }

    /// Whether the whole object could be read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Leaves out those whose path begins with one of these.
    #[must_use]
    pub fn without(mut self, harmless: &[&str]) -> Self {
        self.0
            .retain(|d| !harmless.iter().any(|field| is_within(&d.path, field)));
        self
    }

    /// Whether this field, something in it or something that it is in could not
    /// be read.
    pub fn touch(&self, field: &str) -> bool {
        let touches = |d: &Defect| is_within(&d.path, field) || is_within(field, &d.path);
        self.0.iter().any(touches)
    }

    /// The first few in one line; `None` if there are none.
    pub fn summary(&self) -> Option<String> {
        let told: Vec<_> = self.0.iter().take(TOLD).map(|d| d.text.as_str()).collect();
        let more = self.0.len() - told.len();
        let more = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        (!told.is_empty()).then(|| told.join("; ") + &more)
    }
}

/// Whether a path is that field or lies in it.
fn is_within(path: &str, field: &str) -> bool {
    let rest = path.strip_prefix(field);
    rest.is_some_and(|r| r.is_empty() || r.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defects(paths: &[&str]) -> Defects {
        let mut all = Defects::default();
        paths.iter().for_each(|path| all.add(path, "odd\n"));
        all
    }

    #[test]
    fn a_summary_is_one_short_line() {
        assert_eq!(defects(&[]).summary(), None);
        let all = defects(&["a", "b", "c", "d", "e"]);
        assert_eq!(
            all.summary().unwrap(),
            "a: odd ; b: odd ; c: odd ; and 2 more"
        );
        let long = defects(&["x".repeat(10_000).as_str()]).summary().unwrap();
        assert_eq!(long.chars().count(), MAX_TEXT);
    }

    #[test]
    fn fields_are_told_from_fields_that_begin_alike() {
        let all = defects(&["spec.ttl.max", "status.conditions[0].reason"]);
        assert!(all.touch("spec.ttl") && all.touch("spec.ttl.max.x") && all.touch("spec"));
        assert!(!all.touch("spec.ttlAfterExpiry") && !all.touch("spec.t"));
        let left = all.without(&["status.conditions", "spec.tt"]);
        assert_eq!(left, defects(&["spec.ttl.max"]));
    }
}
