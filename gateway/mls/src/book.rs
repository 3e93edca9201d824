//! One side's state in memory and on disk: what the MLS library keeps, and a record of our own, together.
//!
//! A step works on the memory; when it succeeds, all of it goes to disk as one, and only then does its result
//! come out. When it fails, the memory is as it was.

use std::collections::HashMap;

use serde::{Serialize, de::DeserializeOwned};
use xinqiao_crypto::sm3;
use zeroize::Zeroizing;

use crate::{
    disk::{Disk, MAX_STATE},
    error::Error,
    mls::Provider,
};

const MAGIC: &[u8; 5] = b"XQML\x01";

/// Keys and values of the MLS library, in the order of the keys.
pub(crate) type Values = Vec<(Vec<u8>, Vec<u8>)>;

/// How a side found its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// There was none: a new member, or one that lost everything.
    New,
    /// It is the one that was kept last.
    Found,
    /// It was damaged, which is as good as none: its side begins anew.
    Damaged,
}

pub(crate) struct Book<D, T> {
    disk: D,
    provider: Provider,
    record: T,
    failed: bool,
}

impl<D: Disk, T: Clone + PartialEq + Serialize + DeserializeOwned> Book<D, T> {
    /// Opens what is on disk, or begins with `new`, which is not written yet.
    pub(crate) fn open(disk: D, new: T) -> Result<(Self, Origin), Error> {
        let bytes = disk.load().map_err(Error::Disk)?.map(Zeroizing::new);
        let (origin, found) = match bytes.as_deref().map(|bytes| decode(bytes)) {
            None => (Origin::New, None),
            Some(None) => (Origin::Damaged, None),
            Some(found) => (Origin::Found, found),
        };
        let (record, values) = found.unwrap_or((new, Vec::new()));
        let book = Self {
            disk,
            provider: Provider::with(values.into_iter().collect()),
            record,
            failed: false,
        };
        Ok((book, origin))
    }

    pub(crate) fn record(&self) -> &T {
        &self.record
    }

    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// One step: done wholly and kept, or not at all.
    pub(crate) fn step<R>(
        &mut self,
        work: impl FnOnce(&mut Provider, &mut T) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut done = self.steps([work], |provider, record, work| work(provider, record))?;
        done.pop().unwrap_or(Err(Error::Reopen))
    }

    /// Steps one after the other, each done wholly or not at all, and kept as one: what they come to comes out when
    /// all of it is on disk.
    ///
    /// # Errors
    /// When it is not kept; then nothing of them has happened.
    pub(crate) fn steps<I, R>(
        &mut self,
        each: impl IntoIterator<Item = I>,
        mut work: impl FnMut(&mut Provider, &mut T, I) -> Result<R, Error>,
    ) -> Result<Vec<Result<R, Error>>, Error> {
        if self.failed {
            return Err(Error::Reopen);
        }
        let (values, record) = self.as_it_is();
        let mut done = Vec::new();
        for one in each {
            let (values, record) = self.as_it_is();
            let result = work(&mut self.provider, &mut self.record, one);
            if result.is_err() {
                self.back(values, record);
            }
            done.push(result);
        }
        let now = self.provider.values();
        if now == values && self.record == record {
            return Ok(done);
        }
        let kept = encode(&self.record, now).and_then(|bytes| {
            self.disk.replace(&bytes).map_err(|error| {
                self.failed = true;
                Error::Disk(error)
            })
        });
        match kept {
            Ok(()) => Ok(done),
            Err(error) => {
                self.back(values, record);
                Err(error)
            }
        }
    }

    fn as_it_is(&self) -> (HashMap<Vec<u8>, Vec<u8>>, T) {
        (self.provider.values(), self.record.clone())
    }

    fn back(&mut self, values: HashMap<Vec<u8>, Vec<u8>>, record: T) {
        self.provider = Provider::with(values);
        self.record = record;
    }
}

/// Magic and version (5) ‖ SM3 of the rest (32) ‖ record and values.
fn encode<T: Serialize>(
    record: &T,
    values: HashMap<Vec<u8>, Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut values: Values = values.into_iter().collect();
    values.sort();
    let body = postcard::to_stdvec(&(record, &values)).map_err(|why| Error::library(&why))?;
    let body = Zeroizing::new(body);
    let mut bytes = Zeroizing::new(Vec::with_capacity(37 + body.len()));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(sm3(&body).as_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, Values)> {
    if bytes.len() as u64 > MAX_STATE {
        return None;
    }
    let (digest, body) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
    if sm3(body).as_bytes() != digest {
        return None;
    }
    postcard::from_bytes(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::StateFile;
    use std::io;

    #[derive(Default)]
    struct Failing;

    impl Disk for Failing {
        fn load(&self) -> io::Result<Option<Vec<u8>>> {
            Ok(None)
        }
        fn replace(&mut self, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn a_step_is_kept_whole_or_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let disk = || StateFile::open(&path).unwrap();
        let (mut book, origin) = Book::open(disk(), 1_u32).unwrap();
        assert_eq!(origin, Origin::New);
        book.step(|_, record| {
            *record = 2;
            Ok(())
        })
        .unwrap();
        let failed = book.step(|provider, record| {
            *record = 3;
            *provider = Provider::with([(b"key".to_vec(), b"value".to_vec())].into());
            Err::<(), _>(Error::refused("x", "y"))
        });
        assert!(matches!(failed, Err(Error::Refused { .. })));
        assert_eq!(*book.record(), 2);
        assert!(book.provider().values().is_empty());
        let (book, origin) = Book::open(disk(), 1_u32).unwrap();
        assert_eq!((origin, *book.record()), (Origin::Found, 2));
    }

    #[test]
    fn of_several_steps_those_that_fail_leave_nothing_and_the_others_are_kept_by_one_write() {
        #[derive(Default)]
        struct Counting(std::rc::Rc<std::cell::Cell<u32>>);
        impl Disk for Counting {
            fn load(&self) -> io::Result<Option<Vec<u8>>> {
                Ok(None)
            }
            fn replace(&mut self, _: &[u8]) -> io::Result<()> {
                self.0.set(self.0.get() + 1);
                Ok(())
            }
        }
        let disk = Counting::default();
        let writes = disk.0.clone();
        let (mut book, _) = Book::open(disk, Vec::new()).unwrap();
        let done = book
            .steps([1_u32, 2, 3], |_, record, number| {
                record.push(number);
                if number == 2 {
                    return Err(Error::refused("x", "y"));
                }
                Ok(record.len())
            })
            .unwrap();
        assert!(matches!(
            done.as_slice(),
            [Ok(1), Err(Error::Refused { .. }), Ok(2)]
        ));
        assert_eq!(*book.record(), [1, 3]);
        assert_eq!(writes.get(), 1);
        assert!(book.steps([(); 0], |_, _, ()| Ok(())).unwrap().is_empty());
        assert_eq!(writes.get(), 1);
    }

    #[test]
    fn a_step_that_changes_nothing_is_not_written() {
        let (mut book, _) = Book::open(Failing, 1_u32).unwrap();
        assert!(book.step(|_, record| Ok(*record)).is_ok());
    }

    #[test]
    fn after_a_failed_write_nothing_goes_on() {
        let (mut book, _) = Book::open(Failing, 1_u32).unwrap();
        let step = |book: &mut Book<_, u32>| {
            book.step(|_, record| {
                *record += 1;
                Ok(())
            })
        };
        assert!(matches!(step(&mut book), Err(Error::Disk(_))));
        assert_eq!(*book.record(), 1);
        assert!(matches!(step(&mut book), Err(Error::Reopen)));
    }

    #[test]
    fn a_damaged_state_is_as_good_as_none_and_never_a_wrong_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut book, _) = Book::open(StateFile::open(&path).unwrap(), 1_u32).unwrap();
        book.step(|_, record| {
            *record = 7;
            Ok(())
        })
        .unwrap();
        let good = std::fs::read(&path).unwrap();
        let check = |bytes: &[u8], what: &str| {
            std::fs::write(&path, bytes).unwrap();
            let (book, origin) = Book::open(StateFile::open(&path).unwrap(), 1_u32).unwrap();
            assert_eq!((origin, *book.record()), (Origin::Damaged, 1), "{what}");
        };
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            check(&bytes, "a flipped bit");
            check(&good[..at], "cut short");
        }
        check(&[&good[..], &[0]].concat(), "a byte too many");
    }
}
