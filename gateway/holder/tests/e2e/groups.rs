//! Delivery groups: letters leave only with a final record, to the institution's agents in good standing, and
//! nothing that is asked wrongly changes anything.

use prost::Message as _;
use xinqiao_contracts::testing::secret;
use xinqiao_crypto::{DistinguishingId, KeyId, SecretKey, sm3};
use xinqiao_dispatch::envelope::{self, SealedReport};
use xinqiao_ledger::{
    ids::ChainId,
    member::KeyRole,
    order::PartRef,
    wire::{self, delivery_service_client::DeliveryServiceClient, tx_body::Action},
};
use xinqiao_mls::{
    AgentGroup, Answer, Binding, Identity, Ledger, Member, Pair, Side, Signer, StateFile,
    binding::Claim, body, letter::Letter,
};
use xinqiao_rpc::{ExpectedPeer, FaultView, Limits, limited, peer::Role, tls};

use crate::{
    liar::id_of,
    promise::lied_to,
    world::{ASKED, PATIENCE, Running, World, now_ms, org, until},
};

const HOLDER: &str = "sh-bureau/holder";

/// The ledger, as an agent gets to know it: the key that recorded a delivery.
struct ByReceipt(ChainId);

impl Ledger for ByReceipt {
    fn chain(&self) -> ChainId {
        self.0
    }
    fn distinguishing_id(&self) -> DistinguishingId {
        DistinguishingId::default()
    }
    fn signer(&self, key: &KeyId) -> Option<Signer> {
        let holder = *secret(HOLDER).public();
        (*key == holder.id()).then(|| Signer {
            org: org(),
            role: KeyRole::Holder,
            key: holder,
        })
    }
}

struct Agent {
    identity: Identity,
    group: AgentGroup<StateFile>,
}

fn identity(chain: ChainId, institution: &str, name: &str, key: SecretKey) -> Identity {
    Identity {
        member: Member {
            side: Side::Agent,
            org: institution.parse().unwrap(),
            node: name.parse().unwrap(),
            key: key.public().id(),
        },
        key: key.into(),
        chain,
        id: DistinguishingId::default(),
    }
}

fn pair(world: &World) -> Pair {
    Pair {
        chain: world.genesis.chain_id(),
        holder: org(),
        node: "node-1".parse().unwrap(),
        institution: "js-bank".parse().unwrap(),
    }
}

impl Agent {
    fn new(world: &World, name: &str, key: SecretKey) -> Self {
        let disk = StateFile::open(&world.path(name)).unwrap();
        Self {
            identity: identity(world.genesis.chain_id(), "js-bank", name, key),
            group: AgentGroup::open(disk, pair(world)).unwrap().0,
        }
    }

    fn ask(&mut self, part: PartRef) -> wire::RelayGroupRequest {
        let asked = self
            .group
            .ask(vec![part], &self.identity, now_ms(), &mut rand::rng());
        request(part, asked.unwrap().unwrap().to_wire())
    }

    /// The question for a part's letter, to go along with the one for the part.
    fn along(&mut self, part: PartRef) -> wire::LetterAsk {
        let wire::RelayGroupRequest {
            holder_node, ask, ..
        } = self.ask(part);
        wire::LetterAsk { holder_node, ask }
    }

    /// The letter of an answer that came along with its part.
    fn taken(&mut self, world: &World, part: PartRef, answer: wire::GroupAnswer) -> Letter {
        let answer = Answer::from_wire(answer, part).unwrap();
        let ledger = ByReceipt(world.genesis.chain_id());
        let taken = self.group.take(&answer, &ledger, now_ms()).unwrap();
        let (_, letter) = taken.letters.into_iter().next().unwrap();
        letter.unwrap()
    }

    /// Asks until there is a letter, or a refusal.
    async fn letter(
        &mut self,
        world: &World,
        holder: &Running,
        part: PartRef,
    ) -> Result<Letter, String> {
        let ledger = ByReceipt(world.genesis.chain_id());
        for _ in 0..4 {
            let request = self.ask(part);
            let answer = Answer::from_wire(call(world, holder, request).await?, part).unwrap();
            let taken = self.group.take(&answer, &ledger, now_ms()).unwrap();
            if let Some((_, Ok(letter))) = taken.letters.into_iter().next() {
                return Ok(letter);
            }
        }
        Err("no letter that could be read".to_owned())
    }
}

fn request(part: PartRef, ask: wire::GroupAsk) -> wire::RelayGroupRequest {
    wire::RelayGroupRequest {
        order: part.order.to_vec(),
        part: part.part.into(),
        holder_node: "node-1".into(),
        ask: Some(ask),
    }
}

/// Asks as the gateway of the bank's bureau; the reason code, when that is refused.
async fn call(
    world: &World,
    holder: &Running,
    request: wire::RelayGroupRequest,
) -> Result<wire::GroupAnswer, String> {
    let uri = format!("https://{}", holder.handle.local_addr());
    let expected = ExpectedPeer::org("sh-bureau").with_role(Role::Holder);
    let gateway = world.identity("js-bureau", Role::Gateway);
    let channel = tls::channel_to(&uri, &gateway, expected, &Limits::default()).unwrap();
    let mut client = limited!(DeliveryServiceClient::new(channel));
    match client.relay_group(request).await {
        Ok(answer) => Ok(answer.into_inner().answer.unwrap()),
        Err(status) => Err(FaultView::from_status(&status).reason_code.unwrap()),
    }
}

async fn choose_groups(world: &mut World) {
    let choose = wire::SetSealScheme {
        seal_scheme: wire::SealScheme::MlsSm4Gcm.into(),
    };
    let by = "js-bank/admin";
    world.commit(by, Action::SetSealScheme(choose)).await;
}

fn opened(world: &World, part: &PartRef, letter: &Letter, body: &[u8]) -> SealedReport {
    assert_eq!(letter.body, sm3(body));
    let aad = envelope::aad(&world.genesis.chain_id(), part);
    SealedReport::parse(&body::open(&letter.key, &aad, body).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_letter_leaves_before_the_record_is_final_here() {
    let (mut world, liar, holder) = lied_to().await;
    choose_groups(&mut world).await;
    let grant = world.consent(1).await;
    let part = world.order(1, &grant).await;
    // Blocks stop right after the order, submissions pass: the record becomes final on the chain.
    liar.lie(|lies| lies.hold_above = world.honest().tip().height);
    until("the delivery is handed in", || {
        !liar.deliveries().is_empty()
    })
    .await;
    let recorded = id_of(&liar.deliveries()[0]);
    let honest = world.honest();
    honest.wait_final(&recorded, PATIENCE).await.unwrap();

    let mut agent = Agent::new(&world, "agent-1", secret("js-bank/agent"));
    let early = call(&world, &holder, agent.ask(part)).await;
    assert_eq!(early.unwrap_err(), "DELIVERY_NOT_FINAL");
    let along = agent.along(part);
    let early = world.relay_with(&holder, &part, 200, along).await;
    assert!(early.letter.is_none());
    assert_eq!(early.refused(), "DELIVERY_NOT_FINAL");
    // The body's key, as it lies in the spool: it has not been said to anybody.
    let spooled = std::fs::read_dir(world.path("spool")).unwrap();
    let spooled = std::fs::read(spooled.flatten().next().unwrap().path()).unwrap();
    assert_eq!(spooled[36], 1, "a body of a group");
    let key = &spooled[37..53];
    let said = |key: &[u8]| liar.traffic().windows(16).any(|window| window == key);
    assert!(!said(key));

    // It was that record alone that was missing.
    liar.lie(|lies| lies.hold_above = u64::MAX);
    let body = world.relay(&holder, &part, 20_000).await;
    assert_eq!(body.fault, None);
    let letter = agent.letter(&world, &holder, part).await.unwrap();
    assert_eq!(letter.key.expose(), key);
    let report = opened(&world, &part, &letter, &body.bytes);
    let plain = report.encode();
    assert!(String::from_utf8_lossy(&plain).contains(ASKED));
    assert!(!said(key), "not even now in the clear");
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_agents_of_the_institution_in_good_standing_get_letters() {
    let mut world = World::new(3).await;
    let holder = world.registered().await;
    let grant = world.consent(1).await;
    let enveloped = world.order(1, &grant).await;
    choose_groups(&mut world).await;
    let part = world.order(1, &grant).await;
    let body = world.relay(&holder, &part, 20_000).await;
    assert_eq!(body.fault, None);
    assert_eq!(world.relay(&holder, &enveloped, 20_000).await.fault, None);

    let chain = world.genesis.chain_id();
    let mut agent = Agent::new(&world, "agent-1", secret("js-bank/agent"));
    let good = agent.ask(part);
    let with = |change: &dyn Fn(&mut wire::RelayGroupRequest)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let joins = |key_package: &[u8], who: &Identity| {
        let claim = Claim {
            pair: pair(&world).digest(),
            member: who.member.clone(),
            signature_key: [9; 32],
            subject: sm3(key_package),
            generation: 0,
            not_before: now_ms(),
            not_after: now_ms() + 60_000,
        };
        let binding = Binding::sign(claim, who, &mut rand::rng()).encode();
        let join = wire::GroupJoin {
            key_package: key_package.to_vec(),
            binding,
        };
        wire::GroupAsk {
            node: who.member.node.to_string(),
            key_id: who.member.key.as_bytes().to_vec(),
            wish: Some(wire::group_ask::Wish::Join(join)),
        }
    };
    let admin = identity(chain, "js-bank", "admin", secret("js-bank/admin"));
    let other = identity(chain, "zj-bank", "agent-1", secret("zj-bank/agent"));
    let own = identity(chain, "js-bank", "agent-1", secret("js-bank/agent"));
    for (what, request, code) in [
        ("no order", with(&|it| it.order.clear()), "FIELD_REQUIRED"),
        (
            "a short order",
            with(&|it| it.order = vec![1; 31]),
            "FIELD_LENGTH",
        ),
        ("part 64", with(&|it| it.part = 64), "FIELD_RANGE"),
        ("no question", with(&|it| it.ask = None), "FIELD_REQUIRED"),
        (
            "no node",
            with(&|it| it.holder_node.clear()),
            "FIELD_REQUIRED",
        ),
        (
            "another node",
            with(&|it| it.holder_node = "node-2".into()),
            "DELIVERY_NOT_FOUND",
        ),
        (
            "an unknown order",
            with(&|it| it.order = vec![1; 32]),
            "DELIVERY_NOT_FOUND",
        ),
        (
            "a report in an envelope",
            with(&|it| it.order = enveloped.order.to_vec()),
            "DELIVERY_NOT_FOUND",
        ),
        (
            "an admin's key",
            request(part, joins(b"key package", &admin)),
            "GROUP_BINDING_REFUSED",
        ),
        (
            "another bank's agent",
            request(part, joins(b"key package", &other)),
            "GROUP_BINDING_REFUSED",
        ),
        (
            "no key package",
            request(part, joins(b"key package", &own)),
            "GROUP_MESSAGE_REFUSED",
        ),
    ] {
        assert_eq!(
            call(&world, &holder, request).await.unwrap_err(),
            code,
            "{what}"
        );
    }

    // Nothing of that has changed anything: the agent's question is answered, and its letter opens.
    let letter = agent.letter(&world, &holder, part).await.unwrap();
    opened(&world, &part, &letter, &body.bytes);

    // Another agent has a letter as well, until its key is revoked.
    let extra = secret("js-bank/agent-2");
    let key = wire::MemberKey {
        public_key: extra.public().to_sec1().to_vec(),
        role: wire::KeyRole::Agent.into(),
    };
    let add = Action::AddKey(wire::AddKey { key: Some(key) });
    let added = world.commit("js-bank/admin", add).await;
    holder.sees(&added).await;
    let revoke = Action::RevokeKey(wire::RevokeKey {
        key_id: extra.public().id().as_bytes().to_vec(),
    });
    let mut second = Agent::new(&world, "agent-2", extra);
    let same = second.letter(&world, &holder, part).await.unwrap();
    assert!(same == letter);
    let revoked = world.commit("js-bank/admin", revoke).await;
    holder.sees(&revoked).await;
    let later = world.order(1, &grant).await;
    let body = world.relay(&holder, &later, 20_000).await;
    let refused = second.letter(&world, &holder, later).await.unwrap_err();
    assert_eq!(refused, "GROUP_BINDING_REFUSED");
    let letter = agent.letter(&world, &holder, later).await.unwrap();
    opened(&world, &later, &letter, &body.bytes);

    // A delivery's record names the epoch that its body was sealed in.
    let receipt = body.receipt.unwrap();
    let tx = wire::Transaction::decode(&receipt.transaction[..]).unwrap();
    let Some(Action::DeliverPart(delivery)) = wire::TxBody::decode(&tx.body[..]).unwrap().action
    else {
        panic!("it is the record of a delivery")
    };
    let mark = body::mark(&body.bytes).unwrap();
    assert_eq!(delivery.group_epoch, Some((&mark).into()));
    holder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_comes_along_with_its_part_to_whom_it_would_come_by_itself() {
    let mut world = World::new(3).await;
    let holder = world.registered().await;
    let grant = world.consent(1).await;
    let enveloped = world.order(1, &grant).await;
    choose_groups(&mut world).await;
    let chain = world.genesis.chain_id();
    let mut agent = Agent::new(&world, "agent-1", secret("js-bank/agent"));

    // Its first question asks for a seat, its second one from there; both while the part is not delivered yet.
    for what in ["a seat", "a letter"] {
        let part = world.order(1, &grant).await;
        let along = agent.along(part);
        let came = world.relay_with(&holder, &part, 20_000, along).await;
        assert_eq!(came.fault, None, "{what}");
        let letter = agent.taken(&world, part, came.letter.unwrap());
        opened(&world, &part, &letter, &came.bytes);
    }

    // Whoever could not have one by itself gets the part without it, and nothing has changed.
    let part = world.order(1, &grant).await;
    let admin = identity(chain, "js-bank", "admin", secret("js-bank/admin"));
    let good = agent.along(part);
    let of_admin = wire::GroupAsk {
        key_id: admin.member.key.as_bytes().to_vec(),
        ..good.ask.clone().unwrap()
    };
    for (what, part, letter) in [
        (
            "another node",
            part,
            wire::LetterAsk {
                holder_node: "node-2".into(),
                ..good.clone()
            },
        ),
        ("a report in an envelope", enveloped, good.clone()),
    ] {
        let came = world.relay_with(&holder, &part, 20_000, letter).await;
        assert_eq!((came.fault, came.letter), (None, None), "{what}");
        assert!(!came.bytes.is_empty(), "{what}");
    }
    let letter = wire::LetterAsk {
        ask: Some(of_admin),
        ..good.clone()
    };
    let came = world.relay_with(&holder, &part, 20_000, letter).await;
    let step = came.letter.and_then(|answer| answer.step);
    assert!(
        matches!(step, Some(wire::group_answer::Step::Rejoin(_))),
        "another key's question brings no letter: {step:?}"
    );
    let malformed = wire::LetterAsk {
        ask: None,
        ..good.clone()
    };
    let refused = world.relay_with(&holder, &part, 0, malformed).await;
    assert_eq!(refused.refused(), "FIELD_REQUIRED");

    let came = world.relay_with(&holder, &part, 20_000, good).await;
    let letter = agent.taken(&world, part, came.letter.unwrap());
    opened(&world, &part, &letter, &came.bytes);
    holder.stop().await;
}
