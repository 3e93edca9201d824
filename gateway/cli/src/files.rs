//! Reading files whole, up to a limit: nothing that somebody points this program at can fill its memory.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

/// The largest key, secret or certificate file, in bytes.
pub const MAX_KEY: u64 = 64 << 10;

/// The largest configuration, policy or genesis file, in bytes.
pub const MAX_CONFIG: u64 = 4 << 20;

/// The largest document whose digest a grant names, in bytes.
pub const MAX_DOCUMENT: u64 = 64 << 20;

/// Reads a file of at most `limit` bytes. What it grows by while it is read counts as well.
///
/// # Errors
/// That it cannot be read, or is no regular file, or its size and the limit.
pub fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let whence = || format!("cannot read {}", path.display());
    // Asked before it is opened: opening a pipe that nobody writes to would wait for ever.
    if !path.metadata().with_context(whence)?.is_file() {
        bail!("{} is not a file", path.display());
    }
    let mut file = File::open(path).with_context(whence)?.take(limit + 1);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(whence)?;
    if bytes.len() as u64 > limit {
        bail!(
            "{} is too large: such a file has at most {limit} bytes",
            path.display()
        );
    }
    Ok(bytes)
}

/// Reads a UTF-8 file of at most `limit` bytes.
///
/// # Errors
/// Those of [`bytes`], and the place of the first byte that is not UTF-8.
pub fn text(path: &Path, limit: u64) -> Result<String> {
    let bytes = bytes(path, limit)?;
    String::from_utf8(bytes).map_err(|fault| {
        let at = fault.utf8_error().valid_up_to();
        // It may be a secret: what was read is wiped.
        drop(Zeroizing::new(fault.into_bytes()));
        anyhow::anyhow!("{} is not UTF-8 text (byte {at})", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (length, limit, fits) in [(0, 0, true), (3, 4, true), (4, 4, true), (5, 4, false)] {
            std::fs::write(&path, vec![b'x'; length]).unwrap();
            assert_eq!(bytes(&path, limit).is_ok(), fits, "{length} of {limit}");
        }
        let told = bytes(dir.path(), 4).unwrap_err().to_string();
        assert!(told.ends_with("is not a file"), "{told}");
        std::fs::write(&path, b"ab\xff").unwrap();
        let told = text(&path, 4).unwrap_err().to_string();
        assert!(told.ends_with("(byte 2)"), "{told}");
    }
}
