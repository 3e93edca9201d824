//! Where secrets are kept, and reading them. A mapping names the place, never the secret.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::error::Error;

/// Longest secret, in bytes.
const MAX_SECRET_BYTES: u64 = 16 * 1024;

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl SecretPlace {
    /// Reads the secret. Errors name the place and show nothing of what is there.
    pub(crate) fn read(&self) -> Result<SecretString, Error> {
        let text = match self {
            Self::File(path) => {
                let mut text = String::new();
                File::open(path)
                    .and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text))
                    .map_err(Error::io(path))?;
                text
            }
            Self::Variable(name) => std::env::var(name).map_err(|_| Error::Secret {
                place: self.to_string(),
                message: "is not set, or no text".to_owned(),
            })?,
        };
        let secret = text.lines().next().unwrap_or("").trim();
        if secret.is_empty() || text.len() as u64 > MAX_SECRET_BYTES {
            return Err(Error::Secret {
                place: self.to_string(),
                message: format!(
                    "holds a secret of 1 to {MAX_SECRET_BYTES} bytes on its first line"
                ),
            });
        }
        Ok(SecretString::from(secret))
    }
}

impl std::fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}
