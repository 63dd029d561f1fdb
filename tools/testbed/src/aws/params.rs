//! The parameters of a call, and AWS's rules for the common ones.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::error::AwsError;

/// The form fields of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    pub(super) fn parse(query: &str, body: &[u8]) -> Self {
        let fields = form_urlencoded::parse(query.as_bytes())
            .chain(form_urlencoded::parse(body))
            .map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self(fields.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn require(&self, name: &str) -> Result<&str, AwsError> {
        self.get(name)
            .ok_or_else(|| AwsError::validation(name, "Member must not be null"))
    }

    /// A name of a user, group, policy or session.
    pub(super) fn name(
        &self,
        param: &str,
        lengths: RangeInclusive<usize>,
    ) -> Result<&str, AwsError> {
        let value = self.require(param)?;
        check_name(param, value, &lengths)?;
        Ok(value)
    }

    /// A number within bounds, or the default.
    pub(super) fn number(
        &self,
        name: &str,
        default: u64,
        bounds: RangeInclusive<u64>,
    ) -> Result<u64, AwsError> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        text.parse()
            .ok()
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| {
                let rule = format!(
                    "Member must have value between {} and {}",
                    bounds.start(),
                    bounds.end()
                );
                AwsError::validation(name, &rule)
            })
    }

    /// The values of `Name.member.1`, `Name.member.2`, …
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        (1..)
            .map_while(|n| self.get(&format!("{name}.member.{n}")))
            .collect()
    }

    /// The pairs of `Tags.member.N.Key` and `.Value`, checked.
    pub(super) fn tags(&self) -> Result<BTreeMap<String, String>, AwsError> {
        let mut tags = BTreeMap::new();
        for n in 1.. {
            let Some(key) = self.get(&format!("Tags.member.{n}.Key")) else {
                break;
            };
            let value = self.require(&format!("Tags.member.{n}.Value"))?;
            check_tag(key, value)?;
            let twice = tags
                .keys()
                .any(|other: &String| other.eq_ignore_ascii_case(key));
            if twice {
                return Err(AwsError::invalid_input(
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
            tags.insert(key.to_owned(), value.to_owned());
        }
        Ok(tags)
    }

    /// The path, `/` by default.
    pub(super) fn path(&self) -> Result<&str, AwsError> {
        let path = self.get("Path").unwrap_or("/");
        let ends = path.starts_with('/') && path.ends_with('/');
        if !ends || path.len() > 512 || !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(AwsError::validation(
                "Path",
                "The specified value for path is invalid. It must begin and end with / \
                 and contain only alphanumeric characters and/or / characters.",
            ));
        }
        Ok(path)
    }

    /// One page of `items`, which come sorted by their key: those after
    /// `Marker`, at most `MaxItems`, and the marker of the next page.
    pub(super) fn page<T>(
        &self,
        items: impl Iterator<Item = (String, T)>,
    ) -> Result<(Vec<T>, Option<String>), AwsError> {
        let max = self.number("MaxItems", 100, 1..=1000)? as usize;
        let after = self.get("Marker");
        let mut rest =
            items.skip_while(|(key, _)| after.is_some_and(|after| key.as_str() <= after));
        let mut last = None;
        let mut page = Vec::new();
        for (key, item) in rest.by_ref().take(max) {
            last = Some(key);
            page.push(item);
        }
        let marker = if rest.next().is_some() { last } else { None };
        Ok((page, marker))
    }

    /// For the journal: all but what is said elsewhere and what is secret.
    pub(super) fn for_journal(&self) -> BTreeMap<String, String> {
        const LEFT_OUT: [&str; 4] = ["Action", "Version", "UserName", "Password"];
        let kept = self
            .0
            .iter()
            .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

fn check_name(param: &str, value: &str, lengths: &RangeInclusive<usize>) -> Result<(), AwsError> {
    if !lengths.contains(&value.len()) {
        let (least, most) = (lengths.start(), lengths.end());
        let rule = format!("Member must have length between {least} and {most}");
        return Err(AwsError::validation(param, &rule));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !value.chars().all(allowed) {
        let rule = r"Member must satisfy regular expression pattern: [\w+=,.@-]+";
        return Err(AwsError::validation(param, rule));
    }
    Ok(())
}

fn check_tag(key: &str, value: &str) -> Result<(), AwsError> {
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    if key.is_empty() || key.chars().count() > 128 || !key.chars().all(allowed) {
        return Err(AwsError::validation(
            "Tags",
            r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+",
        ));
    }
    if value.chars().count() > 256 || !value.chars().all(allowed) {
        return Err(AwsError::validation(
            "Tags",
            r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*",
        ));
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(AwsError::invalid_input(
            "Tag keys beginning with aws: are reserved",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        Params::parse("", text.as_bytes())
    }

    #[test]
    fn pages_follow_each_other() {
        let items = || ["a", "b", "c"].into_iter().map(|k| (k.to_owned(), k));
        let first = params("MaxItems=2").page(items());
        assert_eq!(first, Ok((vec!["a", "b"], Some("b".to_owned()))));
        let second = params("MaxItems=2&Marker=b").page(items());
        assert_eq!(second, Ok((vec!["c"], None)));
    }

    #[test]
    fn names_are_checked() {
        assert!(
            params("UserName=a%2Bb@c.d")
                .name("UserName", 1..=64)
                .is_ok()
        );
        for bad in ["", "a/b", "a%0Ab", "%C3%A9", "%24%7Bx%7D"] {
            let params = params(&format!("UserName={bad}"));
            let result = params.name("UserName", 1..=64);
            assert_eq!(result.map_err(|e| e.code), Err("ValidationError".into()));
        }
    }

    #[test]
    fn tags_are_checked() {
        let good = params("Tags.member.1.Key=keylease.dev/uid&Tags.member.1.Value=a%20b").tags();
        assert_eq!(
            good,
            Ok(BTreeMap::from([(
                "keylease.dev/uid".to_owned(),
                "a b".to_owned()
            )]))
        );
        let twice = "Tags.member.1.Key=a&Tags.member.1.Value=1\
                     &Tags.member.2.Key=A&Tags.member.2.Value=2";
        assert!(params(twice).tags().is_err());
        assert!(
            params("Tags.member.1.Key=a&Tags.member.1.Value=%24%7Bx%7D")
                .tags()
                .is_err()
        );
    }

    #[test]
    fn the_journal_has_no_passwords() {
        let kept = params("Action=CreateLoginProfile&UserName=u&Password=p&A=1").for_journal();
        assert_eq!(kept, BTreeMap::from([("A".to_owned(), "1".to_owned())]));
    }
}
