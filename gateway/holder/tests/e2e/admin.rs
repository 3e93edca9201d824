//! Registering digests while the node serves, as its own organisation asks for it.

use tonic::Status;
use xinqiao_ledger::wire::{
    self, SourceSyncReport, holder_service_client::HolderServiceClient,
    sync_sources_response::Content,
};
use xinqiao_rpc::{ExpectedPeer, FaultView, Identity, Limits, Reason, limited, peer::Role, tls};

use crate::world::{Running, World, row};

type Said = tonic::Streaming<wire::SyncSourcesResponse>;

/// Asks for digests to be registered.
async fn begin(
    holder: &Running,
    identity: &Identity,
    request: wire::SyncSourcesRequest,
) -> Result<Said, Status> {
    let uri = format!("https://{}", holder.handle.local_addr());
    let expected = ExpectedPeer::org("sh-bureau").with_role(Role::Holder);
    let channel = tls::channel_to(&uri, identity, expected, &Limits::default()).unwrap();
    let mut holder = limited!(HolderServiceClient::new(channel));
    Ok(holder.sync_sources(request).await?.into_inner())
}

/// Listens to the end; gives the reports, and how often it was said how far it is.
async fn end(mut said: Said) -> Result<(Vec<SourceSyncReport>, usize), Status> {
    let (mut reports, mut told) = (Vec::new(), 0);
    while let Some(said) = said.message().await? {
        match said.content.unwrap() {
            Content::Progress(_) => told += 1,
            Content::Report(report) => reports.push(report),
        }
    }
    Ok((reports, told))
}

async fn sync(
    holder: &Running,
    identity: &Identity,
    request: wire::SyncSourcesRequest,
) -> Result<(Vec<SourceSyncReport>, usize), Status> {
    end(begin(holder, identity, request).await?).await
}

fn reason(status: &Status) -> Reason {
    FaultView::from_status(status).reason.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_serves_registers_for_its_own_organisation_and_for_nobody_else() {
    let world = World::new(1_200).await;
    let holder = world.holder(world.upstream()).await;
    let all = wire::SyncSourcesRequest::default;
    for (org, role) in [
        ("zj-bureau", Role::Operator),
        ("sh-bureau", Role::Gateway),
        ("js-bank", Role::Agent),
    ] {
        let denied = sync(&holder, &world.identity(org, role), all())
            .await
            .unwrap_err();
        assert_eq!(reason(&denied), Reason::RoleDenied, "{org} {role:?}");
    }
    let unregistered = sync(&holder, &world.stranger("sh-bureau", Role::Operator), all()).await;
    assert_eq!(
        reason(&unregistered.unwrap_err()),
        Reason::CertificateUnknown
    );

    let operator = world.identity("sh-bureau", Role::Operator);
    let (first, _) = sync(&holder, &operator, all()).await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].subjects, first[0].registered), (1_200, 1_200));
    let itself = world.identity("sh-bureau", Role::Holder);
    let (again, _) = sync(&holder, &itself, all()).await.unwrap();
    assert_eq!((again[0].registered, again[0].unchanged), (0, 1_200));
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_to_its_pace_says_how_far_it_is_and_is_the_only_one() {
    let world = World::new(1_500).await;
    let holder = world.holder(world.upstream()).await;
    let operator = world.identity("sh-bureau", Role::Operator);
    // Two batches: each goes once its time has passed.
    let slow = wire::SyncSourcesRequest {
        per_second: 1_000,
        ..Default::default()
    };
    let run = begin(&holder, &operator, slow).await.unwrap();
    let refused = sync(&holder, &operator, wire::SyncSourcesRequest::default()).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::SyncUnderWay);
    let (reports, told) = end(run).await.unwrap();
    assert_eq!(reports[0].subjects, 1_500);
    assert!(told > 0, "it was said how far it is");
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_says_why_and_one_that_nobody_listens_to_ends() {
    let world = World::new(1_500).await;
    let holder = world.registered().await;
    let operator = world.identity("sh-bureau", Role::Operator);
    world.write_data(row(0, 1));
    let all = wire::SyncSourcesRequest::default();
    let failed = sync(&holder, &operator, all.clone()).await.unwrap_err();
    assert_eq!(reason(&failed), Reason::SyncFailed);
    assert!(failed.message().contains("1499 of its 1500"), "{failed:?}");
    let asked = wire::SyncSourcesRequest {
        withdraw_most: true,
        ..all
    };
    let (reports, _) = sync(&holder, &operator, asked).await.unwrap();
    assert_eq!(reports[0].withdrawn, 1_499);

    world.write_data((0..1_500).map(|number| row(number, 1)).collect::<String>());
    let slow = wire::SyncSourcesRequest {
        per_second: 1,
        ..Default::default()
    };
    let hung_up = sync(&holder, &operator, slow);
    let left = tokio::time::timeout(std::time::Duration::from_millis(1_200), hung_up).await;
    assert!(
        left.is_err(),
        "at one subject a second it takes long: {left:?}"
    );
    let begun = tokio::time::Instant::now();
    let reports = loop {
        match sync(&holder, &operator, wire::SyncSourcesRequest::default()).await {
            Ok((reports, _)) => break reports,
            Err(status) => {
                assert_eq!(reason(&status), Reason::SyncUnderWay);
                assert!(
                    begun.elapsed() < crate::world::PATIENCE,
                    "it goes on for nobody"
                );
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    };
    assert_eq!(reports[0].subjects, 1_500);
    holder.stop().await;
}
