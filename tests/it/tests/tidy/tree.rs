//! The clone's files and its workspace's packages, read once for the checks.
//!
//! It judges nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;

/// A path as complaints show it, relative to the root, and the file's text.
pub(crate) type File = (String, String);

/// The files of the clone that are text.
pub(crate) struct Tree {
    root: PathBuf,
    packages: BTreeMap<String, PathBuf>,
    files: Vec<File>,
}

impl Tree {
    /// Reads the clone that this test was compiled in.
    pub(crate) fn of_this_clone() -> Self {
        let metadata = MetadataCommand::new()
            .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .no_deps()
            .other_options(["--offline".to_owned()])
            .exec()
            .expect("`cargo metadata --no-deps` works where cargo has just built this test");
        let root = metadata.workspace_root.clone().into_std_path_buf();
        let packages = metadata.packages.iter().map(|package| {
            let folder = package
                .manifest_path
                .parent()
                .expect("a manifest lies in a folder");
            (package.name.to_string(), folder.as_std_path().to_path_buf())
        });
        let mut tree = Tree {
            packages: packages.collect(),
            files: Vec::new(),
            root,
        };
        let mut files = Vec::new();
        collect(&tree.root, &mut files);
        files.sort();
        for file in files {
            // What is not text (an image, a golden file of bytes) has no words to check.
            if let Ok(text) = fs::read_to_string(&file) {
                tree.files.push((tree.shown(&file), text));
            }
        }
        assert!(
            tree.files.len() > 50,
            "only {} files found: wrong root?",
            tree.files.len()
        );
        tree
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folders of the workspace's packages.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Path> {
        self.packages.values().map(PathBuf::as_path)
    }

    /// The folder of one package; a check must not pass because a package was renamed.
    pub(crate) fn package(&self, name: &str) -> &Path {
        self.packages
            .get(name)
            .unwrap_or_else(|| panic!("the workspace has no package {name}"))
    }

    pub(crate) fn files(&self) -> &[File] {
        &self.files
    }

    /// The Rust files of a package that lie in (or are) one of `parts`.
    pub(crate) fn rust_files(&self, package: &Path, parts: &[&str]) -> Vec<File> {
        let package = self.shown(package);
        let is_in = |path: &str| {
            let below = path
                .strip_prefix(&package)
                .and_then(|rest| rest.strip_prefix('/'));
            let first = below.and_then(|rest| rest.split('/').next());
            first.is_some_and(|first| parts.contains(&first))
        };
        let files = self
            .files
            .iter()
            .filter(|(path, _)| path.ends_with(".rs") && is_in(path));
        files.cloned().collect()
    }

    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        // In a linked work tree it is a file, and says where the clone lies on this machine.
        if name == ".git" {
            continue;
        }
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir()
            && !["target", "node_modules", "__pycache__"].iter().any(|skipped| name == *skipped)
            // Cargo marks a target folder so, whatever it is called.
            && !path.join("CACHEDIR.TAG").exists()
        {
            collect(&path, files);
        }
    }
}
