//! Keys that may leave, made as a data-holding node makes them: from a delivery that is proven to be recorded.

use xinqiao_crypto::{Digest, sm3};
use xinqiao_dispatch::{
    delivery::{FinalDelivery, Part, PartOrder, ReleasedKey, Sealed, Standing},
    envelope::{GroupPart, SealedPart},
    turn::{Post, Turn},
};
use xinqiao_ledger::{
    action::Delivery,
    ids::{Subject, TxId},
    order::{PartRef, SealScheme},
    outcome::{Event, Outcome},
    wire,
};

struct Recorded(Delivery, Outcome);

impl FinalDelivery for Recorded {
    fn id(&self) -> TxId {
        TxId(sm3(b"delivery"))
    }
    fn is_own(&self) -> bool {
        true
    }
    fn delivery(&self) -> &Delivery {
        &self.0
    }
    fn outcome(&self) -> &Outcome {
        &self.1
    }
}

/// The key of a body that is sealed, spooled and recorded.
pub(crate) fn released(part: PartRef, body: &[u8], group: GroupPart) -> ReleasedKey {
    let order = PartOrder {
        part,
        subject: Subject(sm3(b"subject")),
        source: "sh-tax".parse().expect("a slug"),
        items: vec!["tax_payment".parse().expect("a code")],
        registered_root: Digest::ZERO,
        recipient: sm3(b"recipient").into(),
        seal_scheme: SealScheme::MlsSm4Gcm,
        deadline: 0,
    };
    let sealed = Sealed::new(SealedPart {
        bytes: body.to_vec(),
        group: Some(group),
    });
    let sealed = sealed.expect("not too long");
    let standing = Standing::Delivered {
        digest: sealed.digest(),
        is_own: true,
    };
    let turn = Turn::begin(Post::ALONE, &part, 0, 10_000);
    let found = Part::found(order, turn, standing, Some(sealed)).next;
    let Some(Part::Recorded(recorded)) = found else {
        unreachable!("it is in the spool as it was recorded");
    };
    let changed = wire::PartChanged {
        order: part.order.to_vec(),
        part: part.part.into(),
        status: wire::PartStatus::Delivered.into(),
        reason: String::new(),
        objections: vec![],
    };
    let outcome = Outcome::Applied(vec![Event::PartChanged(changed)]);
    let proof = Recorded(recorded.delivery(), outcome);
    let Ok(releasable) = recorded.release(&proof) else {
        unreachable!("the proof is that of this delivery");
    };
    let key = releasable.into_released().key;
    key.expect("a group's body has its key beside it")
}
