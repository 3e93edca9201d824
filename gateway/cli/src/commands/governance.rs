//! `xinqiao governance`: changes of the consortium, put to the vote.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};
use xinqiao_ledger::{
    genesis::Parameters,
    governance::Proposal,
    ids::{OrgId, TxId},
    outcome::{Event, Outcome},
    receipt::Proven,
    validators::Engine,
    wire::{self, change::Kind, tx_body::Action},
};

use crate::{
    client::{Client, explain},
    files, genesis_file, render,
};

/// Proposals and votes.
#[derive(Debug, Subcommand)]
pub enum GovernanceCommand {
    /// Put the changes of a file to the vote. Signed by a member with a vote.
    ///
    /// The changes take effect together or not at all, in their order. The file is TOML:
    ///
    ///   reason = "Nanjing joins, and its node certifies"
    ///   effective_height = 120000      # left out: the block after the one that decides
    ///
    ///   [[changes]]
    ///   admit_member = "nanjing.toml"  # one [[members]], as `xinqiao member new` prints it
    ///   [[changes]]
    ///   set_validator.org = "nj-bureau"
    ///   set_validator.public_key = "02…"
    ///   set_validator.endpoint = "https://node.nj.example:7000"
    ///   [[changes]]
    ///   set_engine = "bft"             # solo, raft or bft
    ///   [[changes]]
    ///   set_weight = { org = "nj-bureau", weight = 2 }
    ///
    /// Further changes: suspend_member, reinstate_member, expel_member and remove_validator, each
    /// of them = "ORG"; publish_catalogue = "catalogue.toml", as `xinqiao catalogue export` writes it;
    /// and set_parameters with all limits, as `xinqiao governance parameters` shows them.
    /// Files are looked for beside this one.
    #[command(verbatim_doc_comment)]
    Propose {
        /// How to reach a node, and the admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The file with the changes.
        file: PathBuf,
    },
    /// Vote on a proposal, once; a vote is not changed or taken back.
    Vote {
        /// How to reach a node, and the admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The proposal: 64 hexadecimal digits.
        proposal: TxId,
        /// For or against.
        choice: Choice,
    },
    /// Take a proposal of one's own back while it is voted on.
    Withdraw {
        /// How to reach a node, and the admin key.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The proposal: 64 hexadecimal digits.
        proposal: TxId,
    },
    /// List proposals, newest first.
    List {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// How many.
        #[arg(long, default_value_t = 20)]
        count: u32,
    },
    /// Show one proposal: its changes, its votes, and what became of it.
    Show {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
        /// The proposal: 64 hexadecimal digits.
        proposal: TxId,
    },
    /// Show the limits in force, as a proposal's set_parameters takes them.
    Parameters {
        /// How to reach a node or an observer.
        #[arg(long, env = "XINQIAO_PROFILE")]
        profile: PathBuf,
    },
}

/// For or against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// For it.
    Yes,
    /// Against it.
    No,
}

/// A proposal as people write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProposalFile {
    reason: String,
    #[serde(default)]
    effective_height: u64,
    changes: Vec<ChangeFile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChangeFile {
    AdmitMember(PathBuf),
    SuspendMember(OrgId),
    ReinstateMember(OrgId),
    ExpelMember(OrgId),
    SetValidator(ValidatorFile),
    RemoveValidator(OrgId),
    SetEngine(Engine),
    SetParameters(Parameters),
    PublishCatalogue(PathBuf),
    SetWeight(WeightFile),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidatorFile {
    org: OrgId,
    public_key: String,
    endpoint: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightFile {
    org: OrgId,
    weight: u32,
}

/// Runs the command.
pub async fn run(command: GovernanceCommand, json: bool) -> Result<()> {
    match command {
        GovernanceCommand::Propose { profile, file } => {
            let proposal = read(&file)?;
            let client = Client::open(&profile)?;
            let action = Action::Propose(proposal);
            let proven = client.submit(action, &client.admin_key()?).await?;
            if json {
                render::print_json(&json!({
                    "proposal": proven.id().to_string(), "height": proven.header().height,
                }));
            } else {
                println!("proposal {}", proven.id());
                println!(
                    "put to the vote at height {}; members vote with `xinqiao governance vote`",
                    proven.header().height
                );
            }
            Ok(())
        }
        GovernanceCommand::Vote {
            profile,
            proposal,
            choice,
        } => {
            let choice = match choice {
                Choice::Yes => wire::VoteChoice::Approve,
                Choice::No => wire::VoteChoice::Reject,
            };
            let action = Action::Vote(wire::Vote {
                proposal: proposal.to_vec(),
                choice: choice.into(),
            });
            let client = Client::open(&profile)?;
            let proven = client.submit(action, &client.admin_key()?).await?;
            told(&proven, "voted", json);
            Ok(())
        }
        GovernanceCommand::Withdraw { profile, proposal } => {
            let action = Action::WithdrawProposal(wire::WithdrawProposal {
                proposal: proposal.to_vec(),
            });
            let client = Client::open(&profile)?;
            let proven = client.submit(action, &client.admin_key()?).await?;
            told(&proven, "taken back", json);
            Ok(())
        }
        GovernanceCommand::List { profile, count } => {
            list(&Client::open(&profile)?, count, json).await
        }
        GovernanceCommand::Show { profile, proposal } => {
            show(&Client::open(&profile)?, &proposal, json).await
        }
        GovernanceCommand::Parameters { profile } => {
            let answer = Client::open(&profile)?
                .state()
                .get_parameters(wire::GetParametersRequest {})
                .await
                .map_err(explain)?
                .into_inner();
            let wire = answer.parameters.context("the node gave no parameters")?;
            let parameters = Parameters::try_from(&wire)?;
            if json {
                render::print_json(&json!(parameters));
            } else {
                print!("{}", toml::to_string(&parameters)?);
            }
            Ok(())
        }
    }
}

/// Reads a proposal and checks it as nodes will.
fn read(file: &Path) -> Result<wire::Propose> {
    let text = files::text(file, files::MAX_CONFIG)?;
    let beside = file.parent().unwrap_or(Path::new(""));
    proposal(&text, beside).with_context(|| format!("{} is no usable proposal", file.display()))
}

fn proposal(text: &str, beside: &Path) -> Result<wire::Propose> {
    let file: ProposalFile = toml::from_str(text)?;
    let changes = (file.changes.into_iter())
        .map(|change| {
            let kind = kind(change, beside)?;
            Ok(wire::Change { kind: Some(kind) })
        })
        .collect::<Result<_>>()?;
    let proposal = wire::Propose {
        changes,
        reason: file.reason,
        effective_height: file.effective_height,
    };
    Proposal::try_from(&proposal)?;
    Ok(proposal)
}

fn kind(change: ChangeFile, beside: &Path) -> Result<Kind> {
    Ok(match change {
        ChangeFile::AdmitMember(path) => {
            let path = beside.join(path);
            match &genesis_file::read_members(&path)?[..] {
                [member] => Kind::AdmitMember(member.into()),
                several => bail!(
                    "{} has {} members, where one is admitted by one change",
                    path.display(),
                    several.len()
                ),
            }
        }
        ChangeFile::SuspendMember(org) => Kind::SuspendMember(org.to_string()),
        ChangeFile::ReinstateMember(org) => Kind::ReinstateMember(org.to_string()),
        ChangeFile::ExpelMember(org) => Kind::ExpelMember(org.to_string()),
        ChangeFile::SetValidator(file) => Kind::SetValidator(wire::Validator {
            org: file.org.to_string(),
            public_key: hex::decode(&file.public_key)
                .context("a public key is given in hexadecimal digits")?,
            endpoint: file.endpoint,
        }),
        ChangeFile::RemoveValidator(org) => Kind::RemoveValidator(org.to_string()),
        ChangeFile::SetEngine(engine) => Kind::SetEngine(engine.to_wire()),
        ChangeFile::SetParameters(parameters) => Kind::SetParameters((&parameters).into()),
        ChangeFile::PublishCatalogue(path) => {
            let path = beside.join(path);
            let text = files::text(&path, files::MAX_CONFIG)?;
            let catalogue = xinqiao_catalogue::parse(&text)
                .with_context(|| format!("{} is no catalogue", path.display()))?;
            Kind::PublishCatalogue((&catalogue).into())
        }
        ChangeFile::SetWeight(file) => Kind::SetWeight(wire::VotingWeight {
            org: file.org.to_string(),
            weight: file.weight,
        }),
    })
}

/// Says what a vote or a withdrawal came to: the last word of its events on the proposal.
fn told(proven: &Proven, done: &str, json: bool) {
    let mut status = None;
    if let Outcome::Applied(events) = proven.outcome() {
        for event in events {
            if let Event::ProposalChanged(changed) = event {
                status = Some((
                    render::proposal_status(changed.status),
                    changed.effective_height,
                ));
            }
        }
    }
    let height = proven.header().height;
    if json {
        let (status, effective) = status.unwrap_or_else(|| ("open".into(), 0));
        render::print_json(&json!({
            "height": height, "status": status, "effective_height": effective,
        }));
        return;
    }
    println!("{done} at height {height}");
    match status {
        None => println!("the vote goes on"),
        Some((status, 0)) => println!("the proposal is {status}"),
        Some((status, effective)) => {
            println!("the proposal is {status}; its changes take effect with height {effective}");
        }
    }
}

async fn list(client: &Client, count: u32, as_json: bool) -> Result<()> {
    let mut proposals = Vec::new();
    let mut before_index = 0;
    loop {
        let left = count.saturating_sub(u32::try_from(proposals.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        let page = client
            .state()
            .list_proposals(wire::ListProposalsRequest {
                before_index,
                page_size: left.min(1_000),
            })
            .await
            .map_err(explain)?
            .into_inner();
        proposals.extend(page.proposals);
        before_index = page.next_before_index;
        if before_index == 0 {
            break;
        }
    }
    if as_json {
        render::print_json(&json!(proposals.iter().map(json_of).collect::<Vec<_>>()));
        return Ok(());
    }
    let mut table = render::table([
        "#", "proposal", "by", "changes", "status", "for", "against", "of", "ends",
    ]);
    for state in &proposals {
        table.add_row([
            state.index.to_string(),
            hex::encode(&state.proposal),
            state.proposer.clone(),
            changes_of(state).join("; "),
            status_of(state),
            state.approving_weight.to_string(),
            state.rejecting_weight.to_string(),
            state.total_weight.to_string(),
            render::moment(state.deadline_ms),
        ]);
    }
    println!("{table}");
    Ok(())
}

async fn show(client: &Client, proposal: &TxId, as_json: bool) -> Result<()> {
    let state = client
        .state()
        .get_proposal(wire::GetProposalRequest {
            proposal: proposal.to_vec(),
        })
        .await
        .map_err(explain)?
        .into_inner()
        .proposal
        .context("the node gave no proposal")?;
    if as_json {
        render::print_json(&json_of(&state));
        return Ok(());
    }
    println!("proposal {} by {}", state.index, state.proposer);
    println!("id        {}", hex::encode(&state.proposal));
    let reason = state.proposed.as_ref().map_or("", |it| it.reason.as_str());
    println!("reason    {reason}");
    for change in changes_of(&state) {
        println!("change    {change}");
    }
    println!(
        "proposed  {} at height {}",
        render::moment(state.proposed_at_ms),
        state.proposed_at_height
    );
    println!("ends      {}", render::moment(state.deadline_ms));
    println!("status    {}", status_of(&state));
    println!(
        "count     {} for, {} against, of {}",
        state.approving_weight, state.rejecting_weight, state.total_weight
    );
    if let Some(rules) = &state.rules {
        println!(
            "rules     {} % must vote, {} % of them for it",
            rules.participation_percent, rules.approval_percent
        );
    }
    let mut table = render::table(["member", "vote", "counts", "height", "transaction"]);
    for vote in &state.votes {
        table.add_row([
            vote.org.clone(),
            choice(vote.approve).into(),
            vote.weight.to_string(),
            vote.height.to_string(),
            render::short(&vote.tx_id),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn choice(approve: bool) -> &'static str {
    if approve { "for" } else { "against" }
}

/// Where it stands, since or from which height, and why it failed.
fn status_of(state: &wire::ProposalState) -> String {
    let status = render::proposal_status(state.status);
    match state.status() {
        wire::ProposalStatus::Passed => format!("{status}, for height {}", state.effective_height),
        wire::ProposalStatus::Enacted => {
            format!("{status} with height {}", state.effective_height)
        }
        wire::ProposalStatus::Failed => {
            let why = format!("{status}: {} {}", state.failure, state.failure_subject);
            why.trim_end().to_owned()
        }
        wire::ProposalStatus::Rejected | wire::ProposalStatus::Withdrawn => {
            format!("{status} at height {}", state.decided_at_height)
        }
        wire::ProposalStatus::Open | wire::ProposalStatus::Unspecified => status,
    }
}

fn changes_of(state: &wire::ProposalState) -> Vec<String> {
    let proposed = state.proposed.iter().flat_map(|it| &it.changes);
    proposed.map(described).collect()
}

/// A change in words.
fn described(change: &wire::Change) -> String {
    match &change.kind {
        Some(Kind::AdmitMember(member)) => format!(
            "admit {} {} ({})",
            render::member_kind(member.kind),
            member.org,
            member.name
        ),
        Some(Kind::SuspendMember(org)) => format!("suspend {org}"),
        Some(Kind::ReinstateMember(org)) => format!("reinstate {org}"),
        Some(Kind::ExpelMember(org)) => format!("expel {org}"),
        Some(Kind::SetValidator(it)) => format!(
            "validator of {} with key {} at {}",
            it.org,
            render::short(&it.public_key),
            it.endpoint
        ),
        Some(Kind::RemoveValidator(org)) => format!("no validator of {org}"),
        Some(Kind::SetEngine(engine)) => format!("engine {}", render::consensus_engine(*engine)),
        Some(Kind::SetParameters(it)) => format!(
            "limits: expiry window {} blocks, consent {} days, {} deadlines a block, a checkpoint every {} blocks, a validator's key {} blocks{}",
            it.max_expiry_window,
            it.max_consent_days,
            it.max_deadlines_per_block,
            it.checkpoint_interval,
            it.min_validator_key_blocks,
            it.governance
                .as_ref()
                .map_or_else(String::new, |rules| format!(
                    ", votes of {} days by {} % and {} %",
                    rules.voting_days, rules.participation_percent, rules.approval_percent
                ))
        ),
        Some(Kind::PublishCatalogue(it)) => format!(
            "catalogue {} with {} items and {} purposes",
            it.version,
            it.items.len(),
            it.purposes.len()
        ),
        Some(Kind::SetWeight(it)) => format!("weight {} for {}", it.weight, it.org),
        None => "a change that this version does not know".into(),
    }
}

fn json_of(state: &wire::ProposalState) -> Value {
    let votes: Vec<_> = (state.votes.iter())
        .map(|vote| {
            json!({
                "org": vote.org, "approve": vote.approve, "weight": vote.weight,
                "height": vote.height, "tx_id": hex::encode(&vote.tx_id),
            })
        })
        .collect();
    json!({
        "index": state.index, "proposal": hex::encode(&state.proposal), "proposer": state.proposer,
        "reason": state.proposed.as_ref().map(|it| it.reason.clone()),
        "changes": changes_of(state), "status": render::proposal_status(state.status),
        "proposed_at_height": state.proposed_at_height, "proposed_at_ms": state.proposed_at_ms,
        "deadline_ms": state.deadline_ms, "decided_at_height": state.decided_at_height,
        "effective_height": state.effective_height, "failure": state.failure,
        "failure_subject": state.failure_subject, "votes": votes,
        "total_weight": state.total_weight, "approving_weight": state.approving_weight,
        "rejecting_weight": state.rejecting_weight,
    })
}

#[cfg(test)]
mod tests {
    use xinqiao_crypto::SecretKey;

    use super::*;

    fn parsed(changes: &str) -> Result<Vec<String>> {
        let text = format!("reason = \"a test\"\neffective_height = 7\n{changes}");
        let proposal = proposal(&text, Path::new("/nowhere"))?;
        assert_eq!(proposal.effective_height, 7);
        Ok(proposal.changes.iter().map(described).collect())
    }

    #[test]
    fn changes_are_read_in_their_order_and_said_in_words() {
        let key = hex::encode(SecretKey::from_bytes(&[7; 32]).unwrap().public().to_sec1());
        let text = format!(
            r#"
            [[changes]]
            suspend_member = "js-bureau"
            [[changes]]
            set_validator = {{ org = "nj-bureau", public_key = "{key}", endpoint = "https://node:7000" }}
            [[changes]]
            set_validator.org = "zj-bureau"
            set_validator.public_key = "{key}"
            set_validator.endpoint = "https://zj:7000"
            [[changes]]
            set_engine = "bft"
            [[changes]]
            set_weight = {{ org = "nj-bureau", weight = 2 }}
            [[changes]]
            remove_validator = "js-bureau"
            [changes.set_parameters]
            "#
        );
        // Two changes under one head are a typing error.
        assert!(parsed(&text).is_err());
        let text = text.replace("[changes.set_parameters]", "");
        assert_eq!(
            parsed(&text).unwrap(),
            [
                "suspend js-bureau".to_owned(),
                format!(
                    "validator of nj-bureau with key {}… at https://node:7000",
                    &key[..12]
                ),
                format!(
                    "validator of zj-bureau with key {}… at https://zj:7000",
                    &key[..12]
                ),
                "engine bft".to_owned(),
                "weight 2 for nj-bureau".to_owned(),
                "no validator of js-bureau".to_owned(),
            ]
        );
    }

    #[test]
    fn limits_are_written_as_they_are_shown() {
        let shown = toml::to_string(&Parameters::default()).unwrap();
        let indented = shown.replace("[governance]", "[changes.set_parameters.governance]");
        let changes = format!("[[changes]]\n[changes.set_parameters]\n{indented}");
        let said = parsed(&changes).unwrap();
        assert_eq!(said.len(), 1);
        assert!(
            said[0].ends_with("votes of 14 days by 67 % and 67 %"),
            "{said:?}"
        );
    }

    #[test]
    fn what_no_node_would_take_is_refused_before_it_is_sent() {
        for (changes, wanted) in [
            ("changes = []", "changes"),
            ("[[changes]]\nexpel_member = \"A B\"", "a-z"),
            ("[[changes]]\nset_engine = \"pow\"", "pow"),
            (
                "[[changes]]\nset_weight = { org = \"a\", weight = 1001 }",
                "1000",
            ),
            ("[[changes]]\nraise_dead = \"a\"", "raise_dead"),
            (
                "[[changes]]\nadmit_member = \"missing.toml\"",
                "missing.toml",
            ),
            ("extra = 1\n[[changes]]\nexpel_member = \"a\"", "extra"),
        ] {
            let told = format!("{:#}", parsed(changes).unwrap_err());
            assert!(told.contains(wanted), "{told}: {wanted}");
        }
    }
}
