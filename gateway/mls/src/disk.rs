//! Where one side's state lies, and how keys that are done with go away.
//!
//! The state of one group is one small file (tens of KiB), replaced whole: written beside, synced, renamed
//! over, and the folder synced. Then what lay in the old file is overwritten with zeros. That is why there is
//! no database here: logs, free pages and tables waiting for compaction keep what was deleted, and a copy of
//! the folder would have old keys in it. What a disk keeps underneath a file (a solid-state disk's spare
//! blocks, snapshots of a volume) is beyond this program.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The most bytes of a state that are read: 16 MiB, hundreds of times what a full group takes.
pub const MAX_STATE: u64 = 16 << 20;

/// Keeps one state, durably.
pub trait Disk {
    /// What was last kept; none when nothing ever was.
    ///
    /// # Errors
    /// When it is there and cannot be read. That is not the same as having none.
    fn load(&self) -> io::Result<Option<Vec<u8>>>;

    /// Keeps `state` in the place of whatever there was, which is gone then. When this returns, it stays
    /// there; a crash before that leaves either the one or the other, whole.
    ///
    /// # Errors
    /// When it is not known to be kept. Which of the two is there then is not known either.
    fn replace(&mut self, state: &[u8]) -> io::Result<()>;
}

impl<D: Disk + ?Sized> Disk for Box<D> {
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        (**self).load()
    }

    fn replace(&mut self, state: &[u8]) -> io::Result<()> {
        (**self).replace(state)
    }
}

/// A state in one file, readable by its owner only.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    unfinished: PathBuf,
    folder: PathBuf,
}

impl StateFile {
    /// The state at `path`, whose folder exists. What a crash left unfinished beside it is erased.
    ///
    /// # Errors
    /// When the path has no file name, or the leftover cannot be erased.
    pub fn open(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut beside = name.to_owned();
        beside.push(".new");
        let unfinished = folder.join(beside);
        match OpenOptions::new().read(true).write(true).open(&unfinished) {
            Ok(mut file) => {
                erase(&mut file)?;
                fs::remove_file(&unfinished)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            path: path.to_owned(),
            unfinished,
            folder,
        })
    }

    /// A new file that its owner alone may read. Never one that somebody else put there.
    fn create(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        options.open(&self.unfinished)
    }
}

impl Disk for StateFile {
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_STATE + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn replace(&mut self, state: &[u8]) -> io::Result<()> {
        // Held open, so that its blocks can still be reached when its name is gone.
        let old = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut file = self.create()?;
        file.write_all(state)?;
        file.sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        // The name must survive a power cut, too.
        File::open(&self.folder)?.sync_all()?;
        if let Some(mut old) = old {
            erase(&mut old)?;
        }
        Ok(())
    }
}

/// Overwrites a file with zeros, down to the disk.
fn erase(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::repeat(0).take(length), file)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_and_what_it_replaced_is_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.group");
        let mut disk = StateFile::open(&path).unwrap();
        assert_eq!(disk.load().unwrap(), None);
        disk.replace(b"the first key").unwrap();
        // A second name for the old file's blocks: what somebody would see who got at them later.
        let blocks = folder.path().join("blocks");
        fs::hard_link(&path, &blocks).unwrap();
        disk.replace(b"the second key").unwrap();
        assert_eq!(fs::read(&blocks).unwrap(), [0; 13]);
        fs::remove_file(blocks).unwrap();
        let disk = StateFile::open(&path).unwrap();
        assert_eq!(
            disk.load().unwrap().as_deref(),
            Some(&b"the second key"[..])
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_left_unfinished_counts_for_nothing_and_is_erased() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.group");
        StateFile::open(&path).unwrap().replace(b"kept").unwrap();
        let unfinished = folder.path().join("bank.group.new");
        fs::write(&unfinished, b"half a ke").unwrap();
        let blocks = folder.path().join("blocks");
        fs::hard_link(&unfinished, &blocks).unwrap();
        let mut disk = StateFile::open(&path).unwrap();
        assert_eq!(fs::read(&blocks).unwrap(), [0; 9]);
        assert!(!unfinished.exists());
        assert_eq!(disk.load().unwrap().as_deref(), Some(&b"kept"[..]));
        disk.replace(b"next").unwrap();
        assert_eq!(disk.load().unwrap().as_deref(), Some(&b"next"[..]));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_but_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.group");
        StateFile::open(&path).unwrap().replace(b"key").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
