//! Chunks of a state: cut in one way only, and read back only if they are well formed.

use prost::Message;
use xinqiao_crypto::{Frontier, merkle, sm3};
use xinqiao_ledger::{
    checkpoint::{CHUNK_BYTES, Cutter, Offer, pairs},
    wire,
};

use crate::golden::{certificate, header};

#[test]
fn a_state_is_cut_as_soon_as_a_chunk_is_full_and_read_back_as_it_was() {
    let value = vec![7; 10_000];
    let all: Vec<_> = (0..200_u32)
        .map(|key| (key.to_be_bytes(), &value))
        .collect();
    let mut cutter = Cutter::default();
    let mut chunks: Vec<Vec<u8>> = (all.iter())
        .filter_map(|(key, value)| cutter.push(key, value))
        .collect();
    chunks.extend(cutter.finish());
    assert_eq!(chunks.len(), 4);
    for full in &chunks[..3] {
        assert!((CHUNK_BYTES..CHUNK_BYTES + 10_012).contains(&full.len()));
    }
    let read: Vec<_> = chunks
        .iter()
        .flat_map(|chunk| pairs(chunk).unwrap())
        .collect();
    assert_eq!(read.len(), all.len());
    for ((key, value), (read_key, read_value)) in all.iter().zip(read) {
        assert_eq!((&key[..], &value[..]), (read_key, read_value));
    }
    assert_eq!(
        Cutter::default().finish(),
        None,
        "an empty state has no chunks"
    );
}

#[test]
fn what_is_no_chunk_is_refused() {
    let mut cutter = Cutter::default();
    for key in [b"a", b"b"] {
        assert_eq!(cutter.push(key, b"value"), None);
    }
    let chunk = cutter.finish().unwrap();
    assert_eq!(pairs(&chunk).unwrap().len(), 2);
    assert_eq!(pairs(&[]).unwrap().len(), 0);
    for length in (1..chunk.len()).filter(|length| *length != chunk.len() / 2) {
        assert!(pairs(&chunk[..length]).is_err(), "cut to {length}");
    }
    let half = &chunk[..chunk.len() / 2];
    assert!(pairs(&[half, half].concat()).is_err(), "a key twice");
    let swapped = [&chunk[chunk.len() / 2..], half].concat();
    assert!(pairs(&swapped).is_err(), "keys that fall");
    let mut endless = chunk.clone();
    endless[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(pairs(&endless).is_err(), "a length beyond the end");
}

#[test]
fn an_offer_has_limits() {
    let honest = wire::Snapshot {
        header: header().encode(),
        certificate: Some((&certificate()).into()),
        history: frontier(299)
            .peaks()
            .map(|it| it.digest.as_bytes().to_vec())
            .collect(),
        pairs: 2,
        chunks: vec![vec![1; 32]],
        naming_header: header().encode(),
        naming_certificate: Some((&certificate()).into()),
    };
    assert_eq!(
        wire::Snapshot::from(&Offer::try_from(&honest).unwrap()),
        honest
    );
    assert!(honest.encoded_len() < 8 << 20);
    let refused = |field: &str, change: &dyn Fn(&mut wire::Snapshot)| {
        let mut changed = honest.clone();
        change(&mut changed);
        let fault = Offer::try_from(&changed).expect_err(field);
        assert!(fault.field.starts_with(field), "{field}: {fault}");
    };
    refused("header", &|it| it.header.clear());
    refused("certificate", &|it| it.certificate = None);
    refused("history", &|it| drop(it.history.pop()));
    refused("history[0]", &|it| it.history[0].clear());
    refused("history", &|it| it.history = vec![vec![0; 32]; 65]);
    refused("chunks", &|it| it.chunks.clear());
    refused("chunks[0]", &|it| it.chunks[0].push(0));
    refused("chunks", &|it| it.chunks = vec![vec![0; 32]; (1 << 16) + 1]);
    refused("naming_header", &|it| it.naming_header.push(0));
    refused("naming_certificate", &|it| it.naming_certificate = None);
}

fn frontier(leaves: u64) -> Frontier {
    let mut frontier = Frontier::new();
    for number in 0..leaves {
        frontier.append(merkle::leaf_hash(&number.to_be_bytes()));
    }
    frontier
}

#[test]
fn a_history_is_rebuilt_from_its_complete_subtrees_alone() {
    for leaves in [0, 1, 2, 3, 7, 8, 11, 299] {
        let grown = frontier(leaves);
        let peaks: Vec<_> = grown.peaks().collect();
        for peak in &peaks {
            assert_eq!((peak.index << peak.level) % (1 << peak.level), 0);
        }
        let digests: Vec<_> = peaks.iter().map(|peak| peak.digest).collect();
        assert_eq!(Frontier::from_peaks(leaves, digests.clone()), Some(grown));
        let more = [digests, vec![sm3(b"another")]].concat();
        assert_eq!(Frontier::from_peaks(leaves, more), None);
    }
    assert_eq!(Frontier::from_peaks(u64::MAX, vec![sm3(b"x"); 64]), None);
}
