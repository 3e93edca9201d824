//! The search for what must not be found: the contents of the sources' records, plain or written in
//! hexadecimal or base64, in files, databases and recorded traffic.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use aho_corasick::AhoCorasick;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Cells shorter than this, in bytes, are no markers: a few digits are found anywhere by chance.
const SHORTEST: usize = 9;

/// What is searched for.
#[derive(Debug)]
pub struct Markers {
    plain: Vec<String>,
    search: AhoCorasick,
    /// Which of `plain` a pattern of `search` is a form of.
    of: Vec<usize>,
}

impl Markers {
    /// The cells of all CSV files below a folder that tell one record from another, and further texts.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn of_records(folder: &Path, further: impl IntoIterator<Item = String>) -> Self {
        let mut cells: Vec<(String, u32)> = Vec::new();
        for file in files(folder) {
            if file.extension().is_none_or(|extension| extension != "csv") {
                continue;
            }
            let mut reader = csv::ReaderBuilder::new()
                .flexible(true)
                .from_path(&file)
                .expect("a CSV file");
            let mut rows = reader.records();
            while let Some(Ok(row)) = rows.next() {
                cells.extend(row.iter().map(|cell| (cell.trim().to_owned(), 1)));
            }
        }
        let plain: BTreeSet<String> = cells
            .into_iter()
            .map(|(cell, _)| cell)
            .chain(further)
            .filter(|cell| tells(cell))
            .collect();
        assert!(plain.len() > 100, "only {} markers were found", plain.len());
        Self::new(plain.into_iter().collect())
    }

    /// These texts.
    ///
    /// # Panics
    /// When there are too many for a search.
    #[must_use]
    pub fn new(plain: Vec<String>) -> Self {
        let (mut patterns, mut of) = (Vec::new(), Vec::new());
        for (index, marker) in plain.iter().enumerate() {
            for form in forms(marker.as_bytes()) {
                patterns.push(form);
                of.push(index);
            }
        }
        let search = AhoCorasick::new(&patterns).expect("a search for so many patterns");
        Self { plain, search, of }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.plain.len()
    }

    /// The first one that is in these bytes, in whatever form.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<&str> {
        let found = self.search.find(bytes)?;
        Some(&self.plain[self.of[found.pattern().as_usize()]])
    }

    /// Searches every file below a folder, the names too. Says which files were searched.
    ///
    /// # Panics
    /// When one holds a marker.
    pub fn absent_below(&self, folder: &Path) -> Vec<PathBuf> {
        let searched = files(folder);
        for file in &searched {
            self.absent(
                &file.display().to_string(),
                file.as_os_str().as_encoded_bytes(),
            );
            // A database may remove a file between its listing and its reading.
            if let Ok(bytes) = std::fs::read(file) {
                self.absent(&file.display().to_string(), &bytes);
            }
        }
        searched
    }

    /// Searches every key and value of a RocksDB database: its files are compressed, so that a search of
    /// the files alone could miss what is in them. Says how many keys and values there are.
    ///
    /// # Panics
    /// When one holds a marker, or the database cannot be read.
    pub fn absent_in_database(&self, folder: &Path) -> usize {
        let mut count = 0;
        each_in_database(folder, |place, bytes| {
            self.absent(place, bytes);
            count += 1;
        });
        count
    }

    /// Whether a key or value of a RocksDB database holds one.
    ///
    /// # Panics
    /// When the database cannot be read.
    #[must_use]
    pub fn is_in_database(&self, folder: &Path) -> bool {
        let mut found = false;
        each_in_database(folder, |_, bytes| found |= self.find(bytes).is_some());
        found
    }

    /// Searches bytes that came from somewhere.
    ///
    /// # Panics
    /// When they hold a marker.
    #[track_caller]
    pub fn absent(&self, place: &str, bytes: &[u8]) {
        if let Some(marker) = self.find(bytes) {
            panic!("{place} holds {marker:?} in some form");
        }
    }
}

/// Every key and value of a RocksDB database, with the place where it is.
fn each_in_database(folder: &Path, mut look: impl FnMut(&str, &[u8])) {
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, folder).expect("a database");
    let database =
        rocksdb::DB::open_cf_for_read_only(&options, folder, &families, false).expect("a database");
    for name in &families {
        let family = database.cf_handle(name).expect("a listed family");
        for entry in database.iterator_cf(&family, rocksdb::IteratorMode::Start) {
            let (key, value) = entry.expect("a readable entry");
            let folder = folder.display();
            let place = format!("{folder}, family {name}, key {}", hex::encode(&key));
            look(&place, &key);
            look(&place, &value);
        }
    }
}

/// Whether a cell is content that nothing else would hold by chance. A date may be anyone's.
fn tells(cell: &str) -> bool {
    let digits_and_separators = cell.chars().all(|c| {
        c.is_ascii_digit() || matches!(c, '-' | '/' | '.' | '年' | '月' | '日' | ':' | ' ')
    });
    let is_date = digits_and_separators && cell.contains(['-', '/', '年']);
    cell.len() >= SHORTEST
        && cell
            .chars()
            .any(|c| c.is_ascii_digit() || cell.len() >= 18 && !c.is_ascii())
        && !is_date
}

/// A marker as it may be written: plain, hexadecimal in small and capital letters, and base64 in both
/// alphabets at each of the three places in a group where it can begin.
fn forms(marker: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![
        marker.to_vec(),
        hex::encode(marker).into_bytes(),
        hex::encode_upper(marker).into_bytes(),
    ];
    for shift in 0..3 {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(marker);
        // Characters at either end also hold bits of the neighbours: they are left off.
        let (skip, whole) = ([0, 2, 3][shift], shifted.len() * 8 / 6);
        for text in [
            STANDARD_NO_PAD.encode(&shifted),
            URL_SAFE_NO_PAD.encode(&shifted),
        ] {
            forms.push(text.as_bytes()[skip..whole].to_vec());
        }
    }
    forms.dedup();
    forms
}

/// All files below a folder.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_in_whatever_form_and_at_whatever_place() {
        let markers = Markers::new(vec![
            "苏州示范机械有限公司".into(),
            "91320594MA1MC4RX7R".into(),
        ]);
        let marker = "苏州示范机械有限公司".as_bytes();
        for before in ["", "x", "xy", "xyz"] {
            let text = [before.as_bytes(), marker, b"tail"].concat();
            let written = [
                text.clone(),
                hex::encode(&text).into_bytes(),
                hex::encode_upper(&text).into_bytes(),
                STANDARD_NO_PAD.encode(&text).into_bytes(),
                URL_SAFE_NO_PAD.encode(&text).into_bytes(),
            ];
            for bytes in written {
                assert_eq!(
                    markers.find(&bytes).map(str::as_bytes),
                    Some(marker),
                    "{}",
                    String::from_utf8_lossy(&bytes)
                );
            }
        }
        assert_eq!(markers.find("苏州示范机械".as_bytes()), None);
    }

    #[test]
    fn only_what_tells_a_record_from_another_is_a_marker() {
        for (cell, expected) in [
            ("91320594MA1MC4RX7R", true),
            ("苏州示范机械有限公司", true),
            ("1,234,567.89元", true),
            ("1234567.00", true),
            ("2026-06-30", false),
            ("2019年1月2日", false),
            ("42", false),
            ("", false),
        ] {
            assert_eq!(tells(cell), expected, "{cell}");
        }
    }
}
