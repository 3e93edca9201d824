//! Every transition of the delivery machine is a row, and nothing but a fitting proof releases.

#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod two_nodes;

use xinqiao_crypto::{ContentKey, Digest, KeyId, sm3};
use xinqiao_dispatch::turn::{Post, Turn, ranking};
use xinqiao_dispatch::{
    delivery::{
        Effect, FinalDelivery, Forgotten, Input, Part, PartOrder, Record, Sealed, Standing, Step,
        Unproven,
    },
    envelope::{GroupPart, SealedPart},
};
use xinqiao_ledger::{
    action::Delivery,
    group::EpochMark,
    ids::{ItemCode, OrderId, Subject, TxId},
    item::{DigestedReport, SaltKey},
    order::{MAX_SEALED, PartRef, PartRejection, SealScheme, Sealing},
    outcome::{Event, Outcome, Reason},
    wire::{self, PartStatus},
};

fn part() -> PartRef {
    PartRef {
        order: OrderId(sm3(b"order")),
        part: 2,
    }
}

fn code(text: &str) -> ItemCode {
    text.parse().unwrap()
}

fn record_of(items: &[(&str, &str)]) -> Record {
    let items: Vec<(ItemCode, Vec<u8>)> = items
        .iter()
        .map(|(item, text)| (code(item), text.as_bytes().to_vec()))
        .collect();
    let key = SaltKey::from([7; 32]);
    let pairs = items.iter().map(|(item, text)| (item, text.as_slice()));
    let report = DigestedReport::new(&key, &Subject(sm3(b"subject")), pairs).unwrap();
    Record { report, items }
}

fn record() -> Record {
    record_of(&[("a", "{\"x\":1}"), ("b", "{\"y\":2}"), ("c", "{\"z\":3}")])
}

fn order() -> PartOrder {
    PartOrder {
        part: part(),
        subject: Subject(sm3(b"subject")),
        source: "tax".parse().unwrap(),
        items: vec![code("a"), code("c")],
        registered_root: record().report.root(),
        recipient: KeyId::from(sm3(b"recipient")),
        seal_scheme: SealScheme::Sm2Sm4Gcm,
        deadline: 1_000,
    }
}

const CIPHERTEXT: &[u8] = b"what nobody may see before its record is final";

fn tx(name: &str) -> TxId {
    TxId(sm3(name.as_bytes()))
}

/// Takes the step and gives the state that must be there after it.
#[track_caller]
fn next(step: Step) -> Part {
    step.next.expect("the part is not forgotten")
}

/// When this node sees the part, and for how long it is open.
const SEEN_AT: u64 = 5_000;
const OPEN_MS: u64 = 40_000;

fn alone() -> Turn {
    Turn::begin(Post::ALONE, &part(), SEEN_AT, OPEN_MS)
}

/// The turn of the node of that rank among two.
fn of_two(rank: usize) -> Turn {
    let node = ranking(&part(), 2)[rank];
    let post = Post::new(node, 2, 300).unwrap();
    Turn::begin(post, &part(), SEEN_AT, OPEN_MS)
}

fn seen() -> Part {
    next(Part::placed(order(), alone()))
}

fn first() -> Part {
    next(Part::placed(order(), of_two(0)))
}

fn standing_by() -> Part {
    next(Part::placed(order(), of_two(1)))
}

/// The first of two could not read the record.
fn stood_back() -> Part {
    next(first().step(Input::Read(Err(PartRejection::SourceUnavailable))))
}

fn matching() -> Part {
    next(seen().step(Input::Read(Ok(record()))))
}

fn prepared() -> Part {
    next(matching().step(Input::Sealed(SealedPart::envelope(CIPHERTEXT.to_vec()))))
}

fn unsent() -> Part {
    next(prepared().step(Input::Spooled))
}

fn recorded() -> Part {
    next(unsent().step(Input::Submitted {
        tx: tx("delivery"),
        expires_at: 50,
    }))
}

fn refusing() -> Part {
    let refused = seen().step(Input::Read(Err(PartRejection::RecordNotFound)));
    next(next(refused).step(Input::Submitted {
        tx: tx("refusal"),
        expires_at: 50,
    }))
}

fn releasable() -> Part {
    next(recorded().step(Input::Final(&Proof::right())))
}

fn delivery() -> Delivery {
    let Part::Recorded(state) = unsent() else {
        panic!("it is recorded")
    };
    state.delivery()
}

/// A proof as a replica would give it.
struct Proof {
    is_own: bool,
    delivery: Delivery,
    outcome: Outcome,
}

fn changed(of: PartRef, status: PartStatus) -> Event {
    Event::PartChanged(wire::PartChanged {
        order: of.order.to_vec(),
        part: u32::from(of.part),
        status: status as i32,
        reason: String::new(),
        objections: vec![],
    })
}

impl Proof {
    fn right() -> Self {
        Self {
            is_own: true,
            delivery: delivery(),
            outcome: Outcome::Applied(vec![changed(part(), PartStatus::Delivered)]),
        }
    }
}

impl FinalDelivery for Proof {
    fn id(&self) -> TxId {
        tx("delivery")
    }
    fn is_own(&self) -> bool {
        self.is_own
    }
    fn delivery(&self) -> &Delivery {
        &self.delivery
    }
    fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

fn name(part: Option<&Part>) -> &'static str {
    match part {
        None => "-",
        Some(Part::StandingBy(_)) => "standing by",
        Some(Part::Seen(_)) => "seen",
        Some(Part::Matching(_)) => "matching",
        Some(Part::Prepared(_)) => "prepared",
        Some(Part::Recorded(_)) => "recorded",
        Some(Part::Refusing(_)) => "refusing",
        Some(Part::Releasable(_)) => "releasable",
    }
}

fn sealed() -> Sealed {
    Sealed::new(SealedPart::envelope(CIPHERTEXT.to_vec())).unwrap()
}

fn rejection(reason: PartRejection) -> Vec<Effect> {
    vec![Effect::SubmitRejection {
        part: part(),
        reason,
    }]
}

#[track_caller]
fn check(case: &str, step: Step, to: &str, effects: &[Effect]) {
    assert_eq!(
        (name(step.next.as_ref()), step.effects.as_slice()),
        (to, effects),
        "{case}"
    );
}

#[test]
fn each_transition_leads_where_the_table_says() {
    use PartRejection::{DigestMismatch, RecordNotFound, SourceUnavailable, TooLarge};
    let submit = [Effect::SubmitDelivery(delivery())];
    let submitted = |name: &str, expires_at| Input::Submitted {
        tx: tx(name),
        expires_at,
    };
    let rejected = |name: &str, reason| Input::Rejected {
        tx: tx(name),
        reason,
    };
    let other = record_of(&[("a", "{\"x\":9}"), ("b", "{\"y\":2}"), ("c", "{\"z\":3}")]);
    let fewer = record_of(&[("a", "{\"x\":1}"), ("b", "{\"y\":2}")]);
    let forget = |why| [Effect::Forget(why)];
    let too_long = vec![1; usize::try_from(MAX_SEALED).unwrap() + 1];

    let right = Proof::right();
    type Row<'a> = (&'a str, Part, Input<'a>, &'a str, Vec<Effect>);
    let rows: Vec<Row<'_>> = vec![
        (
            "record is gone",
            seen(),
            Input::Read(Err(RecordNotFound)),
            "refusing",
            rejection(RecordNotFound),
        ),
        (
            "source is down",
            seen(),
            Input::Read(Err(SourceUnavailable)),
            "refusing",
            rejection(SourceUnavailable),
        ),
        (
            "record changed",
            seen(),
            Input::Read(Ok(other)),
            "refusing",
            rejection(DigestMismatch),
        ),
        (
            "record lost an item",
            seen(),
            Input::Read(Ok(fewer)),
            "refusing",
            rejection(DigestMismatch),
        ),
        (
            "sealed",
            matching(),
            Input::Sealed(SealedPart::envelope(CIPHERTEXT.to_vec())),
            "prepared",
            vec![Effect::Spool(sealed())],
        ),
        (
            "too long",
            matching(),
            Input::Sealed(SealedPart::envelope(too_long)),
            "refusing",
            rejection(TooLarge),
        ),
        (
            "no recipient",
            matching(),
            Input::SealFailed,
            "-",
            forget(Forgotten::NotSealed).to_vec(),
        ),
        (
            "on disk",
            prepared(),
            Input::Spooled,
            "recorded",
            submit.to_vec(),
        ),
        (
            "disk full",
            prepared(),
            Input::SpoolFailed,
            "refusing",
            rejection(SourceUnavailable),
        ),
        (
            "signed",
            unsent(),
            submitted("delivery", 50),
            "recorded",
            vec![],
        ),
        (
            "tip before expiry",
            recorded(),
            Input::Tip(50),
            "recorded",
            vec![],
        ),
        (
            "tip past expiry",
            recorded(),
            Input::Tip(51),
            "recorded",
            submit.to_vec(),
        ),
        (
            "tip before it was signed",
            unsent(),
            Input::Tip(51),
            "recorded",
            vec![],
        ),
        (
            "expired in a block",
            recorded(),
            rejected("delivery", Reason::TxExpired),
            "recorded",
            submit.to_vec(),
        ),
        (
            "rejected",
            recorded(),
            rejected("delivery", Reason::RoleDenied),
            "-",
            forget(Forgotten::Refused(Reason::RoleDenied)).to_vec(),
        ),
        (
            "another's rejection",
            recorded(),
            rejected("other", Reason::RoleDenied),
            "recorded",
            vec![],
        ),
        (
            "final",
            recorded(),
            Input::Final(&right),
            "releasable",
            vec![Effect::Release],
        ),
        (
            "refusal expires",
            refusing(),
            Input::Tip(51),
            "refusing",
            rejection(RecordNotFound),
        ),
        (
            "refusal expired in a block",
            refusing(),
            rejected("refusal", Reason::TxExpired),
            "refusing",
            rejection(RecordNotFound),
        ),
        (
            "refusal rejected",
            refusing(),
            rejected("refusal", Reason::OrderStateConflict),
            "-",
            forget(Forgotten::Refused(Reason::OrderStateConflict)).to_vec(),
        ),
        (
            "refusal final",
            refusing(),
            Input::Closed(PartStatus::Rejected),
            "-",
            forget(Forgotten::Closed(PartStatus::Rejected)).to_vec(),
        ),
        (
            "consent revoked while reading",
            seen(),
            Input::Closed(PartStatus::ConsentRevoked),
            "-",
            forget(Forgotten::Closed(PartStatus::ConsentRevoked)).to_vec(),
        ),
        (
            "consent revoked before the record",
            recorded(),
            Input::Closed(PartStatus::ConsentRevoked),
            "-",
            forget(Forgotten::Closed(PartStatus::ConsentRevoked)).to_vec(),
        ),
        (
            "order expired",
            prepared(),
            Input::Closed(PartStatus::Expired),
            "-",
            forget(Forgotten::Closed(PartStatus::Expired)).to_vec(),
        ),
        (
            "order cancelled",
            matching(),
            Input::Closed(PartStatus::Cancelled),
            "-",
            forget(Forgotten::Closed(PartStatus::Cancelled)).to_vec(),
        ),
        (
            "confirmed",
            releasable(),
            Input::Closed(PartStatus::Confirmed),
            "-",
            forget(Forgotten::Closed(PartStatus::Confirmed)).to_vec(),
        ),
        (
            "late answer of the disk",
            recorded(),
            Input::Spooled,
            "recorded",
            vec![],
        ),
        (
            "late answer of the source",
            prepared(),
            Input::Read(Err(RecordNotFound)),
            "prepared",
            vec![],
        ),
        (
            "late tip",
            releasable(),
            Input::Tip(99),
            "releasable",
            vec![],
        ),
    ];
    for (case, from, input, to, effects) in rows {
        check(case, from.step(input), to, &effects);
    }
}

#[test]
fn a_restart_goes_on_where_the_ledger_and_the_spool_stand() {
    let submit = [Effect::SubmitDelivery(delivery())];
    let read = [Effect::ReadRecord(order())];
    let lost = [Effect::Forget(Forgotten::Lost)];
    let digest = sealed().digest();
    let delivered = |digest, is_own| Standing::Delivered { digest, is_own };
    let elsewhere = [Effect::Forget(Forgotten::Elsewhere)];
    for (case, standing, spooled, to, effects) in [
        (
            "open, nothing prepared",
            Standing::Open,
            None,
            "seen",
            &read[..],
        ),
        (
            "open, prepared: the same bytes again",
            Standing::Open,
            Some(sealed()),
            "recorded",
            &submit,
        ),
        (
            "recorded and kept",
            delivered(digest, true),
            Some(sealed()),
            "recorded",
            &[],
        ),
        (
            "recorded, but lost",
            delivered(digest, true),
            None,
            "-",
            &lost,
        ),
        (
            "another node's, that this one never had",
            delivered(digest, false),
            None,
            "-",
            &elsewhere,
        ),
        (
            "another node was sooner",
            delivered(sm3(b"other"), false),
            Some(sealed()),
            "-",
            &elsewhere,
        ),
        (
            "recorded with other bytes",
            delivered(sm3(b"other"), true),
            Some(sealed()),
            "-",
            &lost,
        ),
        (
            "expired meanwhile",
            Standing::Closed(PartStatus::Expired),
            Some(sealed()),
            "-",
            &[Effect::Forget(Forgotten::Closed(PartStatus::Expired))],
        ),
    ] {
        let step = Part::found(order(), alone(), standing, spooled);
        check(case, step, to, effects);
    }
}

#[test]
fn what_is_kept_over_a_restart_still_needs_its_proof() {
    let standing = Standing::Delivered {
        digest: sealed().digest(),
        is_own: true,
    };
    let kept = Part::found(order(), alone(), standing, Some(sealed()));
    let Part::Recorded(recorded) = next(kept) else {
        panic!("it waits for its proof")
    };
    let released = recorded.release(&Proof::right()).unwrap();
    assert_eq!(released.tx(), tx("delivery"));
    assert_eq!(released.into_released().ciphertext, CIPHERTEXT);
}

#[test]
fn only_the_proof_of_this_very_delivery_releases() {
    type Twist = fn(&mut Proof);
    let rows: &[(&str, Twist, Unproven)] = &[
        (
            "another order",
            |p| p.delivery.part.order = OrderId(sm3(b"x")),
            Unproven::OtherPart,
        ),
        (
            "another part",
            |p| p.delivery.part.part = 3,
            Unproven::OtherPart,
        ),
        (
            "other bytes",
            |p| p.delivery.ciphertext_digest = sm3(b"x"),
            Unproven::OtherBytes,
        ),
        (
            "another length",
            |p| p.delivery.ciphertext_length += 1,
            Unproven::OtherBytes,
        ),
        (
            "rejected",
            |p| {
                p.outcome = Outcome::Rejected {
                    reason: Reason::OrderStateConflict,
                    subject: String::new(),
                }
            },
            Unproven::NotDelivered("ORDER_STATE_CONFLICT"),
        ),
        (
            "no event at all",
            |p| p.outcome = Outcome::Applied(vec![]),
            Unproven::NotDelivered("the part is not delivered"),
        ),
        (
            "consent was gone",
            |p| p.outcome = Outcome::Applied(vec![changed(part(), PartStatus::ConsentRevoked)]),
            Unproven::NotDelivered("the part is not delivered"),
        ),
        (
            "another part's event",
            |p| {
                let other = PartRef { part: 3, ..part() };
                p.outcome = Outcome::Applied(vec![changed(other, PartStatus::Delivered)]);
            },
            Unproven::NotDelivered("the part is not delivered"),
        ),
    ];
    for (case, twist, expected) in rows {
        let mut proof = Proof::right();
        twist(&mut proof);
        let Part::Recorded(state) = recorded() else {
            panic!("it is recorded")
        };
        let (state, why) = state
            .release(&proof)
            .err()
            .unwrap_or_else(|| panic!("{case}: released"));
        assert_eq!(why, *expected, "{case}");
        // The state came back whole: the right proof still releases.
        assert!(state.release(&Proof::right()).is_ok(), "{case}");
        // And as an input of the machine it never leads to a release.
        let step = recorded().step(Input::Final(&proof));
        assert_ne!(name(step.next.as_ref()), "releasable", "{case}");
        assert!(!step.effects.contains(&Effect::Release), "{case}");
    }
}

/// An order that has its parts sealed for a delivery group.
fn for_group() -> PartOrder {
    PartOrder {
        seal_scheme: SealScheme::MlsSm4Gcm,
        ..order()
    }
}

fn mark(epoch: u64) -> EpochMark {
    EpochMark {
        generation: 7,
        epoch,
        authenticator: sm3(b"authenticator"),
    }
}

fn body() -> SealedPart {
    SealedPart {
        bytes: CIPHERTEXT.to_vec(),
        group: Some(GroupPart {
            key: ContentKey::from_bytes(&[5; 16]),
            mark: mark(3),
        }),
    }
}

#[test]
fn the_key_of_a_group_s_body_leaves_with_the_proof_of_its_record_and_the_epoch_is_recorded() {
    let read = next(Part::placed(for_group(), alone())).step(Input::Read(Ok(record())));
    let [Effect::Seal { scheme, .. }] = read.effects.as_slice() else {
        panic!("{:?}", read.effects)
    };
    assert_eq!(*scheme, SealScheme::MlsSm4Gcm);
    let spooled = next(next(read).step(Input::Sealed(body()))).step(Input::Spooled);
    let [Effect::SubmitDelivery(delivery)] = spooled.effects.as_slice() else {
        panic!("{:?}", spooled.effects)
    };
    assert_eq!(delivery.sealing, Sealing::Group(mark(3)));
    let of_group = || Proof {
        delivery: delivery.clone(),
        ..Proof::right()
    };
    let (right, mut other) = (of_group(), of_group());
    other.delivery.sealing = Sealing::Group(mark(4));
    let Part::Recorded(state) = next(spooled) else {
        panic!("it is recorded")
    };
    let (state, why) = state.release(&other).unwrap_err();
    assert_eq!(why, Unproven::OtherBytes, "of another epoch");
    let released = state.release(&right).unwrap().into_released();
    assert_eq!(released.ciphertext, CIPHERTEXT);
    let key = released.key.unwrap();
    assert_eq!((key.part(), key.body()), (part(), sm3(CIPHERTEXT)));
    assert_eq!(key.key().expose(), &[5; 16]);
}

#[test]
fn what_is_sealed_otherwise_than_the_order_says_is_given_up() {
    for (ordered, sealed) in [
        (for_group(), SealedPart::envelope(CIPHERTEXT.to_vec())),
        (order(), body()),
    ] {
        let matching = next(next(Part::placed(ordered, alone())).step(Input::Read(Ok(record()))));
        check(
            "sealed otherwise",
            matching.step(Input::Sealed(sealed)),
            "-",
            &[Effect::Forget(Forgotten::NotSealed)],
        );
    }
}

#[test]
fn a_delivery_recorded_with_other_bytes_is_given_up() {
    let mut proof = Proof::right();
    proof.delivery.ciphertext_digest = sm3(b"another process sealed this");
    check(
        "other bytes",
        recorded().step(Input::Final(&proof)),
        "-",
        &[Effect::Forget(Forgotten::Lost)],
    );
}

#[test]
fn only_the_items_of_the_part_are_sealed_each_with_its_way_to_the_root() {
    let step = seen().step(Input::Read(Ok(record())));
    let [
        Effect::Seal {
            recipient,
            scheme: SealScheme::Sm2Sm4Gcm,
            content,
        },
    ] = step.effects.as_slice()
    else {
        panic!("{:?}", step.effects)
    };
    assert_eq!(*recipient, order().recipient);
    assert_eq!(content.part, part());
    let codes: Vec<&ItemCode> = content.items.iter().map(|item| &item.code).collect();
    assert_eq!(codes, [&code("a"), &code("c")]);
    let root: Digest = record().report.root();
    for item in &content.items {
        let leaf = xinqiao_ledger::item::leaf(&item.code, &item.salt, &item.canonical);
        assert!(item.path.leads(leaf, root), "{}", item.code);
    }
    let plain = content.encode();
    assert!(
        !plain.windows(7).any(|bytes| bytes == b"{\"y\":2}"),
        "the item that was not asked for"
    );
}

#[test]
fn nothing_prints_a_record_or_a_sealed_report() {
    let secret = "{\"x\":1}";
    let read = record();
    let step = seen().step(Input::Read(Ok(read.clone())));
    for shown in [
        format!("{read:?}"),
        format!("{:?}", step.effects),
        format!("{:?}", recorded()),
    ] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!shown.contains("what nobody"), "{shown}");
    }
}
