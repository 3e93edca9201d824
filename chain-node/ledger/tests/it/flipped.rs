//! One flipped bit anywhere in something signed, hashed or proved is found.

use prost::Message;
use xinqiao_crypto::KnownKey;
use xinqiao_ledger::{
    block::{Block, Certificate, Header},
    receipt,
    tx::Tx,
    validators::Epochs,
    wire,
};

use crate::{
    evidence::expiring,
    samples::secret,
    world::{BANK_AGENT, Plot, tell},
};

/// Calls with each single-bit change of these bytes.
fn flips(
    bytes: &[u8],
    bits: impl Fn(usize) -> std::ops::Range<u8>,
    mut accepted: impl FnMut(&[u8]) -> bool,
) {
    let mut made = bytes.to_vec();
    assert!(accepted(&made), "it is accepted unchanged");
    for at in 0..bytes.len() {
        for bit in bits(at) {
            made[at] ^= 1 << bit;
            assert!(!accepted(&made), "bit {bit} of byte {at} may be flipped");
            made[at] = bytes[at];
        }
    }
}

/// Every bit: for checks that are quick.
fn all(_: usize) -> std::ops::Range<u8> {
    0..8
}

/// One bit of each byte, each bit in its turn: for checks that verify signatures.
fn one(at: usize) -> std::ops::Range<u8> {
    let bit = u8::try_from(at % 8).unwrap();
    bit..bit + 1
}

#[test]
fn of_a_transaction() {
    let story = tell(Plot::default());
    let encoded = story.world.receipt(&story.order).transaction;
    let known = KnownKey::new(
        secret(BANK_AGENT).public(),
        &story.world.genesis.distinguishing_id,
    );
    flips(&encoded, all, |bytes| {
        Tx::parse(bytes).is_ok_and(|tx| tx.verify(&known).is_ok())
    });
    let id = &story.world.genesis.distinguishing_id;
    flips(&encoded, one, |bytes| {
        let key = secret(BANK_AGENT);
        Tx::parse(bytes).is_ok_and(|tx| tx.verify_once(key.public(), id).is_ok())
    });
}

#[test]
fn of_a_header() {
    let story = tell(Plot::default());
    let encoded = story.world.receipt(&story.order).header;
    let hash = Header::parse(&encoded).unwrap().hash();
    flips(&encoded, all, |bytes| {
        Header::parse(bytes).is_ok_and(|header| header.hash() == hash)
    });
}

#[test]
fn of_a_certificate() {
    let story = tell(Plot::default());
    let receipt = story.world.receipt(&story.order);
    let header = Header::parse(&receipt.header).unwrap();
    let validators = story.world.genesis.validator_set().unwrap();
    flips(
        &receipt.certificate.unwrap().encode_to_vec(),
        one,
        |bytes| {
            // As it lies inside a canonical message.
            let Ok(wire) = wire::Certificate::decode(bytes) else {
                return false;
            };
            wire.encode_to_vec() == bytes
                && Certificate::try_from(&wire)
                    .is_ok_and(|made| made.check(header.clone(), &validators).is_ok())
        },
    );
}

#[test]
fn of_a_receipt() {
    let story = tell(Plot::default());
    let encoded = story.world.receipt(&story.order).encode_to_vec();
    let epochs = Epochs::begin(story.world.genesis.validator_set().unwrap());
    let chain = story.world.chain();
    flips(&encoded, one, |bytes| {
        let Ok(wire) = wire::Receipt::decode(bytes) else {
            return false;
        };
        wire.encode_to_vec() == bytes && receipt::check(&wire, &epochs, &chain).is_ok()
    });
}

#[test]
fn of_a_receipt_of_a_block_itself() {
    let story = tell(expiring());
    let encoded = story.world.block_receipt(10).encode_to_vec();
    let epochs = Epochs::begin(story.world.genesis.validator_set().unwrap());
    let chain = story.world.chain();
    flips(&encoded, one, |bytes| {
        let Ok(wire) = wire::BlockReceipt::decode(bytes) else {
            return false;
        };
        wire.encode_to_vec() == bytes && receipt::check_block(&wire, &epochs, &chain).is_ok()
    });
}

#[test]
fn of_the_transactions_of_a_block() {
    let story = tell(Plot::default());
    let receipt = story.world.receipt(&story.order);
    // A block whose one transaction is that of a receipt has another root than the header's.
    let block = wire::Block {
        header: receipt.header,
        transactions: vec![receipt.transaction],
        certificate: receipt.certificate,
    };
    let fault = Block::try_from(&block).unwrap_err();
    assert_eq!(fault.field, "transactions");
}
