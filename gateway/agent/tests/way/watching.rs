//! Watching a portfolio: who consents is told of, nobody else; what was missed is told on resume; a refused
//! watch leaves its record.

use std::time::Duration;

use tonic::Streaming;
use xinqiao_ledger::{
    uscc::Uscc,
    wire::{self, DigestChange, tx_body::Action},
};
use xinqiao_rpc::{FaultView, Reason};

use crate::{
    access,
    consortium::{Consortium, Plan, enterprise, pseudonym_key},
};

fn another() -> Uscc {
    Uscc::from_base17("91320500MA2000001").unwrap()
}

fn subject(uscc: &Uscc) -> Vec<u8> {
    pseudonym_key().subject(uscc).to_vec()
}

/// A source registers a new digest of an enterprise.
async fn register(consortium: &Consortium, uscc: &Uscc, day: u32) {
    let digests = wire::RegisterDigests {
        source: "js-court".into(),
        items: vec!["court".into()],
        entries: vec![wire::DigestEntry {
            subject: subject(uscc),
            root: vec![u8::try_from(day % 251).unwrap(); 32],
            item_set: 1,
            as_of_day: day,
        }],
    };
    consortium
        .applied("js-bureau/holder", Action::RegisterDigests(digests))
        .await;
}

async fn watch(
    consortium: &Consortium,
    after_height: u64,
) -> Streaming<wire::WatchPortfolioResponse> {
    let mut client = xinqiao_agent::connect_portfolio(&consortium.agent_uri()).unwrap();
    let request = wire::WatchPortfolioRequest {
        usccs: [enterprise(), another()]
            .map(|uscc| uscc.expose().to_owned())
            .into(),
        user: "clerk".into(),
        after_height,
    };
    client.watch_portfolio(request).await.unwrap().into_inner()
}

/// The next changes, as entry, what happened, version and day.
async fn next(
    told: &mut Streaming<wire::WatchPortfolioResponse>,
    through: &mut u64,
) -> Vec<(u32, DigestChange, u32, u32)> {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), told.message()).await;
        let message = message.expect("something is told").unwrap().unwrap();
        *through = (*through).max(message.through_height);
        if !message.changes.is_empty() {
            let seen = message.changes.iter();
            return seen
                .map(|one| (one.entry, one.change(), one.version, one.as_of_day))
                .collect();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_consenting_subjects_are_told_and_after_a_break_those_that_were_missed() {
    use DigestChange as D;
    let mut consortium = Consortium::start(Plan::default()).await;
    let grant = consortium.grant(&["court"], |_| ()).await;
    let logged = access(&consortium).len();
    let mut told = watch(&consortium, 0).await;
    let first = told.message().await.unwrap().unwrap();
    assert_eq!((first.changes.len(), first.without_grant), (0, vec![1]));
    let mut through = first.through_height;

    // The other one has given no consent: what happens to it is told to nobody.
    register(&consortium, &another(), 20_001).await;
    register(&consortium, &enterprise(), 20_001).await;
    assert_eq!(
        next(&mut told, &mut through).await,
        [(0, D::Superseded, 2, 20_001)]
    );

    // Once it has, its next change is told.
    let theirs = |terms: &mut wire::ConsentTerms| terms.subject = subject(&another());
    consortium.grant(&["court"], theirs).await;
    register(&consortium, &another(), 20_002).await;
    assert_eq!(
        next(&mut told, &mut through).await,
        [(1, D::Superseded, 2, 20_002)]
    );
    drop(told);

    // While nobody listens, and while the agent is away: two changes of one digest are one, and a withdrawal
    // is a change.
    register(&consortium, &enterprise(), 20_003).await;
    register(&consortium, &enterprise(), 20_004).await;
    consortium.restart_agent().await;
    let withdraw = wire::WithdrawDigests {
        source: "js-court".into(),
        subjects: vec![subject(&another())],
    };
    consortium
        .applied("js-bureau/holder", Action::WithdrawDigests(withdraw))
        .await;
    let mut told = watch(&consortium, through).await;
    assert_eq!(
        next(&mut told, &mut through).await,
        [(0, D::Superseded, 4, 20_004), (1, D::Withdrawn, 2, 0)]
    );

    // Without consent there is nothing more, from the next block on.
    let revoke = wire::RevokeConsent {
        grant: grant.to_vec(),
    };
    consortium
        .applied("js-bureau/admin", Action::RevokeConsent(revoke))
        .await;
    register(&consortium, &enterprise(), 20_005).await;
    register(&consortium, &another(), 20_005).await;
    assert_eq!(
        next(&mut told, &mut through).await,
        [(1, D::Superseded, 3, 20_005)]
    );

    // What was told is not told again.
    let mut again = watch(&consortium, through).await;
    let first = again.message().await.unwrap().unwrap();
    assert_eq!((first.changes.len(), first.without_grant), (0, vec![0]));
    assert_eq!(access(&consortium).len(), logged, "watching is no query");
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_the_gateway_refuses_leaves_its_record() {
    let consortium = Consortium::start(Plan::default()).await;
    let mut client = xinqiao_agent::connect_portfolio(&consortium.agent_uri()).unwrap();
    let request = wire::WatchPortfolioRequest {
        usccs: vec![enterprise().expose().to_owned()],
        user: "auditor".into(),
        after_height: 0,
    };
    let mut told = client.watch_portfolio(request).await.unwrap().into_inner();
    let refused = told.message().await.unwrap_err();
    assert_eq!(
        FaultView::from_status(&refused).reason,
        Some(Reason::RoleDenied)
    );
    let log = access(&consortium);
    assert_eq!(log[0].outcome.refusal(), "ROLE_DENIED");
    consortium.stop().await;
}
