//! Keeps a copy of the object types: all of them first, then what changes. Whatever breaks, it goes on where it was.
//!
//! ```sh
//! OMS_GRPC=http://127.0.0.1:9090 TOKEN=$(cargo xtask token --role viewer) cargo run -p oms-proto --features client --example watch
//! ```

#![expect(clippy::print_stdout, reason = "it shows what it sees")]

use std::{collections::BTreeMap, env, time::Duration};

use oms_proto::client::{
    ObjectType, WatchObjectTypesRequest, WatchStart, object_type_change, object_type_event::Event,
    object_type_service_client::ObjectTypeServiceClient, object_type_snapshot,
};
use tonic::{Code, Request, Status, metadata::MetadataValue, transport::Endpoint};

type Copy = BTreeMap<String, ObjectType>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = env::var("OMS_GRPC").unwrap_or_else(|_| "http://127.0.0.1:9090".to_owned());
    let token: MetadataValue<_> = format!("Bearer {}", env::var("TOKEN")?).parse()?;
    let channel = Endpoint::from_shared(url)?.connect_lazy();
    let mut client = ObjectTypeServiceClient::with_interceptor(channel, move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", token.clone());
        Ok(request)
    });
    let (mut types, mut place) = (Copy::new(), String::new());
    loop {
        let asked = WatchObjectTypesRequest {
            start: WatchStart::Snapshot.into(),
            resume_token: place.clone(),
            ..WatchObjectTypesRequest::default()
        };
        let broken = async {
            let mut stream = client.watch_object_types(asked).await?.into_inner();
            while let Some(message) = stream.message().await? {
                // A program that keeps its copy in a database writes both in one transaction.
                place = message.resume_token;
                message.event.into_iter().for_each(|event| take(&mut types, event));
            }
            Ok::<_, Status>(())
        };
        match broken.await {
            Ok(()) => {}
            // Too old to resume without a gap: all of them again.
            Err(status) if status.code() == Code::OutOfRange => (types, place) = (Copy::new(), String::new()),
            Err(status) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => Err(status)?,
            Err(status) => {
                eprintln!("{}: {}; trying again", status.code(), status.message());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn take(types: &mut Copy, event: Event) {
    match event {
        Event::Snapshot(snapshot) => {
            if let Some(object_type_snapshot::State::ObjectType(object_type)) = snapshot.state {
                types.insert(object_type.id.clone(), object_type);
            }
        }
        Event::SnapshotComplete(_) => println!("{} object types", types.len()),
        Event::Change(change) => {
            println!("{} of {} to version {}", change.r#type().as_str_name(), change.object_type_id, change.version);
            match change.state {
                _ if change.r#type().as_str_name().ends_with("DELETED") => drop(types.remove(&change.object_type_id)),
                Some(object_type_change::State::ObjectType(object_type)) => {
                    types.insert(object_type.id.clone(), object_type);
                }
                // Larger than a message: GetObjectTypeVersion has it.
                Some(object_type_change::State::ClaimCheck(_)) | None => {}
            }
        }
        Event::Opened(_) | Event::Heartbeat(_) | Event::End(_) => {}
    }
}
