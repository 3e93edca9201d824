//! Numbers that look random and are the same for the same seed, on every machine and in every version.
//!
//! SplitMix64 (Steele, Lea, Flood 2014). For invented data only; nothing secret comes from here.

/// A stream of numbers from a seed.
pub(super) struct Seeded(u64);

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of `low..=high`. The tiny bias of the remainder does not matter here.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }

    /// One of `choices`, which is not empty.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        let last = choices.len() as u64 - 1;
        choices[self.between(0, last) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Seeded;

    /// The published first outputs for the seed 1234567.
    #[test]
    fn the_stream_is_splitmix64() {
        let mut seeded = Seeded::new(1_234_567);
        let stream: Vec<u64> = (0..3).map(|_| seeded.next()).collect();
        assert_eq!(
            stream,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }
}
