//! What the kernel counts for processes: processor time, by thread name too, bytes written, and bytes on the
//! loopback. Everything is read from `/proc`, so nothing is attached to what is measured.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

/// The kernel's unit of processor time towards programs, in microseconds: Linux counts 100 a second there,
/// whatever it counts inside.
const TICK_MICROS: u64 = 10_000;

/// One thread or process: its name, and the processor time that it has used, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) name: String,
    pub(crate) micros: u64,
}

/// Parses a `stat` file of a process or thread. A name may hold anything, blanks and brackets too.
pub(crate) fn parse_stat(text: &str) -> Option<Used> {
    let (head, rest) = text.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    // After the name: state, ten fields, then the times in user and system mode.
    let mut times = rest.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(Used {
        name: name.to_owned(),
        micros: (user + system) * TICK_MICROS,
    })
}

/// Parses the first line of `/proc/stat`: the time that all processors were at work, in microseconds.
pub(crate) fn parse_busy(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    // user, nice, system, (idle, iowait), irq, softirq
    let at_work = [0, 1, 2, 5, 6].map(|at| fields.get(at).copied());
    let mut ticks = 0;
    for one in at_work {
        ticks += one?;
    }
    Some(ticks * TICK_MICROS)
}

/// Parses `/proc/PID/io`: the bytes that were made dirty for the disk.
pub(crate) fn parse_written(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))?
        .trim()
        .parse()
        .ok()
}

/// Parses `/proc/net/dev`: the bytes that the loopback has carried.
pub(crate) fn parse_loopback(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What some processes have used so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counters {
    /// Processor time of all of them, in microseconds.
    pub(crate) processes: u64,
    /// The same by thread name; threads that have ended are not in it.
    pub(crate) threads: BTreeMap<String, u64>,
    /// Bytes that they have made dirty for the disk.
    pub(crate) written: u64,
    /// Processor time of this program.
    pub(crate) client: u64,
    /// Processor time of the whole machine.
    pub(crate) machine: u64,
    /// Bytes on the loopback, of everyone.
    pub(crate) loopback: u64,
}

impl Counters {
    /// Reads them for these processes.
    pub(crate) fn read(processes: &[u32]) -> Result<Self> {
        let stat = |file: &Path| {
            let text = fs::read_to_string(file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            parse_stat(&text).with_context(|| format!("{} has another form", file.display()))
        };
        let mut counters = Self {
            client: stat(Path::new("/proc/self/stat"))?.micros,
            machine: parse_busy(&fs::read_to_string("/proc/stat")?).context("/proc/stat")?,
            loopback: parse_loopback(&fs::read_to_string("/proc/net/dev")?).unwrap_or_default(),
            ..Self::default()
        };
        for id in processes {
            let folder = Path::new("/proc").join(id.to_string());
            counters.processes += stat(&folder.join("stat"))?.micros;
            counters.written += fs::read_to_string(folder.join("io"))
                .ok()
                .and_then(|text| parse_written(&text))
                .unwrap_or_default();
            for thread in fs::read_dir(folder.join("task"))?.flatten() {
                // One that has just ended is gone.
                if let Ok(used) = stat(&thread.path().join("stat")) {
                    *counters.threads.entry(family(&used.name)).or_default() += used.micros;
                }
            }
        }
        Ok(counters)
    }

    /// What was used since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let threads = self.threads.iter().map(|(name, micros)| {
            let then = before.threads.get(name).copied().unwrap_or_default();
            (name.clone(), micros.saturating_sub(then))
        });
        Self {
            processes: self.processes.saturating_sub(before.processes),
            threads: threads.filter(|(_, micros)| *micros > 0).collect(),
            written: self.written.saturating_sub(before.written),
            client: self.client.saturating_sub(before.client),
            machine: self.machine.saturating_sub(before.machine),
            loopback: self.loopback.saturating_sub(before.loopback),
        }
    }

    /// Processor time of everyone else on the machine.
    pub(crate) fn others(&self) -> u64 {
        self.machine
            .saturating_sub(self.processes)
            .saturating_sub(self.client)
    }
}

/// Threads of a pool differ by a number at the end of their names.
fn family(name: &str) -> String {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | '_'))
        .to_owned()
}

/// All bytes of the files in a folder and below it. Files that vanish meanwhile count for nothing.
pub(crate) fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => folder_bytes(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_whatever_the_name_is() {
        let check = |text: &str, expected: Option<(&str, u64)>| {
            let got = parse_stat(text);
            let got = got.as_ref().map(|used| (used.name.as_str(), used.micros));
            assert_eq!(got, expected, "{text}");
        };
        let rest = "S 1 2 3 0 -1 4194304 9 0 0 0 150 25 7 7 20 0 4 0 100";
        check(
            &format!("12 (xinqiao) {rest}"),
            Some(("xinqiao", 1_750_000)),
        );
        check(
            &format!("12 (a (b) c d) {rest}"),
            Some(("a (b) c d", 1_750_000)),
        );
        check("12 (xinqiao) S 1 2", None);
        check("", None);
    }

    #[test]
    fn waiting_is_no_work() {
        let text = "cpu  100 10 50 9000 700 3 2 40 0 0\ncpu0 1 1 1 1\n";
        assert_eq!(parse_busy(text), Some(165 * TICK_MICROS));
        assert_eq!(parse_busy("cpu  1 2\n"), None);
        assert_eq!(parse_busy("intr 5\n"), None);
    }

    #[test]
    fn bytes_are_found_among_other_counters() {
        let io = "rchar: 5\nwchar: 9\nread_bytes: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n";
        assert_eq!(parse_written(io), Some(4_096));
        assert_eq!(parse_written("rchar: 5\n"), None);
        let dev =
            "Inter-| Receive\n face |bytes packets\n    lo: 777 5 0 0 0 0 0 0 777 5\n  eth0: 1 2\n";
        assert_eq!(parse_loopback(dev), Some(777));
        assert_eq!(parse_loopback("  eth0: 1 2\n"), None);
    }

    #[test]
    fn pools_are_counted_together_and_only_what_was_used_since() {
        let at = |micros: &[(&str, u64)], machine| Counters {
            processes: micros.iter().map(|(_, micros)| micros).sum(),
            threads: micros
                .iter()
                .map(|(name, micros)| (family(name), *micros))
                .collect(),
            machine,
            client: machine / 10,
            ..Counters::default()
        };
        let before = at(&[("worker-1", 10), ("rocksdb:low0", 5)], 100);
        let after = at(&[("worker-2", 30), ("rocksdb:low", 5), ("log", 1)], 300);
        let used = after.since(&before);
        let threads: Vec<_> = used.threads.iter().map(|(n, m)| (n.as_str(), *m)).collect();
        assert_eq!(threads, [("log", 1), ("worker", 20)]);
        assert_eq!(used.processes, 21);
        assert_eq!(used.others(), 200 - 21 - 20);
    }

    #[test]
    fn this_program_has_counters() {
        let own = Counters::read(&[std::process::id()]).unwrap();
        assert!(own.machine > 0);
        assert!(!own.threads.is_empty());
        assert!(Counters::read(&[u32::MAX]).is_err());
    }
}
