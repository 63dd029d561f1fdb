//! Effects on the Secret.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use zeroize::Zeroize;

use super::{FIELD_MANAGER, Hands};
use crate::api::AwsCredentialRequest;
use crate::decode::Lenient;
use crate::key_material::KeyMaterial;
use crate::plan::effect::{Amendment, Fault, FaultClass, Outcome};
use crate::plan::lease::Term;
use crate::plan::secret::{
    SecretFacts, SecretView, amendment, entry_with_end, key_in_process, render,
};
use crate::plan::view::{AccountView, View};

/// Secrets in the request's own namespace: there is no other way to one.
fn secrets_api(client: &Client, request: &AwsCredentialRequest) -> Api<Lenient<Secret>> {
    Api::namespaced(client.clone(), request.namespace_name())
}

impl Hands {
    /// A dry-run create of the Secret, without data.
    pub(super) async fn check_secret(&self, view: &View) -> Result<Outcome, Fault> {
        let secret = Lenient(render(&view.request, region(view), None));
        let params = PostParams {
            dry_run: true,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let api = secrets_api(&self.client, &view.request);
        let call = api.create(&params, &secret);
        self.calls.make("check_secret", call).await?;
        Ok(Outcome::Done)
    }

    /// Writes the Secret: replaces ours in the state that was read, or creates
    /// it. Nothing else of that name is ever overwritten.
    pub(super) async fn publish_secret(
        &self,
        view: &View,
        key: &KeyMaterial,
        term: &Term,
    ) -> Result<Outcome, Fault> {
        let mut secret = Lenient(render(&view.request, region(view), Some((key, term))));
        let api = secrets_api(&self.client, &view.request);
        let params = PostParams {
            dry_run: false,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let written = match &view.secret {
            SecretView::Ours(facts) => {
                secret.metadata.uid = Some(facts.uid.clone());
                secret.metadata.resource_version = Some(facts.resource_version.clone());
                let name = view.request.secret_name();
                let call = api.replace(&name, &params, &secret);
                self.calls.make("replace_secret", call).await
            }
            _ => {
                self.calls
                    .make("create_secret", api.create(&params, &secret))
                    .await
            }
        };
        wipe(&mut secret);
        let mut written = written.map_err(|fault| redacted(fault, key))?;
        wipe(&mut written);
        match SecretView::of(&written.metadata, &view.request) {
            SecretView::Ours(facts) => Ok(Outcome::Secret(facts)),
            _ => Err(Fault {
                class: FaultClass::Refused,
                message: "an admission webhook took our owner reference off the Secret".to_owned(),
            }),
        }
    }

    /// Writes a new end into this very Secret in this very state, wherever it
    /// stands.
    pub(super) async fn amend_secret(
        &self,
        request: &AwsCredentialRequest,
        what: &Amendment,
    ) -> Result<Outcome, Fault> {
        let key = match entry_with_end(request) {
            Some(entry) => self.key_beside_end(request, what, &entry).await?,
            None => None,
        };
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let mut amended = amendment(request, what, key.as_ref());
        let api = secrets_api(&self.client, request);
        let name = request.secret_name();
        let patch = Patch::Merge(&amended);
        let call = api.patch(&name, &params, &patch);
        let written = self.calls.make("amend_secret", call).await;
        wipe(&mut amended);
        let mut written = written.map_err(|fault| match &key {
            Some(key) => redacted(fault, key),
            None => fault,
        })?;
        wipe(&mut written);
        match SecretView::of(&written.metadata, request) {
            SecretView::Ours(facts) => Ok(Outcome::Secret(facts)),
            _ => Err(changed_hands()),
        }
    }

    /// The key out of the entry that holds it together with the end of the
    /// lease, from the very state of the Secret that is amended.
    async fn key_beside_end(
        &self,
        request: &AwsCredentialRequest,
        what: &Amendment,
        entry: &str,
    ) -> Result<Option<KeyMaterial>, Fault> {
        let api = secrets_api(&self.client, request);
        let name = request.secret_name();
        let call = api.get(&name);
        let mut read = self.calls.make("read_secret_to_amend", call).await?;
        let (uid, version) = (&read.metadata.uid, &read.metadata.resource_version);
        let same = uid.as_ref() == Some(&what.secret.uid)
            && version.as_ref() == Some(&what.secret.resource_version);
        let data = read.data.as_ref().filter(|_| same);
        let key = data.and_then(|d| key_in_process(&d.get(entry)?.0));
        wipe(&mut read);
        if same { Ok(key) } else { Err(changed_hands()) }
    }

    /// Deletes this very Secret in this very state.
    pub(super) async fn delete_secret(
        &self,
        request: &AwsCredentialRequest,
        facts: &SecretFacts,
    ) -> Result<Outcome, Fault> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(facts.uid.clone()),
                resource_version: Some(facts.resource_version.clone()),
            }),
            ..DeleteParams::default()
        };
        let api = secrets_api(&self.client, request);
        let name = request.secret_name();
        let call = api.delete(&name, &params);
        match self.calls.make("delete_secret", call).await? {
            either::Either::Left(mut deleted) => wipe(&mut deleted),
            either::Either::Right(_) => {}
        }
        Ok(Outcome::Done)
    }
}

/// An admission webhook saw the data and may quote it in its refusal.
fn redacted(fault: Fault, key: &KeyMaterial) -> Fault {
    Fault {
        message: key.redact(&fault.message),
        ..fault
    }
}

fn changed_hands() -> Fault {
    Fault {
        class: FaultClass::Stale,
        message: "the Secret changed hands".to_owned(),
    }
}

fn region(view: &View) -> &str {
    match &view.account {
        AccountView::Ready(account) => &account.region,
        _ => crate::plan::account::DEFAULT_REGION,
    }
}

/// Clears our own copies of the data before they are freed.
fn wipe(secret: &mut Secret) {
    for value in secret.data.iter_mut().flat_map(|data| data.values_mut()) {
        value.0.zeroize();
    }
}
