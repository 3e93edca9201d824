//! The six invented sources, two a region: their items, fields, columns, and how cells are made up.
//!
//! One table gives both the CSV columns and the mapping, so the two cannot drift apart. Cells use the
//! mixed notations of real registers (`1,000(万元人民币)`, `2019年1月2日`, `N/A`).

use super::Region;
use super::profile::Profile;
use super::seed::Seeded;
use crate::value::format_date;

pub(super) struct SourceSpec {
    pub(super) region: Region,
    pub(super) name: &'static str,
    pub(super) name_zh: &'static str,
    pub(super) items: &'static [ItemSpec],
}

pub(super) struct ItemSpec {
    pub(super) code: &'static str,
    /// In how many of 100 rows the item is there.
    pub(super) chance: u64,
    pub(super) fields: &'static [FieldSpec],
}

pub(super) struct FieldSpec {
    pub(super) name: &'static str,
    pub(super) column: &'static str,
    /// What follows `type = ` in the mapping.
    pub(super) kind: &'static str,
    pub(super) cell: fn(&mut Seeded, &Profile) -> String,
}

macro_rules! item {
    ($code:literal, $chance:literal, $($name:literal / $column:literal : $kind:literal = $cell:expr;)+) => {
        ItemSpec {
            code: $code,
            chance: $chance,
            fields: &[$(FieldSpec { name: $name, column: $column, kind: $kind, cell: $cell }),+],
        }
    };
}

pub(super) const SOURCES: &[SourceSpec] = &[
    SourceSpec {
        region: Region::Shanghai,
        name: "shanghai-customs",
        name_zh: "上海海关",
        items: &[
            item!("customs_declaration", 100,
                "period" / "统计期间": "\"text\", max_length = 16" = |_, _| "2026年上半年".into();
                "declarations" / "报关单数": "\"integer\"" = |s, p| s.between(1, p.staff * 3).to_string();
                "exports" / "出口额": "\"money\", currency = \"USD\"" = |s, p| format!("{}(万美元)", grouped(s.between(1, p.staff * 9)));
                "imports" / "进口额": "\"money\", currency = \"USD\"" = |s, p| format!("{}.{:02}", s.between(0, p.staff * 9000), s.between(0, 99));
            ),
            item!("customs_credit_rating", 80,
                "grade" / "企业信用等级": "\"text\", max_length = 32" = |s, _| s.pick(&["高级认证企业", "一般信用企业", "失信企业"]).into();
                "rated_on" / "认定日期": "\"date\"" = recent_day;
            ),
        ],
    },
    SourceSpec {
        region: Region::Shanghai,
        name: "shanghai-court",
        name_zh: "上海司法信息",
        items: &[
            item!("judicial_litigation", 90,
                "as_plaintiff" / "原告案件数": "\"integer\"" = |s, _| s.between(0, 6).to_string();
                "as_defendant" / "被告案件数": "\"integer\"" = |s, _| s.between(0, 4).to_string();
                "amount_in_dispute" / "涉案金额": "\"money\"" = |s, _| format!("{}元", grouped(s.between(10_000, 9_000_000)));
                "latest_filed_on" / "最近立案日期": "\"date\"" = recent_day;
            ),
            item!("judicial_enforcement", 30,
                "cases" / "执行案件数": "\"integer\"" = |s, _| s.between(1, 3).to_string();
                "unpaid" / "未履行金额": "\"money\"" = |s, _| format!("{}(万元)", s.between(0, 300));
                "court" / "执行法院": "\"text\", max_length = 100" = |_, p| format!("{}市中级人民法院", p.city);
            ),
        ],
    },
    SourceSpec {
        region: Region::Jiangsu,
        name: "jiangsu-register",
        name_zh: "江苏市场监管",
        items: &[
            item!("business_registration", 100,
                "name" / "企业名称": "\"text\", max_length = 200" = |_, p| p.name.clone();
                "type" / "企业类型": "\"text\", max_length = 100" = |_, p| p.kind.into();
                "established" / "成立日期": "\"date\"" = |_, p| format_date(p.established);
                "status" / "登记状态": "\"text\", max_length = 16" = |s, _| if s.chance(95) { "存续" } else { "注销" }.into();
            ),
            item!("registered_capital", 95,
                "amount" / "注册资本": "\"money\"" = registered_capital;
            ),
            item!("business_scope", 100,
                "scope" / "经营范围": "\"text\", max_length = 4000" = |_, p| p.scope.into();
            ),
            item!("registered_address", 100,
                "address" / "住所": "\"text\", max_length = 400" = |_, p| p.address.clone();
            ),
            item!("administrative_penalty", 15,
                "penalties" / "处罚次数": "\"integer\"" = |s, _| s.between(1, 4).to_string();
                "fined" / "罚款总额": "\"money\"" = |s, _| format!("{}.00", s.between(500, 90_000));
                "latest_on" / "最近处罚日期": "\"date\"" = recent_day;
            ),
        ],
    },
    SourceSpec {
        region: Region::Jiangsu,
        name: "jiangsu-tax",
        name_zh: "江苏税务",
        items: &[
            item!("tax_payment", 100,
                "period" / "所属期": "\"text\", max_length = 16" = |_, _| "2025年度".into();
                "value_added_tax" / "增值税": "\"money\"" = |s, p| yuan(s, p.staff * 30_000);
                "income_tax" / "企业所得税": "\"money\"" = |s, p| yuan(s, p.staff * 12_000);
            ),
            item!("tax_credit_rating", 90,
                "grade" / "纳税信用等级": "\"text\", max_length = 4" = |s, _| s.pick(&["A", "B", "B", "M", "C", "D"]).into();
                "year" / "评价年度": "\"integer\"" = |_, _| "2025".into();
            ),
            item!("tax_arrears", 12,
                "amount" / "欠税余额": "\"money\"" = |s, p| yuan(s, p.staff * 2_000);
                "since" / "欠税起始日": "\"date\"" = recent_day;
            ),
        ],
    },
    SourceSpec {
        region: Region::Zhejiang,
        name: "zhejiang-utility",
        name_zh: "浙江公用事业",
        items: &[
            item!("electricity_payment", 100,
                "consumption" / "用电量": "\"decimal\", unit = \"kWh\"" = |s, p| format!("{}.{}", grouped(s.between(500, p.staff * 4000)), s.between(0, 9));
                "billed" / "电费": "\"money\"" = |s, p| yuan(s, p.staff * 3_000);
                "overdue_times" / "电费逾期次数": "\"integer\"" = |s, _| s.between(0, 3).to_string();
            ),
            item!("water_payment", 95,
                "consumption" / "用水量": "\"decimal\", unit = \"m³\"" = |s, p| s.between(20, p.staff * 60).to_string();
                "billed" / "水费": "\"money\"" = |s, p| yuan(s, p.staff * 200);
                "overdue_times" / "水费逾期次数": "\"integer\"" = |s, _| s.between(0, 3).to_string();
            ),
            item!("gas_payment", 45,
                "consumption" / "用气量": "\"decimal\", unit = \"m³\"" = |s, p| s.between(20, p.staff * 90).to_string();
                "billed" / "燃气费": "\"money\"" = |s, p| yuan(s, p.staff * 350);
                "overdue_times" / "燃气费逾期次数": "\"integer\"" = |s, _| s.between(0, 3).to_string();
            ),
        ],
    },
    SourceSpec {
        region: Region::Zhejiang,
        name: "zhejiang-social-security",
        name_zh: "浙江人力社保",
        items: &[
            item!("social_security", 100,
                "insured" / "参保人数": "\"integer\"" = |_, p| p.staff.to_string();
                "paid" / "缴费金额": "\"money\"" = |s, p| yuan(s, p.staff * 18_000);
                "months_in_arrears" / "欠缴月数": "\"integer\"" = |s, _| if s.chance(88) { 0 } else { s.between(1, 6) }.to_string();
            ),
            item!("housing_fund", 75,
                "depositors" / "缴存人数": "\"integer\"" = |s, p| s.between(1, p.staff).to_string();
                "deposited" / "缴存金额": "\"money\"" = |s, p| yuan(s, p.staff * 9_000);
            ),
        ],
    },
];

fn registered_capital(seeded: &mut Seeded, profile: &Profile) -> String {
    let amount = grouped(profile.capital);
    match seeded.between(0, 4) {
        0 => format!("{amount}(万元人民币)"),
        1 => format!("{}万人民币", profile.capital),
        2 => format!("{amount}（万元）"),
        3 => format!("{}万元人民币", profile.capital),
        _ => format!("{amount}(万元(人民币))"),
    }
}

fn yuan(seeded: &mut Seeded, most: u64) -> String {
    format!(
        "{}.{:02}",
        seeded.between(100, most.max(100)),
        seeded.between(0, 99)
    )
}

fn recent_day(seeded: &mut Seeded, _: &Profile) -> String {
    let (year, month, day) = (
        seeded.between(2023, 2025),
        seeded.between(1, 12),
        seeded.between(1, 28),
    );
    match seeded.between(0, 2) {
        0 => format!("{year}-{month:02}-{day:02}"),
        1 => format!("{year}/{month}/{day}"),
        _ => format!("{year}年{month}月{day}日"),
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
