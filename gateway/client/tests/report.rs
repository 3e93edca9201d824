//! Reports as they travel, made with the ledger's own trees: what is right is read and verified, what is changed
//! anywhere is broken, and what is no report is never taken for one.

use xinqiao_client::{Error, Report, wire};
use xinqiao_ledger::{
    ids::{ItemCode, Subject},
    item::{DigestedReport, SaltKey},
};

/// An answer of one source that holds `held` items, all delivered.
fn answer(held: usize) -> wire::QueryReportResponse {
    let items: Vec<(ItemCode, String)> = (0..held)
        .map(|at| {
            let code = format!("item_{at:02}").parse().expect("a code");
            (code, format!("{{\"amount\":{at}}}"))
        })
        .collect();
    let subject = Subject(xinqiao_crypto::sm3(b"an enterprise"));
    let leaves = items.iter().map(|(code, json)| (code, json.as_bytes()));
    let digested = DigestedReport::new(&SaltKey::from([7; 32]), &subject, leaves).expect("items");
    let sections = items.iter().map(|(code, json)| {
        let (salt, path) = digested.proof(code).expect("it is among them");
        wire::ReportSection {
            item: code.to_string(),
            source: "register".to_owned(),
            json: json.clone(),
            proof: Some(wire::ItemProof {
                salt: salt.as_bytes().to_vec(),
                path: Some(wire::MerklePath::from(&path)),
                root: digested.root().as_bytes().to_vec(),
                registered_at_height: 12,
            }),
            ..Default::default()
        }
    });
    wire::QueryReportResponse {
        order: vec![1; 32],
        grant: vec![2; 32],
        sections: sections.collect(),
        parts: vec![wire::PartOutcome {
            source: "register".to_owned(),
            status: wire::PartStatus::Confirmed.into(),
            ..Default::default()
        }],
        items: vec![wire::ReportItem {
            item: "item_00".to_owned(),
            status: wire::ItemStatus::Complete.into(),
            sections: vec![0],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn read(answer: wire::QueryReportResponse) -> Result<Report, Error> {
    Report::try_from(answer)
}

#[test]
fn every_item_of_reports_of_every_size_leads_to_its_root() {
    for held in 1..=33 {
        let report = read(answer(held)).expect("it can be read");
        assert_eq!(report.verify().expect("it is right"), held);
        assert!(report.is_complete());
    }
}

#[test]
fn what_is_changed_anywhere_is_broken() {
    type Change = fn(&mut wire::ReportSection);
    let changes: [(&str, Change); 9] = [
        ("content", |s| s.json.push(' ')),
        ("code", |s| s.item = "item_01".to_owned()),
        ("salt", |s| proof(s).salt[31] ^= 1),
        ("root", |s| proof(s).root[0] ^= 1),
        ("index", |s| path(s).index += 1),
        ("size", |s| path(s).size += 8),
        ("sibling", |s| path(s).siblings[0][5] ^= 1),
        ("missing sibling", |s| drop(path(s).siblings.pop())),
        ("more siblings", |s| path(s).siblings.push(vec![0; 32])),
    ];
    for (what, change) in changes {
        let mut changed = answer(5);
        change(&mut changed.sections[0]);
        let error = read(changed)
            .expect("it can be read")
            .verify()
            .expect_err(what);
        assert_eq!(
            (error.class(), error.reason()),
            ("broken", "ITEM_MISMATCH"),
            "{what}"
        );
    }
}

fn proof(section: &mut wire::ReportSection) -> &mut wire::ItemProof {
    section.proof.as_mut().expect("it has one")
}

fn path(section: &mut wire::ReportSection) -> &mut wire::MerklePath {
    proof(section).path.as_mut().expect("it has one")
}

#[test]
fn what_is_no_report_is_never_taken_for_one() {
    type Change = fn(&mut wire::QueryReportResponse);
    let changes: [(&str, Change); 11] = [
        ("order", |a| a.order.clear()),
        ("grant", |a| a.grant.push(0)),
        ("no proof", |a| a.sections[0].proof = None),
        ("no path", |a| proof(&mut a.sections[0]).path = None),
        ("salt", |a| proof(&mut a.sections[0]).salt.truncate(31)),
        ("root", |a| proof(&mut a.sections[0]).root.clear()),
        ("sibling", |a| path(&mut a.sections[0]).siblings[0].clear()),
        ("path", |a| {
            path(&mut a.sections[0]).siblings = vec![vec![0; 32]; 65]
        }),
        ("part's status", |a| a.parts[0].status = 0),
        ("item's status", |a| a.items[0].status = 9),
        ("place", |a| a.items[0].sections = vec![5]),
    ];
    for (what, change) in changes {
        let mut changed = answer(5);
        change(&mut changed);
        let error = read(changed).expect_err(what);
        assert_eq!(
            (error.class(), error.reason()),
            ("broken", "MESSAGE_MALFORMED"),
            "{what}"
        );
    }
}
