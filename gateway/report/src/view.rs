//! A report as a page has it: chapters, tables and cells, with all words in the page's language.

use std::collections::BTreeMap;

use xinqiao_ledger::{
    catalogue::{
        Catalogue,
        field::Field,
        item::{ENTRIES, ItemSchema, Shape},
        json::Json,
    },
    ids::ItemCode,
    wire::{self, ItemStatus, PartStatus},
};

use crate::{
    Error, Occasion,
    show::{self, Cell, cell, raw},
    wording::{Html, Lang},
};

/// A page.
pub(crate) struct Page {
    pub(crate) lang: Lang,
    pub(crate) title: String,
    pub(crate) enterprise: Html,
    pub(crate) facts: Vec<(Html, Html)>,
    pub(crate) tiles: Vec<Tile>,
    pub(crate) chapters: Vec<Chapter>,
    pub(crate) parts: Vec<PartRow>,
    pub(crate) proofs: Vec<ProofRow>,
}

/// A number that sums something up.
pub(crate) struct Tile {
    pub(crate) label: Html,
    pub(crate) count: usize,
    /// `bad`, `warn` or none.
    pub(crate) class: &'static str,
}

/// A group of items.
pub(crate) struct Chapter {
    pub(crate) number: usize,
    pub(crate) name: Html,
    pub(crate) items: Vec<ItemView>,
}

/// One item.
pub(crate) struct ItemView {
    pub(crate) number: String,
    pub(crate) name: Html,
    pub(crate) badge: Html,
    /// `ok`, `part`, `bad` or `none`.
    pub(crate) class: &'static str,
    pub(crate) conflicts: usize,
    pub(crate) sources: usize,
    pub(crate) stale: usize,
    pub(crate) objected: bool,
    pub(crate) versions: Vec<VersionView>,
    /// Records of several sources side by side; empty otherwise.
    pub(crate) side_by_side: Vec<CompareRow>,
    pub(crate) differences: Vec<Difference>,
    pub(crate) more_differences: bool,
    pub(crate) failed: Vec<(Html, Html)>,
}

/// One source's version of an item.
pub(crate) struct VersionView {
    pub(crate) source: Html,
    pub(crate) as_of: String,
    pub(crate) verified: bool,
    pub(crate) stale: bool,
    pub(crate) objections: Vec<Html>,
    pub(crate) faults: Vec<Html>,
    pub(crate) more_faults: bool,
    pub(crate) content: Content,
}

/// What a version holds.
pub(crate) enum Content {
    /// A record: rows of one or two fields. Empty when records stand side by side.
    Record(Vec<Vec<Pair>>),
    /// A list of entries.
    List {
        heads: Vec<Html>,
        rows: Vec<Vec<Cell>>,
    },
    /// A list without entries.
    Empty,
    /// Whatever has no form.
    Raw(Html),
}

/// A field and its value.
pub(crate) struct Pair {
    pub(crate) label: Html,
    pub(crate) cell: Cell,
}

/// A field in several versions.
pub(crate) struct CompareRow {
    pub(crate) label: Html,
    pub(crate) cells: Vec<Cell>,
    pub(crate) conflict: bool,
}

/// Something that sources say differently in a list.
pub(crate) struct Difference {
    pub(crate) about: Html,
    pub(crate) field: Html,
    pub(crate) values: Vec<(Html, Html)>,
}

/// What became of one source's part.
pub(crate) struct PartRow {
    pub(crate) source: Html,
    pub(crate) items: usize,
    pub(crate) outcome: Html,
    pub(crate) came: bool,
    pub(crate) reason: Html,
    pub(crate) time: String,
}

/// How a version was verified.
pub(crate) struct ProofRow {
    pub(crate) item: Html,
    pub(crate) source: Html,
    pub(crate) leaf: String,
    pub(crate) root: String,
    pub(crate) height: u64,
}

impl Page {
    pub(crate) fn new(
        answer: &wire::QueryReportResponse,
        occasion: &Occasion,
        lang: Lang,
    ) -> Result<Self, Error> {
        let wire = answer.catalogue.as_ref().ok_or(Error::NoCatalogue)?;
        let catalogue = if wire.items.is_empty() {
            None
        } else {
            Some(Catalogue::try_from(wire)?)
        };
        let maker = Maker {
            answer,
            occasion,
            catalogue: catalogue.as_ref(),
            lang,
        };
        let chapters = maker.chapters();
        let name = maker.enterprise();
        let title = lang.plain("企业信用报告", "Enterprise credit report");
        Ok(Self {
            lang,
            title: name
                .as_ref()
                .map_or_else(|| title.clone(), |name| format!("{name} · {title}")),
            enterprise: name.map_or_else(|| Html::text(&occasion.uscc), |name| Html::text(&name)),
            facts: maker.facts(),
            tiles: maker.tiles(),
            parts: answer.parts.iter().map(|part| maker.part(part)).collect(),
            proofs: maker.proofs(&chapters),
            chapters,
        })
    }

    /// Words of the page itself.
    pub(crate) fn say(&self, zh: &str, en: &str) -> Html {
        self.lang.say(zh, en)
    }
}

struct Maker<'a> {
    answer: &'a wire::QueryReportResponse,
    occasion: &'a Occasion,
    catalogue: Option<&'a Catalogue>,
    lang: Lang,
}

impl Maker<'_> {
    fn schema(&self, code: &str) -> Option<&ItemSchema> {
        self.catalogue?.item(&code.parse::<ItemCode>().ok()?)
    }

    fn section(&self, at: u32) -> Option<&wire::ReportSection> {
        self.answer.sections.get(at as usize)
    }

    /// The enterprise's name, if a source registers one.
    fn enterprise(&self) -> Option<String> {
        let mut registrations =
            (self.answer.sections.iter()).filter(|section| section.item == "business_registration");
        registrations.find_map(|section| {
            let json = Json::read(section.json.as_bytes()).ok()?;
            json.member("name")?.text().map(str::to_owned)
        })
    }

    fn facts(&self) -> Vec<(Html, Html)> {
        let (answer, occasion) = (self.answer, self.occasion);
        let purpose = self.catalogue.and_then(|catalogue| {
            let purpose = catalogue.purpose(&occasion.purpose.parse().ok()?)?;
            Some(self.lang.plain(&purpose.name_zh, &purpose.name_en))
        });
        let purpose = purpose.unwrap_or_else(|| occasion.purpose.clone());
        let fact = |zh, en, value: &str| (self.lang.say(zh, en), Html::text(value));
        vec![
            fact(
                "统一社会信用代码",
                "Unified social credit code",
                &occasion.uscc,
            ),
            fact("查询目的", "Purpose", &purpose),
            fact("查询机构", "Institution", &answer.institution),
            fact("查询人", "Asked by", &occasion.user),
            fact("查询时间", "Asked at", &show::moment(answer.asked_at_ms)),
            fact(
                "账本高度",
                "Ledger height",
                &answer.placed_at_height.to_string(),
            ),
            fact("订单编号", "Order", &show::hex(&answer.order)),
            fact("授权编号", "Consent grant", &show::hex(&answer.grant)),
        ]
    }

    fn tiles(&self) -> Vec<Tile> {
        let items = &self.answer.items;
        let of = |status: ItemStatus| items.iter().filter(|item| item.status() == status).count();
        let sources: std::collections::BTreeSet<&str> = (self.answer.sections.iter())
            .map(|section| &*section.source)
            .collect();
        let conflicts = items.iter().map(|item| item.conflicts.len()).sum();
        let stale = (self.answer.sections.iter())
            .filter(|section| section.stale)
            .count();
        let objected = (self.answer.sections.iter())
            .filter(|section| !section.objections.is_empty())
            .count();
        let tile = |zh, en, count: usize, class: &'static str| Tile {
            label: self.lang.say(zh, en),
            count,
            class: if count == 0 { "" } else { class },
        };
        let failed = of(ItemStatus::Failed) + of(ItemStatus::Partial);
        vec![
            tile("查询信息项", "Items asked", items.len(), ""),
            tile(
                "取得信息项",
                "Items obtained",
                of(ItemStatus::Complete) + of(ItemStatus::Partial),
                "",
            ),
            tile("数据源", "Sources", sources.len(), ""),
            tile("来源间差异", "Conflicts", conflicts, "warn"),
            tile("已过时效", "Out of date", stale, "warn"),
            tile("有异议", "Objected to", objected, "bad"),
            tile("未能取得", "Not obtained", failed, "bad"),
        ]
    }

    fn chapters(&self) -> Vec<Chapter> {
        let mut chapters: Vec<Chapter> = Vec::new();
        let mut last: Option<&str> = None;
        for item in &self.answer.items {
            if last != Some(&*item.group) {
                let group = self.catalogue.and_then(|catalogue| {
                    catalogue
                        .groups
                        .iter()
                        .find(|group| group.code.as_str() == item.group)
                });
                chapters.push(Chapter {
                    number: chapters.len() + 1,
                    name: group.map_or_else(
                        || self.lang.say("其他", "Others"),
                        |group| self.lang.say(&group.name_zh, &group.name_en),
                    ),
                    items: Vec::new(),
                });
                last = Some(&item.group);
            }
            if let Some(chapter) = chapters.last_mut() {
                let number = format!("{}.{}", chapter.number, chapter.items.len() + 1);
                chapter.items.push(self.item(item, number));
            }
        }
        chapters
    }

    fn item(&self, item: &wire::ReportItem, number: String) -> ItemView {
        let schema = self.schema(&item.item);
        let sections: Vec<_> = item
            .sections
            .iter()
            .filter_map(|at| self.section(*at))
            .collect();
        let (badge, class) = match item.status() {
            ItemStatus::Complete => (self.lang.say("已取得", "Obtained"), "ok"),
            ItemStatus::Partial => (self.lang.say("部分取得", "In part"), "part"),
            ItemStatus::Failed => (self.lang.say("未取得", "Not obtained"), "bad"),
            ItemStatus::NotHeld => (self.lang.say("无数据源持有", "Held by no source"), "none"),
            ItemStatus::Unspecified => (Html::default(), "none"),
        };
        let read: Vec<_> = (sections.iter())
            .map(|section| Json::read(section.json.as_bytes()).ok())
            .collect();
        let side_by_side = schema.and_then(|schema| self.side_by_side(item, schema, &read));
        let compared = side_by_side.is_some();
        let name = if item.name_zh.is_empty() {
            Html::text(&item.item)
        } else {
            self.lang.say(&item.name_zh, &item.name_en)
        };
        ItemView {
            number,
            name,
            badge,
            class,
            conflicts: item.conflicts.len(),
            sources: sections.len(),
            stale: sections.iter().filter(|section| section.stale).count(),
            objected: (sections.iter()).any(|section| !section.objections.is_empty()),
            versions: (sections.iter().zip(&read))
                .map(|(section, json)| self.version(section, schema, json.as_ref(), compared))
                .collect(),
            side_by_side: side_by_side.unwrap_or_default(),
            differences: match schema {
                Some(schema) if !compared => self.differences(item, schema),
                _ => Vec::new(),
            },
            more_differences: item.more_conflicts,
            failed: (item.failed_parts.iter())
                .filter_map(|at| self.answer.parts.get(*at as usize))
                .map(|part| (self.source(&part.source, &part.source_name), self.why(part)))
                .collect(),
        }
    }

    /// Records of two or three sources, field by field.
    fn side_by_side(
        &self,
        item: &wire::ReportItem,
        schema: &ItemSchema,
        read: &[Option<Json<'_>>],
    ) -> Option<Vec<CompareRow>> {
        let records = read
            .iter()
            .all(|json| matches!(json, Some(Json::Object(_))));
        if !(2..=3).contains(&read.len()) || schema.shape != Shape::Record || !records {
            return None;
        }
        let mut rows = Vec::new();
        for field in &schema.fields {
            let values = read
                .iter()
                .flatten()
                .map(|json| json.member(field.name.as_str()));
            let cells: Vec<_> = values.map(|value| cell(field, value, self.lang)).collect();
            if cells.iter().all(|cell| cell.html.is_empty()) {
                continue;
            }
            rows.push(CompareRow {
                label: self.label(field),
                cells,
                conflict: (item.conflicts.iter()).any(|one| one.field == field.name.as_str()),
            });
        }
        let mut unknown: Vec<&str> = (read.iter().flatten())
            .flat_map(members)
            .filter(|name| schema.field(name).is_none())
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        for name in unknown {
            let values = read.iter().flatten().map(|json| json.member(name));
            rows.push(CompareRow {
                label: Html::text(name),
                cells: values
                    .map(|value| value.map(raw).unwrap_or_default())
                    .collect(),
                conflict: false,
            });
        }
        Some(rows)
    }

    fn version(
        &self,
        section: &wire::ReportSection,
        schema: Option<&ItemSchema>,
        json: Option<&Json<'_>>,
        compared: bool,
    ) -> VersionView {
        let content = match (schema, json) {
            _ if compared => Content::Record(Vec::new()),
            (Some(schema), Some(json)) => self.content(schema, json),
            _ => Content::Raw(Html::text(&section.json)),
        };
        VersionView {
            source: self.source(&section.source, &section.source_name),
            as_of: show::day(section.as_of_day.into()),
            verified: section.proof.is_some(),
            stale: section.stale,
            objections: (section.objections.iter())
                .map(|mark| self.objection(mark))
                .collect(),
            faults: (section.faults.iter())
                .map(|fault| match &*fault.path {
                    "" => Html::text(&fault.message),
                    path => Html::text(&format!("{path}: {}", fault.message)),
                })
                .collect(),
            more_faults: section.more_faults,
            content,
        }
    }

    fn objection(&self, mark: &wire::ObjectionMark) -> Html {
        let filed = show::date(mark.filed_at_ms);
        let (zh, en) = if mark.unresolved {
            ("经核查仍不能确认", "looked into, could not be established")
        } else {
            ("核查中", "being looked into")
        };
        self.lang.say(
            &format!("信息主体 {filed} 提出异议，{zh}"),
            &format!("objection filed on {filed}, {en}"),
        )
    }

    fn content(&self, schema: &ItemSchema, json: &Json<'_>) -> Content {
        match (schema.shape, json) {
            (Shape::Record, Json::Object(_)) => Content::Record(self.record(schema, json)),
            (Shape::List { .. }, Json::Object(_)) => match json.member(ENTRIES) {
                Some(Json::List(entries)) if entries.is_empty() => Content::Empty,
                Some(Json::List(entries))
                    if entries.iter().all(|entry| matches!(entry, Json::Object(_))) =>
                {
                    self.list(schema, entries)
                }
                _ => Content::Raw(Html::text(&json.to_string())),
            },
            _ => Content::Raw(Html::text(&json.to_string())),
        }
    }

    /// Two fields a row, where they are short.
    fn record(&self, schema: &ItemSchema, record: &Json<'_>) -> Vec<Vec<Pair>> {
        let mut pairs: Vec<Pair> = (schema.fields.iter())
            .map(|field| Pair {
                label: self.label(field),
                cell: cell(field, record.member(field.name.as_str()), self.lang),
            })
            .filter(|pair| !pair.cell.html.is_empty())
            .collect();
        pairs.extend(
            members(record)
                .filter(|name| schema.field(name).is_none())
                .map(|name| Pair {
                    label: Html::text(name),
                    cell: record.member(name).map(raw).unwrap_or_default(),
                }),
        );
        let mut rows: Vec<Vec<Pair>> = Vec::new();
        for pair in pairs {
            let half = !pair.cell.wide;
            match rows.last_mut() {
                Some(row) if half && row.len() == 1 && !row[0].cell.wide => row.push(pair),
                _ => rows.push(vec![pair]),
            }
        }
        rows
    }

    fn list(&self, schema: &ItemSchema, entries: &[Json<'_>]) -> Content {
        let mut heads = Vec::new();
        let mut rows: Vec<Vec<Cell>> = entries.iter().map(|_| Vec::new()).collect();
        for field in &schema.fields {
            let values = entries
                .iter()
                .map(|entry| entry.member(field.name.as_str()));
            let cells: Vec<_> = values.map(|value| cell(field, value, self.lang)).collect();
            if cells.iter().all(|cell| cell.html.is_empty()) {
                continue;
            }
            heads.push(self.label(field));
            for (row, cell) in rows.iter_mut().zip(cells) {
                row.push(cell);
            }
        }
        // What the schema does not have stands together, in a last column.
        let others: Vec<Cell> = (entries.iter())
            .map(|entry| {
                let unknown = members(entry).filter(|name| schema.field(name).is_none());
                let texts: Vec<String> = unknown
                    .filter_map(|name| Some(format!("{name}: {}", entry.member(name)?)))
                    .collect();
                Cell {
                    html: Html::text(&texts.join("; ")),
                    class: "raw",
                    wide: false,
                }
            })
            .collect();
        if others.iter().any(|cell| !cell.html.is_empty()) {
            heads.push(self.lang.say("其他", "Others"));
            for (row, cell) in rows.iter_mut().zip(others) {
                row.push(cell);
            }
        }
        Content::List { heads, rows }
    }

    fn differences(&self, item: &wire::ReportItem, schema: &ItemSchema) -> Vec<Difference> {
        let plain = |field: &Field, json: &str| {
            let value = Json::read(json.as_bytes()).ok();
            value.map_or_else(
                || json.to_owned(),
                |value| show::plain(field, &value, self.lang),
            )
        };
        (item.conflicts.iter())
            .map(|conflict| {
                let field = schema.field(&conflict.field);
                let said = |json: &str| match field {
                    _ if json.is_empty() => self.lang.say("无", "none"),
                    Some(field) => Html::text(&plain(field, json)),
                    None if conflict.field.is_empty() => self.lang.say("有", "has it"),
                    None => Html::text(json),
                };
                Difference {
                    about: Html::text(&self.about(schema, &conflict.about)),
                    field: match field {
                        Some(field) => self.label(field),
                        None if conflict.field.is_empty() => {
                            self.lang.say("是否列有", "Listed at all")
                        }
                        None => Html::text(&conflict.field),
                    },
                    values: (conflict.values.iter())
                        .filter_map(|value| {
                            let section = self.section(value.section)?;
                            let source = self.source(&section.source, &section.source_name);
                            Some((source, said(&value.json)))
                        })
                        .collect(),
                }
            })
            .collect()
    }

    /// What a record is about, in words.
    fn about(&self, schema: &ItemSchema, json: &str) -> String {
        let Ok(about) = Json::read(json.as_bytes()) else {
            return json.to_owned();
        };
        let fields = schema.fields.iter().filter_map(|field| {
            let value = about.member(field.name.as_str())?;
            (!value.is_absent()).then(|| show::plain(field, value, self.lang))
        });
        let words: Vec<String> = fields.collect();
        if words.is_empty() {
            json.to_owned()
        } else {
            words.join(" · ")
        }
    }

    fn label(&self, field: &Field) -> Html {
        self.lang.say(&field.name_zh, &field.name_en)
    }

    fn source(&self, id: &str, name: &str) -> Html {
        Html::text(if name.is_empty() { id } else { name })
    }

    fn part(&self, part: &wire::PartOutcome) -> PartRow {
        PartRow {
            source: self.source(&part.source, &part.source_name),
            items: part.items.len(),
            outcome: self.outcome(part.status()),
            came: came(part.status()),
            reason: if part.reason.is_empty() {
                Html::default()
            } else {
                self.why(part)
            },
            time: show::duration(part.elapsed_us),
        }
    }

    fn outcome(&self, status: PartStatus) -> Html {
        let (zh, en) = match status {
            PartStatus::Placed | PartStatus::Accepted => ("未按时送达", "Not in time"),
            PartStatus::Delivered | PartStatus::Confirmed => {
                ("已送达并核验", "Delivered and verified")
            }
            PartStatus::Mismatched => ("核验不符", "Does not match"),
            PartStatus::Rejected => ("数据源拒绝", "Rejected by the source"),
            PartStatus::Expired => ("已过期限", "Expired"),
            PartStatus::Cancelled => ("已取消", "Cancelled"),
            PartStatus::ConsentRevoked => ("授权已撤销", "Consent revoked"),
            PartStatus::Unspecified => ("未知", "Unknown"),
        };
        self.lang.say(zh, en)
    }

    /// Why a part did not come: the outcome, and the reason in words with its code.
    fn why(&self, part: &wire::PartOutcome) -> Html {
        match (&*part.reason, (self.occasion.reason)(&part.reason)) {
            ("", _) => self.outcome(part.status()),
            (code, Some((zh, en))) => self
                .lang
                .say(&format!("{zh}（{code}）"), &format!("{en} ({code})")),
            (code, None) => Html::text(code),
        }
    }

    fn proofs(&self, chapters: &[Chapter]) -> Vec<ProofRow> {
        let items = chapters.iter().flat_map(|chapter| &chapter.items);
        let named: BTreeMap<&str, &Html> = (self.answer.items.iter().zip(items))
            .map(|(item, view)| (&*item.item, &view.name))
            .collect();
        let mut rows = Vec::new();
        for item in &self.answer.items {
            for section in item.sections.iter().filter_map(|at| self.section(*at)) {
                let Some(proof) = &section.proof else {
                    continue;
                };
                let path = proof.path.clone().unwrap_or_default();
                rows.push(ProofRow {
                    item: named
                        .get(&*item.item)
                        .map_or_else(Html::default, |name| (*name).clone()),
                    source: self.source(&section.source, &section.source_name),
                    leaf: format!("{}/{}", path.index.saturating_add(1), path.size),
                    root: show::hex(&proof.root),
                    height: proof.registered_at_height,
                });
            }
        }
        rows
    }
}

/// Whether what a part brought is in the report.
fn came(status: PartStatus) -> bool {
    matches!(status, PartStatus::Delivered | PartStatus::Confirmed)
}

fn members<'a>(json: &'a Json<'_>) -> impl Iterator<Item = &'a str> {
    let members = match json {
        Json::Object(members) => &members[..],
        _ => &[],
    };
    members.iter().map(|(name, _)| &**name)
}
