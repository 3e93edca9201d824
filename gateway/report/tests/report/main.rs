//! Reports from the outside: what is in order, what contradicts, what is missing, and that pages are inert.

#![allow(clippy::unwrap_used, reason = "test code throughout")]

mod sample;

use sample::{ROWS, Row, answer, occasion};
use serde_json::{Value, json};
use xinqiao_ledger::{
    catalogue::json::Json,
    wire::{self, ItemStatus},
};
use xinqiao_report::{
    Error, Lang,
    compare::{self, Conflict, MAX_CONFLICTS, MAX_SHOWN},
    html, json as layout, lines,
};

fn of(rows: &[Row]) -> wire::QueryReportResponse {
    answer(&xinqiao_catalogue::first().unwrap(), rows)
}

#[test]
fn items_stand_in_the_catalogues_order_and_say_how_much_came() {
    let report = of(ROWS);
    let items: Vec<(&str, ItemStatus, usize)> = (report.items.iter())
        .map(|item| (&*item.item, item.status(), item.sections.len()))
        .collect();
    use ItemStatus::{Complete, Failed, NotHeld};
    assert_eq!(
        items,
        [
            ("business_registration", Complete, 2),
            ("shareholders", Complete, 2),
            ("key_personnel", Complete, 1),
            ("balance_sheet", Complete, 1),
            ("tax_credit_rating", Complete, 1),
            ("tax_payment", Complete, 1),
            ("tax_arrears", Complete, 1),
            ("customs", NotHeld, 0),
            ("litigation", Failed, 0),
            ("enforcement", Failed, 0),
            ("administrative_penalty", Complete, 1),
            ("intellectual_property", Complete, 1),
        ]
    );
    assert_eq!(report.items[8].failed_parts, [3]);
    let stale: Vec<usize> = (0..ROWS.len())
        .filter(|at| report.sections[*at].stale)
        .collect();
    assert_eq!(stale, [1, 6]);
    assert!(
        report
            .sections
            .iter()
            .all(|section| section.faults.is_empty())
    );
    // Every version is some item's, once.
    let mut places: Vec<u32> = report
        .items
        .iter()
        .flat_map(|item| item.sections.clone())
        .collect();
    places.sort_unstable();
    assert_eq!(places, (0..11).collect::<Vec<u32>>());
}

#[test]
fn an_item_that_came_from_one_holder_and_not_from_another_came_in_part() {
    let rows = [("litigation", 0, 20_600, r#"{"entries":[]}"#)];
    let report = of(&rows);
    let item = report
        .items
        .iter()
        .find(|item| item.item == "litigation")
        .unwrap();
    assert_eq!(item.status(), ItemStatus::Partial);
    assert_eq!(
        (&item.sections[..], &item.failed_parts[..]),
        (&[0][..], &[3][..])
    );
}

/// The conflicts between versions of an item of the first catalogue, as `about field value|value`.
fn conflicts(code: &str, versions: &[&str]) -> Vec<String> {
    let catalogue = xinqiao_catalogue::first().unwrap();
    let schema = catalogue.item(&code.parse().unwrap()).unwrap();
    let read: Vec<_> = versions
        .iter()
        .map(|json| Json::read(json.as_bytes()).unwrap())
        .collect();
    let numbered: Vec<_> = read.iter().enumerate().collect();
    let (found, more) = compare::conflicts(schema, &numbered);
    assert!(!more);
    let told = |conflict: Conflict| {
        let values: Vec<String> = (conflict.values.into_iter())
            .map(|(at, value)| format!("{at}={}", value.unwrap_or_default()))
            .collect();
        let field = conflict.field.map(String::from).unwrap_or_default();
        format!("{} {field} {}", conflict.about, values.join("|"))
    };
    found.into_iter().map(told).collect()
}

#[test]
fn what_sources_say_differently_is_named() {
    type Table = &'static [(
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    )];
    #[rustfmt::skip]
    let rows: Table = &[
        // A record of which there is but one.
        ("business_registration", &[r#"{"name":"a"}"#, r#"{"name":"a"}"#], &[]),
        ("business_registration", &[r#"{"name":"a"}"#, r#"{"name":"b"}"#], &[r#" name 0="a"|1="b""#]),
        ("business_registration", &[r#"{"name":"a"}"#, r#"{"name":"b"}"#, r#"{"name":"a"}"#], &[r#" name 0="a"|1="b"|2="a""#]),
        // Who says nothing contradicts nobody; and is named as silent where others differ.
        ("business_registration", &[r#"{"name":"a"}"#, r#"{"name":null}"#], &[]),
        ("business_registration", &[r#"{"name":"a"}"#, r"{}", r#"{"name":"b"}"#], &[r#" name 0="a"|1=|2="b""#]),
        // Width and blanks are no difference; anything else is.
        ("business_registration", &[r#"{"name":"上海(集团) 公司"}"#, r#"{"name":"上海（集团）公司"}"#], &[]),
        ("business_registration", &[r#"{"name":"A"}"#, r#"{"name":"a"}"#], &[r#" name 0="A"|1="a""#]),
        // Records about different periods are not compared.
        ("social_security", &[r#"{"insured":1,"period":"2024"}"#, r#"{"insured":2,"period":"2025"}"#], &[]),
        ("social_security", &[r#"{"insured":1,"period":"2025"}"#, r#"{"insured":2,"period":"2025"}"#], &[r#"{"period":"2025"} insured 0=1|1=2"#]),
        // What has no place in the schema is shown, and not compared.
        ("social_security", &[r#"{"period":"2025","x":1}"#, r#"{"period":"2025","x":2}"#], &[]),
        // A record of another kind takes no part.
        ("social_security", &[r#"{"insured":1,"period":"2025"}"#, "[]"], &[]),
        // Lists, entry by entry; their order is no difference.
        ("litigation", &[r#"{"entries":[{"case":"1","role":"plaintiff"},{"case":"2"}]}"#, r#"{"entries":[{"case":"2"},{"case":"1","role":"defendant"}]}"#],
            &[r#"{"case":"1"} role 0="plaintiff"|1="defendant""#]),
        // Courts have different judgments; shareholders are the same everywhere.
        ("litigation", &[r#"{"entries":[{"case":"1"}]}"#, r#"{"entries":[]}"#], &[]),
        ("shareholders", &[r#"{"entries":[{"name":"王伟"}]}"#, r#"{"entries":[]}"#], &[r#"{"name":"王伟"}  0={"name":"王伟"}|1="#]),
        ("shareholders", &[r#"{"entries":[{"name":"甲（有限合伙）"}]}"#, r#"{"entries":[{"name":"甲(有限合伙)"}]}"#], &[]),
        // Two entries about the same, in one source.
        ("shareholders", &[r#"{"entries":[{"due_on":"2025-01-01","name":"甲"},{"due_on":"2026-01-01","name":"甲"}]}"#, r#"{"entries":[{"due_on":"2026-01-01","name":"甲"}]}"#],
            &[r#"{"name":"甲"} due_on 0=["2025-01-01","2026-01-01"]|1="2026-01-01""#]),
        // Both parts of a key count.
        ("key_personnel", &[r#"{"entries":[{"name":"甲","position":"监事"}]}"#, r#"{"entries":[{"name":"甲","position":"董事"}]}"#],
            &[r#"{"name":"甲","position":"监事"}  0={"name":"甲","position":"监事"}|1="#, r#"{"name":"甲","position":"董事"}  0=|1={"name":"甲","position":"董事"}"#]),
    ];
    for (code, versions, wanted) in rows {
        assert_eq!(conflicts(code, versions), *wanted, "{code} {versions:?}");
    }
}

#[test]
fn conflicts_and_what_they_repeat_are_bounded() {
    let catalogue = xinqiao_catalogue::first().unwrap();
    let schema = catalogue.item(&"shareholders".parse().unwrap()).unwrap();
    let entries: Vec<String> = (0..200).map(|at| format!(r#"{{"name":"{at}"}}"#)).collect();
    let many = format!(r#"{{"entries":[{}]}}"#, entries.join(","));
    let long = format!(r#"{{"entries":[{{"name":"{}"}}]}}"#, "长".repeat(100_000));
    let read = |text| Json::read(str::as_bytes(text)).unwrap();
    let (none, many, long) = (read(r#"{"entries":[]}"#), read(&many), read(&long));
    let (found, more) = compare::conflicts(schema, &[(0, &many), (1, &none)]);
    assert_eq!((found.len(), more), (MAX_CONFLICTS, true));
    let (found, more) = compare::conflicts(schema, &[(0, &long), (1, &none)]);
    assert_eq!((found.len(), more), (1, false));
    assert!(found[0].about.len() <= MAX_SHOWN && found[0].about.ends_with("…\""));
}

/// Everything of an answer that a stranger writes, set to something hostile.
fn hostile(evil: &str) -> wire::QueryReportResponse {
    let evil_json = Json::Text(evil.into()).to_string();
    let record: &'static str = Box::leak(
        format!(
            r#"{{"name":{evil_json},"x{}":{evil_json}}}"#,
            &evil_json[1..evil_json.len() - 1]
        )
        .into_boxed_str(),
    );
    let list: &'static str = Box::leak(
        format!(r#"{{"entries":[{{"name":{evil_json},"share":{evil_json},"zz":{evil_json}}}]}}"#)
            .into_boxed_str(),
    );
    let rows = [
        ("business_registration", 0, 20_600, record),
        ("business_registration", 1, 20_600, r#"{"name":"another"}"#),
        ("shareholders", 0, 20_600, list),
        ("shareholders", 1, 20_600, r#"{"entries":[]}"#),
        (
            "tax_payment",
            2,
            20_600,
            Box::leak(evil.to_owned().into_boxed_str()) as &'static str,
        ),
        ("customs", 2, 20_600, record),
    ];
    let mut report = of(&rows);
    report.institution = evil.into();
    for section in &mut report.sections {
        section.source_name = evil.into();
        section.objections = vec![wire::ObjectionMark {
            item: evil.into(),
            ..Default::default()
        }];
    }
    for part in &mut report.parts {
        (part.source_name, part.reason) = (evil.into(), evil.into());
    }
    report
}

#[test]
fn hostile_content_is_inert_on_a_page() {
    for evil in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</style><script>alert(1)</script>",
        "'><svg/onload=alert(1)>",
        "{{7*7}}<iframe src=//evil>",
        "&lt;script&gt;<b>",
    ] {
        for lang in [Lang::Zh, Lang::En, Lang::Both] {
            let mut occasion = occasion();
            (occasion.user, occasion.uscc) = (evil.into(), evil.into());
            occasion.purpose = evil.into();
            let page = html::report(&hostile(evil), &occasion, lang).unwrap();
            let tags: Vec<&str> = page
                .split('<')
                .skip(1)
                .filter_map(|rest| {
                    rest.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '!')))
                        .next()
                })
                .collect();
            for tag in &tags {
                let name = tag.trim_start_matches('/');
                assert!(
                    [
                        "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "main",
                        "header", "div", "span", "h1", "h2", "h3", "dl", "dt", "dd", "section",
                        "article", "table", "thead", "tbody", "tr", "th", "td", "b", "br", "p",
                        "pre", "ul", "li", "caption", "footer",
                    ]
                    .contains(&name),
                    "{evil}: {tag}"
                );
            }
            assert!(!page.contains(evil), "{evil}");
            // The evil `b` is not one of ours: those stand in tiles alone.
            assert_eq!(page.matches("<b>").count(), 7, "{evil}");
            assert!(page.contains("default-src 'none'"));
            for word in ["http://", "https://", "@import", "url("] {
                let ours = page.replace(&html_text(evil), "");
                assert!(!ours.contains(word), "{word}");
            }
        }
    }
}

fn html_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[test]
fn hostile_content_moves_no_cursor_on_a_terminal() {
    let report = hostile("a\u{1b}[2J\u{202e}b\r\n\u{7}");
    for section in &report.sections {
        for line in lines::content(&report, section, Lang::Both) {
            assert!(
                !line.chars().any(|c| c.is_control() || c == '\u{202e}'),
                "{line:?}"
            );
        }
    }
    let conflicts = lines::conflicts(&report, Lang::Zh);
    assert!(!conflicts.is_empty());
    assert!(
        conflicts
            .iter()
            .all(|line| !line.chars().any(char::is_control))
    );
}

#[test]
fn what_is_objected_to_is_marked_on_the_page_and_in_json() {
    let mut report = of(ROWS);
    report.sections[0].objections = [false, true]
        .map(|unresolved| wire::ObjectionMark {
            item: report.sections[0].item.clone(),
            objection: vec![7; 32],
            // 2026-07-31 23:59:59 UTC: the next day in China.
            filed_at_ms: 1_785_542_399_000,
            unresolved,
        })
        .to_vec();
    for (lang, texts) in [
        (
            Lang::Zh,
            ["信息主体 2026-08-01 提出异议，核查中", "经核查仍不能确认"],
        ),
        (
            Lang::En,
            [
                "objection filed on 2026-08-01, being looked into",
                "looked into, could not be established",
            ],
        ),
    ] {
        let page = html::report(&report, &occasion(), lang).unwrap();
        for text in texts {
            assert_eq!(page.matches(text).count(), 1, "{text}");
        }
    }
    let whole = layout::report(&report, &occasion());
    let marked: Vec<_> = (whole["items"].as_array().unwrap().iter())
        .flat_map(|item| item["versions"].as_array().unwrap())
        .filter(|version| version["objections"] != json!([]))
        .collect();
    assert_eq!(marked.len(), 1);
    assert_eq!(
        marked[0]["objections"],
        json!([
            {"objection": "07".repeat(32), "filed_at_ms": 1_785_542_399_000_u64, "unresolved": false},
            {"objection": "07".repeat(32), "filed_at_ms": 1_785_542_399_000_u64, "unresolved": true},
        ])
    );
}

#[test]
fn a_page_shows_labels_values_conflicts_and_what_is_missing_in_its_language() {
    let report = of(ROWS);
    let pages: Vec<String> = [Lang::Zh, Lang::En, Lang::Both]
        .map(|lang| html::report(&report, &occasion(), lang).unwrap())
        .to_vec();
    for page in &pages {
        for text in [
            "苏州恒信精密机械有限公司",
            "35,000,000.00",
            "30,000,000.00",
            "class=\"conflict\"",
            "苏环罚〔2025〕118号",
            "2026-07-31 10:15:30 (UTC+8)",
            &"a1".repeat(32),
        ] {
            assert!(page.contains(text), "{text}");
        }
    }
    for (text, zh, en, both) in [
        ("注册资本", true, false, true),
        ("Registered capital", false, true, true),
        ("存续", true, false, true),
        (">Active<", false, true, false),
        ("数据源未在期限内答复（DEADLINE）", true, false, true),
        (
            "The source did not answer in time (DEADLINE)",
            false,
            true,
            true,
        ),
        ("贷前审批", true, false, true),
        ("该数据源确认无记录。", true, false, true),
        ("No source holds this item", false, true, true),
    ] {
        let has: Vec<bool> = pages.iter().map(|page| page.contains(text)).collect();
        assert_eq!(has, [zh, en, both], "{text}");
    }
}

#[test]
fn what_does_not_conform_is_shown_with_what_is_wrong() {
    let rows: [Row; 3] = [
        (
            "tax_payment",
            2,
            20_600,
            r#"{"period":"2025","value_added_tax":"viel","extra":{"a":1}}"#,
        ),
        (
            "tax_credit_rating",
            2,
            20_600,
            r#"{"extra":{"a":1},"grade":"AAA","year":2025}"#,
        ),
        ("loans", 0, 20_600, r#"{"entries":"none"}"#),
    ];
    let report = of(&rows);
    let faults: Vec<Vec<(&str, &str)>> = (report.sections.iter())
        .map(|section| {
            section
                .faults
                .iter()
                .map(|fault| (&*fault.path, &*fault.code))
                .collect()
        })
        .collect();
    assert_eq!(
        faults,
        [
            // Its members are not in order.
            vec![("", "NOT_CANONICAL")],
            vec![("grade", "UNKNOWN_CODE"), ("extra", "UNKNOWN_FIELD")],
            vec![("entries", "TYPE")],
        ]
    );
    let page = html::report(&report, &occasion(), Lang::En).unwrap();
    for text in [
        "viel",
        "AAA",
        "{&quot;a&quot;:1}",
        "{&quot;entries&quot;:&quot;none&quot;}",
        "grade: is none of the codes",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn json_keeps_its_layout() {
    let report = of(&ROWS[..3]);
    let value = layout::report(&report, &occasion());
    assert_eq!(value["layout"], "xinqiao.report/1");
    let item = &value["items"][0];
    assert_eq!(item["item"], "business_registration");
    assert_eq!(item["status"], "complete");
    let version = &item["versions"][1];
    assert_eq!(version["source"], "shanghai-register");
    assert_eq!(
        (&version["as_of"], &version["verified"], &version["stale"]),
        (&json!("2025-01-12"), &json!(true), &json!(true))
    );
    assert_eq!(
        version["content"]["registered_capital"]["amount"],
        "30000000.00"
    );
    assert_eq!(version["canonical"], ROWS[1].3);
    assert_eq!(version["proof"]["root"], "11".repeat(32));
    assert_eq!(
        item["conflicts"][0],
        json!({"about": null, "field": "registered_capital", "values": [
            {"source": "jiangsu-register", "value": {"amount": "35000000.00", "currency": "CNY"}},
            {"source": "shanghai-register", "value": {"amount": "30000000.00", "currency": "CNY"}},
        ]})
    );
    let failed: Vec<&Value> = value["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["status"] == "failed")
        .collect();
    assert_eq!(
        failed[0]["failed"][0],
        json!({"source": "zhejiang-court", "source_name": "浙江司法信息", "status": "expired", "reason": "DEADLINE"})
    );
    assert_eq!(value["missing_items"], json!(["customs"]));
    let mut keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "asked_at_ms",
            "catalogue_version",
            "elapsed_us",
            "grant",
            "institution",
            "items",
            "layout",
            "missing_items",
            "order",
            "parts",
            "placed_at_height",
            "purpose",
            "uscc",
            "user",
        ]
    );
}

#[test]
fn an_answer_without_its_catalogue_is_no_page() {
    let mut report = of(ROWS);
    report.catalogue = None;
    let fault = html::report(&report, &occasion(), Lang::Zh).unwrap_err();
    assert!(matches!(fault, Error::NoCatalogue));
}
