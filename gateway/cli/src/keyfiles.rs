//! Key files: SM2 keys as PKCS#8 PEM, shared secrets as 64 hexadecimal digits.
//!
//! Secrets are written readable by their owner alone, and never over a file that is there already.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use rand_core::{CryptoRng, Rng};
use xinqiao_crypto::SecretKey;
use zeroize::Zeroizing;

use crate::files;

/// Reads an SM2 secret key.
pub fn sm2(path: &Path) -> Result<SecretKey> {
    let pem = text(path)?;
    SecretKey::from_pem(&pem).map_err(|fault| {
        anyhow!(
            "{} is not an SM2 key in PKCS#8 PEM: {fault}",
            path.display()
        )
    })
}

/// Reads 32 bytes given as 64 hexadecimal digits.
pub fn secret32(path: &Path) -> Result<[u8; 32]> {
    let hex_text = text(path)?;
    let bytes = Zeroizing::new(
        hex::decode(hex_text.trim())
            .with_context(|| format!("{} must be 64 hexadecimal digits", path.display()))?,
    );
    <[u8; 32]>::try_from(&bytes[..])
        .map_err(|_| anyhow!("{} must be 64 hexadecimal digits", path.display()))
}

/// Reads a small text file that holds a secret.
pub fn text(path: &Path) -> Result<Zeroizing<String>> {
    files::text(path, files::MAX_KEY).map(Zeroizing::new)
}

/// Writes a new secret file.
pub fn write_secret(path: &Path, content: &str) -> Result<PathBuf> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| {
            format!(
                "cannot make {} (an existing key is never overwritten)",
                path.display()
            )
        })?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    Ok(path.to_owned())
}

/// Makes and writes 32 random bytes.
pub fn new_secret32<R: CryptoRng + Rng>(path: &Path, rng: &mut R) -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    let digits = Zeroizing::new(hex::encode(bytes) + "\n");
    write_secret(path, &digits)?;
    Ok(bytes)
}

/// Makes and writes an SM2 key.
pub fn new_sm2<R: CryptoRng + Rng>(path: &Path, rng: &mut R) -> Result<SecretKey> {
    let key = SecretKey::generate(rng);
    write_secret(path, &key.to_pem())?;
    Ok(key)
}
