//! A consortium in memory: keys, signing and blocks, for tests here and in crates above.
