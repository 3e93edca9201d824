//! What Linux's `perf` says, where it is there: which functions the processes were in, and how often they made
//! the disk write. Without it the bench says "not measured", and goes on.
//!
//! Samples are taken by the clock and without call stacks, which costs the processes little.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

/// Samples a second and processor: odd, so as not to fall into step with timers.
const FREQUENCY: &str = "299";

/// Stages, each with words that tell its functions. The first stage that has a word of a function's name or
/// library gets the sample.
const STAGES: &[(&str, &[&str])] = &[
    (
        "signatures (SM2)",
        &[
            "sm2",
            "crypto_bigint",
            "primefield",
            "primeorder",
            "elliptic_curve",
            "xinqiao_crypto..verify",
            "xinqiao_crypto::verify",
            "crypto6verify",
        ],
    ),
    ("hashes (SM3)", &["sm3", "ct_merkle", "merkle"]),
    (
        "TLS",
        &[
            "aws_lc", "rustls", "aes_", "aesni", "gcm", "ghash", "sha512", "sha256",
        ],
    ),
    (
        "gRPC and HTTP/2",
        &[
            "h2..",
            "h2::",
            "2h2",
            "hyper",
            "tonic",
            "tower",
            "http",
            "prost",
            "hpack",
            "xinqiao_rpc",
        ],
    ),
    (
        "RocksDB",
        &[
            "rocksdb",
            "ZSTD",
            "LZ4",
            "crc32c",
            "XXH",
            "Arena",
            "SkipList",
            "MemTable",
            "BlockIter",
        ],
    ),
    (
        "executing and storing",
        &[
            "xinqiao_contracts",
            "xinqiao_store",
            "xinqiao_ledger",
            "borsh",
        ],
    ),
    (
        "agreeing and the node's loop",
        &[
            "malachite",
            "xinqiao_bft",
            "xinqiao_consensus",
            "xinqiao_node",
            "genawaiter",
        ],
    ),
    ("tracing", &["tracing", "opentelemetry", "sharded_slab"]),
    (
        "runtime (tokio)",
        &[
            "tokio",
            "futures",
            "parking_lot",
            "mio..",
            "mio::",
            "std..sync",
            "std::sync",
        ],
    ),
    (
        "memory",
        &[
            "malloc",
            "_int_free",
            "cfree",
            "realloc",
            "calloc",
            "memmove",
            "memcpy",
            "memset",
            "memcmp",
            "__rust_alloc",
            "__rdl",
        ],
    ),
];

/// Words of the kernel's functions.
const KERNEL_STAGES: &[(&str, &[&str])] = &[
    (
        "kernel: network",
        &[
            "tcp",
            "inet",
            "skb",
            "sock",
            "net_",
            "netif",
            "ip_",
            "loopback",
            "sk_",
            "__dev_queue",
            "nf_",
            "ipv4",
            "process_backlog",
        ],
    ),
    (
        "kernel: disk",
        &[
            "ext4",
            "jbd2",
            "blk",
            "bio",
            "virtblk",
            "iomap",
            "fsync",
            "writeback",
            "folio",
            "xfs",
            "btrfs",
            "nvme",
            "filemap",
            "submit_",
        ],
    ),
    (
        "kernel: waking and switching",
        &[
            "sched",
            "futex",
            "switch",
            "wake",
            "epoll",
            "ep_",
            "hrtimer",
            "idle",
            "_raw_spin",
        ],
    ),
];

/// The stage of a function.
pub(crate) fn stage(library: &str, function: &str) -> &'static str {
    let find = |stages: &'static [(&'static str, &'static [&'static str])], words: &[&str]| {
        stages
            .iter()
            .find(|(_, marks)| {
                marks
                    .iter()
                    .any(|mark| words.iter().any(|word| word.contains(mark)))
            })
            .map(|(stage, _)| *stage)
    };
    if library.contains("kernel") || library.starts_with('[') {
        return find(KERNEL_STAGES, &[function]).unwrap_or("kernel: other");
    }
    find(STAGES, &[function]).unwrap_or("other")
}

/// Parses `perf report` with fields parted by `|`: share, library and function. Gives each stage's share of
/// all samples.
pub(crate) fn parse_report(text: &str) -> Vec<(String, f64)> {
    let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('|').map(str::trim);
        let (Some(share), Some(library), Some(function)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let Ok(share) = share.trim_end_matches('%').parse::<f64>() else {
            continue;
        };
        *shares.entry(stage(library, function)).or_default() += share;
    }
    let all: f64 = shares.values().sum();
    let mut shares: Vec<_> = shares
        .into_iter()
        .filter(|_| all > 0.0)
        .map(|(stage, share)| (stage.to_owned(), share / all))
        .collect();
    shares.sort_by(|left, right| right.1.total_cmp(&left.1));
    shares
}

/// Parses `perf stat -x,`: the sum of what was counted; none if anything was not.
pub(crate) fn parse_stat(text: &str) -> Option<u64> {
    let lines = text.lines().filter(|line| line.contains("sys_enter_"));
    let counts: Option<Vec<u64>> = lines
        .map(|line| line.split(',').next()?.trim().parse().ok())
        .collect();
    counts
        .filter(|all| !all.is_empty())
        .map(|all| all.iter().sum())
}

/// A measurement under way.
pub(crate) struct Perf {
    record: Option<Child>,
    stat: Option<Child>,
    data: PathBuf,
    counts: PathBuf,
}

/// What it came to.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Each stage's share of the processor time.
    pub(crate) stages: Option<Vec<(String, f64)>>,
    /// Calls that wait for the disk: fsync and fdatasync.
    pub(crate) syncs: Option<u64>,
}

impl Perf {
    /// Begins to look at these processes.
    pub(crate) fn begin(folder: &Path, processes: &[u32]) -> Self {
        let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
        let ids = ids.join(",");
        let (data, counts) = (folder.join("perf.data"), folder.join("perf.counts"));
        let spawn = |command: &mut Command| {
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .ok()
        };
        let record = spawn(
            Command::new("perf")
                .args([
                    "record",
                    "-q",
                    "-e",
                    "cpu-clock",
                    "-F",
                    FREQUENCY,
                    "-p",
                    &ids,
                    "-o",
                ])
                .arg(&data),
        );
        let stat = spawn(
            Command::new("perf")
                .args(["stat", "-x,", "-p", &ids])
                .args([
                    "-e",
                    "syscalls:sys_enter_fsync,syscalls:sys_enter_fdatasync",
                    "-o",
                ])
                .arg(&counts),
        );
        Self {
            record,
            stat,
            data,
            counts,
        }
    }

    /// Ends the counting: at the very end of what is measured.
    pub(crate) async fn interrupt(&mut self) {
        for child in [&mut self.stat, &mut self.record].into_iter().flatten() {
            if let Some(id) = child.id() {
                let _ = Command::new("kill")
                    .args(["-INT", &id.to_string()])
                    .stderr(Stdio::null())
                    .status()
                    .await;
            }
        }
    }

    /// Reads what was seen.
    pub(crate) async fn end(mut self) -> Seen {
        let mut seen = Seen::default();
        if let Some(mut stat) = self.stat.take() {
            let _ = stat.wait().await;
            let text = std::fs::read_to_string(&self.counts).unwrap_or_default();
            seen.syncs = parse_stat(&text);
        }
        if let Some(mut record) = self.record.take() {
            let _ = record.wait().await;
            let report = Command::new("perf")
                .args(["report", "--stdio", "--no-inline", "-g", "none"])
                .args([
                    "--sort",
                    "dso,symbol",
                    "-t",
                    "|",
                    "--percent-limit",
                    "0",
                    "-i",
                ])
                .arg(&self.data)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .output()
                .await;
            if let Ok(report) = report {
                let stages = parse_report(&String::from_utf8_lossy(&report.stdout));
                seen.stages = (!stages.is_empty()).then_some(stages);
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_belongs_to_the_stage_that_its_library_stands_for() {
        for (library, function, expected) in [
            (
                "xinqiao",
                "[.] sm2::arithmetic::field::mul",
                "signatures (SM2)",
            ),
            ("xinqiao", "[.] sm3::block_api::compress", "hashes (SM3)"),
            ("xinqiao", "[.] aws_lc_0_30_aes_gcm_enc", "TLS"),
            ("xinqiao", "[.] h2::proto::streams::poll", "gRPC and HTTP/2"),
            ("xinqiao", "[.] rocksdb::DBImpl::Write", "RocksDB"),
            (
                "xinqiao",
                "[.] xinqiao_store::write::commit",
                "executing and storing",
            ),
            ("libc.so.6", "[.] malloc", "memory"),
            ("libc.so.6", "[.] strtol", "other"),
            ("[kernel.kallsyms]", "[k] tcp_sendmsg", "kernel: network"),
            ("[kernel.kallsyms]", "[k] ext4_sync_file", "kernel: disk"),
            ("[kernel.kallsyms]", "[k] do_syscall_64", "kernel: other"),
        ] {
            assert_eq!(stage(library, function), expected, "{function}");
        }
    }

    #[test]
    fn shares_add_up_to_one_and_the_largest_comes_first() {
        let text = "# comment\n\n 30.00%|xinqiao|[.] sm2::mul\n 10.00%|xinqiao|[.] sm2::add\n 10.00%|libc|[.] malloc\nno|such|line\n";
        let shares = parse_report(text);
        assert_eq!(shares[0], ("signatures (SM2)".to_owned(), 0.8));
        assert_eq!(shares[1], ("memory".to_owned(), 0.2));
        assert!(parse_report("nothing").is_empty());
    }

    #[test]
    fn waiting_for_the_disk_is_counted_or_not_measured() {
        let text = "# started\n\n12,,syscalls:sys_enter_fsync,99,100.00,,\n30,,syscalls:sys_enter_fdatasync,99,100.00,,\n";
        assert_eq!(parse_stat(text), Some(42));
        assert_eq!(
            parse_stat("<not supported>,,syscalls:sys_enter_fsync,0,0,,\n"),
            None
        );
        assert_eq!(parse_stat(""), None);
    }
}
