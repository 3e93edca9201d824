//! A small consortium whose chain is made here, signed and hashed as a real one, and the story of
//! one order on it. What contracts would decide is written down by hand: a story may also break
//! their rules, to see what evidence says of it.

use prost::Message;
use rand::{SeedableRng, rngs::StdRng};
use xinqiao_crypto::{Digest, DistinguishingId, SecretKey, merkle, sm3};
use xinqiao_ledger::{
    block::{Certificate, Header, outcome_root, tx_root},
    catalogue::Catalogue,
    genesis::{Genesis, Parameters},
    ids::{ChainId, HeaderHash, Height, TimeMs, TxId},
    member::Member,
    outcome::{Event, Outcome, Reason},
    receipt::Path,
    tx::Tx,
    validators::{Engine, Validator},
    wire::{self, tx_body::Action as A},
};

use crate::samples::{bytes, catalogue, digest, public, secret, texts};

pub(crate) const START: TimeMs = 1_790_000_000_000;

/// Number of a key, as [`secret`] makes them.
pub(crate) type KeyNumber = u8;

pub(crate) const VALIDATORS: [KeyNumber; 4] = [1, 2, 3, 4];
pub(crate) const SH_ADMIN: KeyNumber = 31;
pub(crate) const SH_HOLDER: KeyNumber = 32;
pub(crate) const ZJ_ADMIN: KeyNumber = 41;
/// Not in the genesis: added on the ledger.
pub(crate) const ZJ_HOLDER: KeyNumber = 42;
pub(crate) const BANK_ADMIN: KeyNumber = 51;
pub(crate) const BANK_AGENT: KeyNumber = 52;
pub(crate) const BANK_ENCRYPTION: KeyNumber = 53;
pub(crate) const REGULATOR: KeyNumber = 61;
/// Bound to the subject on the ledger.
pub(crate) const SUBJECT: KeyNumber = 71;

pub(crate) fn genesis() -> Genesis {
    use wire::{KeyRole as Role, MemberKind as Kind};
    let member = |org: &str, kind: Kind, name: &str, region: &str, keys: &[(KeyNumber, Role)]| {
        Member::try_from(&wire::Member {
            org: org.into(),
            kind: kind.into(),
            name: name.into(),
            region: region.into(),
            keys: keys
                .iter()
                .map(|(number, role)| wire::MemberKey {
                    public_key: public(*number),
                    role: (*role).into(),
                })
                .collect(),
            ..Default::default()
        })
        .unwrap()
    };
    #[rustfmt::skip]
    let members = vec![
        member("js-bank", Kind::Institution, "江苏示范银行", "32",
            &[(BANK_ADMIN, Role::Admin), (BANK_AGENT, Role::Agent), (BANK_ENCRYPTION, Role::Encryption)]),
        member("pboc", Kind::Regulator, "监管机构", "11", &[(REGULATOR, Role::Admin)]),
        member("sh-bureau", Kind::Bureau, "上海征信", "31",
            &[(SH_ADMIN, Role::Admin), (SH_HOLDER, Role::Holder)]),
        member("zj-bureau", Kind::Bureau, "浙江征信", "33", &[(ZJ_ADMIN, Role::Admin)]),
    ];
    Genesis {
        name: "长三角征信链（示例）".into(),
        engine: Engine::Bft,
        time: START,
        distinguishing_id: DistinguishingId::default(),
        validators: VALIDATORS
            .iter()
            .map(|number| Validator {
                org: format!("bureau-{number}").parse().unwrap(),
                key: *secret(*number).public(),
                endpoint: "".parse().unwrap(),
            })
            .collect(),
        members,
        catalogue: Catalogue::try_from(&catalogue()).unwrap(),
        authorities: vec![vec![1]],
        parameters: Parameters::default(),
    }
}

struct Made {
    header: Header,
    certificate: Certificate,
    txs: Vec<Tx>,
    outcomes: Vec<Vec<u8>>,
}

/// A chain in the making.
pub(crate) struct World {
    pub(crate) genesis: Genesis,
    /// As many as certify a header.
    validators: Vec<SecretKey>,
    rng: StdRng,
    blocks: Vec<Made>,
}

impl World {
    pub(crate) fn new(genesis: Genesis) -> Self {
        let quorum = genesis.validator_set().unwrap().quorum();
        let validators = VALIDATORS.iter().take(quorum).map(|n| secret(*n)).collect();
        Self::certified_by(validators, genesis)
    }

    pub(crate) fn certified_by(validators: Vec<SecretKey>, genesis: Genesis) -> Self {
        Self {
            genesis,
            validators,
            rng: StdRng::seed_from_u64(7),
            blocks: vec![],
        }
    }

    pub(crate) fn chain(&self) -> ChainId {
        self.genesis.chain_id()
    }

    pub(crate) fn height(&self) -> Height {
        self.blocks.len() as Height
    }

    pub(crate) fn sign(&mut self, key: KeyNumber, action: A) -> Tx {
        let id = &self.genesis.distinguishing_id;
        let chain = self.genesis.chain_id();
        let tx = Tx::sign(action, &chain, 1_000, &secret(key), id, &mut self.rng);
        Tx::parse(&tx.encode_to_vec()).unwrap()
    }

    /// As [`World::block_after`], without deadlines.
    pub(crate) fn block(&mut self, txs: Vec<(Tx, Outcome)>) {
        self.block_after(vec![], txs);
    }

    /// Appends a block of these transactions between two that have nothing to do with the story,
    /// after these events of its deadlines.
    pub(crate) fn block_after(&mut self, deadlines: Vec<Event>, mut txs: Vec<(Tx, Outcome)>) {
        let height = self.height() + 1;
        for (at, name) in [(0, "before"), (txs.len() + 1, "after")] {
            let user = bytes(&format!("user {name} {height}"));
            let tx = self.sign(BANK_ADMIN, A::OpenUser(wire::OpenUser { user }));
            let outcome = Outcome::Rejected {
                reason: Reason::UserExists,
                subject: String::new(),
            };
            txs.insert(at, (tx, outcome));
        }
        let encoded = std::iter::once(Outcome::Applied(deadlines).encode(None)).chain(
            txs.iter()
                .map(|(tx, outcome)| outcome.encode(Some(&tx.meta().id))),
        );
        let outcomes: Vec<_> = encoded.collect();
        let txs: Vec<_> = txs.into_iter().map(|(tx, _)| tx).collect();
        let commitment = sm3(&height.to_be_bytes());
        self.seal(START + height * 1_000, txs, outcomes, commitment);
    }

    /// Appends a block whose outcomes are decided: its own first, then one for each transaction.
    pub(crate) fn seal(
        &mut self,
        time: TimeMs,
        txs: Vec<Tx>,
        outcomes: Vec<Vec<u8>>,
        state_commitment: Digest,
    ) {
        let header = Header {
            chain: self.chain(),
            height: self.height() + 1,
            parent: match self.blocks.last() {
                Some(last) => last.header.hash(),
                None => HeaderHash(self.chain().0),
            },
            time,
            tx_count: u32::try_from(txs.len()).unwrap(),
            tx_root: tx_root(&txs),
            outcome_root: outcome_root(&outcomes),
            state_commitment,
            history_root: merkle::root(&self.history()),
            validator_set: self.genesis.validator_set().unwrap().hash(),
            next_validators: self.genesis.validator_set().unwrap().hash(),
            checkpoint: None,
            proposer: self.validators[0].public().id(),
        };
        let id = &self.genesis.distinguishing_id;
        let certificate = certificate(&header, &self.validators, id, &mut self.rng);
        self.blocks.push(Made {
            header,
            certificate,
            txs,
            outcomes,
        });
    }

    pub(crate) fn certify(&mut self, header: &Header, signers: &[KeyNumber]) -> Certificate {
        let signers: Vec<_> = signers.iter().map(|number| secret(*number)).collect();
        let id = &self.genesis.distinguishing_id;
        certificate(header, &signers, id, &mut self.rng)
    }

    /// Leaves of the history tree: the hashes of all headers so far.
    fn history(&self) -> Vec<Digest> {
        let leaf = |made: &Made| merkle::leaf_hash(made.header.hash().as_bytes());
        self.blocks.iter().map(leaf).collect()
    }

    fn place(&self, id: &TxId) -> (usize, usize) {
        let found = self.blocks.iter().enumerate().find_map(|(block, made)| {
            let index = made.txs.iter().position(|tx| tx.meta().id == *id)?;
            Some((block, index))
        });
        found.expect("the transaction is in a block")
    }

    pub(crate) fn receipt(&self, id: &TxId) -> wire::Receipt {
        let (block, index) = self.place(id);
        let made = &self.blocks[block];
        let txs: Vec<_> = made
            .txs
            .iter()
            .map(|tx| merkle::leaf_hash(tx.encoded()))
            .collect();
        let outcomes: Vec<_> = made
            .outcomes
            .iter()
            .map(|one| merkle::leaf_hash(one))
            .collect();
        wire::Receipt {
            header: made.header.encode(),
            certificate: Some((&made.certificate).into()),
            transaction: made.txs[index].encoded().to_vec(),
            transaction_path: Some((&Path::of(&txs, index).unwrap()).into()),
            outcome: made.outcomes[index + 1].clone(),
            outcome_path: Some((&Path::of(&outcomes, index + 1).unwrap()).into()),
        }
    }

    pub(crate) fn block_receipt(&self, height: Height) -> wire::BlockReceipt {
        let made = &self.blocks[usize::try_from(height).unwrap() - 1];
        let leaf = |one: &Vec<u8>| merkle::leaf_hash(one);
        let outcomes: Vec<_> = made.outcomes.iter().map(leaf).collect();
        wire::BlockReceipt {
            header: made.header.encode(),
            certificate: Some((&made.certificate).into()),
            outcome: made.outcomes[0].clone(),
            outcome_path: Some((&Path::of(&outcomes, 0).unwrap()).into()),
        }
    }

    /// A bundle of these transactions and these blocks' own outcomes, in the order of the ledger, up
    /// to the newest block.
    pub(crate) fn bundle(
        &self,
        ids: &[TxId],
        blocks: &[Height],
        order: &TxId,
    ) -> wire::EvidenceBundle {
        let mut ids = ids.to_vec();
        ids.sort_by_key(|id| self.place(id));
        let tip = self.blocks.last().unwrap();
        let mut before = self.history();
        before.pop();
        let history_path = |block: usize| {
            (block + 1 < self.blocks.len()).then(|| (&Path::of(&before, block).unwrap()).into())
        };
        let receipts = ids
            .iter()
            .map(|id| wire::EvidenceReceipt {
                receipt: Some(self.receipt(id)),
                history_path: history_path(self.place(id).0),
            })
            .collect();
        let blocks = blocks
            .iter()
            .map(|height| wire::EvidenceBlock {
                receipt: Some(self.block_receipt(*height)),
                history_path: history_path(usize::try_from(*height).unwrap() - 1),
            })
            .collect();
        wire::EvidenceBundle {
            version: 1,
            chain_id: self.chain().to_vec(),
            order: order.to_vec(),
            receipts,
            tip_header: tip.header.encode(),
            tip_certificate: Some((&tip.certificate).into()),
            blocks,
            handovers: vec![],
        }
    }
}

fn certificate(
    header: &Header,
    signers: &[SecretKey],
    id: &DistinguishingId,
    rng: &mut StdRng,
) -> Certificate {
    let mut signatures: Vec<_> = signers
        .iter()
        .map(|key| Certificate::sign(header, key, id, rng))
        .collect();
    signatures.sort_by_key(|(signer, _)| *signer);
    Certificate {
        height: header.height,
        round: 0,
        header: header.hash(),
        signatures,
    }
}

pub(crate) fn consent_changed(grant: &TxId, status: wire::ConsentStatus) -> Event {
    Event::ConsentChanged(wire::ConsentChanged {
        grant: grant.to_vec(),
        status: status.into(),
    })
}

pub(crate) fn part_changed(
    order: &TxId,
    part: u32,
    status: wire::PartStatus,
    reason: &str,
) -> Event {
    Event::PartChanged(wire::PartChanged {
        order: order.to_vec(),
        part,
        status: status.into(),
        reason: reason.into(),
        objections: vec![],
    })
}

/// What may differ between stories.
pub(crate) struct Plot {
    pub(crate) terms: wire::ConsentTerms,
    pub(crate) grant_key: KeyNumber,
    /// A change of the grant between it and the order.
    pub(crate) before_order: Option<(A, wire::ConsentStatus)>,
    pub(crate) order_key: KeyNumber,
    pub(crate) order_outcome: Option<Outcome>,
    pub(crate) recipient: KeyNumber,
    /// Height that the order says the first root was registered at; where it was is 3.
    pub(crate) registered_at: Height,
    pub(crate) missing: Vec<String>,
    /// A change of the grant between the order and the delivery.
    pub(crate) before_delivery: Option<(A, wire::ConsentStatus)>,
    pub(crate) delivery_key: KeyNumber,
    pub(crate) delivered_root: Digest,
    pub(crate) delivered_items: Vec<String>,
    /// How the order has its parts sealed.
    pub(crate) seal_scheme: wire::SealScheme,
    /// The group's epoch of a delivery that is sealed for one.
    pub(crate) delivered_epoch: Option<wire::GroupEpoch>,
    pub(crate) confirm_key: KeyNumber,
    /// Confirm first, deliver afterwards.
    pub(crate) confirm_early: bool,
    pub(crate) verdict: wire::Verdict,
    /// When the second part's source has until, if it answers nothing: block 10 lets it expire.
    pub(crate) expires: Option<TimeMs>,
    /// What block 7 records of the grant by itself.
    pub(crate) grant_ends: Option<wire::ConsentStatus>,
    /// What block 10 records of the second part by itself, if not that it expired.
    pub(crate) ended_by_block: wire::PartStatus,
}

/// Names the change that a plot wants; the story fills in its grant.
pub(crate) fn revoke() -> A {
    A::RevokeConsent(wire::RevokeConsent { grant: vec![] })
}

/// As [`revoke`].
pub(crate) fn pause() -> A {
    A::PauseConsent(wire::PauseConsent { grant: vec![] })
}

impl Default for Plot {
    fn default() -> Self {
        Self {
            terms: wire::ConsentTerms {
                subject: bytes("subject"),
                grantee: "js-bank".into(),
                purposes: texts(&["credit_approval"]),
                items: texts(&["customs_record", "registration", "tax_payment"]),
                valid_from_ms: START,
                valid_until_ms: START + 86_400_000,
                max_uses: 3,
                data_life_days: 30,
                document_digest: bytes("document"),
                text_digest: bytes("text"),
                ..Default::default()
            },
            grant_key: SUBJECT,
            before_order: None,
            order_key: BANK_AGENT,
            order_outcome: None,
            recipient: BANK_ENCRYPTION,
            registered_at: 3,
            missing: vec![],
            before_delivery: None,
            delivery_key: SH_HOLDER,
            delivered_root: digest("root sh"),
            delivered_items: texts(&["registration", "tax_payment"]),
            seal_scheme: wire::SealScheme::Sm2Sm4Gcm,
            delivered_epoch: None,
            confirm_key: BANK_AGENT,
            confirm_early: false,
            verdict: wire::Verdict::Confirmed,
            expires: None,
            grant_ends: None,
            ended_by_block: wire::PartStatus::Expired,
        }
    }
}

/// A story that was told: its chain, and the transactions that evidence needs.
pub(crate) struct Story {
    pub(crate) world: World,
    pub(crate) ids: Vec<(&'static str, TxId)>,
    /// Blocks that themselves recorded something of it.
    pub(crate) blocks: Vec<Height>,
    pub(crate) order: TxId,
}

impl Story {
    pub(crate) fn id(&self, name: &str) -> TxId {
        self.ids.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Evidence of it, without the transactions named.
    pub(crate) fn bundle_without(&self, left_out: &[&str]) -> wire::EvidenceBundle {
        let ids: Vec<TxId> = self
            .ids
            .iter()
            .filter(|(name, _)| !left_out.contains(name))
            .map(|(_, id)| *id)
            .collect();
        let blocks = if left_out.contains(&"blocks") {
            &[][..]
        } else {
            &self.blocks
        };
        self.world.bundle(&ids, blocks, &self.order)
    }

    pub(crate) fn bundle(&self) -> wire::EvidenceBundle {
        self.bundle_without(&[])
    }
}

/// Tells a story in the consortium of four validators.
pub(crate) fn tell(plot: Plot) -> Story {
    tell_in(genesis(), plot)
}

/// Tells a story from the admission of a key to the withdrawal of the consent: an order of two parts,
/// one delivered and confirmed, one refused by its source.
pub(crate) fn tell_in(genesis: Genesis, plot: Plot) -> Story {
    let mut world = World::new(genesis);
    let mut ids = vec![];
    macro_rules! step {
        ($name:literal, $key:expr, $action:expr, |$id:ident| $events:expr) => {{
            let tx = world.sign($key, $action);
            let $id = &tx.meta().id;
            ids.push(($name, *$id));
            let outcome = Outcome::Applied($events);
            (tx, outcome)
        }};
    }
    let subject = bytes("subject");

    // 1: a key of a member, and a key of the subject.
    let key = wire::MemberKey {
        public_key: public(ZJ_HOLDER),
        role: wire::KeyRole::Holder.into(),
    };
    let one = step!(
        "add_key",
        ZJ_ADMIN,
        A::AddKey(wire::AddKey { key: Some(key) }),
        |_id| {
            vec![Event::CredentialChanged(wire::CredentialChanged {
                org: "zj-bureau".into(),
                credential: secret(ZJ_HOLDER).public().id().as_bytes().to_vec(),
                valid: true,
            })]
        }
    );
    let bind = wire::BindSubjectKey {
        subject: subject.clone(),
        public_key: public(SUBJECT),
    };
    let two = step!("bind", SH_ADMIN, A::BindSubjectKey(bind), |_id| vec![]);
    world.block(vec![one, two]);

    // 2: the source of Shanghai.
    let source = wire::DataSource {
        source: "sh-tax".into(),
        operator: "sh-bureau".into(),
        name: "上海税务".into(),
        items: texts(&["registration", "tax_payment"]),
    };
    let register = A::RegisterSource(wire::RegisterSource {
        source: Some(source),
    });
    let one = step!("source", SH_ADMIN, register, |_id| vec![]);
    world.block(vec![one]);

    // 3: what both sources hold.
    let batch = |source: &str, items: &[&str], root: &str| {
        A::RegisterDigests(wire::RegisterDigests {
            source: source.into(),
            items: texts(items),
            entries: vec![wire::DigestEntry {
                subject: bytes("subject"),
                root: bytes(root),
                item_set: (1 << items.len()) - 1,
                as_of_day: 20_700,
            }],
        })
    };
    let sh = batch("sh-tax", &["registration", "tax_payment"], "root sh");
    let zj = batch("zj-customs", &["customs_record"], "root zj");
    let one = step!("digests sh", SH_HOLDER, sh, |_id| vec![]);
    let two = step!("digests zj", ZJ_HOLDER, zj, |_id| vec![]);
    world.block(vec![one, two]);

    // 4: consent.
    let grant = A::GrantConsent(wire::GrantConsent {
        request: vec![],
        terms: Some(plot.terms),
    });
    let one = step!("grant", plot.grant_key, grant, |id| {
        vec![consent_changed(id, wire::ConsentStatus::Active)]
    });
    let grant = one.0.meta().id;
    world.block(vec![one]);

    // 5: something that happens to it, or nothing.
    let about = |action: A| match action {
        A::PauseConsent(_) => A::PauseConsent(wire::PauseConsent {
            grant: grant.to_vec(),
        }),
        _ => A::RevokeConsent(wire::RevokeConsent {
            grant: grant.to_vec(),
        }),
    };
    let changed = plot.before_order.map(|(action, status)| {
        step!("change 1", plot.grant_key, about(action), |_id| vec![
            consent_changed(&grant, status)
        ])
    });
    world.block(changed.into_iter().collect());

    // 6: the order.
    let order = A::PlaceOrder(wire::PlaceOrder {
        subject,
        grant: grant.to_vec(),
        purpose: "credit_approval".into(),
        items: texts(&["customs_record", "registration", "tax_payment"]),
        user: bytes("user"),
        branch: String::new(),
        deadline_ms: 30_000,
        recipient: secret(plot.recipient).public().id().as_bytes().to_vec(),
    });
    let part = |source: &str, items: &[&str], root: &str, registered_at_height| wire::OrderPart {
        source: source.into(),
        items: texts(items),
        registered_root: bytes(root),
        digest_version: 1,
        as_of_day: 20_700,
        registered_at_height,
    };
    let tx = world.sign(plot.order_key, order);
    let order = tx.meta().id;
    ids.push(("order", order));
    let placed = Event::OrderPlaced(wire::OrderPlaced {
        order: order.to_vec(),
        parts: vec![
            part(
                "sh-tax",
                &["registration", "tax_payment"],
                "root sh",
                plot.registered_at,
            ),
            part("zj-customs", &["customs_record"], "root zj", 3),
        ],
        missing_items: plot.missing,
        deadline_ms: plot.expires.unwrap_or(START + 36_000),
        seal_scheme: plot.seal_scheme.into(),
    });
    let outcome = plot.order_outcome.unwrap_or(Outcome::Applied(vec![placed]));
    world.block(vec![(tx, outcome)]);

    // 7: something that happens to the consent, or nothing.
    let changed = plot.before_delivery.map(|(action, status)| {
        step!("change 2", plot.grant_key, about(action), |_id| vec![
            consent_changed(&grant, status)
        ])
    });
    let mut blocks = vec![];
    let ends = plot.grant_ends.map(|status| {
        blocks.push(world.height() + 1);
        consent_changed(&grant, status)
    });
    world.block_after(ends.into_iter().collect(), changed.into_iter().collect());

    // 8 and 9: one part is delivered and confirmed, the other refused, or left to expire.
    let deliver = A::DeliverPart(wire::DeliverPart {
        order: order.to_vec(),
        part: 0,
        ciphertext_digest: bytes("ciphertext"),
        ciphertext_length: 4_096,
        report_root: plot.delivered_root.as_bytes().to_vec(),
        items: plot.delivered_items,
        seal_scheme: match plot.delivered_epoch {
            None => wire::SealScheme::Sm2Sm4Gcm.into(),
            Some(_) => wire::SealScheme::MlsSm4Gcm.into(),
        },
        group_epoch: plot.delivered_epoch,
    });
    let delivered = step!("deliver", plot.delivery_key, deliver, |_id| {
        vec![part_changed(&order, 0, wire::PartStatus::Delivered, "")]
    });
    let reject = A::RejectPart(wire::RejectPart {
        order: order.to_vec(),
        part: 1,
        reason: wire::PartRejection::SourceUnavailable.into(),
    });
    let rejected = plot.expires.is_none().then(|| {
        step!("reject", ZJ_HOLDER, reject, |_id| {
            vec![part_changed(
                &order,
                1,
                wire::PartStatus::Rejected,
                "SOURCE_UNAVAILABLE",
            )]
        })
    });
    let confirm = A::ConfirmPart(wire::ConfirmPart {
        order: order.to_vec(),
        part: 0,
        verdict: plot.verdict.into(),
    });
    let found = match plot.verdict {
        wire::Verdict::Confirmed => (wire::PartStatus::Confirmed, ""),
        _ => (wire::PartStatus::Mismatched, "ITEM_MISMATCH"),
    };
    let confirmed = step!("confirm", plot.confirm_key, confirm, |_id| {
        vec![part_changed(&order, 0, found.0, found.1)]
    });
    if plot.confirm_early {
        world.block(std::iter::once(confirmed).chain(rejected).collect());
        world.block(vec![delivered]);
    } else {
        world.block(std::iter::once(delivered).chain(rejected).collect());
        world.block(vec![confirmed]);
    }

    // 10 and 11: the subject withdraws its consent, and one block more, so that all have a path.
    let revoke = about(A::RevokeConsent(wire::RevokeConsent { grant: vec![] }));
    let one = step!("revoke", plot.grant_key, revoke, |_id| {
        vec![consent_changed(&grant, wire::ConsentStatus::Revoked)]
    });
    let expired = plot.expires.map(|_| {
        blocks.push(world.height() + 1);
        part_changed(&order, 1, plot.ended_by_block, "")
    });
    world.block_after(expired.into_iter().collect(), vec![one]);
    world.block(vec![]);
    Story {
        world,
        ids,
        blocks,
        order,
    }
}
