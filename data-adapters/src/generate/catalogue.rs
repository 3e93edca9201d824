//! The first version of the item catalogue and of the purposes, for genesis files and demos.
//!
//! On the ledger both are versioned data, changed by governance. This list only starts it.

/// One item of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueItem {
    /// `snake_case` ASCII, at most 32 characters.
    pub code: &'static str,
    /// Chinese name.
    pub name_zh: &'static str,
    /// English name.
    pub name_en: &'static str,
}

/// One purpose for which a report may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose {
    /// `snake_case` ASCII, at most 32 characters.
    pub code: &'static str,
    /// Chinese name.
    pub name_zh: &'static str,
    /// English name.
    pub name_en: &'static str,
}

macro_rules! table {
    ($type:ident: $($code:literal, $zh:literal, $en:literal;)+) => {
        &[$($type { code: $code, name_zh: $zh, name_en: $en },)+]
    };
}

/// The 29 items.
const ITEMS: &[CatalogueItem] = table![CatalogueItem:
    "business_registration", "工商登记", "Business registration";
    "registered_capital", "注册资本", "Registered capital";
    "business_scope", "经营范围", "Business scope";
    "registered_address", "注册地址", "Registered address";
    "shareholders", "股东出资", "Shareholders and contributions";
    "equity_pledge", "股权出质", "Equity pledges";
    "chattel_mortgage", "动产抵押", "Chattel mortgages";
    "annual_report", "企业年报", "Annual report";
    "abnormal_operation", "经营异常名录", "List of abnormal operations";
    "administrative_licence", "行政许可", "Administrative licences";
    "administrative_penalty", "行政处罚", "Administrative penalties";
    "tax_payment", "纳税信息", "Tax payments";
    "tax_credit_rating", "纳税信用等级", "Tax credit rating";
    "tax_arrears", "欠税信息", "Tax arrears";
    "social_security", "社会保险缴纳", "Social security contributions";
    "housing_fund", "住房公积金缴存", "Housing fund contributions";
    "electricity_payment", "用电缴费", "Electricity payments";
    "water_payment", "用水缴费", "Water payments";
    "gas_payment", "用气缴费", "Gas payments";
    "customs_declaration", "海关进出口", "Customs declarations";
    "customs_credit_rating", "海关信用等级", "Customs credit rating";
    "judicial_litigation", "司法诉讼", "Litigation";
    "judicial_enforcement", "司法执行", "Judicial enforcement";
    "dishonest_debtor", "失信被执行人", "Dishonest judgment debtors";
    "intellectual_property", "知识产权", "Intellectual property";
    "real_estate", "不动产登记", "Real estate registration";
    "environmental_rating", "环保信用评价", "Environmental credit rating";
    "quality_certification", "质量认证", "Quality certifications";
    "government_procurement", "政府采购", "Government procurement";
];

const PURPOSES: &[Purpose] = table![Purpose:
    "loan_approval", "贷前审批", "Loan approval";
    "post_loan", "贷后管理", "Post-loan management";
    "guarantee", "担保审查", "Guarantee review";
    "credit_line_review", "授信额度复审", "Credit line review";
    "bill_discount", "票据贴现审查", "Bill discounting review";
    "supply_chain_finance", "供应链融资", "Supply chain finance";
    "objection_handling", "异议核查", "Handling of an objection";
    "self_inquiry", "企业自查", "Inquiry by the enterprise itself";
];

/// The items of the first catalogue.
#[must_use]
pub fn catalogue() -> Vec<CatalogueItem> {
    ITEMS.to_vec()
}

/// The purposes of the first catalogue.
#[must_use]
pub fn purposes() -> Vec<Purpose> {
    PURPOSES.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_fit() {
        let codes: Vec<&str> = ITEMS
            .iter()
            .map(|item| item.code)
            .chain(PURPOSES.iter().map(|purpose| purpose.code))
            .collect();
        for code in &codes {
            let snake = code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(snake && (1..=32).contains(&code.len()), "{code}");
        }
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
        assert_eq!(ITEMS.len(), 29);
    }
}
