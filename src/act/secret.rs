//! Effects on the Secret.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use zeroize::Zeroize;

use super::{FIELD_MANAGER, Hands};
use keylease_api::AwsCredentialRequest;
use keylease_api::decode::Lenient;
use keylease_core::key_material::KeyMaterial;
use keylease_core::plan::effect::{Amendment, Fault, FaultClass, Outcome};
use keylease_core::plan::lease::Term;
use keylease_core::plan::secret::{
    RESTORED, SecretFacts, SecretView, amendment, entry_with_end, key_in_process, render,
};
use keylease_core::plan::view::{AccountView, View};

/// Secrets in the request's own namespace: there is no other way to one.
fn secrets_api(client: &Client, request: &AwsCredentialRequest) -> Api<Lenient<Secret>> {
    Api::namespaced(client.clone(), request.namespace_name())
}

impl Hands {
    /// A dry-run create of the Secret, without data.
    pub(super) async fn check_secret(&self, view: &View) -> Result<Outcome, Fault> {
        let secret = Lenient(render(&view.request, region(view), None));
        let params = as_keylease(true);
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
        let written = match &view.secret {
            SecretView::Ours(facts) => self.write_anew(&view.request, facts, &mut secret).await,
            _ => self.create_secret(&view.request, &secret).await,
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

    /// Writes into a Secret of ours: in its place where that can be, else into
    /// another of its name.
    async fn write_anew(
        &self,
        request: &AwsCredentialRequest,
        facts: &SecretFacts,
        secret: &mut Lenient<Secret>,
    ) -> Result<Lenient<Secret>, Fault> {
        let restored = facts.restores_with_this(Timestamp::now());
        if restored > 0 {
            let annotations = secret.metadata.annotations.get_or_insert_default();
            annotations.insert(RESTORED.to_owned(), restored.to_string());
        }
        if facts.in_place && facts.key.is_some() {
            let mut replacing = secret.clone();
            replacing.metadata.uid = Some(facts.uid.clone());
            replacing.metadata.resource_version = Some(facts.resource_version.clone());
            let api = secrets_api(&self.client, request);
            let name = request.secret_name();
            let params = as_keylease(false);
            let call = api.replace(&name, &params, &replacing);
            let written = self.calls.make("replace_secret", call).await;
            wipe(&mut replacing);
            match written {
                // Its type, or an immutability that the metadata did not show.
                Err(fault) if fault.class == FaultClass::Refused => {}
                answer => return answer,
            }
        }
        self.make_again(request, facts, secret).await
    }

    /// Deletes a Secret of ours and makes it again, because the API server does
    /// not let it be changed, or does not know any more who wrote what of it.
    /// Pods keep what they mounted. Whether the new one would be let in is asked
    /// first.
    async fn make_again(
        &self,
        request: &AwsCredentialRequest,
        facts: &SecretFacts,
        secret: &Lenient<Secret>,
    ) -> Result<Lenient<Secret>, Fault> {
        let api = secrets_api(&self.client, request);
        let mut trial = secret.clone();
        let params = as_keylease(true);
        let call = api.create(&params, &trial);
        let let_in = self.calls.make("check_secret", call).await;
        wipe(&mut trial);
        match let_in {
            // Admission comes before the name is looked at.
            Err(fault) if fault.class != FaultClass::AlreadyExists => return Err(fault),
            Ok(mut tried) => wipe(&mut tried),
            Err(_) => {}
        }
        let stays = self.remove_secret(request, facts).await.map_err(|fault| {
            // Changed or gone since it was read: to be read again.
            let gone = fault.class == FaultClass::NotFound;
            let class = if gone { FaultClass::Stale } else { fault.class };
            Fault { class, ..fault }
        })?;
        if stays {
            return Err(Fault {
                class: FaultClass::Unavailable,
                message: "the Secret is being deleted and a finalizer of somebody else keeps it"
                    .to_owned(),
            });
        }
        self.create_secret(request, secret).await
    }

    async fn create_secret(
        &self,
        request: &AwsCredentialRequest,
        secret: &Lenient<Secret>,
    ) -> Result<Lenient<Secret>, Fault> {
        let api = secrets_api(&self.client, request);
        let params = as_keylease(false);
        let call = api.create(&params, secret);
        self.calls.make("create_secret", call).await
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
        self.remove_secret(request, facts).await?;
        Ok(Outcome::Done)
    }

    /// The same; whether it is still there, because of a finalizer.
    async fn remove_secret(
        &self,
        request: &AwsCredentialRequest,
        facts: &SecretFacts,
    ) -> Result<bool, Fault> {
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
            either::Either::Left(mut deleted) => {
                wipe(&mut deleted);
                let finalizers = deleted.metadata.finalizers.as_ref();
                Ok(finalizers.is_some_and(|all| !all.is_empty()))
            }
            either::Either::Right(_) => Ok(false),
        }
    }
}

/// How we write Secrets.
fn as_keylease(dry_run: bool) -> PostParams {
    PostParams {
        dry_run,
        field_manager: Some(FIELD_MANAGER.to_owned()),
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
        _ => keylease_core::plan::account::DEFAULT_REGION,
    }
}

/// Clears our own copies of the data before they are freed.
fn wipe(secret: &mut Secret) {
    for value in secret.data.iter_mut().flat_map(|data| data.values_mut()) {
        value.0.zeroize();
    }
}
