//! Policy documents: of roles, and of IAM groups, which others write.

use keylease_core::plan::policy::{INLINE_QUOTA, check_document, combine};
use serde_json::Value;

use crate::harness::{Told, did, fuzz};

const TOKENS: [&str; 12] = [
    "\"Statement\"",
    "\"Version\"",
    "\"2012-10-17\"",
    "\"Sid\"",
    "\"Effect\"",
    "\"Allow\"",
    "\"Action\"",
    "\"Resource\"",
    "\"Condition\"",
    "\"${aws:username}\"",
    "\n---\n",
    "[]",
];

/// Several documents may come, with a line of dashes between. What passes fits
/// AWS's quota; what is joined says what all of them said, and no more.
fn judge(input: &[u8]) -> Told {
    let text = String::from_utf8_lossy(input);
    let documents: Vec<String> = text.split("\n---\n").map(str::to_owned).collect();
    let mut fit = 0;
    for document in &documents {
        if check_document(document).is_ok() {
            let size = document.chars().filter(|c| !c.is_whitespace()).count();
            ensure!(size <= INLINE_QUOTA, "{size} characters passed");
            fit += 1;
        }
    }
    let joined = combine(&documents.iter().collect::<Vec<_>>());
    let kind = match &joined {
        Err(why) => why.split(|c: char| c.is_ascii_digit()).take(1).collect(),
        Ok(None) => "nothing".to_owned(),
        Ok(Some(joined)) => {
            let wanted: Vec<Value> = documents.iter().flat_map(|d| statements(d)).collect();
            ensure!(
                statements(joined) == wanted,
                "{joined} is not what was said"
            );
            ensure!(check_document(joined).is_ok(), "{joined} does not pass");
            ensure!(
                combine(&[joined]) == Ok(Some(joined.clone())),
                "{joined} changes when it is joined with nothing"
            );
            "joined".to_owned()
        }
    };
    did((fit.min(3), documents.len().min(4), kind))
}

/// The statements of a document, without their names.
fn statements(document: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let mut all = match &document["Statement"] {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    for statement in &mut all {
        if let Some(statement) = statement.as_object_mut() {
            statement.remove("Sid");
        }
    }
    all
}

#[test]
fn policies() {
    fuzz("policies", &TOKENS, judge);
}
