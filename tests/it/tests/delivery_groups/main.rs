//! Delivery groups over real processes: whatever a side loses (its process, its state, both at once), the next
//! report reaches the bank without an operator; several agents read; who is revoked reads nothing any more; and
//! an institution changes how its reports are sealed while orders are open.

#![allow(clippy::unwrap_used, reason = "tests")]

mod thief;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::task::JoinSet;
use xinqiao_it::{
    Consortium, Kind, People,
    people::{BANK, BUREAUS, HOME, REGULATOR},
    process::{self, Process},
};
use xinqiao_ledger::wire::{
    self, PartStatus, SealScheme, report_service_client::ReportServiceClient,
    state_service_client::StateServiceClient,
};
use xinqiao_rpc::{Limits, Role, limited, tls};

/// All processes that a report needs, each after those that it needs itself.
const PROCESSES: [(&str, Kind); 11] = [
    (BUREAUS[0], Kind::Node),
    (BUREAUS[1], Kind::Node),
    (BUREAUS[2], Kind::Node),
    (BUREAUS[3], Kind::Node),
    (BUREAUS[0], Kind::Holder),
    (BUREAUS[1], Kind::Holder),
    (BUREAUS[2], Kind::Holder),
    (BUREAUS[0], Kind::Gateway),
    (BUREAUS[1], Kind::Gateway),
    (BUREAUS[2], Kind::Gateway),
    (BANK, Kind::Agent),
];

/// The holders.
const HOLDERS: [(&str, Kind); 3] = [
    (BUREAUS[0], Kind::Holder),
    (BUREAUS[1], Kind::Holder),
    (BUREAUS[2], Kind::Holder),
];

const AGENT: (&str, Kind) = (BANK, Kind::Agent);

/// A consortium whose processes are children of the test.
struct World {
    consortium: Consortium,
    people: People,
    processes: BTreeMap<(&'static str, Kind), Process>,
}

impl World {
    async fn start() -> Self {
        let mut consortium = Consortium::start().await;
        consortium.stop().await;
        let people = consortium.people();
        let mut processes = BTreeMap::new();
        for (org, kind) in PROCESSES {
            let process = Process::start(kind.as_str(), &people.config(org, kind)).await;
            processes.insert((org, kind), process);
        }
        Self {
            consortium,
            people,
            processes,
        }
    }

    fn groups(&self, (org, _): (&str, Kind)) -> PathBuf {
        self.consortium.dir().join(org).join("data/groups")
    }

    /// Kills processes at once, does something to what they keep, and starts them again.
    async fn strike(&mut self, victims: &[(&'static str, Kind)], damage: impl Fn(&Path)) {
        for victim in victims {
            self.processes.get_mut(victim).unwrap().kill().await;
            damage(&self.groups(*victim));
        }
        for victim in victims {
            self.processes.get_mut(victim).unwrap().restart().await;
        }
    }

    /// A query whose every part was delivered, opened and verified; its order as the ledger has it.
    async fn report(&self, what: &str) -> wire::OrderState {
        let agent = self.people.address(BANK, Kind::Agent);
        let query = self.query();
        let response = ask(&agent, query).await;
        self.order(&whole(what, &response).order).await
    }

    fn query(&self) -> wire::QueryReportRequest {
        let running = self.consortium.running();
        wire::QueryReportRequest {
            uscc: running.enterprises[0].clone(),
            purpose: running.purpose.clone(),
            user: running.user.clone(),
            deadline_ms: 30_000,
            ..Default::default()
        }
    }

    async fn order(&self, order: &[u8]) -> wire::OrderState {
        let node = self
            .people
            .connect((HOME, Role::Operator), (HOME, Kind::Node));
        let request = wire::GetOrderRequest {
            order: order.to_vec(),
        };
        let mut state = limited!(StateServiceClient::new(node));
        let answer = state.get_order(request).await.unwrap();
        answer.into_inner().order.unwrap()
    }

    /// The bank's own command.
    async fn choose(&self, seal: &str) {
        let profile = self.consortium.running().profile(BANK);
        let words = ["member", "set-seal-scheme", seal, "--profile"];
        let all = [&words[..], &[profile.to_str().unwrap()]].concat();
        let done = process::run(&all, Duration::from_secs(60)).await;
        assert!(done.status.success(), "{}", process::printed(&done));
    }
}

async fn ask(agent: &str, query: wire::QueryReportRequest) -> wire::QueryReportResponse {
    let channel = tls::plain_channel(&format!("http://{agent}"), &Limits::default()).unwrap();
    let mut agent = limited!(sealed: ReportServiceClient::new(channel));
    agent.query_report(query).await.unwrap().into_inner()
}

/// A response in which no part is missing.
#[track_caller]
fn whole<'a>(what: &str, response: &'a wire::QueryReportResponse) -> &'a wire::QueryReportResponse {
    assert!(response.parts.len() > 1, "{what}: {:?}", response.parts);
    for part in &response.parts {
        assert_eq!(part.status(), PartStatus::Confirmed, "{what}: {part:?}");
    }
    assert!(!response.sections.is_empty(), "{what}");
    response
}

/// The generations of the groups that an order's parts went to, by source.
#[track_caller]
fn generations(order: &wire::OrderState) -> BTreeMap<String, u64> {
    assert_eq!(order.seal_scheme(), SealScheme::MlsSm4Gcm);
    let generation = |part: &wire::PartState| {
        let epoch = part.group_epoch.as_ref().unwrap();
        assert_eq!(epoch.authenticator.len(), 32);
        let source = part.part.as_ref().unwrap().source.clone();
        (source, epoch.generation)
    };
    order.parts.iter().map(generation).collect()
}

fn nothing(_: &Path) {}

fn lose(groups: &Path) {
    std::fs::remove_dir_all(groups).unwrap();
}

/// Flips a bit in the middle of every state. A holder from which nothing was ordered yet has none.
fn garble(groups: &Path) {
    for entry in std::fs::read_dir(groups).unwrap().flatten() {
        let mut bytes = std::fs::read(entry.path()).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(entry.path(), bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_side_loses_the_next_report_reaches_the_bank_without_an_operator() {
    let mut world = World::start().await;
    let first = generations(&world.report("the first").await);
    assert_eq!(generations(&world.report("the second").await), first);

    world.strike(&[AGENT], nothing).await;
    let order = world.report("after the agent was killed").await;
    assert_eq!(generations(&order), first, "its seat is as it was");

    world.strike(&HOLDERS, nothing).await;
    let order = world.report("after the holders were killed").await;
    assert_eq!(generations(&order), first, "their groups go on");

    world.strike(&[AGENT], lose).await;
    let order = world.report("after the agent lost its seats").await;
    assert_eq!(
        generations(&order),
        first,
        "it has fresh seats in the same groups"
    );

    world.strike(&HOLDERS, lose).await;
    let second = generations(&world.report("after the holders lost their groups").await);
    let later = |of: &BTreeMap<String, u64>, than: &BTreeMap<String, u64>| {
        assert!(
            of.iter()
                .all(|(source, generation)| *generation > than[source]),
            "{of:?} after {than:?}"
        );
    };
    later(&second, &first);

    let seats = std::fs::read_dir(world.groups(AGENT)).unwrap().count();
    assert!(seats > 1, "a seat with each holder, {seats} in all");
    world.strike(&[AGENT], garble).await;
    let order = world.report("after the agent's seats were damaged").await;
    assert_eq!(generations(&order), second);

    world.strike(&HOLDERS, garble).await;
    let third = generations(&world.report("after the holders' groups were damaged").await);
    later(&third, &second);

    let everybody = [&HOLDERS[..], &[AGENT]].concat();
    world.strike(&everybody, lose).await;
    later(
        &generations(&world.report("after everybody lost everything").await),
        &third,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_read_at_once_and_the_seal_changes_while_orders_are_open() {
    let world = World::start().await;
    // A second machine of the bank, with a seat of its own.
    let config = world.people.config(BANK, Kind::Agent);
    let text = std::fs::read_to_string(&config).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    table.insert("listen".into(), "127.0.0.1:0".into());
    table.insert("node".into(), "second-agent".into());
    table.insert("group_dir".into(), "data/second-groups".into());
    table.insert("state_dir".into(), "data/second-agent".into());
    let second = config.with_file_name("second-agent.toml");
    std::fs::write(&second, table.to_string()).unwrap();
    let second = Process::start("agent", &second).await;
    let agents = [
        world.people.address(BANK, Kind::Agent),
        second.address().to_string(),
    ];

    // Eight at once, and again and again while the bank changes its mind.
    let mut schemes = BTreeSet::new();
    for (round, seal) in ["mls", "envelope", "mls", "envelope", "mls"]
        .iter()
        .enumerate()
    {
        let mut queries = JoinSet::new();
        for index in 0..8 {
            let (agent, query) = (agents[index % 2].clone(), world.query());
            queries.spawn(async move { ask(&agent, query).await });
        }
        world.choose(seal).await;
        for response in queries.join_all().await {
            let response = whole(&format!("round {round}"), &response);
            let order = world.order(&response.order).await;
            for part in &order.parts {
                let in_group = order.seal_scheme() == SealScheme::MlsSm4Gcm;
                assert_eq!(part.group_epoch.is_some(), in_group);
            }
            schemes.insert(order.seal_scheme().as_str_name());
        }
    }
    let both = [SealScheme::MlsSm4Gcm, SealScheme::Sm2Sm4Gcm];
    assert_eq!(schemes, both.map(|scheme| scheme.as_str_name()).into());

    // The ledger says which it is now, and so does the program.
    let profile = world.consortium.running().profile(BANK);
    let list = [
        "--json",
        "member",
        "list",
        "--profile",
        profile.to_str().unwrap(),
    ];
    let listed = process::run(&list, Duration::from_secs(60)).await;
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let mut members = listed.as_array().unwrap().iter();
    let bank = members.find(|member| member["org"] == BANK).unwrap();
    assert_eq!(bank["seal_scheme"], "mls");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_key_is_revoked_reads_no_later_report() {
    let consortium = Consortium::start().await;
    thief::reads_nothing_once_it_is_revoked(&consortium).await;
    // The regulator's record has the deliveries with their epochs.
    let profile = consortium.running().profile(REGULATOR);
    let list = [
        "--json",
        "order",
        "list",
        "--profile",
        profile.to_str().unwrap(),
    ];
    let listed = process::run(&list, Duration::from_secs(60)).await;
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    for order in listed.as_array().unwrap() {
        assert_eq!(order["seal_scheme"], "mls");
        let epoch = &order["parts"][0]["group_epoch"];
        assert_eq!(epoch["authenticator"].as_str().unwrap().len(), 64);
    }
}
