//! RocksDB with the options that we run it with. Nothing here knows what is stored.
//!
//! The options are for many nodes on one machine: a small block cache, two background threads and a
//! bounded log each. A node's working set is its recent blocks and the state it touches.

use std::path::Path;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB,
    DBCompressionType, DBRecoveryMode, Direction, FlushOptions, IteratorMode, Options, ReadOptions,
    WriteBatch, WriteOptions,
};

use crate::{
    error::Error,
    layout::{BODIES, FAMILIES, OUTCOMES, STATE},
};

const MIB: usize = 1 << 20;
/// Uncompressed blocks, indices and filters together: with five million subjects the filters alone have 20 MiB.
const BLOCK_CACHE: usize = 64 * MIB;
/// A piece of an index or filter. In one piece they grow with their table to hundreds of KiB, and once they do not all
/// fit into the cache, each look-up of something that is not there reads one from the disk.
const INDEX_PIECE: usize = 4 << 10;
/// One memtable of one column family.
const WRITE_BUFFER: usize = 16 * MIB;
/// Memtables of the state that become one table. Its keys come in no order, so each table is merged again and again:
/// few large ones are better. A memtable that large would be slow to insert into, since it outgrows the processor's
/// cache.
const STATE_MERGED: i32 = 6;
/// All memtables together.
const WRITE_BUFFERS: usize = 160 * MIB;
/// The state's first level: as many bytes as four of its tables have. A smaller one is merged into the next as fast as
/// it fills, and each merge writes again what is already there.
const STATE_LEVEL: u64 = 4 * STATE_MERGED as u64 * WRITE_BUFFER as u64;
/// Bloom filter of a memtable, as a part of its size.
const MEMTABLE_BLOOM: f64 = 0.05;
/// Of the write-ahead log, before memtables are flushed to shorten it.
const WAL: u64 = 320 * MIB as u64;
/// The fastest: most of a block is digests and signatures, which a higher level searches in vain.
const ZSTD_LEVEL: i32 = 1;
/// RocksDB's own choice.
const ZSTD_WINDOW: i32 = -14;
const OPEN_FILES: i32 = 256;

/// A key and its value.
pub(crate) type Pair = (Box<[u8]>, Box<[u8]>);

/// An open database with our column families.
pub(crate) struct Database {
    db: DB,
    sync: bool,
}

/// Whether a write waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It does: what was written survives a power cut.
    Synced,
    /// It does not: for scratch copies that nobody will miss.
    Scratch,
}

impl Database {
    pub(crate) fn open(path: &Path, durability: Durability) -> Result<Self, Error> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE);
        let families = FAMILIES
            .iter()
            .map(|name| ColumnFamilyDescriptor::new(*name, family_options(name, &cache)));
        let db = DB::open_cf_descriptors(&options(), path, families).map_err(|source| {
            let path = path.to_owned();
            // RocksDB tells a held lock by its text alone.
            if source.as_ref().contains("lock") && source.as_ref().contains("LOCK") {
                Error::InUse { path }
            } else {
                Error::Open { path, source }
            }
        })?;
        Ok(Self {
            db,
            sync: durability == Durability::Synced,
        })
    }

    pub(crate) fn raw(&self) -> &DB {
        &self.db
    }

    pub(crate) fn family(&self, name: &'static str) -> &ColumnFamily {
        self.db
            .cf_handle(name)
            .expect("every family of the layout is opened")
    }

    pub(crate) fn get(
        &self,
        family: &'static str,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.db.get_cf(self.family(family), key)?)
    }

    /// Writes all of it or nothing, and returns when it is on disk.
    pub(crate) fn write(&self, batch: WriteBatch) -> Result<(), Error> {
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        Ok(self.db.write_opt(batch, &options)?)
    }

    /// Writes all memtables out as tables.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let families: Vec<&ColumnFamily> = FAMILIES.iter().map(|name| self.family(name)).collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        Ok(self.db.flush_cfs_opt(&families, &options)?)
    }

    /// Every pair of a family, ascending. It reads past the block cache, whose content others need.
    pub(crate) fn pairs(&self, family: &'static str) -> impl Iterator<Item = Result<Pair, Error>> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        self.db
            .iterator_cf_opt(self.family(family), options, IteratorMode::Start)
            .map(|pair| pair.map_err(Error::from))
    }

    /// Whether a family has a key that is not before this one.
    pub(crate) fn has_from(&self, family: &'static str, key: &[u8]) -> Result<bool, Error> {
        let mode = IteratorMode::From(key, Direction::Forward);
        let mut pairs = self.db.iterator_cf(self.family(family), mode);
        Ok(pairs.next().transpose()?.is_some())
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // Every record is synced, so a torn tail was never acknowledged; damage before it was, and
    // opening fails rather than forgetting what came after.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_max_background_jobs(2);
    options.set_max_open_files(OPEN_FILES);
    options.set_db_write_buffer_size(WRITE_BUFFERS);
    options.set_max_total_wal_size(WAL);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(MIB);
    options
}

fn family_options(name: &str, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(INDEX_PIECE);
    table.set_pin_top_level_index_and_filter(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER);
    // Most of what a block asks for by its key is not there (was it ordered before, is it open yet), and
    // what is still in memory is the dearest to look through.
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM);
    options.set_compression_type(DBCompressionType::Lz4);
    if name == STATE {
        options.set_min_write_buffer_number_to_merge(STATE_MERGED);
        options.set_max_write_buffer_number(STATE_MERGED + 4);
        options.set_max_bytes_for_level_base(STATE_LEVEL);
        // Most of the state is digests, which nothing makes shorter.
        let (none, lz4) = (DBCompressionType::None, DBCompressionType::Lz4);
        options.set_compression_per_level(&[none, none, none, lz4, lz4, lz4, lz4]);
    }
    // What has sunk to the bottom is read seldom, above all old blocks.
    if name == BODIES || name == OUTCOMES {
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options.set_bottommost_compression_options(ZSTD_WINDOW, ZSTD_LEVEL, 0, 0, true);
    }
    options
}
