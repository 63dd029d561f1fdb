//! Objects of which only the metadata is fetched.

use kube::api::GetParams;
use kube::core::{PartialObjectMeta, Request};
use kube::{Api, Client, Resource};

use keylease_api::decode::{Lenient, Salvage};

/// The metadata of one object, or `None` where there is no such object: like
/// `Api::get_metadata_opt`, for metadata of which a part cannot be read.
pub(super) async fn get_opt<K>(
    client: &Client,
    api: &Api<K>,
    name: &str,
) -> kube::Result<Option<PartialObjectMeta<K>>>
where
    K: Resource,
    PartialObjectMeta<K>: Salvage,
{
    let request = Request::new(api.resource_url()).get_metadata(name, &GetParams::default());
    let request = request.map_err(kube::Error::BuildRequest)?;
    let read = client.request::<Lenient<PartialObjectMeta<K>>>(request);
    match read.await {
        Ok(Lenient(found)) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
