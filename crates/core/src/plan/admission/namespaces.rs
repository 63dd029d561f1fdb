//! Which namespaces a role is for.

use std::collections::BTreeMap;

use kube_core::{Selector, SelectorExt};

use super::{Denial, NamespaceView};
use crate::plan::reasons::{Reason, Verdict};
use keylease_api::{AllowedNamespaces, AwsCredentialRequest, AwsRole};

/// Whether a role allows a namespace, by name or by its labels; `None` where
/// that hangs on labels which are not known. Nobody is allowed by default, and
/// an empty selector selects nobody.
///
/// # Errors
/// What is wrong with the selector.
pub fn allows(
    role: &AwsRole,
    namespace: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> Result<Option<bool>, String> {
    let allowed = role.spec.allowed_namespaces.clone().unwrap_or_default();
    let AllowedNamespaces { names, selector } = allowed;
    if names.iter().any(|n| n == "*" || n == namespace) {
        return Ok(Some(true));
    }
    let selector = selector.unwrap_or_default();
    let labelled = selector
        .match_labels
        .as_ref()
        .is_some_and(|l| !l.is_empty());
    let expressed = selector
        .match_expressions
        .as_ref()
        .is_some_and(|e| !e.is_empty());
    if !labelled && !expressed {
        return Ok(Some(false));
    }
    let Some(labels) = labels else {
        return Ok(None);
    };
    let selector = Selector::try_from(selector).map_err(|e| e.to_string())?;
    Ok(Some(selector.matches(labels)))
}

pub(super) fn check_namespace(
    request: &AwsCredentialRequest,
    role: &AwsRole,
    namespace: &NamespaceView,
) -> Result<(), Denial> {
    let wanted = request.namespace_name();
    let role_name = role.metadata.name.as_deref().unwrap_or_default();
    let labels = match namespace {
        NamespaceView::Unread => None,
        NamespaceView::Labels(labels) => Some(labels),
    };
    let allowed = allows(role, wanted, labels).map_err(|e| {
        Verdict::new(
            Reason::RoleInvalid,
            format!("role {role_name}: allowedNamespaces.selector cannot be read: {e}"),
        )
    })?;
    match allowed {
        Some(true) => return Ok(()),
        None => return Err(Denial::NeedsNamespace),
        Some(false) => {}
    }
    Err(Verdict::new(
        Reason::NamespaceNotAllowed,
        format!(
            "role {role_name} does not allow namespace {wanted}; add it to \
             spec.allowedNamespaces of the AwsRole, or ask for another role"
        ),
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(rule: serde_json::Value, labels: Option<&[(&str, &str)]>) -> Option<bool> {
        let spec = serde_json::from_value(json!({
            "accountRef": {"name": "a"}, "iamUser": {}, "allowedNamespaces": rule,
        }));
        let role = AwsRole::new("r", spec.unwrap());
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let labels = labels.map(|l| l.iter().map(own).collect());
        allows(&role, "here", labels.as_ref()).unwrap()
    }

    #[test]
    fn nobody_unless_named_or_selected() {
        let selector = json!({"selector": {"matchLabels": {"team": "a"}}});
        assert_eq!(judged(json!(null), None), Some(false));
        assert_eq!(judged(json!({"names": ["there"]}), None), Some(false));
        assert_eq!(
            judged(json!({"names": ["there", "here"]}), None),
            Some(true)
        );
        assert_eq!(judged(json!({"names": ["*"]}), None), Some(true));
        assert_eq!(judged(json!({"selector": {}}), Some(&[])), Some(false));
        assert_eq!(judged(selector.clone(), Some(&[("team", "a")])), Some(true));
        assert_eq!(
            judged(selector.clone(), Some(&[("team", "b")])),
            Some(false)
        );
        assert_eq!(judged(selector, None), None);
    }
}
