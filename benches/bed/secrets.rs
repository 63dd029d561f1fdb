//! When each Secret appears.

use std::time::Instant;

use anyhow::Result;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};

use super::NAMESPACE;

/// Tells the name of each Secret as soon as the watch shows it.
pub async fn follow(client: Client) -> Result<UnboundedReceiver<(String, Instant)>> {
    let (tell, told) = unbounded();
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client, NAMESPACE);
    let mut events = watcher::watcher(secrets, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        if matches!(event?, Event::InitDone) {
            break;
        }
    }
    tokio::spawn(async move {
        // A watch that fails ends the measurement, which then says so.
        while let Some(Ok(event)) = events.next().await {
            let Event::Apply(secret) = event else {
                continue;
            };
            if tell
                .unbounded_send((secret.name_any(), Instant::now()))
                .is_err()
            {
                break;
            }
        }
    });
    Ok(told)
}
