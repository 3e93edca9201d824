//! No field of a transaction can hold a plain unified social credit code: one is planted into every
//! string and into all bytes of every action, found by walking the contract and not by a list here.

use std::collections::BTreeSet;

use prost::Message;
use xinqiao_ledger::{tx::Tx, uscc::Uscc, wire};

use crate::{
    contract::{fields_of, is_message, paths, without_places},
    malformed::outer,
    samples::{actions, body},
};

/// A code that its owner publishes.
const CODE: &str = "91350100M000100Y43";

/// The code as people might write it. A field's own form may rule out some of them, never all.
fn forms() -> Vec<String> {
    let wide = |character: char| char::from_u32(u32::from(character) + 0xfee0).unwrap();
    let lower = CODE.to_lowercase();
    vec![
        CODE.to_owned(),
        lower.clone(),
        CODE.chars().map(wide).collect(),
        format!("{} {} {}", &CODE[..8], &CODE[8..17], &CODE[17..]),
        format!("{}-{}-{}", &lower[..8], &lower[8..17], &lower[17..]),
        format!("{}_{}_{}", &lower[..8], &lower[8..17], &lower[17..]),
        format!("id{lower}"),
    ]
}

/// A field with its path and its kind in the contract, and the encoding with something else in it.
struct Planted {
    path: String,
    kind: String,
    encoded: Vec<u8>,
}

/// Every string and all bytes of a message, each once planted with what `plant` makes of it.
fn plant_each(
    message: &str,
    prefix: &str,
    encoded: &[u8],
    plant: &impl Fn(&str, &[u8]) -> Option<Vec<u8>>,
) -> Vec<Planted> {
    let fields = fields_of(message);
    let mut planted = Vec::new();
    let mut places = vec![0; fields.len()];
    let mut rest = encoded;
    let varint = |rest: &mut &[u8]| prost::decode_length_delimiter(&mut *rest).unwrap();
    while !rest.is_empty() {
        let before = encoded.len() - rest.len();
        let key = varint(&mut rest);
        let value = varint(&mut rest);
        // A number; the contract has no others.
        if key & 7 == 0 {
            continue;
        }
        assert_eq!(key & 7, 2, "{message} has a field of fixed width");
        let (content, after) = rest.split_at(value);
        rest = after;
        let index = fields
            .iter()
            .position(|field| field.number == key >> 3)
            .unwrap();
        let field = &fields[index];
        let around = |content: &[u8]| {
            let mut whole = encoded[..before].to_vec();
            prost::encode_length_delimiter(key, &mut whole).unwrap();
            prost::encode_length_delimiter(content.len(), &mut whole).unwrap();
            whole.extend_from_slice(content);
            whole.extend_from_slice(after);
            whole
        };
        let place = places[index];
        places[index] += 1;
        let mut path = format!("{prefix}{}", field.name);
        if field.repeated {
            path.push_str(&format!("[{place}]"));
        }
        if is_message(&field.kind) {
            let inner = plant_each(&field.kind, &format!("{path}."), content, plant);
            planted.extend(inner.into_iter().map(|one| Planted {
                encoded: around(&one.encoded),
                ..one
            }));
        } else if let Some(other) = plant(&field.kind, content) {
            planted.push(Planted {
                path,
                kind: field.kind.clone(),
                encoded: around(&other),
            });
        }
    }
    planted
}

fn parse(planted: Vec<u8>, around: &wire::Transaction) -> Result<Tx, (String, &'static str)> {
    let encoded = wire::Transaction {
        body: planted,
        ..around.clone()
    }
    .encode_to_vec();
    Tx::parse(&encoded).map_err(|fault| {
        let said = format!("{fault} {fault:?}").to_uppercase();
        assert!(!said.contains(&CODE[..8]), "the fault repeats the code");
        (fault.field.clone(), fault.problem.code())
    })
}

#[test]
fn no_string_of_any_action_can_hold_a_plain_code() {
    assert!(CODE.parse::<Uscc>().is_ok());
    let mut seen = BTreeSet::new();
    let mut found_in = BTreeSet::new();
    for (name, action) in actions() {
        let around = outer(action.clone());
        let encoded = body(action).encode_to_vec();
        for form in forms() {
            let plant =
                |kind: &str, _: &[u8]| (kind == "string").then(|| form.clone().into_bytes());
            for one in plant_each("TxBody", "", &encoded, &plant) {
                assert_eq!(one.kind, "string");
                assert!(one.path.starts_with(name));
                let (field, code) =
                    parse(one.encoded, &around).expect_err(&format!("{} holds {form}", one.path));
                assert_eq!(field, one.path, "{form}");
                let path = without_places(&one.path);
                match code {
                    "USCC_EXPOSED" => drop(found_in.insert(path.clone())),
                    "FIELD_FORMAT" | "FIELD_TOO_LONG" => {}
                    other => panic!("{path} with {form}: {other}"),
                }
                seen.insert(path);
            }
        }
    }
    let strings: BTreeSet<String> = paths("TxBody", "")
        .into_iter()
        .filter(|(_, kind)| kind == "string")
        .map(|(path, _)| path)
        .collect();
    assert_eq!(seen, strings, "every string of the contract was tried");
    // Two digits hold no code, nor do three capitals. All others could, but for the search.
    let by_form_alone: Vec<_> = seen.difference(&found_in).collect();
    assert_eq!(
        by_form_alone,
        [
            "admit_member.member.region",
            "propose.changes.admit_member.region",
            "propose.changes.publish_catalogue.items.fields.money.currency"
        ]
    );
}

#[test]
fn no_bytes_of_any_action_can_hold_a_plain_code_filled_up_to_their_length() {
    let mut seen = BTreeSet::new();
    for (_, action) in actions() {
        let around = outer(action.clone());
        let encoded = body(action).encode_to_vec();
        for (filling, at_end) in [(0, false), (b' ', true), (b'0', true)] {
            let plant = |kind: &str, content: &[u8]| {
                (kind == "bytes" && content.len() >= CODE.len()).then(|| {
                    let mut bytes = vec![filling; content.len()];
                    let at = if at_end {
                        content.len() - CODE.len()
                    } else {
                        0
                    };
                    bytes[at..at + CODE.len()].copy_from_slice(CODE.as_bytes());
                    bytes
                })
            };
            for one in plant_each("TxBody", "", &encoded, &plant) {
                let (field, code) =
                    parse(one.encoded, &around).expect_err(&format!("{} holds it", one.path));
                assert_eq!(field.trim_start_matches("body."), one.path);
                assert_eq!(code, "USCC_EXPOSED", "{field}");
                seen.insert(without_places(&one.path));
            }
        }
    }
    let bytes: BTreeSet<String> = paths("TxBody", "")
        .into_iter()
        .filter(|(path, kind)| kind == "bytes" && path != "nonce")
        .map(|(path, _)| path)
        .collect();
    assert_eq!(seen, bytes, "all bytes of the contract were tried");
}
