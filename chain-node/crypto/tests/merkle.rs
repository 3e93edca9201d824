//! Trees of every size up to 65 against `ct-merkle`, and every way we know to forge a proof.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sm3::Sm3;
use xinqiao_crypto::merkle::{
    CompletedNode, Frontier, MerkleError, NodeSource, PathError, Tree, consistency_path,
    consistency_path_from, inclusion_path, inclusion_path_from, leaf_hash, node_hash, root, roots,
    verify_consistency, verify_inclusion,
};
use xinqiao_crypto::{Digest, sm3, sm3_parts};

const MOST: u64 = 65;

fn data(index: u64) -> Vec<u8> {
    format!("leaf {index}").into_bytes()
}

fn leaves(size: u64) -> Vec<Digest> {
    (0..size).map(|index| leaf_hash(&data(index))).collect()
}

fn reference(size: u64) -> MemoryBackedTree<Sm3, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|index| tree.push(data(index)));
    tree
}

fn concat(digests: &[Digest]) -> Vec<u8> {
    digests
        .iter()
        .flat_map(|digest| digest.to_bytes())
        .collect()
}

/// Nodes on a shelf, as a store would keep them.
#[derive(Default)]
struct Shelf(BTreeMap<(u8, u64), Digest>);

impl NodeSource for Shelf {
    type Error = (u8, u64);

    fn node(&self, level: u8, index: u64) -> Result<Digest, (u8, u64)> {
        self.0.get(&(level, index)).copied().ok_or((level, index))
    }
}

fn shelf(size: u64) -> (Frontier, Shelf) {
    let (mut frontier, mut shelf) = (Frontier::new(), Shelf::default());
    for leaf in leaves(size) {
        for CompletedNode {
            level,
            index,
            digest,
        } in frontier.append(leaf)
        {
            assert_eq!(
                shelf.0.insert((level, index), digest),
                None,
                "a node is complete once"
            );
        }
    }
    (frontier, shelf)
}

#[test]
fn roots_of_many_trees_are_those_of_each() {
    let trees: Vec<Vec<Digest>> = (0..=MOST).rev().map(leaves).collect();
    let alone: Vec<Digest> = trees.iter().map(|leaves| root(leaves)).collect();
    assert_eq!(roots(trees.iter().map(Vec::as_slice)), alone);
}

#[test]
fn leaves_and_nodes_are_golden() {
    assert_eq!(leaf_hash(b"abc"), sm3(b"\x00abc"));
    let (left, right) = (sm3(b"l"), sm3(b"r"));
    assert_eq!(
        node_hash(&left, &right),
        sm3_parts(&[&[1], left.as_bytes(), right.as_bytes()])
    );
    assert_eq!(root(&[]), sm3(b""));
    for (size, golden) in GOLDEN {
        assert_eq!(root(&leaves(size)).to_string(), golden, "{size}");
    }
}

const GOLDEN: [(u64, &str); 4] = [
    (
        0,
        "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b",
    ),
    (
        1,
        "265a931c3d9e95aeffdd1d3653fdc5ddc0c50100e656bdef4aeba09fd43bebea",
    ),
    (
        3,
        "2965a6112b6c5f59ef9ccf6521d05e3c271b2a47c436809b195d184271df25bb",
    ),
    (
        65,
        "1c18fc08e42c95df2864fb782113e2b0531e88883f924cfa6bc25fb8489c054b",
    ),
];

#[test]
fn roots_are_ct_merkles_by_every_way_to_them() {
    let mut frontier = Frontier::new();
    for size in 0..=MOST {
        let leaves = leaves(size);
        let expected = root(&leaves);
        assert_eq!(
            expected.as_bytes(),
            reference(size).root().as_bytes().as_slice(),
            "{size}"
        );
        assert_eq!(frontier.root(), expected, "{size}");
        assert_eq!(frontier.size(), size);
        let bytes = borsh::to_vec(&frontier).unwrap();
        assert_eq!(bytes.len(), 12 + 32 * size.count_ones() as usize);
        assert_eq!(borsh::from_slice::<Frontier>(&bytes).unwrap(), frontier);
        frontier.append_with(leaf_hash(&data(size)), |_| {});
    }
}

#[test]
fn every_leaf_of_every_tree_is_proved_as_by_ct_merkle() {
    let (_, shelf) = shelf(MOST);
    for size in 1..=MOST {
        let (leaves, reference) = (leaves(size), reference(size));
        let top = root(&leaves);
        let tree = Tree::over(leaves.clone());
        for index in 0..size {
            let leaf = &leaves[index as usize];
            let path = inclusion_path(&leaves, index).unwrap();
            assert_eq!(tree.path(index).unwrap(), path);
            let theirs = reference.prove_inclusion(index as usize);
            assert_eq!(concat(&path), theirs.as_bytes(), "{index} of {size}");
            assert_eq!(inclusion_path_from(&shelf, size, index).unwrap(), path);
            verify_inclusion(&top, size, index, leaf, &path).unwrap();
            refuses_forgeries(&top, size, index, leaf, &path);
        }
    }
}

#[track_caller]
fn refuses_forgeries(top: &Digest, size: u64, index: u64, leaf: &Digest, path: &[Digest]) {
    let check = |top: &Digest, size, index, leaf: &Digest, path: &[Digest], case: &str| {
        let found = verify_inclusion(top, size, index, leaf, path);
        assert!(found.is_err(), "{case}: {index} of {size}");
        found
    };
    let expected = path.len();
    let longer = [path, &[sm3(b"x")]].concat();
    assert_eq!(
        check(top, size, index, leaf, &longer, "a digest too many"),
        Err(MerkleError::PathLength {
            expected,
            found: expected + 1
        }),
    );
    if let Some((_, shorter)) = path.split_last() {
        assert_eq!(
            check(top, size, index, leaf, shorter, "a digest too few"),
            Err(MerkleError::PathLength {
                expected,
                found: expected - 1
            }),
        );
    }
    for position in 0..path.len() {
        let mut altered = path.to_vec();
        let mut bytes = altered[position].to_bytes();
        bytes[position % 32] ^= 1;
        altered[position] = Digest::new(bytes);
        assert_eq!(
            check(top, size, index, leaf, &altered, "an altered digest"),
            Err(MerkleError::RootMismatch),
        );
    }
    for other in (0..size).filter(|other| *other != index) {
        check(top, size, other, leaf, path, "another index").unwrap_err();
    }
    check(&sm3(b"x"), size, index, leaf, path, "another root").unwrap_err();
    check(top, size, index, &sm3(b"x"), path, "another leaf").unwrap_err();
    assert_eq!(
        check(top, size, size, leaf, path, "an index past the end"),
        Err(MerkleError::IndexOutOfRange { index: size, size }),
    );
    assert_eq!(
        check(top, 0, index, leaf, path, "an empty tree"),
        Err(MerkleError::IndexOutOfRange { index, size: 0 }),
    );
    // An inner node presented as a leaf, one level up: the digest is right, so the position must not be.
    if let Some((sibling, rest)) = path.split_first() {
        let parent = if index % 2 == 1 {
            node_hash(sibling, leaf)
        } else {
            node_hash(leaf, sibling)
        };
        check(top, size, index, &parent, rest, "a node for a leaf").unwrap_err();
        check(top, size, index / 2, &parent, rest, "a node for a leaf").ok();
    }
}

/// The second preimage that plain Merkle trees allow: the 64 bytes of two children as leaf data.
#[test]
fn a_nodes_children_are_no_leafs_data() {
    for size in 2..=MOST {
        let leaves = leaves(size);
        let children = [leaves[0].to_bytes(), leaves[1].to_bytes()].concat();
        let forged = leaf_hash(&children);
        assert_ne!(forged, node_hash(&leaves[0], &leaves[1]));
        let path = inclusion_path(&leaves, 0).unwrap();
        let halved = size.div_ceil(2);
        assert!(verify_inclusion(&root(&leaves), halved, 0, &forged, &path[1..]).is_err());
    }
}

#[test]
fn an_odd_leaf_is_not_doubled() {
    for size in (1..MOST).filter(|size| size % 2 == 1) {
        let mut doubled = leaves(size);
        doubled.push(doubled[size as usize - 1]);
        assert_ne!(root(&doubled), root(&leaves(size)), "{size}");
    }
}

#[test]
fn every_tree_extends_every_earlier_one_as_by_ct_merkle() {
    let (_, shelf) = shelf(MOST);
    for new in 0..=MOST {
        let leaves = leaves(new);
        let new_root = root(&leaves);
        let reference = reference(new);
        for old in 0..=new {
            let old_root = root(&leaves[..old as usize]);
            let path = consistency_path(&leaves, old).unwrap();
            assert_eq!(consistency_path_from(&shelf, old, new).unwrap(), path);
            if old > 0 {
                let theirs = reference.prove_consistency((new - old) as usize);
                assert_eq!(concat(&path), theirs.as_bytes(), "{old} to {new}");
            }
            verify_consistency(old, &old_root, new, &new_root, &path).unwrap();
            refuses_forged_histories(old, &old_root, new, &new_root, &path);
        }
    }
}

#[track_caller]
fn refuses_forged_histories(
    old: u64,
    old_root: &Digest,
    new: u64,
    new_root: &Digest,
    path: &[Digest],
) {
    let other = sm3(b"x");
    let (expected, longer) = (path.len(), [path, &[other]].concat());
    assert_eq!(
        verify_consistency(old, old_root, new, new_root, &longer),
        Err(MerkleError::PathLength {
            expected,
            found: expected + 1
        }),
        "{old} to {new}: a digest too many",
    );
    if let Some((_, shorter)) = path.split_last() {
        assert_eq!(
            verify_consistency(old, old_root, new, new_root, shorter),
            Err(MerkleError::PathLength {
                expected,
                found: expected - 1
            }),
            "{old} to {new}: a digest too few",
        );
    }
    for position in 0..path.len() {
        let mut altered = path.to_vec();
        altered[position] = other;
        let found = verify_consistency(old, old_root, new, new_root, &altered);
        assert_eq!(
            found,
            Err(MerkleError::RootMismatch),
            "{old} to {new}: altered"
        );
    }
    let mismatch = Err(MerkleError::RootMismatch);
    assert_eq!(
        verify_consistency(old, &other, new, new_root, path),
        mismatch,
        "{old} to {new}"
    );
    if old > 0 {
        assert_eq!(
            verify_consistency(old, old_root, new, &other, path),
            mismatch,
            "{old} to {new}"
        );
    }
    assert_eq!(
        verify_consistency(new + 1, old_root, new, new_root, path),
        Err(MerkleError::SizesReversed { old: new + 1, new }),
    );
}

/// Two histories that share a prefix and then part: no proof makes one extend the other's tip.
#[test]
fn a_rewritten_history_is_found() {
    for old in 1..=16 {
        let mut rewritten = leaves(24);
        rewritten[old as usize - 1] = leaf_hash(b"rewritten");
        let path = consistency_path(&rewritten, old).unwrap();
        let found = verify_consistency(old, &root(&leaves(old)), 24, &root(&rewritten), &path);
        assert_eq!(found, Err(MerkleError::RootMismatch), "{old}");
    }
}

#[test]
fn positions_outside_the_tree_have_no_path() {
    let (_, shelf) = shelf(5);
    let out = MerkleError::IndexOutOfRange { index: 5, size: 5 };
    assert_eq!(inclusion_path(&leaves(5), 5), Err(out));
    assert_eq!(Tree::over(leaves(5)).path(5), Err(out));
    assert!(Tree::over(Vec::new()).path(0).is_err());
    assert_eq!(
        inclusion_path_from(&shelf, 5, 5),
        Err(PathError::Merkle(out))
    );
    let reversed = MerkleError::SizesReversed { old: 6, new: 5 };
    assert_eq!(consistency_path(&leaves(5), 6), Err(reversed));
    assert_eq!(
        consistency_path_from(&shelf, 6, 5),
        Err(PathError::Merkle(reversed))
    );
    // A node that the store has lost is the store's error, not a wrong path.
    assert_eq!(
        inclusion_path_from(&shelf, 8, 0),
        Err(PathError::Source((2, 1)))
    );
}

#[test]
fn a_frontier_with_the_wrong_number_of_peaks_is_refused() {
    for (size, peaks) in [
        (0_u64, 1_u32),
        (1, 0),
        (1, 2),
        (3, 1),
        (4, 2),
        (u64::MAX, 63),
        (u64::MAX, 64),
    ] {
        let mut bytes = borsh::to_vec(&(size, peaks)).unwrap();
        bytes.extend(vec![0; 32 * peaks as usize]);
        assert!(
            borsh::from_slice::<Frontier>(&bytes).is_err(),
            "{size} with {peaks}"
        );
    }
    // A count is not believed before it is checked.
    let bytes = borsh::to_vec(&(1_u64, u32::MAX)).unwrap();
    assert!(borsh::from_slice::<Frontier>(&bytes).is_err());
}

/// Sizes that no test can fill: the lengths and shifts at the far end of u64.
#[test]
fn enormous_trees_do_not_overflow() {
    let leaf = leaf_hash(b"");
    for size in [u64::MAX, 1 << 63, (1 << 63) + 1] {
        for index in [0, size / 2, size - 1] {
            let found = verify_inclusion(&leaf, size, index, &leaf, &[]);
            assert!(
                matches!(found, Err(MerkleError::PathLength { .. })),
                "{index} of {size}"
            );
            let Err(MerkleError::PathLength { expected, .. }) = found else {
                unreachable!()
            };
            let path = vec![leaf; expected];
            let found = verify_inclusion(&leaf, size, index, &leaf, &path);
            assert_eq!(found, Err(MerkleError::RootMismatch), "{index} of {size}");
        }
        let found = verify_consistency(size - 1, &leaf, size, &leaf, &[]);
        assert!(matches!(found, Err(MerkleError::PathLength { .. })));
    }
}
