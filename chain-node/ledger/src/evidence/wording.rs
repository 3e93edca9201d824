//! Findings in plain words, English and Chinese. How a time is written is the caller's choice.

use super::{
    authentic::{Moment, Signer},
    findings::{Claim, Findings, Gap, PartEnd, Standing, Statement},
};
use crate::{
    ids::{ItemCode, OrgId, SourceId, TimeMs},
    member::KeyRole,
    order::{PlaceOrder, SealScheme},
    wire::{ConsentStatus, PartStatus},
};

/// The same sentence in both languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

fn both(en: impl Into<String>, zh: impl Into<String>) -> Sentence {
    Sentence {
        en: en.into(),
        zh: zh.into(),
    }
}

impl Findings {
    /// What a claim says, and why it is not proven if it is not. `time` writes a time.
    pub fn sentence(&self, claim: &Claim, time: &dyn Fn(TimeMs) -> String) -> Sentence {
        let words = Words {
            findings: self,
            time,
        };
        let said = words.statement(&claim.statement);
        match &claim.standing {
            Standing::Proven => both(said.en + ".", said.zh + "。"),
            Standing::NotShown(gap) => {
                let why = words.gap(gap);
                both(
                    format!("Not shown: {}. {}.", said.en, why.en),
                    format!("未能证明：{}。{}。", said.zh, why.zh),
                )
            }
            Standing::Contradicted(gap) => {
                let why = words.gap(gap);
                both(
                    format!("CONTRADICTED: {}. {}.", said.en, why.en),
                    format!("与记录矛盾：{}。{}。", said.zh, why.zh),
                )
            }
        }
    }

    /// What no evidence file can show, said with every one of them.
    pub fn caveats(&self, time: &dyn Fn(TimeMs) -> String) -> Vec<Sentence> {
        let until = (time)(self.until.time);
        vec![
            both(
                format!(
                    "The file says nothing of what happened after height {} ({until}), and cannot \
                     show that no receipt was left out of it: ask a node or an observer for what \
                     is missing",
                    self.until.height
                ),
                format!(
                    "本文件不涉及高度 {}（{until}）之后的事项，也不能证明没有遗漏任何收据：缺失部分请向节点或观察者查询",
                    self.until.height
                ),
            ),
            both(
                "That the contracts' rules were kept is the word of the validators that certified \
                 the blocks: this check did not execute them again, observers do",
                "合约规则得到遵守，由认证区块的验证者担保：本次核验未重新执行合约，观察者会逐块重新执行",
            ),
            both(
                "Times are those of blocks, as their proposers set them",
                "时间为区块时间，由出块者设定",
            ),
            both(
                "The ledger has digests only: what the report said is shown by the report itself, \
                 whose items lead to the registered roots",
                "账本只有摘要：报告内容由报告本身证明，其各项可推导至所登记的根",
            ),
        ]
        .into_iter()
        .map(|said| both(said.en + ".", said.zh + "。"))
        .collect()
    }

    /// An organisation by its name, as the genesis or an admission in the file gives it.
    pub fn name<'a>(&'a self, org: &'a OrgId) -> &'a str {
        self.names.get(org).map_or(org.as_str(), String::as_str)
    }
}

struct Words<'a> {
    findings: &'a Findings,
    time: &'a dyn Fn(TimeMs) -> String,
}

impl Words<'_> {
    fn statement(&self, statement: &Statement) -> Sentence {
        match statement {
            Statement::OneHistory {
                transactions,
                blocks,
                signatures,
                validators,
            } => {
                let (name, height) = (&self.findings.consortium, self.findings.until.height);
                let time = (self.time)(self.findings.until.time);
                let (en, zh) = match blocks {
                    0 => (String::new(), String::new()),
                    1 => (
                        " and the one block outcome".to_owned(),
                        "和 1 个区块自身结果".to_owned(),
                    ),
                    more => (
                        format!(" and {more} block outcomes"),
                        format!("和 {more} 个区块自身结果"),
                    ),
                };
                both(
                    format!(
                        "All {transactions} transactions{en} of this file belong to the one history of \
                         {name} that ends at height {height} ({time}), certified by {signatures} \
                         of {validators} validators"
                    ),
                    format!(
                        "本文件的 {transactions} 笔交易{zh}均属于“{name}”截至高度 {height}（{time}）的同一历史，由 {validators} 个验证者中的 {signatures} 个认证"
                    ),
                )
            }
            Statement::Signed { checked, of } => both(
                format!("{checked} of {of} transaction signatures were checked here"),
                format!("{of} 个交易签名中有 {checked} 个在此核验"),
            ),
            Statement::Ordered {
                at,
                institution,
                order,
                parts,
                missing,
            } => self.ordered(at, institution.as_ref(), order, *parts, missing),
            Statement::Recipient {
                key,
                scheme: SealScheme::MlsSm4Gcm,
            } => both(
                format!(
                    "Deliveries are sealed for delivery groups (MLS) of each data-holding node and the \
                     institution's agents; key {}…, which the order names, is an encryption key of the institution",
                    short(&key.digest())
                ),
                format!(
                    "交付内容密封给各数据节点与该机构代理组成的交付群组（MLS）；订单所列密钥 {}… 为该机构的加密公钥",
                    short(&key.digest())
                ),
            ),
            Statement::Recipient {
                key,
                scheme: SealScheme::Sm2Sm4Gcm,
            } => both(
                format!(
                    "Deliveries are sealed to key {}…, an encryption key of the institution",
                    short(&key.digest())
                ),
                format!(
                    "交付内容密封给密钥 {}…，即该机构的加密公钥",
                    short(&key.digest())
                ),
            ),
            Statement::Granted { grant, given } => {
                let id = short(&grant.0);
                match given {
                    None => both(
                        format!("Consent {id}… had been given before the order"),
                        format!("授权 {id}… 在订单之前已作出"),
                    ),
                    Some((at, signer)) => {
                        let (by, at) = (self.consenter(signer), self.moment(at));
                        both(
                            format!("Consent {id}… was given {}, {}", at.en, by.en),
                            format!("授权 {id}… 于{}作出，{}", at.zh, by.zh),
                        )
                    }
                }
            }
            Statement::Covered(grant) => {
                let id = short(&grant.0);
                both(
                    format!(
                        "The terms of consent {id}… cover the order: institution, subject, \
                         purpose, items, sources and time"
                    ),
                    format!("授权 {id}… 的条款涵盖该订单：机构、主体、目的、信息项、数据源与时间"),
                )
            }
            Statement::Live { grant, part } => {
                let id = short(&grant.0);
                match part {
                    None => both(
                        format!(
                            "Consent {id}… was in force when the order was placed: the contract \
                             accepted it, and no change in this file says otherwise"
                        ),
                        format!("下单时授权 {id}… 有效：合约已接受，且本文件中没有相反的变更"),
                    ),
                    Some((_, source)) => both(
                        format!(
                            "Consent {id}… was in force when {source} recorded its delivery: the \
                             contract accepted it, and no change in this file says otherwise"
                        ),
                        format!(
                            "{source} 登记交付时授权 {id}… 有效：合约已接受，且本文件中没有相反的变更"
                        ),
                    ),
                }
            }
            Statement::Registered { fixed, at, .. } => {
                let (source, root) = (&fixed.source, short(&fixed.registered_root));
                let version = fixed.digest_version;
                match at {
                    None => both(
                        format!(
                            "{source} had registered the report root {root}… (version {version}) \
                             before the order"
                        ),
                        format!("{source} 在订单之前已登记报告根 {root}…（第 {version} 版）"),
                    ),
                    Some(at) => {
                        let at = self.moment(at);
                        both(
                            format!(
                                "{source} registered the report root {root}… (version {version}) \
                                 {}, before the order",
                                at.en
                            ),
                            format!(
                                "{source} 于{}登记报告根 {root}…（第 {version} 版），早于订单",
                                at.zh
                            ),
                        )
                    }
                }
            }
            Statement::Delivered { source, record, .. } => match record {
                None => both(
                    format!("{source} recorded a delivery"),
                    format!("{source} 登记了交付"),
                ),
                Some((at, signer, record)) => {
                    let (at, by) = (self.moment(at), self.by_key(signer));
                    let items = self.items(&record.items);
                    let length = record.ciphertext_length;
                    let digest = short(&record.ciphertext_digest);
                    let (epoch_en, epoch_zh) = match record.sealing.epoch() {
                        None => (String::new(), String::new()),
                        Some(mark) => (
                            format!(", for epoch {} of group {}", mark.epoch, mark.generation),
                            format!("，群组 {} 第 {} 纪元", mark.generation, mark.epoch),
                        ),
                    };
                    both(
                        format!(
                            "{source} recorded its delivery {}, {}: {length} sealed bytes with \
                             digest {digest}…{epoch_en}, of exactly the registered root, holding {}",
                            at.en, by.en, items.en
                        ),
                        format!(
                            "{source} 于{}登记交付，{}：密封内容 {length} 字节，摘要 {digest}…{epoch_zh}，与登记的根一致，含{}",
                            at.zh, by.zh, items.zh
                        ),
                    )
                }
            },
            Statement::Ended {
                source, end, at, ..
            } => {
                let (en, zh) = self.ending(source, end);
                match at.as_ref().map(|at| self.moment(at)) {
                    None => both(en, zh),
                    Some(at) => both(format!("{en} {}", at.en), format!("{zh}，时间{}", at.zh)),
                }
            }
            Statement::Dispute { at, settled } => {
                let at = self.moment(at);
                if *settled {
                    both(
                        format!("A dispute over the order was settled {}", at.en),
                        format!("订单争议于{}了结", at.zh),
                    )
                } else {
                    both(
                        format!("The order was disputed {}", at.en),
                        format!("订单于{}被提出争议", at.zh),
                    )
                }
            }
        }
    }

    fn ordered(
        &self,
        at: &Moment,
        institution: Option<&OrgId>,
        order: &PlaceOrder,
        parts: usize,
        missing: &[ItemCode],
    ) -> Sentence {
        let who = match institution {
            Some(org) => self.org(org),
            None => both("an institution", "某机构"),
        };
        let purpose = match self.findings.catalogue.purpose(&order.purpose) {
            Some(known) => both(
                format!("{} ({})", known.name_en, order.purpose),
                format!("{}（{}）", known.name_zh, order.purpose),
            ),
            None => both(order.purpose.as_str(), order.purpose.as_str()),
        };
        let (items, at, subject) = (
            self.items(&order.items),
            self.moment(at),
            short(&order.subject.0),
        );
        let mut said = both(
            format!(
                "{} ordered {} of subject {subject}… for the purpose {} {}, and the contract made \
                 {parts} part{} of it",
                who.en,
                items.en,
                purpose.en,
                at.en,
                if parts == 1 { "" } else { "s" }
            ),
            format!(
                "{}于{}以“{}”为目的，就主体 {subject}… 订购{}，合约拆分为 {parts} 个部分",
                who.zh, at.zh, purpose.zh, items.zh
            ),
        );
        if !missing.is_empty() {
            let items = self.items(missing);
            said.en += &format!("; no source held {}", items.en);
            said.zh += &format!("；没有数据源持有{}", items.zh);
        }
        said
    }

    fn gap(&self, gap: &Gap) -> Sentence {
        match gap {
            Gap::KeysAbsent(count) => both(
                format!(
                    "The keys of the other {count} are neither in the genesis nor in this file; \
                     their signatures were checked by the quorum that applied them"
                ),
                format!(
                    "另外 {count} 个签名的公钥既不在创世文件也不在本文件中，其签名由应用该交易的法定多数核验"
                ),
            ),
            Gap::NoGrant => both(
                "This file has no receipt of the consent",
                "本文件没有该授权的收据",
            ),
            Gap::NoRegistration => both(
                "This file has no receipt of that registration",
                "本文件没有该登记的收据",
            ),
            Gap::NoDelivery => both(
                "This file has no receipt of the delivery",
                "本文件没有该交付的收据",
            ),
            Gap::NoEnd => both(
                "This file has no receipt of how it ended, neither a transaction's nor a block's",
                "本文件没有其结果的收据，无论是交易的还是区块自身的",
            ),
            Gap::RecipientUnknown => both(
                "Neither the genesis nor this file gives the institution such a key",
                "创世文件与本文件均未载明该机构有此密钥",
            ),
            Gap::OtherSubject => both("The consent is another subject's", "该授权属于另一主体"),
            Gap::OtherInstitution(org) => {
                let org = self.org(org);
                both(
                    format!("The consent is for {}", org.en),
                    format!("该授权给予的是{}", org.zh),
                )
            }
            Gap::OtherBranch => both(
                "The consent is for another branch",
                "该授权给予的是另一分支机构",
            ),
            Gap::Purpose => both(
                "The consent does not cover the purpose",
                "该授权不包含此目的",
            ),
            Gap::Item(item) => {
                let item = self.items(std::slice::from_ref(item));
                both(
                    format!("The consent does not cover {}", item.en),
                    format!("该授权不包含{}", item.zh),
                )
            }
            Gap::Source(source) => both(
                format!("The consent does not cover the source {source}"),
                format!("该授权不包含数据源 {source}"),
            ),
            Gap::Validity { from, until } => {
                let (from, until) = ((self.time)(*from), (self.time)(*until));
                both(
                    format!("The consent is valid from {from} until {until}"),
                    format!("该授权有效期为 {from} 至 {until}"),
                )
            }
            Gap::Stood(status) => {
                let (en, zh) = consent_status(*status);
                both(
                    format!("The consent's last change before that made it {en}"),
                    format!("此前最后一次变更后，该授权的状态为“{zh}”"),
                )
            }
            Gap::RegisteredElsewhen(at) => {
                let at = self.moment(at);
                both(
                    format!(
                        "That registration took effect {}, not where the order says",
                        at.en
                    ),
                    format!("该登记于{}生效，与订单所载不符", at.zh),
                )
            }
            Gap::Root(root) => both(
                format!("The root recorded is {}…", short(root)),
                format!("所登记的根为 {}…", short(root)),
            ),
            Gap::Seal => both(
                "It is sealed in another way than the order fixed",
                "其密封方式与订单所定不同",
            ),
            Gap::Items => both(
                "The items are not those that were ordered and registered",
                "信息项与订购和登记的不符",
            ),
            Gap::SignedBy(org) => {
                let org = self.org(org);
                both(
                    format!("It was signed by {}, which may not do so", org.en),
                    format!("签名者为{}，其无权签署", org.zh),
                )
            }
            Gap::Sequence => both(
                "It does not come after what it must follow",
                "其先后次序不符",
            ),
            Gap::Early => both("That block came before the deadline", "该区块早于期限"),
            Gap::Unsigned => both(
                "The block records it by itself, without the signed transaction that it takes",
                "由区块自身记录，缺少必需的已签名交易",
            ),
        }
    }

    fn moment(&self, at: &Moment) -> Sentence {
        let time = (self.time)(at.time);
        both(
            format!("at {time} (height {})", at.height),
            format!(" {time}（高度 {}）", at.height),
        )
    }

    fn org(&self, org: &OrgId) -> Sentence {
        let name = self.findings.name(org);
        both(format!("{name} ({org})"), format!("{name}（{org}）"))
    }

    fn by(&self, signer: &Signer) -> Sentence {
        match signer {
            Signer::Member { org, role, .. } => {
                let (org, (en, zh)) = (self.org(org), key_role(*role));
                both(
                    format!("signed with the {en} key of {}", org.en),
                    format!("由{}的{zh}密钥签名", org.zh),
                )
            }
            Signer::Subject(_) => both(
                "signed with the subject's own key",
                "由信息主体本人的密钥签名",
            ),
            Signer::Unknown(key) => both(
                format!(
                    "signed with key {}…, as checked by the quorum that applied it",
                    short(&key.digest())
                ),
                format!("由密钥 {}… 签名（由法定多数核验）", short(&key.digest())),
            ),
        }
    }

    /// The same, with the key itself: a source may have several data-holding nodes.
    fn by_key(&self, signer: &Signer) -> Sentence {
        match signer {
            Signer::Member { org, role, key } => {
                let (org, (en, zh)) = (self.org(org), key_role(*role));
                let key = short(&key.digest());
                both(
                    format!("signed with the {en} key {key}… of {}", org.en),
                    format!("由{}的{zh}密钥 {key}… 签名", org.zh),
                )
            }
            _ => self.by(signer),
        }
    }

    fn consenter(&self, signer: &Signer) -> Sentence {
        match signer {
            Signer::Member { org, .. } => {
                let org = self.org(org);
                both(
                    format!("witnessed and signed by {}", org.en),
                    format!("由{}见证并签名", org.zh),
                )
            }
            other => self.by(other),
        }
    }

    fn ending(&self, source: &SourceId, end: &PartEnd) -> (String, String) {
        match end {
            PartEnd::Confirmed => (
                format!(
                    "The institution opened the delivery of {source} and found every item to lead to \
                     the registered root"
                ),
                format!("机构打开了 {source} 的交付，各项均可推导至登记的根"),
            ),
            PartEnd::Mismatched(reason) => (
                format!("The institution found the delivery of {source} wrong ({reason})"),
                format!("机构认定 {source} 的交付有误（{reason}）"),
            ),
            PartEnd::Rejected(reason) => (
                format!("{source} did not deliver ({reason})"),
                format!("{source} 未交付（{reason}）"),
            ),
            PartEnd::Expired { deadline } => {
                let deadline = (self.time)(*deadline);
                (
                    format!(
                        "{source} had not delivered by the deadline, {deadline}: the block itself \
                         recorded the part as expired"
                    ),
                    format!("{source} 在期限 {deadline} 前未交付：由区块自身记录为逾期"),
                )
            }
            PartEnd::Cancelled => (
                format!("The institution withdrew the order before {source} delivered"),
                format!("机构在 {source} 交付前撤回订单"),
            ),
            PartEnd::ConsentRevoked => (
                format!("Consent was gone before {source} delivered"),
                format!("{source} 交付前授权已失效"),
            ),
            PartEnd::Open(status) => {
                let (en, zh) = match status {
                    PartStatus::Accepted => ("was taken up by the source", "已被数据源受理"),
                    PartStatus::Delivered => ("was delivered", "已交付"),
                    _ => ("was placed", "已下达"),
                };
                (
                    format!("How the part of {source} ended; it {en}"),
                    format!("{source} 部分的结果；目前{zh}"),
                )
            }
        }
    }

    fn items(&self, codes: &[ItemCode]) -> Sentence {
        let catalogue = &self.findings.catalogue;
        let named = |code: &ItemCode| match catalogue.item(code) {
            Some(known) => (known.name_en.to_string(), known.name_zh.to_string()),
            None => (code.to_string(), code.to_string()),
        };
        let (en, zh): (Vec<_>, Vec<_>) = codes.iter().map(named).unzip();
        both(en.join(", "), format!("“{}”", zh.join("、")))
    }
}

fn consent_status(status: ConsentStatus) -> (&'static str, &'static str) {
    match status {
        ConsentStatus::Unspecified => ("unknown", "未知"),
        ConsentStatus::Requested => ("requested", "已请求"),
        ConsentStatus::Active => ("active", "有效"),
        ConsentStatus::Paused => ("paused", "已暂停"),
        ConsentStatus::Revoked => ("revoked", "已撤回"),
        ConsentStatus::Expired => ("expired", "已过期"),
        ConsentStatus::Exhausted => ("exhausted", "次数用尽"),
        ConsentStatus::Declined => ("declined", "已拒绝"),
        ConsentStatus::Lapsed => ("lapsed", "已失效"),
    }
}

fn key_role(role: KeyRole) -> (&'static str, &'static str) {
    match role {
        KeyRole::Admin => ("admin", "管理"),
        KeyRole::Holder => ("holder", "数据持有"),
        KeyRole::Gateway => ("gateway", "网关"),
        KeyRole::Agent => ("agent", "代理"),
        KeyRole::Encryption => ("encryption", "加密"),
        KeyRole::Token => ("token", "令牌"),
    }
}

/// The first eight hexadecimal digits: enough to recognise a digest that is given in full elsewhere.
fn short(digest: &xinqiao_crypto::Digest) -> String {
    let mut hex = digest.to_string();
    hex.truncate(8);
    hex
}
