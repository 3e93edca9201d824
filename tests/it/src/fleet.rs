//! All processes of a consortium as children of the test, each killed, stopped and continued by itself.
//! They run from the files that the demo wrote when it founded the consortium.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use tonic::{Request, Status};
use xinqiao_ledger::wire::{
    self, audit_service_client::AuditServiceClient, report_service_client::ReportServiceClient,
    state_service_client::StateServiceClient,
};
use xinqiao_rpc::{Role, limited};

use crate::{
    Consortium, Kind, People,
    people::{BANK, BUREAUS},
    process::Process,
};

/// The bureaus that serve sources.
const SERVING: [&str; 3] = [BUREAUS[0], BUREAUS[1], BUREAUS[2]];

/// How much longer an application waits than an order's parts may be answered.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process, by its member and the name of its configuration file: `holder-1` is the second data-holding
/// node.
pub type Name = (&'static str, &'static str);

/// A consortium whose processes are the test's own.
#[derive(Debug)]
pub struct Fleet {
    /// Its files, and what was founded.
    pub consortium: Consortium,
    /// Who is in it.
    pub people: People,
    processes: BTreeMap<Name, Process>,
}

impl Fleet {
    /// Founds one with so many data-holding nodes for each source, and starts all of it but the observer.
    /// One validator: who it is that agrees is no matter here.
    ///
    /// # Panics
    /// When something does not come up.
    pub async fn start(holders: usize) -> Self {
        let count = holders.to_string();
        let mut consortium =
            Consortium::start_with(&["--engine", "solo", "--holders", &count]).await;
        let people = consortium.people();
        consortium.stop().await;
        let mut fleet = Self {
            consortium,
            people,
            processes: BTreeMap::new(),
        };
        for org in SERVING {
            fleet.launch((org, "node")).await;
        }
        for org in SERVING {
            for holder in ["holder", "holder-1"].into_iter().take(holders) {
                fleet.launch((org, holder)).await;
            }
            fleet.launch((org, "gateway")).await;
        }
        fleet.launch((BANK, "agent")).await;
        fleet
    }

    async fn launch(&mut self, name: Name) {
        let (_, file) = name;
        let kind = file.split('-').next().unwrap_or(file);
        let process = Process::start(kind, &self.config(name)).await;
        self.processes.insert(name, process);
    }

    fn config(&self, (org, file): Name) -> PathBuf {
        let config = self.people.config(org, Kind::Node);
        config.with_file_name(format!("{file}.toml"))
    }

    /// One of its processes.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn process(&mut self, name: Name) -> &mut Process {
        let found = self.processes.get_mut(&name);
        found.unwrap_or_else(|| panic!("there is no {name:?}"))
    }

    /// Asks the agent for a report on the enterprise that consented to everything.
    ///
    /// # Errors
    /// With the agent's status.
    pub async fn query(&self, deadline: Duration) -> Result<wire::QueryReportResponse, Status> {
        self.asking(deadline).await
    }

    /// The same as a task of its own, that needs the fleet no longer.
    pub fn asking(
        &self,
        deadline: Duration,
    ) -> impl Future<Output = Result<wire::QueryReportResponse, Status>> + Send + use<> {
        let running = self.consortium.running();
        let query = wire::QueryReportRequest {
            uscc: running.enterprises[0].clone(),
            purpose: running.purpose.clone(),
            user: running.user.clone(),
            deadline_ms: u32::try_from(deadline.as_millis()).expect("short"),
            ..Default::default()
        };
        let mut agent = limited!(sealed: ReportServiceClient::new(self.people.agent()));
        let mut request = Request::new(query);
        // The application has more patience than the order has time, with placing it on a busy machine.
        request.set_timeout(deadline + PATIENCE);
        async move { Ok(agent.query_report(request).await?.into_inner()) }
    }

    /// Uses of that enterprise's grants on the ledger: spent, and held by orders that are open.
    ///
    /// # Panics
    /// When the node does not answer.
    pub async fn uses(&self) -> (u32, u32) {
        let node = self
            .people
            .connect((BUREAUS[0], Role::Operator), (BUREAUS[0], Kind::Node));
        let subject = self
            .people
            .subject(&self.consortium.running().enterprises[0]);
        let list = wire::ListGrantsRequest {
            subject,
            grantee: BANK.to_owned(),
        };
        let grants = limited!(StateServiceClient::new(node))
            .list_grants(list)
            .await;
        let grants = grants.expect("the node answers").into_inner().grants;
        let sum = |of: fn(&wire::GrantState) -> u32| grants.iter().map(of).sum();
        (
            sum(|grant| grant.uses_spent),
            sum(|grant| grant.uses_reserved),
        )
    }

    /// All orders on the ledger, newest first.
    ///
    /// # Panics
    /// When the node does not answer, or there are more than 1,000.
    pub async fn orders(&self) -> Vec<wire::OrderState> {
        let node = self
            .people
            .connect((BUREAUS[0], Role::Operator), (BUREAUS[0], Kind::Node));
        let list = wire::ListOrdersRequest {
            before_index: 0,
            page_size: 1_000,
        };
        let orders = limited!(AuditServiceClient::new(node))
            .list_orders(list)
            .await;
        let answer = orders.expect("the node answers").into_inner();
        assert_eq!(answer.next_before_index, 0, "more orders than one page has");
        answer.orders
    }
}

/// The bureau that operates a source of the demo, whose name begins with its region.
///
/// # Panics
/// When it is in no region of the demo.
#[must_use]
pub fn operator_of(source: &str) -> &'static str {
    match source.split('-').next() {
        Some("shanghai") => BUREAUS[0],
        Some("jiangsu") => BUREAUS[1],
        Some("zhejiang") => BUREAUS[2],
        _ => panic!("{source} is in no region of the demo"),
    }
}
