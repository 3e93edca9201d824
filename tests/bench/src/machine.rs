//! The machine, in terms that say what numbers from it are worth and not whose it is; and the floor under every
//! commit: how long one small write takes to be durable, in the folder where everything is measured.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{percentile::Latency, results::Machine};

/// How many writes are made durable.
const SYNCS: usize = 500;

/// Looks at this machine; the folder is where data will lie.
pub(crate) fn look(folder: &Path) -> Result<Machine> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    Ok(Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
        memory_gib: value(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .map_or(0, |kib| (kib + (1 << 19)) >> 20),
        kernel: format!("Linux {}", version(&read("/proc/sys/kernel/osrelease"))),
        disk: disk(&read("/proc/mounts"), folder),
        sync: sync_latency(folder)?,
        build: if cfg!(debug_assertions) {
            "dev (checks of overflow on, our own crates optimised in part)".into()
        } else {
            "release".into()
        },
    })
}

/// The value of `name : value`.
fn value(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The two numbers that a kernel is known by.
fn version(release: &str) -> String {
    let numbers: Vec<&str> = release.trim().split(['.', '-']).take(2).collect();
    numbers.join(".")
}

/// The file system and kind of device that a folder lies on.
fn disk(mounts: &str, folder: &Path) -> String {
    let under = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (device, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder.starts_with(at).then_some((at.len(), device, kind))
    });
    let Some((_, device, kind)) = under.max_by_key(|(length, _, _)| *length) else {
        return "unknown".into();
    };
    let device = device.rsplit('/').next().unwrap_or_default();
    let hardware = match device {
        _ if kind == "tmpfs" => "memory: nothing is durable, fsync does nothing",
        name if name.starts_with("nvme") => "NVMe",
        name if name.starts_with("vd") => "virtual disk",
        name if name.starts_with("sd") => "SATA or SCSI",
        _ => "some device",
    };
    format!("{kind} on {hardware}")
}

/// How long it takes to make 4 KiB more durable, one after another.
fn sync_latency(folder: &Path) -> Result<Latency> {
    let mut file = File::create(folder.join("sync")).context("a file to measure the disk with")?;
    let page = [7; 4_096];
    let mut micros = Vec::with_capacity(SYNCS);
    for number in 0..SYNCS {
        file.seek(SeekFrom::Start((number * page.len()) as u64))?;
        file.write_all(&page)?;
        let begun = Instant::now();
        file.sync_data()?;
        micros.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(Latency::of(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_the_one_that_is_mounted_nearest() {
        let mounts =
            "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/nvme0n1 /data xfs rw 0 0\n";
        let check = |folder: &str, expected| assert_eq!(disk(mounts, Path::new(folder)), expected);
        check("/home/x", "ext4 on virtual disk");
        check("/data/x", "xfs on NVMe");
        check("/database", "ext4 on virtual disk");
        check(
            "/tmp/x",
            "tmpfs on memory: nothing is durable, fsync does nothing",
        );
    }

    #[test]
    fn a_kernel_is_named_by_two_numbers() {
        assert_eq!(version("6.1.0-18-amd64-of-somebody\n"), "6.1");
        assert_eq!(version("7-x"), "7.x");
    }

    #[test]
    fn every_sync_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let latency = sync_latency(folder.path()).unwrap();
        assert_eq!(latency.count as usize, SYNCS);
        assert!(latency.max >= latency.p50);
    }
}
