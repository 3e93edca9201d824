//! One invented enterprise: a valid code of its region, a name, an address, a size.
//!
//! Invented throughout; a name that some real enterprise bears is chance.

use time::{Date, Duration, Month};
use xinqiao_ledger::uscc::{USCC_ALPHABET, Uscc};

use super::Region;
use super::seed::Seeded;

/// What the sources' rows are made from.
pub(super) struct Profile {
    pub(super) uscc: Uscc,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) city: &'static str,
    pub(super) address: String,
    /// Where it was before; some register still says so.
    pub(super) former_address: String,
    pub(super) trade: &'static str,
    pub(super) owner: String,
    pub(super) scope: &'static str,
    pub(super) established: Date,
    /// Registered capital in 万元.
    pub(super) capital: u64,
    /// People insured: what sizes its bills and taxes.
    pub(super) staff: u64,
    pub(super) months_in_arrears: u64,
    pub(super) accounts: Accounts,
}

/// A year's accounts, in yuan. Lines that follow from others are computed, so that statements balance.
pub(super) struct Accounts {
    pub(super) revenue: i64,
    pub(super) cost: i64,
    pub(super) taxes: i64,
    pub(super) expenses: i64,
    pub(super) income_tax: i64,
    pub(super) cash: i64,
    pub(super) receivables: i64,
    pub(super) inventories: i64,
    pub(super) fixed_assets: i64,
    pub(super) short_term_loans: i64,
    pub(super) payables: i64,
    pub(super) long_term_loans: i64,
}

impl Accounts {
    fn new(seeded: &mut Seeded, staff: u64) -> Self {
        let mut between = |low, high| seeded.between(low, high) as i64;
        let revenue = staff as i64 * between(180_000, 900_000);
        let mut share = |low, high| revenue / 1_000 * between(low, high);
        let (cost, taxes, expenses) = (share(620, 860), share(2, 9), share(60, 180));
        let assets = [
            share(40, 160),
            share(120, 320),
            share(80, 260),
            share(150, 480),
        ];
        let debts = [share(30, 170), share(60, 210), share(0, 110)];
        Self {
            revenue,
            cost,
            taxes,
            expenses,
            income_tax: (revenue - cost - taxes - expenses).max(0) / 4,
            cash: assets[0],
            receivables: assets[1],
            inventories: assets[2],
            fixed_assets: assets[3],
            short_term_loans: debts[0],
            payables: debts[1].max(1),
            long_term_loans: debts[2],
        }
    }

    pub(super) fn current_assets(&self) -> i64 {
        self.cash + self.receivables + self.inventories
    }

    pub(super) fn assets(&self) -> i64 {
        self.current_assets() + self.fixed_assets
    }

    pub(super) fn current_liabilities(&self) -> i64 {
        self.short_term_loans + self.payables
    }

    pub(super) fn liabilities(&self) -> i64 {
        self.current_liabilities() + self.long_term_loans
    }

    pub(super) fn equity(&self) -> i64 {
        self.assets() - self.liabilities()
    }

    pub(super) fn profit(&self) -> i64 {
        self.revenue - self.cost - self.taxes - self.expenses
    }

    pub(super) fn net_profit(&self) -> i64 {
        self.profit() - self.income_tax
    }
}

pub(super) const FAMILIES: &[&str] = &["王", "李", "张", "陈", "沈", "陆", "顾", "周", "徐", "朱"];

pub(super) const GIVEN: &[&str] = &[
    "建华", "晓燕", "志强", "丽娟", "明", "国平", "海燕", "俊杰", "敏", "伟",
];

/// City, GB/T 2260 code, district, road.
type Place = (&'static str, &'static str, &'static str, &'static str);

const SHANGHAI: &[&Place] = &[
    &("上海", "310115", "浦东新区", "张杨路"),
    &("上海", "310112", "闵行区", "沪闵路"),
    &("上海", "310117", "松江区", "叶榭路"),
    &("上海", "310114", "嘉定区", "真南路"),
];
const JIANGSU: &[&Place] = &[
    &("苏州", "320508", "姑苏区", "人民路"),
    &("南京", "320106", "鼓楼区", "中山北路"),
    &("无锡", "320211", "滨湖区", "太湖大道"),
    &("常州", "320412", "武进区", "延政中路"),
];
const ZHEJIANG: &[&Place] = &[
    &("杭州", "330106", "西湖区", "文三路"),
    &("宁波", "330212", "鄞州区", "天童南路"),
    &("绍兴", "330621", "柯桥区", "金柯桥大道"),
    &("温州", "330302", "鹿城区", "车站大道"),
];

const SYLLABLES: &[&str] = &[
    "华", "瑞", "恒", "信", "德", "盛", "安", "达", "宏", "泰", "嘉", "启", "润", "博", "腾", "远",
    "诚", "佳", "凯", "鼎", "丰", "锦", "辰", "源", "汇", "铭", "景", "航", "拓", "睿", "康", "隆",
];

/// Trade, and its business scope.
const TRADES: &[&(&str, &str)] = &[
    &("精密机械", "精密机械、模具及零部件的设计、制造、销售。"),
    &("纺织", "纺织品、针织品、服装及辅料的生产、批发、零售。"),
    &(
        "电子科技",
        "电子元器件、集成电路的研发、生产；货物及技术进出口。",
    ),
    &("国际贸易", "从事货物及技术的进出口业务；国内贸易代理。"),
    &(
        "物流",
        "道路普通货物运输；仓储服务（不含危险品）；国际货运代理。",
    ),
    &("食品", "预包装食品、散装食品的生产与销售。"),
    &("环保工程", "环保工程的设计、施工；水处理设备的安装与维护。"),
    &("新材料", "高分子材料、复合材料的研发、生产、销售。"),
    &("信息技术", "软件开发；信息系统集成服务；信息技术咨询服务。"),
    &("建筑装饰", "室内外装饰工程设计、施工；建筑材料批发、零售。"),
    &("医疗器械", "第一类、第二类医疗器械的生产、销售。"),
    &("农业发展", "蔬菜、瓜果、花卉的种植、加工、销售。"),
];

const KINDS: &[&str] = &[
    "有限责任公司",
    "有限责任公司(自然人独资)",
    "股份有限公司(非上市)",
    "有限责任公司(台港澳合资)",
];

impl Profile {
    pub(super) fn new(seeded: &mut Seeded, home: Region) -> Self {
        let (city, area, district, road) = *seeded.pick(match home {
            Region::Shanghai => SHANGHAI,
            Region::Jiangsu => JIANGSU,
            Region::Zhejiang => ZHEJIANG,
        });
        let (trade, scope) = *seeded.pick(TRADES);
        let kind = seeded.pick(KINDS);
        let ending = if kind.starts_with("股份") {
            "股份有限公司"
        } else {
            "有限公司"
        };
        let (first, second) = (seeded.pick(SYLLABLES), seeded.pick(SYLLABLES));
        let earliest =
            Date::from_calendar_date(1996, Month::January, 2).expect("this day is in the calendar");
        let staff = seeded.between(3, 400);
        let mut house = || {
            format!(
                "{city}市{district}{road}{}号{}室",
                seeded.between(1, 1999),
                seeded.between(101, 2899)
            )
        };
        let (address, former_address) = (house(), house());
        let age = Duration::days(seeded.between(0, 10_000) as i64);
        Self {
            uscc: code(seeded, area),
            name: format!("{city}{first}{second}{trade}{ending}"),
            kind,
            city,
            address,
            former_address,
            trade,
            owner: format!("{}{}", seeded.pick(FAMILIES), seeded.pick(GIVEN)),
            scope,
            established: earliest + age,
            capital: seeded.between(1, 200) * 50,
            staff,
            months_in_arrears: if seeded.chance(88) {
                0
            } else {
                seeded.between(1, 6)
            },
            accounts: Accounts::new(seeded, staff),
        }
    }
}

/// `91` (an enterprise, registered by market regulation), six digits of the area, nine of the
/// organisation (GB 11714, with its own check character), and the check character.
fn code(seeded: &mut Seeded, area: &str) -> Uscc {
    let mut organisation = String::from("MA");
    for _ in 0..6 {
        let value = seeded.between(0, USCC_ALPHABET.len() as u64 - 1);
        organisation.push(char::from(USCC_ALPHABET[value as usize]));
    }
    organisation.push(organisation_check(&organisation));
    Uscc::from_base17(&format!("91{area}{organisation}"))
        .expect("seventeen characters of the alphabet")
}

/// GB 11714: 11 − Σ mod 11, where 10 is X and 11 is 0; letters count from A = 10.
fn organisation_check(code: &str) -> char {
    const WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = code
        .chars()
        .zip(WEIGHTS)
        .map(|(c, weight)| c.to_digit(36).unwrap_or(0) * weight)
        .sum();
    match 11 - sum % 11 {
        11 => '0',
        10 => 'X',
        digit => char::from_digit(digit, 10).unwrap_or('0'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organisation_codes_carry_their_own_check_character() {
        // Of published codes: 91350100M000100Y43 (GB 32100's example), 91330100799655058B.
        for (code, check) in [("M000100Y", '4'), ("79965505", '8')] {
            assert_eq!(organisation_check(code), check, "{code}");
        }
    }
}
