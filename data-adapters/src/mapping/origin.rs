//! Where rows lie: what each kind of source takes, and the checks that make an [`Origin`] of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use url::Url;

use super::raw::{
    Checked, Checker, RawAuth, RawDatabase, RawHttp, RawPaging, RawRelated, RawSource,
};
use super::{
    Auth, DataFile, Database, Encoding, Endpoint, MAX_FILES, MAX_RELATED, Origin, Paging, Related,
    RelatedPlace, TableName,
};
use crate::secret::SecretPlace;

const DEFAULT_LINE_BYTES: usize = 1024 * 1024;
const DEFAULT_CELL_BYTES: usize = 32 * 1024;
const MOST_LINE_BYTES: usize = 16 * 1024 * 1024;
const DEFAULT_UNPACKED_BYTES: usize = 512 * 1024 * 1024;
const MOST_UNPACKED_BYTES: usize = 4 * 1024 * 1024 * 1024;
/// Longest identifier of MySQL in characters, and of PostgreSQL in bytes (less one).
const MOST_NAME: usize = 63;
/// What stands for the subject's code in a fetch's address.
pub(crate) const SUBJECT_PLACE: &str = "{subject}";

const MILLISECONDS: &str = "milliseconds";

impl Checker<'_> {
    pub(super) fn origin(&self, source: &RawSource) -> Checked<Origin> {
        let kind = source.kind.get_ref().as_str();
        self.stray_keys(source, kind)?;
        let max_cell_bytes = self.limit(
            "source.max_cell_bytes",
            source.max_cell_bytes.as_ref(),
            DEFAULT_CELL_BYTES,
            1..=MOST_LINE_BYTES,
            "bytes",
        )?;
        match kind {
            "csv" => Ok(Origin::Csv {
                files: self.files("source.paths", self.wanted(source, "paths", &source.paths)?)?,
                encoding: self.encoding(source.encoding.as_ref())?,
                max_line_bytes: self.limit(
                    "source.max_line_bytes",
                    source.max_line_bytes.as_ref(),
                    DEFAULT_LINE_BYTES,
                    1..=MOST_LINE_BYTES,
                    "bytes",
                )?,
                max_cell_bytes,
            }),
            "xlsx" => Ok(Origin::Xlsx {
                file: self.file("source.path", self.wanted(source, "path", &source.path)?)?,
                sheet: self.sheet("source.sheet", self.wanted(source, "sheet", &source.sheet)?)?,
                max_cell_bytes,
                max_unpacked_bytes: self.limit(
                    "source.max_unpacked_bytes",
                    source.max_unpacked_bytes.as_ref(),
                    DEFAULT_UNPACKED_BYTES,
                    1..=MOST_UNPACKED_BYTES,
                    "bytes",
                )? as u64,
            }),
            "postgres" | "mysql" => {
                let table = self.wanted(source, "table", &source.table)?;
                let table = self.table_name("source.table", table)?;
                let database = self.wanted(source, "database", &source.database)?;
                let database = self.database(database, table, max_cell_bytes)?;
                Ok(match kind {
                    "postgres" => Origin::Postgres(database),
                    _ => Origin::MySql(database),
                })
            }
            "http" => {
                let http = self.wanted(source, "http", &source.http)?;
                Ok(Origin::Http(self.endpoint(http.get_ref(), max_cell_bytes)?))
            }
            _ => self.refuse(
                "source.kind",
                &source.kind,
                "the kinds are: csv, xlsx, postgres, mysql, http",
            ),
        }
    }

    /// Keys that another kind of source has.
    fn stray_keys(&self, source: &RawSource, kind: &str) -> Checked<()> {
        fn at<T>(value: &Option<Spanned<T>>) -> Option<usize> {
            value.as_ref().map(|value| value.span().start)
        }
        for (key, kinds, place) in [
            ("paths", "csv", at(&source.paths)),
            ("encoding", "csv", at(&source.encoding)),
            ("max_line_bytes", "csv", at(&source.max_line_bytes)),
            ("path", "xlsx", at(&source.path)),
            ("sheet", "xlsx", at(&source.sheet)),
            ("max_unpacked_bytes", "xlsx", at(&source.max_unpacked_bytes)),
            ("table", "postgres mysql", at(&source.table)),
            ("database", "postgres mysql", at(&source.database)),
            ("http", "http", at(&source.http)),
        ] {
            if let Some(place) = place
                && !kinds.split(' ').any(|k| k == kind)
                && ["csv", "xlsx", "postgres", "mysql", "http"].contains(&kind)
            {
                let message = format!("is of {}, and this is {kind}", kinds.replace(' ', " and "));
                return Err(self.fault(&format!("source.{key}"), place, message));
            }
        }
        Ok(())
    }

    fn wanted<'s, T>(
        &self,
        source: &RawSource,
        key: &str,
        value: &'s Option<Spanned<T>>,
    ) -> Checked<&'s Spanned<T>> {
        match value {
            Some(value) => Ok(value),
            None => {
                let message = format!("is missing: {} needs it", source.kind.get_ref());
                self.refuse(&format!("source.{key}"), &source.kind, message)
            }
        }
    }

    fn encoding(&self, encoding: Option<&Spanned<String>>) -> Checked<Encoding> {
        match encoding {
            None => Ok(Encoding::Utf8),
            Some(name) => match name.get_ref().as_str() {
                "utf-8" => Ok(Encoding::Utf8),
                "gb18030" => Ok(Encoding::Gb18030),
                _ => self.refuse(
                    "source.encoding",
                    name,
                    "the encodings are: utf-8, gb18030 (which GBK and GB 2312 are parts of)",
                ),
            },
        }
    }

    fn files(&self, at: &str, paths: &Spanned<Vec<Spanned<String>>>) -> Checked<Vec<DataFile>> {
        if !(1..=MAX_FILES).contains(&paths.get_ref().len()) {
            let message = format!("names 1 to {MAX_FILES} files");
            return self.refuse(at, paths, message);
        }
        let mut seen = BTreeSet::new();
        let mut files = Vec::new();
        for path in paths.get_ref() {
            if !seen.insert(path.get_ref()) {
                return self.refuse(at, path, "the file is named twice");
            }
            files.push(self.file(at, path)?);
        }
        Ok(files)
    }

    fn file(&self, at: &str, path: &Spanned<String>) -> Checked<DataFile> {
        let name = path.get_ref();
        if name.is_empty() || name.len() > 4096 || name.contains('\0') {
            return self.refuse(at, path, "this is no path");
        }
        let folder = self.path.parent().unwrap_or(Path::new(""));
        Ok(DataFile {
            name: name.clone(),
            path: folder.join(name),
        })
    }

    fn sheet(&self, at: &str, sheet: &Spanned<String>) -> Checked<String> {
        let name = sheet.get_ref();
        if !(1..=31).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return self.refuse(at, sheet, "a sheet's name has 1 to 31 characters");
        }
        Ok(name.clone())
    }

    fn limit(
        &self,
        field: &str,
        value: Option<&Spanned<usize>>,
        default: usize,
        range: std::ops::RangeInclusive<usize>,
        unit: &str,
    ) -> Checked<usize> {
        match value {
            None => Ok(default),
            Some(value) if range.contains(value.get_ref()) => Ok(*value.get_ref()),
            Some(value) => {
                let message = format!("is between {} and {} {unit}", range.start(), range.end());
                self.refuse(field, value, message)
            }
        }
    }

    fn milliseconds(
        &self,
        field: &str,
        value: Option<&Spanned<usize>>,
        default: usize,
    ) -> Checked<Duration> {
        // A day at most: what takes longer is broken.
        let limit = self.limit(field, value, default, 1..=86_400_000, MILLISECONDS)?;
        Ok(Duration::from_millis(limit as u64))
    }

    fn secret(
        &self,
        at: &str,
        file: Option<&Spanned<String>>,
        variable: Option<&Spanned<String>>,
    ) -> Checked<Option<SecretPlace>> {
        match (file, variable) {
            (None, None) => Ok(None),
            (Some(file), None) => {
                let file = self.file(&format!("{at}_file"), file)?;
                Ok(Some(SecretPlace::File(file.path)))
            }
            (None, Some(name)) => {
                let text = name.get_ref();
                let fits = (1..=128).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                if !fits {
                    let message = "an environment variable has letters, digits and '_'";
                    return self.refuse(&format!("{at}_env"), name, message);
                }
                Ok(Some(SecretPlace::Variable(text.clone())))
            }
            (Some(_), Some(name)) => {
                let message = format!("either {at}_file or {at}_env, not both");
                self.refuse(&format!("{at}_env"), name, message)
            }
        }
    }

    fn database(
        &self,
        raw: &Spanned<RawDatabase>,
        table: TableName,
        max_cell_bytes: usize,
    ) -> Checked<Database> {
        let at = |key: &str| format!("source.database.{key}");
        let given = raw.get_ref();
        let secret = self.secret(&at("url"), given.url_file.as_ref(), given.url_env.as_ref())?;
        let Some(url) = secret else {
            let message = "wants url_file or url_env: the connection's URL is a secret and is not \
                           in the mapping";
            return self.refuse("source.database", raw, message);
        };
        let max_connections = self.limit(
            &at("max_connections"),
            given.max_connections.as_ref(),
            8,
            1..=64,
            "connections",
        )?;
        let ca_file = self.ca_file(&at("ca_file"), given.ca_file.as_ref())?;
        Ok(Database {
            url,
            ca_file,
            table,
            max_connections: u32::try_from(max_connections).unwrap_or(1),
            acquire_timeout: self.milliseconds(
                &at("acquire_timeout_ms"),
                given.acquire_timeout_ms.as_ref(),
                5_000,
            )?,
            statement_timeout: self.milliseconds(
                &at("statement_timeout_ms"),
                given.statement_timeout_ms.as_ref(),
                5_000,
            )?,
            stall_timeout: self.milliseconds(
                &at("stall_timeout_ms"),
                given.stall_timeout_ms.as_ref(),
                600_000,
            )?,
            max_cell_bytes,
            allow_writable_role: given.allow_writable_role,
            allow_insecure_transport: given.allow_insecure_transport,
        })
    }

    /// A file of certificates, beside the mapping.
    fn ca_file(&self, at: &str, file: Option<&Spanned<String>>) -> Checked<Option<PathBuf>> {
        let file = file.map(|file| self.file(at, file)).transpose()?;
        Ok(file.map(|file| file.path))
    }

    fn table_name(&self, at: &str, name: &Spanned<String>) -> Checked<TableName> {
        let text = name.get_ref();
        let (schema, table) = match text.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, text.as_str()),
        };
        if !schema.is_none_or(is_identifier) || !is_identifier(table) {
            let message = format!("a table is `name` or `schema.name`; {IDENTIFIERS}");
            return self.refuse(at, name, message);
        }
        Ok(TableName {
            schema: schema.map(str::to_owned),
            table: table.to_owned(),
        })
    }

    /// Whether a column's name is one that this kind of source can have.
    pub(super) fn column_of(
        &self,
        origin: &Origin,
        field: &str,
        column: &str,
        place: usize,
    ) -> Checked<()> {
        match origin {
            Origin::Csv { .. } | Origin::Xlsx { .. } => Ok(()),
            Origin::Postgres(_) | Origin::MySql(_) if is_identifier(column) => Ok(()),
            Origin::Postgres(_) | Origin::MySql(_) => Err(self.fault(field, place, IDENTIFIERS)),
            Origin::Http(_) if !column.starts_with('/') || is_pointer(column) => Ok(()),
            Origin::Http(_) => Err(self.fault(field, place, POINTERS)),
        }
    }

    fn pointer(&self, at: &str, pointer: Option<&Spanned<String>>) -> Checked<String> {
        match pointer {
            None => Ok(String::new()),
            Some(pointer) if is_pointer(pointer.get_ref()) => Ok(pointer.get_ref().clone()),
            Some(pointer) => self.refuse(at, pointer, POINTERS),
        }
    }

    fn endpoint(&self, raw: &RawHttp, max_cell_bytes: usize) -> Checked<Endpoint> {
        let at = |key: &str| format!("source.http.{key}");
        let insecure = raw.allow_insecure_transport;
        self.url(&at("scan_url"), &raw.scan_url, insecure)?;
        self.url(&at("fetch_url"), &raw.fetch_url, insecure)?;
        if raw.fetch_url.get_ref().matches(SUBJECT_PLACE).count() != 1 {
            let message = format!("holds {SUBJECT_PLACE} once, where the subject's code goes");
            return self.refuse(&at("fetch_url"), &raw.fetch_url, message);
        }
        let limit = |key: &str, value: Option<&Spanned<usize>>, default, range, unit| {
            self.limit(&at(key), value, default, range, unit)
        };
        Ok(Endpoint {
            scan_url: raw.scan_url.get_ref().clone(),
            fetch_url: raw.fetch_url.get_ref().clone(),
            ca_file: self.ca_file(&at("ca_file"), raw.ca_file.as_ref())?,
            auth: match &raw.auth {
                None => Auth::None,
                Some(auth) => self.auth(auth)?,
            },
            paging: self.paging(&raw.paging)?,
            records: self.pointer(&at("records"), raw.records.as_ref())?,
            record: self.pointer(&at("record"), raw.record.as_ref())?,
            timeout: self.milliseconds(&at("timeout_ms"), raw.timeout_ms.as_ref(), 10_000)?,
            deadline: self.milliseconds(&at("deadline_ms"), raw.deadline_ms.as_ref(), 60_000)?,
            max_concurrent: limit(
                "max_concurrent",
                raw.max_concurrent.as_ref(),
                8,
                1..=256,
                "requests",
            )?,
            max_body_bytes: limit(
                "max_body_bytes",
                raw.max_body_bytes.as_ref(),
                8 << 20,
                1..=256 << 20,
                "bytes",
            )?,
            max_depth: limit("max_depth", raw.max_depth.as_ref(), 32, 1..=128, "levels")?,
            max_values: limit(
                "max_values",
                raw.max_values.as_ref(),
                500_000,
                1..=10_000_000,
                "values",
            )?,
            max_cell_bytes,
            allow_insecure_transport: insecure,
        })
    }

    fn url(&self, at: &str, url: &Spanned<String>, allow_insecure: bool) -> Checked<()> {
        let text = url.get_ref();
        let refuse = |message: &str| self.refuse(at, url, message);
        if text.len() > 2048 {
            return refuse("has at most 2048 bytes");
        }
        let Ok(parsed) = Url::parse(&text.replace(SUBJECT_PLACE, "0")) else {
            return refuse("this is no URL");
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return refuse(
                "holds no user or password: those go into `auth`, from a file or variable",
            );
        }
        match parsed.scheme() {
            "https" => Ok(()),
            "http" if allow_insecure || parsed.host_str().is_some_and(is_local) => Ok(()),
            "http" => refuse(
                "http:// to another machine shows records and keys to the network; use https://, or \
                 set allow_insecure_transport",
            ),
            _ => refuse("is http:// or https://"),
        }
    }

    fn auth(&self, auth: &Spanned<RawAuth>) -> Checked<Auth> {
        let raw = auth.get_ref();
        let at = |key: &str| format!("source.http.auth.{key}");
        let bearer = self.secret(
            &at("bearer"),
            raw.bearer_file.as_ref(),
            raw.bearer_env.as_ref(),
        )?;
        let password = self.secret(
            &at("password"),
            raw.password_file.as_ref(),
            raw.password_env.as_ref(),
        )?;
        let key = self.secret(&at("key"), raw.key_file.as_ref(), raw.key_env.as_ref())?;
        match (bearer, (&raw.user, password), (&raw.header, key)) {
            (Some(token), (None, None), (None, None)) => Ok(Auth::Bearer(token)),
            (None, (Some(user), Some(password)), (None, None)) => {
                let name = user.get_ref();
                if name.contains(':') || name.chars().any(char::is_control) || name.len() > 256 {
                    let message = "a user's name has no ':' and no control characters";
                    return self.refuse(&at("user"), user, message);
                }
                Ok(Auth::Basic {
                    user: name.clone(),
                    password,
                })
            }
            (None, (None, None), (Some(header), Some(value))) => {
                let name = header.get_ref();
                let fits = (1..=64).contains(&name.len())
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                if !fits {
                    let message = "a header's name has letters, digits and '-'";
                    return self.refuse(&at("header"), header, message);
                }
                Ok(Auth::Header {
                    name: name.clone(),
                    value,
                })
            }
            _ => self.refuse(
                "source.http.auth",
                auth,
                "is one of { bearer_file }, { user, password_file } and { header, key_file }; \
                 _env instead of _file names an environment variable",
            ),
        }
    }

    fn paging(&self, paging: &Spanned<RawPaging>) -> Checked<Paging> {
        let raw = paging.get_ref();
        let at = |key: &str| format!("source.http.paging.{key}");
        let parameter = || match &raw.parameter {
            Some(parameter) => {
                let name = parameter.get_ref();
                let fits =
                    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
                if !fits {
                    let message = "a query parameter has 1 to 64 visible ASCII characters";
                    return self.refuse(&at("parameter"), parameter, message);
                }
                Ok(name.clone())
            }
            None => self.refuse("source.http.paging", paging, "wants `parameter`"),
        };
        match raw.by.get_ref().as_str() {
            "page" => Ok(Paging::Page {
                parameter: parameter()?,
                first: raw.first.as_ref().map_or(1, |first| *first.get_ref()),
            }),
            "cursor" => match &raw.next {
                Some(next) => Ok(Paging::Cursor {
                    parameter: parameter()?,
                    next: self.pointer(&at("next"), Some(next))?,
                }),
                None => self.refuse("source.http.paging", paging, "wants `next`"),
            },
            "link" => Ok(Paging::Link {
                next: match &raw.next {
                    None => None,
                    next => Some(self.pointer(&at("next"), next.as_ref())?),
                },
            }),
            _ => self.refuse(&at("by"), &raw.by, "is page, cursor or link"),
        }
    }

    pub(super) fn related(
        &self,
        related: &[Spanned<RawRelated>],
        origin: &Origin,
    ) -> Checked<Vec<Related>> {
        if let Some(table) = related.get(MAX_RELATED) {
            return self.refuse(
                "related",
                table,
                format!("at most {MAX_RELATED} related tables"),
            );
        }
        let mut names = BTreeSet::new();
        let mut checked = Vec::new();
        for (index, table) in related.iter().enumerate() {
            let at = format!("related[{}]", index + 1);
            let raw = table.get_ref();
            let name = self.snake(&format!("{at}.name"), &raw.name, 64)?;
            if !names.insert(name.clone()) {
                return self.refuse(&format!("{at}.name"), &raw.name, "this name is taken");
            }
            let place = self.related_place(&at, table, origin)?;
            checked.push(Related { name, place });
        }
        Ok(checked)
    }

    fn related_place(
        &self,
        at: &str,
        table: &Spanned<RawRelated>,
        origin: &Origin,
    ) -> Checked<RelatedPlace> {
        let raw = table.get_ref();
        let wanted = |message: &str| self.refuse(at, table, message);
        let given = (&raw.paths, &raw.sheet, &raw.table, &raw.array);
        if let Origin::Http(_) = origin {
            return match (given, &raw.subject) {
                ((None, None, None, Some(array)), None) => Ok(RelatedPlace::Array {
                    pointer: self.pointer(&format!("{at}.array"), Some(array))?,
                }),
                _ => wanted("of http has `array`, a pointer from the subject, and no `subject`"),
            };
        }
        let Some(raw_subject) = &raw.subject else {
            return wanted("wants `subject`, the column of the subject's code");
        };
        let key = format!("{at}.subject");
        let subject = self.column(&key, raw_subject)?;
        self.column_of(origin, &key, &subject, raw_subject.span().start)?;
        match (origin, given) {
            (Origin::Csv { .. }, (Some(paths), None, None, None)) => Ok(RelatedPlace::Files {
                files: self.files(&format!("{at}.paths"), paths)?,
                subject,
            }),
            (Origin::Xlsx { .. }, (None, Some(sheet), None, None)) => Ok(RelatedPlace::Sheet {
                sheet: self.sheet(&format!("{at}.sheet"), sheet)?,
                subject,
            }),
            (Origin::Postgres(_) | Origin::MySql(_), (None, None, Some(table), None)) => {
                Ok(RelatedPlace::Table {
                    table: self.table_name(&format!("{at}.table"), table)?,
                    subject,
                })
            }
            (Origin::Csv { .. }, _) => wanted("of csv has `paths`"),
            (Origin::Xlsx { .. }, _) => wanted("of xlsx has `sheet`"),
            (Origin::Postgres(_) | Origin::MySql(_) | Origin::Http(_), _) => {
                wanted("of a database has `table`")
            }
        }
    }
}

const IDENTIFIERS: &str =
    "a name in a database has 1 to 63 bytes: letters (of any script), digits, '_', '$' and '-'";
const POINTERS: &str = "a JSON pointer (RFC 6901) is empty or begins with '/', has at most 256 bytes, and \
                        '~' only in '~0' and '~1'";

/// Narrower than what databases take inside quotes: nothing that could end the quotes is in it.
fn is_identifier(name: &str) -> bool {
    (1..=MOST_NAME).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-'))
}

fn is_pointer(pointer: &str) -> bool {
    pointer.len() <= 256
        && (pointer.is_empty() || pointer.starts_with('/'))
        && !pointer.chars().any(char::is_control)
        && pointer
            .split('~')
            .skip(1)
            .all(|rest| rest.starts_with('0') || rest.starts_with('1'))
}

/// Whether a host is this machine.
pub(crate) fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
