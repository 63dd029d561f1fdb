//! `docs/reliability.md` names a test for each scenario: they are all there.

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md");
/// Scenarios that there are.
const SCENARIOS: usize = 25;

/// The links of a line as `(name, path)`.
fn links(line: &str) -> Vec<(&str, &str)> {
    let after_bracket = line.split('[').skip(1);
    let links = after_bracket.filter_map(|rest| {
        let (name, rest) = rest.split_once("](")?;
        Some((name, rest.split_once(')')?.0))
    });
    links.collect()
}

#[test]
fn each_scenario_has_a_test_that_exists() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    for scenario in 1..=SCENARIOS {
        let row = format!("| {scenario} | ");
        let row = page.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("scenario {scenario} is missing"));
        let links = links(row);
        assert!(!links.is_empty(), "scenario {scenario} has no test");
        for (name, path) in links {
            let path = std::path::Path::new(PAGE).with_file_name(path);
            let text = std::fs::read_to_string(&path);
            let text = text.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let found = text.contains(&format!("fn {name}("));
            assert!(
                found,
                "scenario {scenario}: no test {name} in {}",
                path.display()
            );
        }
    }
}

/// The table of what strangers found, and whatever else the page names.
#[test]
fn each_test_that_is_named_exists() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let all = page.lines().flat_map(links);
    for (name, path) in all.filter(|(_, path)| path.ends_with(".rs")) {
        let path = std::path::Path::new(PAGE).with_file_name(path);
        let text = std::fs::read_to_string(&path);
        let text = text.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let found = text.contains(&format!("fn {name}("));
        assert!(found, "no test {name} in {}", path.display());
    }
}
