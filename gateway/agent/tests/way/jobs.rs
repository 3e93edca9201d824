//! Jobs behind the real gateway and node. What a crash does to them is for `tests/it`, over real processes.

use std::collections::BTreeMap;

use xinqiao_agent::JobClient;
use xinqiao_gateway::TurnLimits;
use xinqiao_ledger::{
    uscc::Uscc,
    wire::{self, JobOutcome, JobState},
};
use xinqiao_rpc::{FaultView, Reason};

use crate::{
    access,
    consortium::{Consortium, Plan, enterprise},
};

/// Codes of enterprises that nobody knows.
fn strangers(first: usize, count: usize) -> Vec<String> {
    (first..first + count)
        .map(|number| {
            let uscc = Uscc::from_base17(&format!("91320500MA2{number:06}")).unwrap();
            uscc.expose().to_owned()
        })
        .collect()
}

fn job(id: &str, usccs: &[String]) -> wire::StartJobRequest {
    wire::StartJobRequest {
        job_id: id.into(),
        entries: (usccs.iter())
            .map(|uscc| wire::JobEntry {
                uscc: uscc.clone(),
                grant: vec![],
            })
            .collect(),
        purpose: "loan".into(),
        user: "clerk".into(),
        deadline_ms: 5_000,
        ..wire::StartJobRequest::default()
    }
}

async fn follow(client: &JobClient, id: &str, after: u64) -> (Vec<wire::JobResult>, wire::Job) {
    let request = wire::FollowJobRequest {
        job_id: id.into(),
        after,
        without_reports: false,
    };
    let mut told = client
        .clone()
        .follow_job(request)
        .await
        .unwrap()
        .into_inner();
    let (mut results, mut last) = (Vec::new(), None);
    while let Some(message) = told.message().await.unwrap() {
        results.extend(message.result);
        last = message.job;
    }
    (results, last.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_of_a_job_has_its_result_whatever_is_wrong_with_the_others() {
    let mut consortium = Consortium::start(Plan::default()).await;
    consortium.grant(&["court", "tax"], |_| ()).await;
    let known = enterprise().expose().to_owned();
    let stranger = strangers(0, 1)[0].clone();
    let mistyped = format!("{}I", &known[..17]);
    let usccs = [
        known.clone(),
        mistyped.clone(),
        stranger.clone(),
        known.clone(),
    ];
    let client = xinqiao_agent::connect_jobs(&consortium.agent_uri()).unwrap();
    let before = access(&consortium).len();
    let started = client.clone().start_job(job("month-end", &usccs)).await;
    assert_eq!(
        started.unwrap().into_inner().job.unwrap().job_id,
        "month-end"
    );
    let (results, ended) = follow(&client, "month-end", 0).await;
    assert_eq!(ended.state(), JobState::Completed);
    let sequences: Vec<u64> = results.iter().map(|result| result.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    let of: BTreeMap<u32, &wire::JobResult> = results
        .iter()
        .map(|result| (result.entry, result))
        .collect();
    assert_eq!(of[&0].outcome(), JobOutcome::Report);
    assert_eq!(of[&0].report.as_ref().unwrap().sections.len(), 2);
    assert_eq!(of[&1].outcome(), JobOutcome::Invalid);
    assert_eq!(of[&1].reason, "USCC_ALPHABET");
    assert_eq!(of[&2].outcome(), JobOutcome::Refused);
    assert_eq!(of[&2].reason, "CONSENT_NOT_FOUND");
    assert_eq!(
        (of[&3].outcome(), of[&3].duplicate_of),
        (JobOutcome::Duplicate, 0)
    );
    for (entry, uscc) in usccs.iter().enumerate() {
        assert_eq!(of[&u32::try_from(entry).unwrap()].uscc, *uscc);
    }
    let counts = ended.counts.unwrap();
    assert_eq!(
        (
            counts.complete,
            counts.invalid,
            counts.refused,
            counts.duplicate,
            counts.done
        ),
        (1, 1, 1, 1, 4)
    );
    assert_eq!(access(&consortium).len(), before + 2);

    // The same again is the same job, also after a restart; other content is refused.
    consortium.restart_agent().await;
    let mut client = xinqiao_agent::connect_jobs(&consortium.agent_uri()).unwrap();
    client.start_job(job("month-end", &usccs)).await.unwrap();
    assert_eq!(follow(&client, "month-end", 0).await.0, results);
    assert_eq!(follow(&client, "month-end", 3).await.0, results[3..]);
    let other = client
        .start_job(job("month-end", &usccs[..2]))
        .await
        .unwrap_err();
    assert_eq!(
        FaultView::from_status(&other).reason,
        Some(Reason::RequestIdReused)
    );
    assert_eq!(access(&consortium).len(), before + 2);

    // What was acknowledged has no report any more, on disk neither.
    let reports = || {
        let folder = consortium.disk().join("agent/jobs");
        let job = std::fs::read_dir(folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let files = std::fs::read_dir(job)
            .unwrap()
            .map(|file| file.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|end| end == "report"))
            .count()
    };
    assert_eq!(reports(), 1);
    let acknowledge = |through| wire::AcknowledgeJobRequest {
        job_id: "month-end".into(),
        through,
    };
    let beyond = client.acknowledge_job(acknowledge(5)).await.unwrap_err();
    assert_eq!(
        FaultView::from_status(&beyond).reason,
        Some(Reason::FieldRange)
    );
    client.acknowledge_job(acknowledge(4)).await.unwrap();
    assert_eq!(reports(), 0);
    let (again, _) = follow(&client, "month-end", 0).await;
    assert!(again.iter().all(|result| result.report.is_none()));

    let drop_it = wire::DropJobRequest {
        job_id: "month-end".into(),
    };
    client.drop_job(drop_it.clone()).await.unwrap();
    let gone = client.drop_job(drop_it).await.unwrap_err();
    assert_eq!(
        FaultView::from_status(&gone).reason,
        Some(Reason::JobNotFound)
    );
    consortium.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn institutions_get_alike_shares_although_one_began_with_a_big_job() {
    let consortium = Consortium::start(Plan {
        turns: Some(TurnLimits {
            under_way: 1,
            of_institution: 1,
            waiting: 1_024,
        }),
        ..Plan::default()
    })
    .await;
    let other = consortium.other_agent().await;
    let open = wire::OpenUser {
        user: consortium.user_of("zz-bank", "clerk").to_vec(),
    };
    let open = wire::tx_body::Action::OpenUser(open);
    consortium.applied("zz-bank/admin", open).await;
    let mut big = xinqiao_agent::connect_jobs(&consortium.agent_uri()).unwrap();
    let mut small = xinqiao_agent::connect_jobs(&other.uri()).unwrap();
    // Nobody has given consent: each attempt is recorded, which is what is counted.
    big.start_job(job("big", &strangers(0, 400))).await.unwrap();
    while access(&consortium).len() < 60 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    small
        .start_job(job("small", &strangers(1_000, 80)))
        .await
        .unwrap();
    let (results, _) = follow(&small, "small", 0).await;
    assert_eq!(results.len(), 80);
    let reasons = |result: &wire::JobResult| result.reason == "CONSENT_NOT_FOUND";
    assert!(results.iter().all(reasons), "{results:?}");

    // From when the small job is in full swing to its last entry: as many of the one as of the other.
    let log: Vec<String> = crate::access_of(&consortium, 600)
        .into_iter()
        .rev()
        .map(|entry| entry.institution.to_string())
        .collect();
    let small_at: Vec<usize> = (log.iter().enumerate())
        .filter_map(|(at, org)| (org == "zz-bank").then_some(at))
        .collect();
    assert_eq!(small_at.len(), 80);
    assert!(small_at[0] >= 60, "the big job was there first");
    let between = &log[small_at[19]..=small_at[79]];
    let of_big = between.iter().filter(|org| *org == "js-bank").count();
    assert!(
        (40..=80).contains(&of_big),
        "{of_big} of the big job beside 61 of the small one"
    );
    let mut other = other;
    other.stop().await;
    consortium.stop().await;
}
