//! Checks on IAM policy documents, before AWS sees them.

use serde_json::{Value, json};

/// AWS's quota for all inline policies of a user, in characters without white
/// space (IAM and STS quotas, "IAM user inline policies").
pub const INLINE_QUOTA: usize = 2048;

/// Checks that the text is a policy document that fits a user.
///
/// Only the form is checked: whether actions and resources mean anything is
/// AWS's to say.
///
/// # Errors
/// What is wrong, as the end of a sentence that names the field.
pub fn check_document(text: &str) -> Result<(), String> {
    let size = text.chars().filter(|c| !c.is_whitespace()).count();
    if size > INLINE_QUOTA {
        return Err(format!(
            "has {size} characters without white space and AWS allows {INLINE_QUOTA} for a user; \
             make a managed policy and name it in policyArns"
        ));
    }
    let document: Value = serde_json::from_str(text).map_err(|e| format!("is not JSON: {e}"))?;
    let statement = document.as_object().and_then(|o| o.get("Statement"));
    match statement {
        Some(Value::Array(_) | Value::Object(_)) => Ok(()),
        _ => Err(
            "has no Statement; write { \"Version\": \"2012-10-17\", \"Statement\": [ … ] }".into(),
        ),
    }
}

/// One policy that says what all of these say; `None` where there are none.
/// Statements lose their names, which have to differ within one policy.
///
/// # Errors
/// What is wrong, as the end of a sentence that names them.
pub fn combine(documents: &[&String]) -> Result<Option<String>, String> {
    let mut all = Vec::new();
    for document in documents {
        let parsed: Value =
            serde_json::from_str(document).map_err(|e| format!("are not all JSON: {e}"))?;
        match parsed.get("Statement") {
            Some(Value::Array(statements)) => all.extend(statements.iter().cloned()),
            Some(statement) => all.push(statement.clone()),
            None => return Err("are not all policies: one has no Statement".to_owned()),
        }
    }
    if all.is_empty() {
        return Ok(None);
    }
    for statement in &mut all {
        if let Some(statement) = statement.as_object_mut() {
            statement.remove("Sid");
        }
    }
    let joined = json!({"Version": "2012-10-17", "Statement": all});
    let text = joined.to_string();
    // Numbers longer than 64 bits are read as the nearest that fits, and what is
    // written for that may be read as its neighbour.
    if serde_json::from_str::<Value>(&text).ok() != Some(joined) {
        return Err("have a number that is too long to be joined; put it in quotes".to_owned());
    }
    let size = text.chars().count();
    if size > INLINE_QUOTA {
        return Err(format!(
            "have {size} characters together with the role's own, and AWS lets a session carry \
             {INLINE_QUOTA}; make managed policies of them"
        ));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_policy() {
        let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
        assert_eq!(check_document(text), Ok(()));
    }

    #[test]
    fn refuses_what_is_no_policy() {
        let nested = "[".repeat(2000);
        let long = format!(r#"{{"Statement":[],"Id":"{}"}}"#, "x".repeat(3000));
        for (text, says) in [
            ("{", "not JSON"),
            ("[]", "no Statement"),
            ("{}", "no Statement"),
            (r#"{"Statement":"all"}"#, "no Statement"),
            (nested.as_str(), "not JSON"),
            (long.as_str(), "2048"),
            ("\u{feff}\u{0}", "not JSON"),
        ] {
            let error = check_document(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
