//! Two agents of the bank, played with the library, real keys and a real gateway, on one report: the one whose
//! key was revoked meanwhile, with all the state that it had, and one that is in good standing.
//!
//! The thief has everything that helps it: its seat, the old key, the body, and a gateway that passes its
//! questions on (the bank's certificate and a token are still good).

use std::path::Path;

use prost::Message as _;
use tempfile::TempDir;
use xinqiao_crypto::{DistinguishingId, KeyId, PublicKey, SecretKey, sm3};
use xinqiao_dispatch::envelope;
use xinqiao_it::{
    Consortium, Kind, People,
    people::{BANK, HOME},
    transactions::{now_ms, sign, status, submit},
};
use xinqiao_ledger::{
    ids::{ChainId, OrderId, OrgId},
    member::KeyRole,
    order::PartRef,
    outcome::Outcome,
    wire::{
        self, order_service_client::OrderServiceClient, state_service_client::StateServiceClient,
        tx_body::Action,
    },
};
use xinqiao_mls::{
    AgentGroup, Answer, Identity, Ledger, Member, Pair, Side, Signer, StateFile, body,
    letter::Letter,
};
use xinqiao_rpc::{FaultView, Role, RpcChannel, limited};

/// Whose deliveries are looked at.
const OPERATOR: &str = "sh-bureau";

/// The ledger, as far as the test knows it.
struct Known {
    chain: ChainId,
    holder: PublicKey,
}

impl Ledger for Known {
    fn chain(&self) -> ChainId {
        self.chain
    }
    fn distinguishing_id(&self) -> DistinguishingId {
        DistinguishingId::default()
    }
    fn signer(&self, key: &KeyId) -> Option<Signer> {
        (*key == self.holder.id()).then(|| Signer {
            org: OPERATOR.parse().unwrap(),
            role: KeyRole::Holder,
            key: self.holder,
        })
    }
}

/// What both agents work with.
struct Bank<'a> {
    people: People,
    consortium: &'a Consortium,
    chain: ChainId,
    known: Known,
    node: RpcChannel,
    gateway: RpcChannel,
    folder: TempDir,
}

/// A delivered part of an order that nobody has confirmed.
struct Delivered {
    part: PartRef,
    body: Vec<u8>,
    holder: wire::HolderNode,
}

struct Agent {
    identity: Identity,
    group: AgentGroup<StateFile>,
}

impl Bank<'_> {
    fn with_token<T>(&self, message: T) -> tonic::Request<T> {
        let token = self.people.token(&self.consortium.running().user);
        let mut request = tonic::Request::new(message);
        let header = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        request
    }

    async fn sign(&self, action: Action, key: &SecretKey) -> wire::Transaction {
        let tip = status(&self.node).await;
        let expires = tip.height + tip.max_expiry_window / 2;
        sign(action, &self.chain, expires, key)
    }

    /// Something that the bank's admin signs, and that must take effect.
    async fn done(&self, action: Action) {
        let signed = self.sign(action, &self.people.key(BANK, "admin")).await;
        let answer = submit(&self.node, signed, 20_000).await.unwrap();
        let outcome = Outcome::parse(&answer.receipt.unwrap().outcome).unwrap().1;
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
    }

    /// Places an order, and fetches the body of a part of [`OPERATOR`]'s.
    async fn order(&self) -> Delivered {
        let running = self.consortium.running();
        let subject = self.people.subject(&running.enterprises[0]);
        let mut state = limited!(StateServiceClient::new(self.node.clone()));
        let grants = wire::ListGrantsRequest {
            subject: subject.clone(),
            grantee: BANK.into(),
        };
        let grant = state.list_grants(grants).await.unwrap().into_inner();
        let grant = grant.grants.into_iter().next().unwrap();
        let order = wire::PlaceOrder {
            subject,
            grant: grant.grant,
            purpose: running.purpose.clone(),
            items: grant.terms.unwrap().items,
            user: self.people.user(&running.user),
            branch: String::new(),
            deadline_ms: 60_000,
            recipient: self
                .people
                .key(BANK, "encryption")
                .public()
                .id()
                .as_bytes()
                .to_vec(),
        };
        let agent = self.people.key(BANK, "agent");
        let transaction = self.sign(Action::PlaceOrder(order), &agent).await;
        let place = wire::OrderServicePlaceOrderRequest {
            transaction: Some(transaction),
            of_job: false,
        };
        let mut orders = limited!(OrderServiceClient::new(self.gateway.clone()));
        let placed = orders.place_order(self.with_token(place)).await.unwrap();
        let order = OrderId::parse("order", &placed.into_inner().order).unwrap();
        let sources = state
            .list_sources(wire::ListSourcesRequest {})
            .await
            .unwrap()
            .into_inner()
            .sources;
        let operated = |source: &str| {
            let mut all = sources.iter().filter_map(|state| state.source.as_ref());
            all.any(|it| it.source == source && it.operator == OPERATOR)
        };
        let asked = wire::GetOrderRequest {
            order: order.to_vec(),
        };
        let parts = state.get_order(asked).await.unwrap().into_inner();
        let parts = parts.order.unwrap().parts;
        let index = parts
            .iter()
            .position(|part| operated(&part.part.as_ref().unwrap().source))
            .unwrap();
        let part = PartRef {
            order,
            part: u8::try_from(index).unwrap(),
        };
        let fetch = wire::FetchPartRequest {
            order: order.to_vec(),
            part: part.part.into(),
            letter: None,
        };
        let mut pieces = orders
            .fetch_part(self.with_token(fetch))
            .await
            .unwrap()
            .into_inner();
        let (mut body, mut holder) = (Vec::new(), None);
        while let Some(piece) = pieces.message().await.unwrap() {
            body.extend_from_slice(&piece.chunk);
            holder = piece.holder.or(holder);
        }
        Delivered {
            part,
            body,
            holder: holder.unwrap(),
        }
    }

    fn agent(&self, name: &str, key: SecretKey, of: &Delivered) -> Agent {
        let pair = Pair {
            chain: self.chain,
            holder: of.holder.org.parse().unwrap(),
            node: of.holder.node.parse().unwrap(),
            institution: BANK.parse().unwrap(),
        };
        let path = self.folder.path().join(name);
        let disk = StateFile::open(Path::new(&path)).unwrap();
        Agent {
            identity: Identity {
                member: Member {
                    side: Side::Agent,
                    org: BANK.parse::<OrgId>().unwrap(),
                    node: name.parse().unwrap(),
                    key: key.public().id(),
                },
                key: key.into(),
                chain: self.chain,
                id: DistinguishingId::default(),
            },
            group: AgentGroup::open(disk, pair).unwrap().0,
        }
    }

    /// Asks until there is a letter, or a refusal; at most so often as an agent would.
    async fn letter(&self, agent: &mut Agent, of: &Delivered) -> Result<Letter, String> {
        let mut orders = limited!(OrderServiceClient::new(self.gateway.clone()));
        for _ in 0..8 {
            let ask = agent
                .group
                .ask(vec![of.part], &agent.identity, now_ms(), &mut rand::rng())
                .unwrap()
                .unwrap();
            let request = wire::AskGroupRequest {
                order: of.part.order.to_vec(),
                part: of.part.part.into(),
                holder_node: of.holder.node.clone(),
                ask: Some(ask.to_wire()),
            };
            let answer = match orders.ask_group(self.with_token(request)).await {
                Ok(answer) => answer.into_inner().answer.unwrap(),
                Err(status) => {
                    let view = FaultView::from_status(&status);
                    return Err(view.reason_code.unwrap());
                }
            };
            let answer = Answer::from_wire(answer, of.part).unwrap();
            let taken = agent.group.take(&answer, &self.known, now_ms());
            if let Some((_, Ok(letter))) = taken.unwrap().letters.into_iter().next() {
                return Ok(letter);
            }
        }
        Err("no letter that could be read".to_owned())
    }

    /// What a letter opens.
    fn opened(&self, letter: &Letter, of: &Delivered) -> wire::SealedReport {
        assert_eq!(letter.body, sm3(&of.body));
        let aad = envelope::aad(&self.chain, &of.part);
        let report = body::open(&letter.key, &aad, &of.body).unwrap();
        wire::SealedReport::decode(&report[..]).unwrap()
    }
}

pub(crate) async fn reads_nothing_once_it_is_revoked(consortium: &Consortium) {
    let people = consortium.people();
    let node = people.connect((HOME, Role::Operator), (HOME, Kind::Node));
    let chain = ChainId::parse("chain_id", &status(&node).await.chain_id).unwrap();
    let bank = Bank {
        known: Known {
            chain,
            holder: *people.key(OPERATOR, "holder").public(),
        },
        gateway: people.connect((BANK, Role::Agent), (HOME, Kind::Gateway)),
        node,
        chain,
        consortium,
        people,
        folder: tempfile::tempdir().unwrap(),
    };
    let stolen = SecretKey::generate(&mut rand::rng());
    let key = wire::MemberKey {
        public_key: stolen.public().to_sec1().to_vec(),
        role: KeyRole::Agent.to_wire(),
    };
    bank.done(Action::AddKey(wire::AddKey { key: Some(key) }))
        .await;

    // Before, both read one and the same report: a letter each.
    let before = bank.order().await;
    let stolen_id = stolen.public().id();
    let mut thief = bank.agent("thief", stolen, &before);
    let mut honest = bank.agent("honest", bank.people.key(BANK, "agent"), &before);
    let letter = bank.letter(&mut thief, &before).await.unwrap();
    assert!(!bank.opened(&letter, &before).items.is_empty());
    let same = bank.letter(&mut honest, &before).await.unwrap();
    assert!(same == letter);
    assert!(thief.group.mark().unwrap().is_some());

    let revoke = wire::RevokeKey {
        key_id: stolen_id.as_bytes().to_vec(),
    };
    bank.done(Action::RevokeKey(revoke)).await;

    // A later report: the thief asks first, from its seat, and then for a new one.
    let after = bank.order().await;
    let refused = bank.letter(&mut thief, &after).await.unwrap_err();
    assert_eq!(refused, "GROUP_BINDING_REFUSED");
    assert_eq!(thief.group.mark().unwrap(), None, "it has no seat any more");
    let letter = bank.letter(&mut honest, &after).await.unwrap();
    assert!(!bank.opened(&letter, &after).items.is_empty());
    // The key of the earlier report, which it has, opens that one only.
    assert!(same.key != letter.key);
    let aad = envelope::aad(&bank.chain, &after.part);
    assert!(body::open(&same.key, &aad, &after.body).is_err());
}
