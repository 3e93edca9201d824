//! A report as it might come back: eleven items of four sources, one of which did not answer.

use xinqiao_ledger::{
    catalogue::Catalogue,
    ids::ItemCode,
    wire::{self, PartStatus},
};
use xinqiao_report::{
    Occasion,
    composite::{Version, compose, excerpt},
};

/// The day on which it is asked for: 2026-07-31.
pub(crate) const TODAY: u32 = 20_665;

/// Item, source, as-of day, canonical JSON.
pub(crate) type Row = (&'static str, usize, u32, &'static str);

pub(crate) const SOURCES: [(&str, &str); 4] = [
    ("jiangsu-register", "江苏市场监管"),
    ("shanghai-register", "上海市场监管"),
    ("jiangsu-tax", "江苏税务"),
    ("zhejiang-court", "浙江司法信息"),
];

pub(crate) const ROWS: &[Row] = &[
    (
        "business_registration",
        0,
        20_634,
        r#"{"address":"苏州市姑苏区人民路1288号1602室","authority":"苏州市市场监督管理局","established":"2008-06-13","industry":"制造业","legal_representative":"陆建华","name":"苏州恒信精密机械有限公司","registered_capital":{"amount":"35000000.00","currency":"CNY"},"scope":"精密机械、模具及零部件的设计、制造、销售；自有设备租赁；货物及技术进出口。（依法须经批准的项目，经相关部门批准后方可开展经营活动）","status":"active","type":"有限责任公司"}"#,
    ),
    (
        "business_registration",
        1,
        20_100,
        r#"{"address":"苏州市姑苏区人民路1288号","established":"2008-06-13","name":"苏州恒信精密机械有限公司","registered_capital":{"amount":"30000000.00","currency":"CNY"},"status":"active","type":"有限责任公司"}"#,
    ),
    (
        "shareholders",
        0,
        20_634,
        r#"{"entries":[{"kind":"person","name":"陆建华","paid_in":{"amount":"14000000.00","currency":"CNY"},"share":{"unit":"%","value":"60"},"subscribed":{"amount":"21000000.00","currency":"CNY"}},{"kind":"enterprise","name":"苏州德润投资管理合伙企业（有限合伙）","paid_in":{"amount":"14000000.00","currency":"CNY"},"share":{"unit":"%","value":"40"},"subscribed":{"amount":"14000000.00","currency":"CNY"}}]}"#,
    ),
    (
        "shareholders",
        1,
        20_600,
        r#"{"entries":[{"kind":"person","name":"陆建华","share":{"unit":"%","value":"55"}},{"kind":"enterprise","name":"苏州德润投资管理合伙企业(有限合伙)","share":{"unit":"%","value":"40"}},{"kind":"person","name":"沈晓燕","share":{"unit":"%","value":"5"}}]}"#,
    ),
    (
        "key_personnel",
        0,
        20_634,
        r#"{"entries":[{"name":"陆建华","position":"执行董事","since":"2018-03-01"},{"name":"沈晓燕","position":"监事","since":"2018-03-01"},{"name":"顾明","position":"总经理","since":"2021-09-15"}]}"#,
    ),
    (
        "tax_payment",
        2,
        20_634,
        r#"{"income_tax":{"amount":"1284500.32","currency":"CNY"},"late_filings":0,"other_taxes":{"amount":"186220.00","currency":"CNY"},"period":"2025","taxable_sales":{"amount":"86420000.00","currency":"CNY"},"value_added_tax":{"amount":"3920114.08","currency":"CNY"}}"#,
    ),
    (
        "tax_credit_rating",
        2,
        19_900,
        r#"{"authority":"国家税务总局苏州市税务局","grade":"A","status":"normal","taxpayer":"general","year":2025}"#,
    ),
    ("tax_arrears", 2, 20_634, r#"{"entries":[]}"#),
    (
        "balance_sheet",
        2,
        20_454,
        r#"{"audited":"audited","cash":{"amount":"6210000.00","currency":"CNY"},"current_assets":{"amount":"48200000.00","currency":"CNY"},"current_liabilities":{"amount":"31500000.00","currency":"CNY"},"equity":{"amount":"41200000.00","currency":"CNY"},"fixed_assets":{"amount":"27600000.00","currency":"CNY"},"inventories":{"amount":"15310000.00","currency":"CNY"},"period":"2025","receivables":{"amount":"19800000.00","currency":"CNY"},"short_term_loans":{"amount":"12000000.00","currency":"CNY"},"total_assets":{"amount":"78900000.00","currency":"CNY"},"total_liabilities":{"amount":"37700000.00","currency":"CNY"}}"#,
    ),
    (
        "administrative_penalty",
        0,
        20_634,
        r#"{"entries":[{"authority":"苏州市生态环境局","decided_on":"2025-11-03","document":"苏环罚〔2025〕118号","facts":"未按规定填报危险废物管理台账","fined":{"amount":"20000.00","currency":"CNY"},"kind":"fine"}]}"#,
    ),
    (
        "intellectual_property",
        0,
        20_634,
        r#"{"entries":[{"granted_on":"2023-05-09","kind":"invention","name":"一种高精度模具自动校准装置","number":"ZL202110388412.7","until":"2041-04-12"},{"granted_on":"2024-12-06","kind":"certificate","name":"高新技术企业","number":"GR202432001877","until":"2027-12-06"}]}"#,
    ),
];

pub(crate) fn occasion() -> Occasion {
    Occasion {
        uscc: "91350100M000100Y43".into(),
        purpose: "loan_approval".into(),
        user: "clerk-7".into(),
        reason: |code| {
            (code == "DEADLINE")
                .then_some(("数据源未在期限内答复", "The source did not answer in time"))
        },
    }
}

/// An answer of these rows. The court, whose items are `litigation` and `enforcement`, brings nothing.
pub(crate) fn answer(catalogue: &Catalogue, rows: &[Row]) -> wire::QueryReportResponse {
    let codes: Vec<ItemCode> = rows.iter().map(|row| row.0.parse().unwrap()).collect();
    let versions: Vec<Version<'_>> = (rows.iter().zip(&codes))
        .map(|(row, item)| Version {
            item,
            part: row.1,
            as_of_day: row.2,
            json: row.3,
        })
        .collect();
    let mut held: Vec<Vec<ItemCode>> = (0..3)
        .map(|source| {
            let own = rows.iter().zip(&codes).filter(|(row, _)| row.1 == source);
            own.map(|(_, code)| code.clone()).collect()
        })
        .collect();
    held.push(vec![
        "enforcement".parse().unwrap(),
        "litigation".parse().unwrap(),
    ]);
    let parts: Vec<&[ItemCode]> = held.iter().map(Vec::as_slice).collect();
    let missing: Vec<ItemCode> = vec!["customs".parse().unwrap()];
    let composite = compose(catalogue, &versions, &parts, &missing, TODAY);
    let mut sections: Vec<wire::ReportSection> = (rows.iter().enumerate())
        .map(|(at, row)| {
            let schema = catalogue.item(&codes[at]);
            wire::ReportSection {
                item: row.0.into(),
                name_zh: schema
                    .map(|schema| schema.name_zh.to_string())
                    .unwrap_or_default(),
                name_en: schema
                    .map(|schema| schema.name_en.to_string())
                    .unwrap_or_default(),
                source: SOURCES[row.1].0.into(),
                source_name: SOURCES[row.1].1.into(),
                as_of_day: row.2,
                json: row.3.into(),
                proof: Some(wire::ItemProof {
                    salt: vec![7; 32],
                    path: Some(wire::MerklePath {
                        index: at as u64,
                        size: 9,
                        siblings: vec![vec![8; 32]; 4],
                    }),
                    root: vec![0x10 + u8::try_from(at).unwrap(); 32],
                    registered_at_height: 40 + at as u64,
                }),
                ..Default::default()
            }
        })
        .collect();
    for (section, mark) in sections.iter_mut().zip(composite.marks) {
        mark.put(section);
    }
    let items: Vec<wire::ReportItem> = (composite.items.into_iter())
        .map(|item| item.into_wire(catalogue))
        .collect();
    wire::QueryReportResponse {
        order: vec![0xa1; 32],
        grant: vec![0xb2; 32],
        sections,
        parts: (held.iter().enumerate())
            .map(|(at, items)| wire::PartOutcome {
                part: u32::try_from(at).unwrap(),
                source: SOURCES[at].0.into(),
                source_name: SOURCES[at].1.into(),
                items: items.iter().map(ToString::to_string).collect(),
                status: if at < 3 {
                    PartStatus::Confirmed
                } else {
                    PartStatus::Expired
                }
                .into(),
                reason: if at < 3 {
                    String::new()
                } else {
                    "DEADLINE".into()
                },
                elapsed_us: if at < 3 { 8_412 } else { 0 },
            })
            .collect(),
        missing_items: vec!["customs".into()],
        placed_at_height: 512,
        elapsed_us: 1_502_000,
        catalogue: Some(excerpt(catalogue, &items)),
        items,
        catalogue_version: catalogue.version,
        asked_at_ms: u64::from(TODAY) * 86_400_000 + 8_130_000,
        institution: "js-bank".into(),
    }
}
