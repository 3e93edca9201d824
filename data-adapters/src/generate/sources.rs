//! The six invented sources, two a region: their items, fields, columns, and how cells are made up.
//!
//! Their lists are in `lists`. One table gives both the CSV columns and the mapping, so the two cannot drift apart. Cells use the
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
    /// The register's words, and what each is in the catalogue; none where cells are the values themselves.
    pub(super) words: &'static [(&'static str, &'static str)],
    pub(super) cell: fn(&mut Seeded, &Profile) -> String,
}

/// What registers say of how an enterprise stands.
const STATUS: &[(&str, &str)] = &[
    ("存续", "active"),
    ("停业", "suspended"),
    ("注销", "deregistered"),
];

macro_rules! words {
    () => {
        &[]
    };
    ($words:ident) => {
        $words
    };
}

macro_rules! item {
    ($code:literal, $chance:literal, $($name:literal / $column:literal : $kind:literal $(of $words:ident)? = $cell:expr;)+) => {
        ItemSpec {
            code: $code,
            chance: $chance,
            fields: &[$(FieldSpec {
                name: $name,
                column: $column,
                kind: $kind,
                words: words!($($words)?),
                cell: $cell,
            }),+],
        }
    };
}

pub(super) const SOURCES: &[SourceSpec] = &[
    SourceSpec {
        region: Region::Shanghai,
        name: "shanghai-customs",
        name_zh: "上海海关",
        items: &[item!("customs", 100,
            "period" / "统计期间": "\"text\", max_length = 16" = |_, _| "2026H1".into();
            "registered_on" / "备案日期": "\"date\"" = recent_day;
            "grade" / "海关信用等级": "\"text\", max_length = 32" = |s, _| s.pick(&["advanced", "general", "general", "general"]).into();
            "declarations" / "报关单数": "\"integer\"" = |s, p| s.between(1, p.staff * 3).to_string();
            "exports" / "出口额": "\"money\", currency = \"USD\"" = |s, p| format!("{}(万美元)", grouped(s.between(1, p.staff * 9)));
            "imports" / "进口额": "\"money\", currency = \"USD\"" = |s, p| format!("{}.{:02}", s.between(0, p.staff * 9000), s.between(0, 99));
            "violations" / "违规次数": "\"integer\"" = |s, _| if s.chance(93) { 0 } else { s.between(1, 3) }.to_string();
        )],
    },
    SourceSpec {
        region: Region::Shanghai,
        name: "shanghai-register",
        name_zh: "上海市场监管",
        items: &[
            // A second register: what an enterprise told it may be older than what its home register has.
            item!("business_registration", 100,
                "name" / "企业名称": "\"text\", required = true, max_length = 200" = |_, p| p.name.clone();
                "type" / "企业类型": "\"text\", max_length = 100" = |_, p| p.kind.into();
                "registered_capital" / "注册资本": "\"money\"" = |s, p| if s.chance(70) { registered_capital(s, p) } else { format!("{}(万元)", (p.capital / 2).max(1)) };
                "established" / "成立日期": "\"date\"" = |_, p| format_date(p.established);
                "status" / "登记状态": "\"text\", max_length = 16" of STATUS = |_, _| "存续".into();
                "address" / "住所": "\"text\", max_length = 400" = |s, p| if s.chance(75) { p.address.clone() } else { p.former_address.clone() };
            ),
            item!("social_security", 55,
                "period" / "社保所属期": "\"text\", max_length = 16" = |_, _| "2026H1".into();
                "insured" / "年报参保人数": "\"integer\"" = |s, p| if s.chance(80) { p.staff } else { p.staff + s.between(1, 9) }.to_string();
                "months_in_arrears" / "年报欠缴月数": "\"integer\"" = |_, p| p.months_in_arrears.to_string();
            ),
        ],
    },
    SourceSpec {
        region: Region::Jiangsu,
        name: "jiangsu-register",
        name_zh: "江苏市场监管",
        items: &[item!("business_registration", 100,
            "name" / "企业名称": "\"text\", required = true, max_length = 200" = |_, p| p.name.clone();
            "type" / "企业类型": "\"text\", max_length = 100" = |_, p| p.kind.into();
            "legal_representative" / "法定代表人": "\"text\", max_length = 100" = |_, p| p.owner.clone();
            "registered_capital" / "注册资本": "\"money\"" = registered_capital;
            "established" / "成立日期": "\"date\"" = |_, p| format_date(p.established);
            "status" / "登记状态": "\"text\", max_length = 16" of STATUS = |s, _| if s.chance(97) { "存续" } else { "停业" }.into();
            "authority" / "登记机关": "\"text\", max_length = 200" = |_, p| format!("{}市市场监督管理局", p.city);
            "industry" / "行业": "\"text\", max_length = 100" = |_, p| p.trade.into();
            "address" / "住所": "\"text\", max_length = 400" = |_, p| p.address.clone();
            "scope" / "经营范围": "\"text\", max_length = 4000" = |_, p| p.scope.into();
        )],
    },
    SourceSpec {
        region: Region::Jiangsu,
        name: "jiangsu-tax",
        name_zh: "江苏税务",
        items: &[
            item!("tax_payment", 100,
                "period" / "所属期": "\"text\", max_length = 16" = |_, _| "2025".into();
                "taxable_sales" / "应税销售额": "\"money\"" = |_, p| money(p.accounts.revenue);
                "value_added_tax" / "增值税": "\"money\"" = |s, p| yuan(s, p.accounts.revenue.unsigned_abs() / 20);
                "income_tax" / "企业所得税": "\"money\"" = |_, p| money(p.accounts.income_tax);
                "other_taxes" / "其他税费": "\"money\"" = |_, p| money(p.accounts.taxes);
                "late_filings" / "逾期申报次数": "\"integer\"" = |s, _| if s.chance(85) { 0 } else { s.between(1, 4) }.to_string();
            ),
            item!("tax_credit_rating", 90,
                "grade" / "纳税信用等级": "\"text\", max_length = 4" = |s, _| s.pick(&["A", "B", "B", "M", "C", "D"]).into();
                "year" / "评价年度": "\"integer\"" = |_, _| "2025".into();
                "taxpayer" / "纳税人资格": "\"text\", max_length = 16" = |_, p| if p.staff > 20 { "general" } else { "small" }.into();
                "authority" / "主管税务机关": "\"text\", max_length = 200" = |_, p| format!("国家税务总局{}市税务局", p.city);
                "status" / "税务登记状态": "\"text\", max_length = 16" = |_, _| "normal".into();
            ),
            item!("balance_sheet", 80,
                "period" / "资产负债表期间": "\"text\", max_length = 16" = |_, _| "2025".into();
                "cash" / "货币资金": "\"money\"" = |_, p| money(p.accounts.cash);
                "receivables" / "应收账款": "\"money\"" = |_, p| money(p.accounts.receivables);
                "inventories" / "存货": "\"money\"" = |_, p| money(p.accounts.inventories);
                "current_assets" / "流动资产合计": "\"money\"" = |_, p| money(p.accounts.current_assets());
                "fixed_assets" / "固定资产": "\"money\"" = |_, p| money(p.accounts.fixed_assets);
                "total_assets" / "资产总计": "\"money\"" = |_, p| money(p.accounts.assets());
                "short_term_loans" / "短期借款": "\"money\"" = |_, p| money(p.accounts.short_term_loans);
                "current_liabilities" / "流动负债合计": "\"money\"" = |_, p| money(p.accounts.current_liabilities());
                "long_term_loans" / "长期借款": "\"money\"" = |_, p| money(p.accounts.long_term_loans);
                "total_liabilities" / "负债合计": "\"money\"" = |_, p| money(p.accounts.liabilities());
                "equity" / "所有者权益合计": "\"money\"" = |_, p| money(p.accounts.equity());
                "audited" / "审计情况": "\"text\", max_length = 16" = |s, _| s.pick(&["audited", "unaudited"]).into();
            ),
            item!("income_statement", 80,
                "period" / "利润表期间": "\"text\", max_length = 16" = |_, _| "2025".into();
                "revenue" / "营业收入": "\"money\"" = |_, p| money(p.accounts.revenue);
                "cost" / "营业成本": "\"money\"" = |_, p| money(p.accounts.cost);
                "taxes" / "税金及附加": "\"money\"" = |_, p| money(p.accounts.taxes);
                "expenses" / "期间费用": "\"money\"" = |_, p| money(p.accounts.expenses);
                "operating_profit" / "营业利润": "\"money\"" = |_, p| money(p.accounts.profit());
                "profit_before_tax" / "利润总额": "\"money\"" = |_, p| money(p.accounts.profit());
                "income_tax" / "所得税费用": "\"money\"" = |_, p| money(p.accounts.income_tax);
                "net_profit" / "净利润": "\"money\"" = |_, p| money(p.accounts.net_profit());
            ),
            item!("cash_flow", 70,
                "period" / "现金流量表期间": "\"text\", max_length = 16" = |_, _| "2025".into();
                "operating" / "经营活动现金净额": "\"money\"" = |_, p| money(p.accounts.net_profit() * 6 / 5);
                "investing" / "投资活动现金净额": "\"money\"" = |_, p| money(-p.accounts.fixed_assets / 10);
                "financing" / "筹资活动现金净额": "\"money\"" = |_, p| money(p.accounts.long_term_loans / 8);
                "net_increase" / "现金净增加额": "\"money\"" = |_, p| money(p.accounts.net_profit() * 6 / 5 - p.accounts.fixed_assets / 10 + p.accounts.long_term_loans / 8);
                "closing" / "期末现金余额": "\"money\"" = |_, p| money(p.accounts.cash);
            ),
            item!("financial_indicators", 70,
                "period" / "财务指标期间": "\"text\", max_length = 16" = |_, _| "2025".into();
                "debt_ratio" / "资产负债率": "\"decimal\", unit = \"%\"" = |_, p| percent(p.accounts.liabilities(), p.accounts.assets());
                "gross_margin" / "毛利率": "\"decimal\", unit = \"%\"" = |_, p| percent(p.accounts.revenue - p.accounts.cost, p.accounts.revenue);
                "net_margin" / "净利率": "\"decimal\", unit = \"%\"" = |_, p| percent(p.accounts.net_profit(), p.accounts.revenue);
                "return_on_equity" / "净资产收益率": "\"decimal\", unit = \"%\"" = |_, p| percent(p.accounts.net_profit(), p.accounts.equity());
                "current_ratio" / "流动比率": "\"decimal\"" = |_, p| hundredths(p.accounts.current_assets() * 100 / p.accounts.current_liabilities());
            ),
        ],
    },
    SourceSpec {
        region: Region::Zhejiang,
        name: "zhejiang-utility",
        name_zh: "浙江公共信用平台",
        items: &[
            item!("electricity_payment", 100,
                "period" / "用电统计期间": "\"text\", max_length = 16" = |_, _| "2026H1".into();
                "consumption" / "用电量": "\"decimal\", unit = \"kWh\"" = |s, p| format!("{}.{}", grouped(s.between(500, p.staff * 4000)), s.between(0, 9));
                "billed" / "电费": "\"money\"" = |s, p| yuan(s, p.staff * 3_000);
                "overdue_times" / "电费逾期次数": "\"integer\"" = |s, _| s.between(0, 3).to_string();
            ),
            item!("water_payment", 95,
                "period" / "用水统计期间": "\"text\", max_length = 16" = |_, _| "2026H1".into();
                "consumption" / "用水量": "\"decimal\", unit = \"m³\"" = |s, p| s.between(20, p.staff * 60).to_string();
                "billed" / "水费": "\"money\"" = |s, p| yuan(s, p.staff * 200);
                "overdue_times" / "水费逾期次数": "\"integer\"" = |s, _| s.between(0, 3).to_string();
            ),
            item!("gas_payment", 45,
                "period" / "用气统计期间": "\"text\", max_length = 16" = |_, _| "2026H1".into();
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
                "period" / "社保所属期": "\"text\", max_length = 16" = |_, _| "2026H1".into();
                "insured" / "参保人数": "\"integer\"" = |_, p| p.staff.to_string();
                "paid" / "缴费金额": "\"money\"" = |s, p| yuan(s, p.staff * 18_000);
                "months_in_arrears" / "欠缴月数": "\"integer\"" = |_, p| p.months_in_arrears.to_string();
            ),
            item!("housing_fund", 75,
                "period" / "公积金所属期": "\"text\", max_length = 16" = |_, _| "2026H1".into();
                "depositors" / "缴存人数": "\"integer\"" = |s, p| s.between(1, p.staff).to_string();
                "deposited" / "缴存金额": "\"money\"" = |s, p| yuan(s, p.staff * 9_000);
                "paid_up_to" / "缴至": "\"date\"" = |_, _| "2026年6月30日".into();
            ),
        ],
    },
];

/// An amount in yuan, as a ledger writes it.
fn money(amount: i64) -> String {
    format!("{amount}.00")
}

/// One amount as a share of another, to a tenth of a percent.
fn percent(part: i64, whole: i64) -> String {
    let thousandths = part * 1_000 / whole.max(1);
    let sign = if thousandths < 0 { "-" } else { "" };
    let size = thousandths.abs();
    format!("{sign}{}.{}", size / 10, size % 10)
}

fn hundredths(number: i64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

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
