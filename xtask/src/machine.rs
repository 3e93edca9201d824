//! What this machine has, found by looking at files: no package manager is asked, so a tool that was
//! installed in another way counts too, and looking takes milliseconds.
//!
//! It only looks; `setup` decides and acts.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The places in which tools and libraries are looked for.
pub(crate) struct Machine {
    /// The folders of `PATH`, in order.
    pub(crate) path: Vec<PathBuf>,
    /// The root of the file system, `/` save in tests.
    pub(crate) root: PathBuf,
    /// `LIBCLANG_PATH`: bindgen looks there first.
    pub(crate) libclang_path: Option<PathBuf>,
}

impl Machine {
    /// This machine, as its environment describes it.
    pub(crate) fn this() -> Self {
        Machine {
            path: env::var_os("PATH")
                .map(|path| env::split_paths(&path).collect())
                .unwrap_or_default(),
            root: PathBuf::from("/"),
            libclang_path: env::var_os("LIBCLANG_PATH").map(PathBuf::from),
        }
    }

    /// The first executable of this name on `PATH`.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        self.path
            .iter()
            .map(|folder| folder.join(name))
            .find(|file| is_executable(file))
    }

    /// Whether there is an executable at this path from the root.
    pub(crate) fn has_executable(&self, path: &str) -> bool {
        is_executable(&self.root.join(path))
    }

    /// Whether PostgreSQL's server is there: Debian keeps it off `PATH`, in a folder a version.
    pub(crate) fn has_postgresql(&self) -> bool {
        self.program("initdb").is_some()
            || entries(&self.root.join("usr/lib/postgresql"))
                .iter()
                .any(|version| is_executable(&version.join("bin/initdb")))
    }

    /// Whether bindgen will find libclang, and libclang its own headers: without the latter (Debian's
    /// `libclang1` alone) the build fails late, with "'stddef.h' file not found".
    pub(crate) fn has_libclang(&self) -> bool {
        let libraries = self
            .libclang_path
            .iter()
            .cloned()
            .chain(self.library_folders());
        let library = libraries.into_iter().any(|folder| {
            (folder.is_file() && is_libclang(&folder))
                || entries(&folder).iter().any(|file| is_libclang(file))
        });
        library && (self.libclang_path.is_some() || self.has_clang_headers())
    }

    fn library_folders(&self) -> Vec<PathBuf> {
        let lib = self.root.join("usr/lib");
        let mut folders: Vec<_> = llvm_folders(&lib)
            .into_iter()
            .map(|llvm| llvm.join("lib"))
            .collect();
        folders.extend(
            entries(&lib)
                .into_iter()
                .filter(|entry| name(entry).ends_with("-linux-gnu")),
        );
        folders.extend([
            lib.clone(),
            self.root.join("usr/lib64"),
            self.root.join("usr/local/lib"),
        ]);
        folders
    }

    fn has_clang_headers(&self) -> bool {
        let lib = self.root.join("usr/lib");
        let mut parents: Vec<_> = llvm_folders(&lib)
            .into_iter()
            .map(|llvm| llvm.join("lib/clang"))
            .collect();
        parents.extend([lib.join("clang"), self.root.join("usr/local/lib/clang")]);
        parents
            .iter()
            .flat_map(|parent| entries(parent))
            .any(|version| version.join("include/stddef.h").is_file())
    }
}

fn llvm_folders(lib: &Path) -> Vec<PathBuf> {
    entries(lib)
        .into_iter()
        .filter(|entry| name(entry).starts_with("llvm"))
        .collect()
}

fn is_libclang(file: &Path) -> bool {
    // The names that bindgen's loader accepts: libclang.so, libclang.so.1, libclang-14.so, libclang-14.so.1.
    // libclang-cpp.so is another library.
    let name = name(file);
    let rest = name.strip_prefix("libclang");
    rest.is_some_and(|rest| {
        rest.starts_with(".so") || (rest.starts_with('-') && !rest.starts_with("-cpp"))
    }) && name.contains(".so")
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lays out `files` under an empty root and asks whether libclang is complete there.
    fn check(files: &[&str], libclang_path: Option<&str>, expected: bool) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let machine = Machine {
            path: vec![],
            root: root.path().to_path_buf(),
            libclang_path: libclang_path.map(|path| root.path().join(path)),
        };
        assert_eq!(
            machine.has_libclang(),
            expected,
            "{files:?}, LIBCLANG_PATH {libclang_path:?}"
        );
    }

    #[test]
    fn libclang_counts_only_together_with_its_headers() {
        const HEADERS: &str = "usr/lib/llvm-14/lib/clang/14.0.6/include/stddef.h";
        check(&[], None, false);
        check(&["usr/lib/x86_64-linux-gnu/libclang-14.so.1"], None, false);
        check(&[HEADERS], None, false);
        check(
            &["usr/lib/x86_64-linux-gnu/libclang-14.so.1", HEADERS],
            None,
            true,
        );
        check(&["usr/lib/llvm-14/lib/libclang.so.1", HEADERS], None, true);
        check(
            &["usr/lib/llvm-14/lib/libclang-cpp.so.14", HEADERS],
            None,
            false,
        );
        check(
            &[
                "usr/lib64/libclang.so.18.1",
                "usr/lib/clang/18/include/stddef.h",
            ],
            None,
            true,
        );
        check(&["opt/clang/libclang.so"], Some("opt/clang"), true);
        check(
            &["opt/clang/libclang.so"],
            Some("opt/clang/libclang.so"),
            true,
        );
        check(&["opt/clang/readme"], Some("opt/clang"), false);
    }

    #[test]
    fn a_program_is_the_first_executable_file_of_its_name() {
        let root = tempfile::tempdir().unwrap();
        let folders: Vec<_> = ["a", "b", "c"].map(|name| root.path().join(name)).to_vec();
        for folder in &folders {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("tool"), "").unwrap();
        }
        // In `a` it may not be executed; `b` comes before `c`.
        for folder in &folders[1..] {
            fs::set_permissions(folder.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let machine = Machine {
            path: folders.clone(),
            root: root.path().to_path_buf(),
            libclang_path: None,
        };
        assert_eq!(machine.program("tool"), Some(folders[1].join("tool")));
        assert_eq!(machine.program("other"), None);
    }
}
