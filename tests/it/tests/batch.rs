//! Many queries as one job over real processes: the agent is killed (SIGKILL) in the middle, again and again, and
//! each enterprise is ordered exactly once by the ledger's count, with one use of its grant; and a job that is
//! cancelled leaves nothing open.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use xinqiao_it::{
    Consortium, Kind,
    people::{BANK, BUREAUS, HOME, People},
    process::Process,
    transactions::{grant, sign, status, submit},
};
use xinqiao_ledger::{
    ids::ChainId,
    wire::{
        self, ConsentStatus, JobOutcome, JobState, audit_service_client::AuditServiceClient,
        job_service_client::JobServiceClient, state_service_client::StateServiceClient,
    },
};
use xinqiao_rpc::{Role, RpcChannel, limited};

/// Enterprises in all; every eighth has given no consent.
const ENTERPRISES: usize = 240;

/// After how many results the agent is killed.
const KILLS: [u64; 3] = [25, 90, 170];

fn jobs(people: &People) -> JobServiceClient<RpcChannel> {
    limited!(sealed: JobServiceClient::new(people.agent()))
}

fn job(id: &str, usccs: &[String], purpose: &str, user: &str) -> wire::StartJobRequest {
    wire::StartJobRequest {
        job_id: id.into(),
        entries: (usccs.iter())
            .map(|uscc| wire::JobEntry {
                uscc: uscc.clone(),
                grant: vec![],
            })
            .collect(),
        purpose: purpose.into(),
        user: user.into(),
        deadline_ms: 20_000,
        ..wire::StartJobRequest::default()
    }
}

/// Follows a job after a result until it ends, or has a result of at least that sequence.
async fn follow(
    people: &People,
    id: &str,
    results: &mut Vec<wire::JobResult>,
    until: u64,
) -> wire::Job {
    let request = wire::FollowJobRequest {
        job_id: id.into(),
        after: results.len() as u64,
        without_reports: false,
    };
    let mut told = jobs(people).follow_job(request).await.unwrap().into_inner();
    let mut last = None;
    while let Some(message) = told.message().await.unwrap() {
        last = message.job;
        if let Some(result) = message.result {
            assert_eq!(result.sequence, results.len() as u64 + 1);
            results.push(result);
            if results.len() as u64 >= until {
                break;
            }
        }
    }
    last.unwrap()
}

struct Ledger {
    node: RpcChannel,
    people: People,
}

/// Orders of a subject, and the reasons of what was refused.
type Attempts = (usize, Vec<String>);

impl Ledger {
    /// The bank's attempts by subject: orders and refusals. That an order of before a kill had expired when it was
    /// handed in is on record too, and decided nothing.
    async fn attempts(&self) -> BTreeMap<Vec<u8>, Attempts> {
        let mut all: BTreeMap<Vec<u8>, Attempts> = BTreeMap::new();
        let mut audit = limited!(AuditServiceClient::new(self.node.clone()));
        let mut before_index = 0;
        loop {
            let request = wire::ListAccessRequest {
                institution: BANK.into(),
                before_index,
                page_size: 1_000,
                ..wire::ListAccessRequest::default()
            };
            let page = audit.list_access(request).await.unwrap().into_inner();
            let decided = |entry: &wire::AccessEntry| entry.refusal != "TX_EXPIRED";
            for entry in page.entries.into_iter().filter(decided) {
                let attempts = all.entry(entry.subject).or_default();
                match entry.refusal.as_str() {
                    "" => attempts.0 += 1,
                    _ => attempts.1.push(entry.refusal),
                }
            }
            before_index = page.next_before_index;
            if before_index == 0 {
                return all;
            }
        }
    }

    /// Uses spent and reserved of an enterprise's live grant for the purpose to the bank.
    async fn uses(&self, uscc: &str, purpose: &str) -> (u32, u32) {
        let request = wire::ListGrantsRequest {
            subject: self.people.subject(uscc),
            grantee: BANK.into(),
        };
        let mut state = limited!(StateServiceClient::new(self.node.clone()));
        let grants = state
            .list_grants(request)
            .await
            .unwrap()
            .into_inner()
            .grants;
        let of_purpose = |grant: &&wire::GrantState| {
            let terms = grant.terms.as_ref().unwrap();
            grant.status() == ConsentStatus::Active && terms.purposes == [purpose]
        };
        let found: Vec<_> = grants.iter().filter(of_purpose).collect();
        assert_eq!(found.len(), 1);
        (found[0].uses_spent, found[0].uses_reserved)
    }
}

fn reports_on_disk(dir: &Path) -> usize {
    let jobs = std::fs::read_dir(dir.join(BANK).join("data/agent/jobs")).unwrap();
    jobs.flat_map(|job| std::fs::read_dir(job.unwrap().path()).unwrap())
        .filter(|file| {
            let name = file.as_ref().unwrap().file_name();
            name.to_str().unwrap().ends_with(".report")
        })
        .count()
}

/// No file of the folder has any of those texts in it.
fn nothing_plain(dir: &Path, markers: &[&str]) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            nothing_plain(&path, markers);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for marker in markers {
            let found = bytes
                .windows(marker.len())
                .any(|one| one == marker.as_bytes());
            assert!(!found, "{marker} stands in {}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_agent_is_killed_orders_each_enterprise_once_and_a_cancelled_one_leaves_nothing_open()
 {
    let enterprises = ENTERPRISES.to_string();
    let mut consortium = Consortium::start_with(&["--enterprises", &enterprises]).await;
    let people = consortium.people();
    let running = consortium.running().clone();
    // From here on the same processes run from the same files, each a child of this test.
    consortium.stop().await;
    let mut others = Vec::new();
    for kind in [Kind::Node, Kind::Holder, Kind::Gateway] {
        for org in BUREAUS {
            let config = people.config(org, kind);
            if config.exists() {
                others.push(Process::start(kind.as_str(), &config).await);
            }
        }
    }
    let mut agent = Process::start("agent", &people.config(BANK, Kind::Agent)).await;
    let node = people.connect((HOME, Role::Operator), (HOME, Kind::Node));
    let ledger = Ledger {
        node: node.clone(),
        people: people.clone(),
    };
    let purpose = "post_loan";
    let codes = &running.enterprises[..ENTERPRISES];
    let consents = |at: usize| at % 8 != 7;

    // Consent for a purpose that nobody has asked for yet.
    let now = status(&node).await;
    let chain = ChainId::parse("chain_id", &now.chain_id).unwrap();
    let admin = people.key(HOME, "admin");
    let catalogue = catalogue_items(&node).await;
    let items: Vec<&str> = catalogue.iter().map(String::as_str).collect();
    for (at, uscc) in codes.iter().enumerate().filter(|(at, _)| consents(*at)) {
        let action = grant(people.subject(uscc), BANK, &[purpose], &items);
        let wait = if at % 50 == 0 { 10_000 } else { 0 };
        let tx = sign(action, &chain, now.height + 200, &admin);
        submit(&node, tx, wait).await.unwrap();
    }
    for (_, uscc) in codes.iter().enumerate().filter(|(at, _)| consents(*at)) {
        while !has_grant(&ledger, uscc, purpose).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let before = ledger.attempts().await;

    let mut entries = codes.to_vec();
    let mistyped = format!("{}I", &codes[0][..17]);
    entries.extend([mistyped, codes[3].clone()]);
    let start = job("month-end", &entries, purpose, &running.user);
    jobs(&people).start_job(start.clone()).await.unwrap();
    let mut results = Vec::new();
    for kill in KILLS {
        follow(&people, "month-end", &mut results, kill).await;
        agent.kill().await;
        agent.restart().await;
        // Whoever does not know whether it was started starts it again.
        jobs(&people).start_job(start.clone()).await.unwrap();
    }
    let ended = follow(&people, "month-end", &mut results, u64::MAX).await;
    assert_eq!(ended.state(), JobState::Completed);
    assert_eq!(results.len(), entries.len());

    let mut reports = 0;
    let mut seen = BTreeSet::new();
    for result in &results {
        let at = result.entry as usize;
        assert!(seen.insert(at), "entry {at} has two results");
        assert_eq!(result.uscc, entries[at]);
        let expected = match at {
            _ if at == ENTERPRISES => JobOutcome::Invalid,
            _ if at == ENTERPRISES + 1 => JobOutcome::Duplicate,
            _ if consents(at) => JobOutcome::Report,
            _ => JobOutcome::Refused,
        };
        assert_eq!(result.outcome(), expected, "entry {at}: {}", result.reason);
        if let Some(report) = &result.report {
            reports += 1;
            assert_eq!(report.order, result.order);
            assert!(
                !report.sections.is_empty(),
                "entry {at}: {:?}",
                report.parts
            );
        }
    }
    let after = ledger.attempts().await;
    for (at, uscc) in codes.iter().enumerate() {
        let subject = people.subject(uscc);
        let of = |all: &BTreeMap<Vec<u8>, Attempts>| all.get(&subject).cloned().unwrap_or_default();
        let (had, has) = (of(&before), of(&after));
        let new = (has.0 - had.0, has.1.len() - had.1.len());
        let expected = if consents(at) { (1, 0) } else { (0, 1) };
        assert_eq!(
            new, expected,
            "orders and refusals of enterprise {at}: {has:?}"
        );
        if consents(at) {
            assert_eq!(ledger.uses(uscc, purpose).await, (1, 0), "enterprise {at}");
        }
    }

    // What lies on disk is unreadable, and gone once it was acknowledged.
    let state = consortium.dir().join(BANK).join("data/agent");
    nothing_plain(
        &state,
        &[&codes[0], &codes[100], "tax_payment", "canonical"],
    );
    assert_eq!(reports_on_disk(consortium.dir()), reports);
    let acknowledge = wire::AcknowledgeJobRequest {
        job_id: "month-end".into(),
        through: results.len() as u64,
    };
    jobs(&people).acknowledge_job(acknowledge).await.unwrap();
    assert_eq!(reports_on_disk(consortium.dir()), 0);

    // Another job of the same, cancelled on its way.
    let second = job("second", codes, purpose, &running.user);
    jobs(&people).start_job(second).await.unwrap();
    let mut results = Vec::new();
    follow(&people, "second", &mut results, 20).await;
    let cancel = wire::CancelJobRequest {
        job_id: "second".into(),
    };
    jobs(&people).cancel_job(cancel).await.unwrap();
    let ended = follow(&people, "second", &mut results, u64::MAX).await;
    assert_eq!(ended.state(), JobState::Cancelled);
    assert_eq!(results.len(), codes.len());
    let left = results
        .iter()
        .filter(|one| one.outcome() == JobOutcome::Cancelled);
    assert!(left.count() > 50, "most of it was left");
    let last = ledger.attempts().await;
    for result in &results {
        let at = result.entry as usize;
        let subject = people.subject(&result.uscc);
        let placed = last[&subject].0 - after[&subject].0;
        assert_eq!(placed, usize::from(!result.order.is_empty()), "entry {at}");
        if consents(at) {
            let spent = 1 + u32::from(result.outcome() == JobOutcome::Report);
            assert_eq!(
                ledger.uses(&result.uscc, purpose).await,
                (spent, 0),
                "entry {at}"
            );
        }
    }
    agent.stop().await;
}

async fn has_grant(ledger: &Ledger, uscc: &str, purpose: &str) -> bool {
    let request = wire::ListGrantsRequest {
        subject: ledger.people.subject(uscc),
        grantee: BANK.into(),
    };
    let mut state = limited!(StateServiceClient::new(ledger.node.clone()));
    let grants = state
        .list_grants(request)
        .await
        .unwrap()
        .into_inner()
        .grants;
    let of_purpose = |grant: &wire::GrantState| grant.terms.as_ref().unwrap().purposes == [purpose];
    grants.iter().any(of_purpose)
}

async fn catalogue_items(node: &RpcChannel) -> BTreeSet<String> {
    let mut state = limited!(StateServiceClient::new(node.clone()));
    let answer = state
        .get_catalogue(wire::GetCatalogueRequest {})
        .await
        .unwrap();
    let items = answer.into_inner().catalogue.unwrap().items;
    items.into_iter().map(|item| item.code).collect()
}
