//! Where downloaded tools live: the user's cache folder, never the clone, so that clones share them and a
//! clone stays what git says it is.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result};

/// `${XDG_CACHE_HOME:-~/.cache}/xinqiao`; not created by asking.
pub(crate) fn folder() -> Result<PathBuf> {
    // The XDG specification says that a relative path is to be ignored.
    let xdg = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let base = match xdg {
        Some(path) => path,
        None => PathBuf::from(
            env::var_os("HOME")
                .context("neither XDG_CACHE_HOME nor HOME says where to keep the tools")?,
        )
        .join(".cache"),
    };
    Ok(base.join("xinqiao"))
}

/// Holds off a second set-up until this one is done; released when the file is dropped.
pub(crate) fn lock() -> Result<File> {
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}
