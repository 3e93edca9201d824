//! Which grant an order is placed under, when the bank's application leaves that open.
//!
//! It chooses, it does not decide: the contract has the last word. So when no grant fits, the one that
//! comes nearest is named all the same: the contract then refuses with the precise reason, and the
//! attempt leaves its record.

use xinqiao_crypto::Digest;
use xinqiao_ledger::{
    consent::ConsentTerms,
    ids::{GrantId, ItemCode, PurposeCode, TimeMs},
    malformed::{Malformed, Problem},
    order::MAX_PARTS,
    wire,
};

/// The most items of one order.
pub const MAX_ORDER_ITEMS: usize = MAX_PARTS;

/// A grant, as far as choosing needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantView {
    /// Its id.
    pub id: GrantId,
    /// Its terms.
    pub terms: ConsentTerms,
    /// Where it stands.
    pub status: wire::ConsentStatus,
    /// Uses spent or reserved.
    pub uses: u64,
}

impl TryFrom<&wire::GrantState> for GrantView {
    type Error = Malformed;

    fn try_from(wire: &wire::GrantState) -> Result<Self, Malformed> {
        let terms = wire
            .terms
            .as_ref()
            .ok_or_else(|| Malformed::new("terms", Problem::Required))?;
        Ok(Self {
            id: GrantId::parse("grant", &wire.grant)?,
            terms: ConsentTerms::try_from(terms).map_err(|fault| fault.within("terms"))?,
            status: wire.status(),
            uses: u64::from(wire.uses_spent) + u64::from(wire.uses_reserved),
        })
    }
}

/// What is to be asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The grant to use, if it was named.
    pub grant: Option<GrantId>,
    /// The branch that asks; empty for head office.
    pub branch: &'a str,
    /// The purpose.
    pub purpose: &'a PurposeCode,
    /// The items, ascending; empty for all that the grant covers.
    pub items: &'a [ItemCode],
    /// Now.
    pub now: TimeMs,
}

/// Stands in an order for the grant of a subject that never gave the institution one, so that the attempt
/// is recorded all the same.
pub const NO_GRANT: GrantId = GrantId(Digest::ZERO);

/// What the order will name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The grant; [`NO_GRANT`] when the subject never gave this institution one.
    pub grant: GrantId,
    /// The items, ascending. 1 to [`MAX_ORDER_ITEMS`], provided that the catalogue has any.
    pub items: Vec<ItemCode>,
}

/// Chooses among the subject's grants to the institution, given oldest first: the newest live one that
/// covers the query; else the newest that covers it but is not live; else the newest of all.
/// `catalogue` stands for the items when nothing else names any.
pub fn choose(grants: &[GrantView], wanted: &Wanted<'_>, catalogue: &[ItemCode]) -> Choice {
    let chosen = match wanted.grant {
        Some(id) => grants.iter().find(|grant| grant.id == id),
        None => grants
            .iter()
            .enumerate()
            .max_by_key(|(index, grant)| (rank(grant, wanted), *index))
            .map(|(_, grant)| grant),
    };
    let items = match chosen {
        _ if !wanted.items.is_empty() => wanted.items,
        Some(grant) => &grant.terms.items,
        None => catalogue,
    };
    Choice {
        grant: wanted
            .grant
            .or(chosen.map(|grant| grant.id))
            .unwrap_or(NO_GRANT),
        items: items.iter().take(MAX_ORDER_ITEMS).cloned().collect(),
    }
}

fn rank(grant: &GrantView, wanted: &Wanted<'_>) -> u8 {
    let terms = &grant.terms;
    let covers = terms.purposes.contains(wanted.purpose)
        && wanted.items.iter().all(|item| terms.items.contains(item))
        && (terms.branch.is_empty() || *terms.branch == *wanted.branch);
    let live = grant.status == wire::ConsentStatus::Active
        && (terms.valid_from..terms.valid_until).contains(&wanted.now)
        && grant.uses < u64::from(terms.max_uses);
    match (covers, live) {
        (true, true) => 3,
        (true, false) => 2,
        (false, true) => 1,
        (false, false) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ConsentStatus as S;
    use xinqiao_crypto::sm3;
    use xinqiao_ledger::{ids::Subject, text::Branch};

    fn codes(list: &[&str]) -> Vec<ItemCode> {
        list.iter().map(|code| code.parse().unwrap()).collect()
    }

    fn id(name: &str) -> GrantId {
        GrantId(sm3(name.as_bytes()))
    }

    fn grant(name: &str, change: impl FnOnce(&mut GrantView)) -> GrantView {
        let mut view = GrantView {
            id: id(name),
            terms: ConsentTerms {
                subject: Subject(sm3(b"subject")),
                grantee: "js-bank".parse().unwrap(),
                branch: Branch::default(),
                purposes: vec!["loan".parse().unwrap()],
                items: codes(&["court", "tax"]),
                sources: vec![],
                valid_from: 100,
                valid_until: 200,
                max_uses: 3,
                frequency: None,
                data_life_days: 1,
                onward_sharing: false,
                document_digest: sm3(b""),
                text_digest: sm3(b""),
            },
            status: S::Active,
            uses: 0,
        };
        change(&mut view);
        view
    }

    fn check(what: &str, grants: &[GrantView], items: &[&str], expected: (&str, &[&str])) {
        let items = codes(items);
        let wanted = Wanted {
            grant: None,
            branch: "suzhou",
            purpose: &"loan".parse().unwrap(),
            items: &items,
            now: 150,
        };
        let choice = choose(grants, &wanted, &codes(&["court", "power", "tax"]));
        let expected = Choice {
            grant: match expected.0 {
                "" => GrantId(Digest::ZERO),
                name => id(name),
            },
            items: codes(expected.1),
        };
        assert_eq!(choice, expected, "{what}");
    }

    #[test]
    fn the_newest_live_grant_that_covers_the_query_is_chosen() {
        let live = || grant("live", |_| ());
        let all: &[&str] = &["court", "tax"];
        check("none at all", &[], &[], ("", &["court", "power", "tax"]));
        check("none, items named", &[], &["tax"], ("", &["tax"]));
        check("one", &[live()], &[], ("live", all));
        check("fewer items", &[live()], &["tax"], ("live", &["tax"]));
        check(
            "the newer of two",
            &[live(), grant("newer", |_| ())],
            &[],
            ("newer", all),
        );
        type Change = fn(&mut GrantView);
        let cases: [(&str, Change); 9] = [
            ("paused", |g| g.status = S::Paused),
            ("revoked", |g| g.status = S::Revoked),
            ("requested", |g| g.status = S::Requested),
            ("not yet valid", |g| g.terms.valid_from = 151),
            ("over", |g| g.terms.valid_until = 150),
            ("used up", |g| g.uses = 3),
            ("other purpose", |g| {
                g.terms.purposes = vec!["audit".parse().unwrap()];
            }),
            ("other branch", |g| {
                g.terms.branch = "nanjing".parse().unwrap()
            }),
            ("item not covered", |g| g.terms.items = codes(&["court"])),
        ];
        for (what, change) in cases {
            let worse = grant(what, change);
            check(what, &[live(), worse], &["tax"], ("live", &["tax"]));
        }
    }

    #[test]
    fn when_none_fits_the_nearest_is_named_so_that_the_contract_refuses_with_the_reason() {
        let revoked = grant("revoked", |g| g.status = S::Revoked);
        let elsewhere = grant("elsewhere", |g| g.terms.items = codes(&["court"]));
        check(
            "covering beats live",
            &[revoked.clone(), elsewhere.clone()],
            &["tax"],
            ("revoked", &["tax"]),
        );
        check(
            "live beats neither",
            &[
                elsewhere,
                grant("n", |g| {
                    g.terms.items = codes(&["court"]);
                    g.status = S::Expired;
                }),
            ],
            &["tax"],
            ("elsewhere", &["tax"]),
        );
    }

    #[test]
    fn a_named_grant_is_used_whatever_it_is() {
        let purpose = "loan".parse().unwrap();
        for (name, items) in [("paused", vec!["court", "tax"]), ("unknown", vec!["power"])] {
            let wanted = Wanted {
                grant: Some(id(name)),
                branch: "",
                purpose: &purpose,
                items: &[],
                now: 150,
            };
            let grants = [
                grant("live", |_| ()),
                grant("paused", |g| g.status = S::Paused),
            ];
            let choice = choose(&grants, &wanted, &codes(&["power"]));
            assert_eq!((choice.grant, choice.items), (id(name), codes(&items)));
        }
    }
}
