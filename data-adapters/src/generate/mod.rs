//! Invented enterprises and their records at six sources of three regions, the same for the same seed.
//!
//! For demos and tests: [`generate`] writes CSV files with mappings such that one enterprise has records
//! in several regions and nobody has them everywhere by rule. [`enterprise_mapping`] writes the mapping
//! for files of public company registrations. Not here: anything about the ledger.

mod lists;
mod profile;
mod seed;
mod sources;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use xinqiao_ledger::uscc::Uscc;

use crate::error::Error;
use lists::{LISTS, ListSpec};
use profile::Profile;
use seed::Seeded;
use sources::{SOURCES, SourceSpec};

/// Most enterprises that are made up in one go.
pub const MAX_ENTERPRISES: usize = 1_000_000;

/// Day for which the invented sources vouch.
pub const GENERATED_AS_OF: &str = "2026-06-30";

/// The regions of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Region {
    /// 上海
    Shanghai,
    /// 江苏
    Jiangsu,
    /// 浙江
    Zhejiang,
}

impl Region {
    /// All regions.
    pub const ALL: [Self; 3] = [Self::Shanghai, Self::Jiangsu, Self::Zhejiang];

    /// ASCII name, as in folder and source names.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Shanghai => "shanghai",
            Self::Jiangsu => "jiangsu",
            Self::Zhejiang => "zhejiang",
        }
    }

    /// Chinese name.
    #[must_use]
    pub fn name_zh(self) -> &'static str {
        match self {
            Self::Shanghai => "上海",
            Self::Jiangsu => "江苏",
            Self::Zhejiang => "浙江",
        }
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Everyone, in the order of invention.
    pub enterprises: Vec<GeneratedEnterprise>,
    /// The sources, two a region.
    pub sources: Vec<GeneratedSource>,
}

/// One invented enterprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedEnterprise {
    /// Its code.
    pub uscc: Uscc,
    /// Its name.
    pub name: String,
    /// Where it is registered.
    pub home: Region,
    /// Who holds what about it: sources of at least two regions.
    pub holdings: Vec<Holding>,
}

/// What one source holds about one enterprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Region of the source.
    pub region: Region,
    /// Name of the source.
    pub source: &'static str,
    /// Item codes, in the order of the mapping; at least one.
    pub items: Vec<&'static str>,
}

/// One invented source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedSource {
    /// Its region.
    pub region: Region,
    /// Its name, as in the mapping.
    pub name: &'static str,
    /// Its Chinese name.
    pub name_zh: &'static str,
    /// Its mapping file: `<dir>/<region>/<name>.toml`, the data beside it.
    pub mapping: PathBuf,
    /// Codes of the items it can hold.
    pub items: Vec<&'static str>,
}

/// Writes the sources of `enterprises` invented enterprises below `dir`, which may exist.
///
/// # Errors
/// [`Error::Io`], [`Error::Limit`] over [`MAX_ENTERPRISES`].
pub fn generate(dir: &Path, seed: u64, enterprises: usize) -> Result<Generated, Error> {
    if enterprises > MAX_ENTERPRISES {
        return Err(Error::Limit {
            what: "invented enterprises".to_owned(),
            limit: MAX_ENTERPRISES as u64,
        });
    }
    let mut seeded = Seeded::new(seed);
    let mut generated = Vec::with_capacity(enterprises);
    let mut tables: Vec<Table> = SOURCES.iter().map(Table::new).collect();
    let mut codes = BTreeSet::new();
    while generated.len() < enterprises {
        let home = Region::ALL[seeded.between(0, 2) as usize];
        let profile = Profile::new(&mut seeded, home);
        if !codes.insert(profile.uscc) {
            continue;
        }
        // The first one shows all there is to show: everybody holds something of it.
        let showpiece = generated.is_empty();
        let mut holders = holders(&mut seeded, home);
        if showpiece {
            holders = (0..SOURCES.len()).collect();
        }
        let mut holdings = Vec::new();
        for index in holders {
            holdings.push(tables[index].add(&mut seeded, &profile, showpiece));
        }
        generated.push(GeneratedEnterprise {
            uscc: profile.uscc,
            name: profile.name,
            home,
            holdings,
        });
    }
    Ok(Generated {
        enterprises: generated,
        sources: tables
            .into_iter()
            .map(|table| table.write(dir))
            .collect::<Result<_, _>>()?,
    })
}

/// Which sources hold records of an enterprise: mostly those at home, some elsewhere, at least two regions.
fn holders(seeded: &mut Seeded, home: Region) -> Vec<usize> {
    let mut holders: Vec<usize> = (0..SOURCES.len())
        .filter(|index| {
            seeded.chance(if SOURCES[*index].region == home {
                88
            } else {
                40
            })
        })
        .collect();
    let regions = |holders: &[usize]| {
        let regions = holders.iter().map(|index| SOURCES[*index].region);
        regions.collect::<BTreeSet<_>>()
    };
    while regions(&holders).len() < 2 {
        let more = seeded.between(0, SOURCES.len() as u64 - 1) as usize;
        if !holders.contains(&more) {
            holders.push(more);
        }
    }
    holders.sort_unstable();
    holders
}

/// One source's rows, as they grow.
struct Table {
    spec: &'static SourceSpec,
    rows: Vec<Vec<String>>,
    /// The lists that it holds, with their rows.
    lists: Vec<(&'static ListSpec, Vec<Vec<String>>)>,
}

const SUBJECT: &str = "统一社会信用代码";
const AS_OF: &str = "数据截止日期";

impl Table {
    fn new(spec: &'static SourceSpec) -> Self {
        let columns = spec.items.iter().flat_map(|item| item.fields);
        let header = [SUBJECT, AS_OF]
            .into_iter()
            .chain(columns.map(|field| field.column))
            .map(str::to_owned)
            .collect();
        let lists = LISTS
            .iter()
            .filter(|list| list.sources.contains(&spec.name));
        let lists = lists.map(|list| {
            let columns = list.fields.iter().map(|field| field.column);
            let header = [SUBJECT].into_iter().chain(columns);
            (list, vec![header.map(str::to_owned).collect()])
        });
        Self {
            spec,
            rows: vec![header],
            lists: lists.collect(),
        }
    }

    fn add(&mut self, seeded: &mut Seeded, profile: &Profile, showpiece: bool) -> Holding {
        let mut row = vec![profile.uscc.expose().to_owned(), GENERATED_AS_OF.to_owned()];
        let mut items = Vec::new();
        for (index, item) in self.spec.items.iter().enumerate() {
            // The first item is always there: a row without any would be bad.
            if index == 0 || seeded.chance(item.chance) || showpiece {
                items.push(item.code);
                row.extend(
                    item.fields
                        .iter()
                        .map(|field| (field.cell)(seeded, profile)),
                );
            } else {
                let absent = seeded.pick(&["", "N/A", "-"]);
                row.extend(item.fields.iter().map(|_| absent.to_owned()));
            }
        }
        self.rows.push(row);
        for (list, rows) in &mut self.lists {
            let mut entries = list.entries(profile, showpiece);
            // Another register has not heard of the newest entry yet.
            let behind = list.sources.first() != Some(&self.spec.name);
            if behind && entries.len() > 1 && (showpiece || seeded.chance(25)) {
                entries.pop();
            }
            if entries.is_empty() {
                continue;
            }
            items.push(list.code);
            rows.extend(entries.into_iter().map(|cells| {
                let mut row = vec![profile.uscc.expose().to_owned()];
                row.extend(cells);
                row
            }));
        }
        Holding {
            region: self.spec.region,
            source: self.spec.name,
            items,
        }
    }

    fn write(self, dir: &Path) -> Result<GeneratedSource, Error> {
        let spec = self.spec;
        let folder = dir.join(spec.region.code());
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;

        write_csv(&folder.join(format!("{}.csv", spec.name)), &self.rows)?;
        for (list, rows) in &self.lists {
            write_csv(&folder.join(self.list_file(list)), rows)?;
        }

        let mapping = folder.join(format!("{}.toml", spec.name));
        fs::write(&mapping, self.mapping()).map_err(Error::io(&mapping))?;
        Ok(GeneratedSource {
            region: spec.region,
            name: spec.name,
            name_zh: spec.name_zh,
            mapping,
            items: (spec.items.iter().map(|item| item.code))
                .chain(self.lists.iter().map(|(list, _)| list.code))
                .collect(),
        })
    }

    fn list_file(&self, list: &ListSpec) -> String {
        format!("{}-{}.csv", self.spec.name, list.code)
    }

    fn mapping(&self) -> String {
        let spec = self.spec;
        let mut text = format!("# {}: invented records\n", spec.name_zh);
        let paths = [format!("{}.csv", spec.name)];
        let as_of = format!("{{ column = {} }}", quoted(AS_OF));
        mapping_head(&mut text, spec.name, &paths, &as_of);
        for (list, _) in &self.lists {
            let (name, file) = (quoted(list.code), quoted(&self.list_file(list)));
            let subject = quoted(SUBJECT);
            let _ = writeln!(
                text,
                "\n[[related]]\nname = {name}\npaths = [{file}]\nsubject = {subject}"
            );
        }
        for item in spec.items {
            let fields: Vec<_> = item
                .fields
                .iter()
                .map(|field| (field.name, field.column, field.kind))
                .collect();
            mapping_item(&mut text, item.code, "", &fields);
            for field in item.fields {
                mapping_values(&mut text, field.name, field.words);
            }
        }
        for (list, _) in &self.lists {
            let fields: Vec<_> = (list.fields.iter())
                .map(|field| (field.name, field.column, field.kind))
                .collect();
            let order: Vec<String> = list.order_by.iter().map(|name| quoted(name)).collect();
            let rows = format!(
                "list = true\nfrom = {}\norder_by = [{}]\n",
                quoted(list.code),
                order.join(", ")
            );
            mapping_item(&mut text, list.code, &rows, &fields);
            for field in list.fields {
                mapping_values(&mut text, field.name, field.words);
            }
        }
        text
    }
}

fn write_csv(file: &Path, rows: &[Vec<String>]) -> Result<(), Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer
            .write_record(row)
            .map_err(|e| Error::io(file)(std::io::Error::other(e)))?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|e| Error::io(file)(e.into_error()))?;
    fs::write(file, bytes).map_err(Error::io(file))
}

/// The mapping of files of public company registrations with the columns 企业名称, 统一社会信用代码,
/// 注册日期, 企业类型, 注册资金, 经营范围, 所在省份, 地区, 注册地址, as of the day `as_of`
/// (`2019-12-31`). The capital is kept as registered beside the amount read from it, so that an odd
/// notation is not lost. Relative `files` are taken relative to where the text is saved.
#[must_use]
pub fn enterprise_mapping(name: &str, files: &[String], as_of: &str) -> String {
    let mut text = String::from("# Public company registrations\n");
    let as_of = format!("{{ date = {} }}", quoted(as_of));
    mapping_head(&mut text, name, files, &as_of);
    let required = "\"text\", required = true, max_length = 200";
    let short = "\"text\", max_length = 200";
    mapping_item(
        &mut text,
        "business_registration",
        "",
        &[
            ("name", "企业名称", required),
            ("type", "企业类型", short),
            ("registered_capital", "注册资金", "\"money\""),
            ("capital_as_registered", "注册资金", short),
            ("established", "注册日期", "\"date\""),
            ("province", "所在省份", short),
            ("district", "地区", short),
            ("address", "注册地址", "\"text\", max_length = 400"),
            ("scope", "经营范围", "\"text\", max_length = 4000"),
        ],
    );
    text
}

/// Saves [`enterprise_mapping`] at `path`, with the files by their absolute paths.
///
/// # Errors
/// [`Error::Io`], also for a path that is not UTF-8.
pub fn write_enterprise_mapping(
    path: &Path,
    name: &str,
    files: &[PathBuf],
    as_of: &str,
) -> Result<(), Error> {
    let mut names = Vec::new();
    for file in files {
        let absolute = std::path::absolute(file).map_err(Error::io(file))?;
        let name = absolute
            .to_str()
            .ok_or_else(|| Error::io(file)(std::io::Error::other("the path is not UTF-8")))?;
        names.push(name.to_owned());
    }
    fs::write(path, enterprise_mapping(name, &names, as_of)).map_err(Error::io(path))
}

/// Writing to a `String` cannot fail, here and below.
fn mapping_head(text: &mut String, name: &str, paths: &[String], as_of: &str) {
    let paths: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
    let _ = writeln!(text, "[source]");
    let _ = writeln!(text, "name = {}", quoted(name));
    let _ = writeln!(text, "kind = \"csv\"");
    let _ = writeln!(text, "paths = [{}]", paths.join(", "));
    let _ = writeln!(text, "encoding = \"utf-8\"");
    let _ = writeln!(text, "subject = {}", quoted(SUBJECT));
    let _ = writeln!(text, "as_of = {as_of}");
}

/// `rows` are the lines that say which rows it is made of.
fn mapping_item(text: &mut String, code: &str, rows: &str, fields: &[(&str, &str, &str)]) {
    let code = quoted(code);
    let _ = writeln!(text, "\n[[item]]\ncode = {code}\n{rows}fields = [");
    for (name, column, kind) in fields {
        let (name, column) = (quoted(name), quoted(column));
        let _ = writeln!(
            text,
            "  {{ name = {name}, column = {column}, type = {kind} }},"
        );
    }
    let _ = writeln!(text, "]");
}

/// The register's words of a field in the catalogue's, if it has any.
fn mapping_values(text: &mut String, field: &str, words: &[(&str, &str)]) {
    if words.is_empty() {
        return;
    }
    let _ = writeln!(text, "[item.values.{field}]");
    for (word, code) in words {
        let _ = writeln!(text, "{} = {}", quoted(word), quoted(code));
    }
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
