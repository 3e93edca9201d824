//! The lists among the invented items: which source holds which, and how entries are made up.
//!
//! What several sources hold about one enterprise comes from one stream of numbers, so they agree, but for what a
//! source has not heard of yet. Registers write their own words (`存续`); the mapping's tables of values translate them.

use super::profile::{FAMILIES, GIVEN, Profile};
use super::seed::Seeded;

pub(super) struct ListSpec {
    pub(super) code: &'static str,
    /// The sources that hold it; only the first has heard of everything.
    pub(super) sources: &'static [&'static str],
    /// In how many of 100 enterprises there is any entry.
    pub(super) chance: u64,
    /// The most entries.
    pub(super) most: u64,
    /// Fields that entries are ordered by.
    pub(super) order_by: &'static [&'static str],
    pub(super) fields: &'static [ListField],
}

pub(super) struct ListField {
    pub(super) name: &'static str,
    pub(super) column: &'static str,
    /// What follows `type = ` in the mapping.
    pub(super) kind: &'static str,
    /// The register's words, and what each is in the catalogue; none where cells are the values themselves.
    pub(super) words: &'static [(&'static str, &'static str)],
    /// How a cell is made up; one of the words where there is nothing to be said of it.
    cell: Option<fn(&mut Seeded, &Profile, Entry) -> String>,
}

/// Which entry, from 0, of how many.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) at: u64,
    pub(super) of: u64,
}

const fn made(
    name: &'static str,
    column: &'static str,
    kind: &'static str,
    cell: fn(&mut Seeded, &Profile, Entry) -> String,
) -> ListField {
    ListField {
        name,
        column,
        kind,
        words: &[],
        cell: Some(cell),
    }
}

const fn coded(
    name: &'static str,
    column: &'static str,
    words: &'static [(&'static str, &'static str)],
) -> ListField {
    ListField {
        name,
        column,
        kind: "\"text\", max_length = 64",
        words,
        cell: None,
    }
}

/// A code without which there is no entry.
const fn key_coded(
    name: &'static str,
    column: &'static str,
    words: &'static [(&'static str, &'static str)],
) -> ListField {
    ListField {
        kind: KEY,
        ..coded(name, column, words)
    }
}

const TEXT: &str = "\"text\", max_length = 200";
const KEY: &str = "\"text\", required = true, max_length = 64";
const DATE: &str = "\"date\"";
const MONEY: &str = "\"money\"";

const REGISTERS: &[&str] = &["jiangsu-register", "shanghai-register"];
const JIANGSU: &[&str] = &["jiangsu-register"];
const PLATFORM: &[&str] = &["zhejiang-utility"];

const STATUS: &[(&str, &str)] = &[
    ("存续", "active"),
    ("在营", "active"),
    ("注销", "deregistered"),
];
const IN_FORCE: &[(&str, &str)] = &[("有效", "valid"), ("注销", "cancelled")];

pub(super) const LISTS: &[ListSpec] = &[
    ListSpec {
        code: "shareholders",
        sources: REGISTERS,
        chance: 95,
        most: 5,
        order_by: &["-subscribed", "name"],
        fields: &[
            made(
                "name",
                "股东",
                "\"text\", required = true, max_length = 200",
                person,
            ),
            coded("kind", "股东类型", &[("自然人股东", "person")]),
            made("subscribed", "认缴出资额", MONEY, |_, p, e| {
                format!("{}万元", p.capital * share(e) / 100)
            }),
            made("paid_in", "实缴出资额", MONEY, |s, p, e| {
                format!("{}万元", p.capital * share(e) / 100 * s.between(3, 10) / 10)
            }),
            made(
                "share",
                "持股比例",
                "\"decimal\", unit = \"%\"",
                |_, _, e| share(e).to_string(),
            ),
            made("due_on", "认缴期限", DATE, |s, _, _| day(s, 2027, 2045)),
        ],
    },
    ListSpec {
        code: "key_personnel",
        sources: REGISTERS,
        chance: 95,
        most: 5,
        order_by: &["position"],
        fields: &[
            made(
                "name",
                "姓名",
                "\"text\", required = true, max_length = 100",
                person,
            ),
            made(
                "position",
                "职务",
                "\"text\", required = true, max_length = 50",
                |_, _, e| {
                    ["执行董事", "总经理", "监事", "财务负责人", "副总经理"][e.at as usize % 5]
                        .into()
                },
            ),
            made("since", "任职日期", DATE, |s, _, _| day(s, 2016, 2025)),
        ],
    },
    ListSpec {
        code: "branches",
        sources: &["shanghai-register"],
        chance: 35,
        most: 4,
        order_by: &["name"],
        fields: &[
            made(
                "name",
                "分支机构名称",
                "\"text\", required = true, max_length = 200",
                |_, p, e| format!("{}{}分公司", p.name, city(e)),
            ),
            made("place", "分支机构所在地", TEXT, |_, _, e| {
                format!("{}市", city(e))
            }),
            made(
                "established",
                "分支机构成立日期",
                DATE,
                |s, _, _| day(s, 2012, 2025),
            ),
            coded("status", "分支机构状态", STATUS),
        ],
    },
    ListSpec {
        code: "registration_changes",
        sources: JIANGSU,
        chance: 75,
        most: 6,
        order_by: &["-changed_on"],
        fields: &[
            made(
                "changed_on",
                "变更日期",
                "\"date\", required = true",
                |s, _, _| day(s, 2012, 2025),
            ),
            made(
                "subject",
                "变更事项",
                "\"text\", required = true, max_length = 100",
                |_, _, e| {
                    [
                        "住所变更",
                        "注册资本变更",
                        "经营范围变更",
                        "法定代表人变更",
                        "股东变更",
                        "章程备案",
                    ][e.at as usize % 6]
                        .into()
                },
            ),
            made(
                "before",
                "变更前内容",
                "\"text\", max_length = 4000",
                |_, p, e| match e.at {
                    0 => p.former_address.clone(),
                    1 => format!("{}万元", (p.capital / 2).max(1)),
                    _ => "详见登记档案".into(),
                },
            ),
            made(
                "after",
                "变更后内容",
                "\"text\", max_length = 4000",
                |_, p, e| match e.at {
                    0 => p.address.clone(),
                    1 => format!("{}万元", p.capital),
                    _ => "详见登记档案".into(),
                },
            ),
        ],
    },
    ListSpec {
        code: "tax_arrears",
        sources: &["jiangsu-tax"],
        chance: 8,
        most: 2,
        order_by: &["-since"],
        fields: &[
            made(
                "tax",
                "欠税税种",
                "\"text\", required = true, max_length = 50",
                |_, _, e| ["增值税", "企业所得税"][e.at as usize % 2].into(),
            ),
            made(
                "since",
                "欠税起始日",
                "\"date\", required = true",
                |s, _, _| day(s, 2024, 2025),
            ),
            made(
                "amount",
                "欠税余额",
                "\"money\", required = true",
                |s, p, _| yuan(s, p.staff * 900),
            ),
            made("new_in_period", "当期新增欠税", MONEY, |s, p, _| {
                yuan(s, p.staff * 90)
            }),
            made("authority", "公告机关", TEXT, |_, p, _| {
                format!("国家税务总局{}市税务局", p.city)
            }),
        ],
    },
    ListSpec {
        code: "loans",
        sources: PLATFORM,
        chance: 60,
        most: 4,
        order_by: &["-granted_on", "contract"],
        fields: &[
            made("contract", "借款合同编号", KEY, |s, _, e| {
                format!(
                    "JK{}-{:06}-{}",
                    s.between(2021, 2025),
                    s.between(1, 999_999),
                    e.at + 1
                )
            }),
            made("lender", "融资机构", TEXT, |s, p, _| bank(s, p)),
            coded(
                "kind",
                "业务种类",
                &[
                    ("流贷", "working_capital"),
                    ("固贷", "fixed_assets"),
                    ("贸易融资", "trade"),
                    ("票据贴现", "bill"),
                ],
            ),
            made(
                "amount",
                "合同金额",
                "\"money\", required = true",
                |s, p, _| format!("{}万元", s.between(10, p.staff * 20)),
            ),
            made("balance", "贷款余额", MONEY, |s, _, _| {
                format!("{}万元", s.between(0, 10))
            }),
            made("granted_on", "发放日期", DATE, |s, _, _| {
                day(s, 2021, 2025)
            }),
            made("due_on", "到期日期", DATE, |s, _, _| day(s, 2026, 2030)),
            coded(
                "class",
                "五级分类",
                &[
                    ("正常", "normal"),
                    ("正常类", "normal"),
                    ("关注", "special_mention"),
                ],
            ),
            made("overdue_days", "逾期天数", "\"integer\"", |s, _, _| {
                if s.chance(92) { 0 } else { s.between(1, 90) }.to_string()
            }),
        ],
    },
    ListSpec {
        code: "guarantees",
        sources: PLATFORM,
        chance: 25,
        most: 2,
        order_by: &["contract"],
        fields: &[
            made("contract", "担保合同编号", KEY, |s, _, e| {
                format!(
                    "DB{}-{:06}-{}",
                    s.between(2022, 2025),
                    s.between(1, 999_999),
                    e.at + 1
                )
            }),
            made("debtor", "被担保人", TEXT, |_, p, e| {
                format!("{}{}配套有限公司", city(e), p.trade)
            }),
            made("creditor", "债权人", TEXT, |s, p, _| bank(s, p)),
            coded(
                "kind",
                "担保方式",
                &[("保证", "surety"), ("抵押", "mortgage"), ("质押", "pledge")],
            ),
            made(
                "amount",
                "担保金额",
                "\"money\", required = true",
                |s, p, _| format!("{}万元", s.between(5, p.staff * 5)),
            ),
            made("until", "担保到期日", DATE, |s, _, _| {
                day(s, 2026, 2029)
            }),
        ],
    },
    ListSpec {
        code: "mortgages",
        sources: JIANGSU,
        chance: 20,
        most: 2,
        order_by: &["-registered_on"],
        fields: &[
            made("registration", "抵押登记编号", KEY, |s, _, e| {
                format!(
                    "3205{}{:06}{}",
                    s.between(2020, 2025),
                    s.between(1, 999_999),
                    e.at + 1
                )
            }),
            key_coded(
                "kind",
                "抵押物类型",
                &[("动产", "movable"), ("不动产", "real_estate")],
            ),
            made(
                "property",
                "抵押物",
                "\"text\", max_length = 1000",
                |_, p, e| format!("{}用设备及厂房，共{}项", p.trade, e.at + 2),
            ),
            made("mortgagee", "抵押权人", TEXT, |s, p, _| bank(s, p)),
            made("secured", "被担保债权数额", MONEY, |s, p, _| {
                format!("{}万元", s.between(10, p.staff * 10))
            }),
            made("registered_on", "抵押登记日期", DATE, |s, _, _| {
                day(s, 2020, 2025)
            }),
            coded("status", "抵押状态", IN_FORCE),
        ],
    },
    ListSpec {
        code: "equity_pledge",
        sources: JIANGSU,
        chance: 10,
        most: 1,
        order_by: &["registration"],
        fields: &[
            made("registration", "出质登记编号", KEY, |s, _, _| {
                format!("A1{}{:06}", s.between(2020, 2025), s.between(1, 999_999))
            }),
            made("pledgor", "出质人", TEXT, |_, p, _| p.owner.clone()),
            made("pledgee", "质权人", TEXT, |s, p, _| bank(s, p)),
            made("equity", "出质股权数额", MONEY, |_, p, _| {
                format!("{}万元", (p.capital / 4).max(1))
            }),
            made("registered_on", "出质登记日期", DATE, |s, _, _| {
                day(s, 2020, 2025)
            }),
            coded("status", "出质状态", IN_FORCE),
        ],
    },
    ListSpec {
        code: "seizures",
        sources: PLATFORM,
        chance: 6,
        most: 2,
        order_by: &["-from"],
        fields: &[
            made("document", "裁定文书号", KEY, |s, p, e| {
                format!(
                    "({}){}执保{}{}号",
                    s.between(2023, 2025),
                    p.city,
                    s.between(100, 9_999),
                    e.at + 1
                )
            }),
            made("court", "执行保全法院", TEXT, court),
            coded(
                "kind",
                "保全措施",
                &[
                    ("查封", "seizure"),
                    ("扣押", "distraint"),
                    ("冻结", "freeze"),
                ],
            ),
            made(
                "property",
                "保全标的物",
                "\"text\", max_length = 1000",
                |_, _, _| "银行存款".into(),
            ),
            made("value", "保全标的金额", MONEY, |s, p, _| {
                yuan(s, p.staff * 5_000)
            }),
            made("from", "保全起始日期", DATE, |s, _, _| {
                day(s, 2024, 2025)
            }),
            made("until", "保全截止日期", DATE, |s, _, _| {
                day(s, 2026, 2027)
            }),
        ],
    },
    ListSpec {
        code: "litigation",
        sources: PLATFORM,
        chance: 30,
        most: 4,
        order_by: &["-filed_on"],
        fields: &[
            made("case", "案号", KEY, |s, p, e| {
                format!(
                    "({}){}民初{}{}号",
                    s.between(2021, 2025),
                    p.city,
                    s.between(100, 9_999),
                    e.at + 1
                )
            }),
            made("court", "审理法院", TEXT, court),
            made("cause", "案由", TEXT, |s, _, _| {
                s.pick(&["买卖合同纠纷", "承揽合同纠纷", "劳动争议", "运输合同纠纷"])
                    .into()
            }),
            coded(
                "role",
                "诉讼地位",
                &[
                    ("原告", "plaintiff"),
                    ("被告", "defendant"),
                    ("第三人", "third_party"),
                ],
            ),
            made("amount", "诉讼标的金额", MONEY, |s, p, _| {
                yuan(s, p.staff * 8_000)
            }),
            made("filed_on", "立案日期", DATE, |s, _, _| {
                day(s, 2021, 2024)
            }),
            made("closed_on", "结案日期", DATE, |s, _, _| {
                day(s, 2025, 2025)
            }),
            made(
                "result",
                "裁判结果",
                "\"text\", max_length = 4000",
                |s, _, _| s.pick(&["调解结案", "准许撤诉", "判决支付货款"]).into(),
            ),
        ],
    },
    ListSpec {
        code: "enforcement",
        sources: PLATFORM,
        chance: 8,
        most: 2,
        order_by: &["-filed_on"],
        fields: &[
            made("case", "执行案号", KEY, |s, p, e| {
                format!(
                    "({}){}执{}{}号",
                    s.between(2022, 2025),
                    p.city,
                    s.between(100, 9_999),
                    e.at + 1
                )
            }),
            made("court", "执行法院", TEXT, court),
            made("filed_on", "执行立案日期", DATE, |s, _, _| {
                day(s, 2022, 2025)
            }),
            made("amount", "执行标的", MONEY, |s, p, _| {
                yuan(s, p.staff * 4_000)
            }),
            made("unpaid", "未履行金额", MONEY, |s, p, _| {
                yuan(s, p.staff * 400)
            }),
            key_coded(
                "dishonest",
                "失信情况",
                &[("未列入", "no"), ("已移出", "removed")],
            ),
            made("published_on", "执行发布日期", DATE, |s, _, _| {
                day(s, 2025, 2025)
            }),
        ],
    },
    ListSpec {
        code: "administrative_penalty",
        sources: JIANGSU,
        chance: 18,
        most: 3,
        order_by: &["-decided_on"],
        fields: &[
            made("document", "处罚决定书文号", KEY, |s, p, e| {
                format!(
                    "{}市监处罚〔{}〕{}{}号",
                    p.city,
                    s.between(2021, 2025),
                    s.between(10, 999),
                    e.at + 1
                )
            }),
            made("authority", "处罚机关", TEXT, |_, p, _| {
                format!("{}市市场监督管理局", p.city)
            }),
            made(
                "facts",
                "违法事实",
                "\"text\", max_length = 2000",
                |s, _, _| {
                    s.pick(&["未按期公示年度报告", "产品标签不符合规定", "未办理变更登记"])
                        .into()
                },
            ),
            coded("kind", "处罚类别", &[("警告", "warning"), ("罚款", "fine")]),
            made("fined", "罚款金额", MONEY, |s, _, _| yuan(s, 50_000)),
            made("decided_on", "处罚日期", DATE, |s, _, _| {
                day(s, 2021, 2025)
            }),
        ],
    },
    ListSpec {
        code: "administrative_licence",
        sources: REGISTERS,
        chance: 70,
        most: 4,
        order_by: &["document"],
        fields: &[
            made("document", "许可证编号", KEY, |s, _, e| {
                format!(
                    "XK{}-{:05}-{}",
                    s.between(2019, 2025),
                    s.between(1, 99_999),
                    e.at + 1
                )
            }),
            made("name", "许可名称", TEXT, |_, _, e| {
                [
                    "食品经营许可",
                    "道路运输经营许可",
                    "排污许可",
                    "安全生产许可",
                ][e.at as usize % 4]
                    .into()
            }),
            made("authority", "许可机关", TEXT, |_, p, _| {
                format!("{}市行政审批局", p.city)
            }),
            made("from", "许可有效期自", DATE, |s, _, _| {
                day(s, 2019, 2025)
            }),
            made("until", "许可有效期至", DATE, |s, _, _| {
                day(s, 2027, 2030)
            }),
        ],
    },
    ListSpec {
        code: "abnormal_operation",
        sources: JIANGSU,
        chance: 10,
        most: 1,
        order_by: &["-listed_on"],
        fields: &[
            key_coded("list", "名录", &[("异常名录", "abnormal")]),
            made(
                "listed_on",
                "列入日期",
                "\"date\", required = true",
                |s, _, _| day(s, 2021, 2024),
            ),
            made(
                "reason",
                "列入原因",
                "\"text\", max_length = 1000",
                |_, _, _| "未按期公示年度报告".into(),
            ),
            made("authority", "决定机关", TEXT, |_, p, _| {
                format!("{}市市场监督管理局", p.city)
            }),
            made("removed_on", "移出日期", DATE, |s, _, _| {
                day(s, 2025, 2025)
            }),
        ],
    },
    ListSpec {
        code: "intellectual_property",
        sources: &["shanghai-register"],
        chance: 55,
        most: 8,
        order_by: &["-granted_on", "number"],
        fields: &[
            made("number", "证书编号", KEY, |s, _, e| {
                format!(
                    "ZL{}{:07}.{}",
                    s.between(2018, 2025),
                    s.between(1, 9_999_999),
                    e.at % 10
                )
            }),
            key_coded(
                "kind",
                "知识产权类别",
                &[
                    ("发明专利", "invention"),
                    ("实用新型", "utility_model"),
                    ("商标", "trademark"),
                    ("软件著作权", "software"),
                ],
            ),
            made(
                "name",
                "知识产权名称",
                "\"text\", max_length = 400",
                |_, p, e| format!("一种{}装置（{}）", p.trade, e.at + 1),
            ),
            made("granted_on", "授予日期", DATE, |s, _, _| {
                day(s, 2018, 2025)
            }),
            made("until", "知识产权有效期至", DATE, |s, _, _| {
                day(s, 2028, 2040)
            }),
        ],
    },
];

impl ListSpec {
    /// An enterprise's entries as their source has them that has heard of everything: cells in the order of fields.
    /// `always` for one that has entries in every list.
    pub(super) fn entries(&self, profile: &Profile, always: bool) -> Vec<Vec<String>> {
        let seed =
            crate::mapping::fingerprint(&[self.code.as_bytes(), profile.uscc.expose().as_bytes()]);
        let mut seeded = Seeded::new(seed);
        if !always && !seeded.chance(self.chance) {
            return Vec::new();
        }
        let least = if always { self.most.min(2) } else { 1 };
        let of = seeded.between(least, self.most);
        (0..of)
            .map(|at| {
                let entry = Entry { at, of };
                let cell = |field: &ListField| match field.cell {
                    Some(make) => make(&mut seeded, profile, entry),
                    None => field.words[seeded.between(0, field.words.len() as u64 - 1) as usize]
                        .0
                        .to_owned(),
                };
                self.fields.iter().map(cell).collect()
            })
            .collect()
    }
}

/// The first is the owner; the others have different family names.
fn person(seeded: &mut Seeded, profile: &Profile, entry: Entry) -> String {
    if entry.at == 0 {
        return profile.owner.clone();
    }
    let others: Vec<&str> = FAMILIES
        .iter()
        .copied()
        .filter(|name| !profile.owner.starts_with(name))
        .collect();
    let family = others[(entry.at as usize - 1) % others.len()];
    format!("{family}{}", seeded.pick(GIVEN))
}

/// Percent of the first of `of` shareholders, who has the most, and of each of the others.
fn share(entry: Entry) -> u64 {
    if entry.at == 0 {
        100 - 12 * (entry.of - 1)
    } else {
        12
    }
}

fn city(entry: Entry) -> &'static str {
    ["南京", "杭州", "宁波", "合肥"][entry.at as usize % 4]
}

fn bank(seeded: &mut Seeded, profile: &Profile) -> String {
    format!(
        "{}{}银行",
        profile.city,
        seeded.pick(&["商业", "农村商业", "科技"])
    )
}

fn court(_: &mut Seeded, profile: &Profile, _: Entry) -> String {
    format!("{}市中级人民法院", profile.city)
}

fn yuan(seeded: &mut Seeded, most: u64) -> String {
    format!(
        "{}.{:02}",
        seeded.between(100, most.max(100)),
        seeded.between(0, 99)
    )
}

fn day(seeded: &mut Seeded, from: u64, until: u64) -> String {
    let (year, month, day) = (
        seeded.between(from, until),
        seeded.between(1, 12),
        seeded.between(1, 28),
    );
    format!("{year}-{month:02}-{day:02}")
}
