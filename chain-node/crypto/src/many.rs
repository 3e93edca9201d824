//! SM3 (GB/T 32905-2016 §5) of many messages side by side: lane `l` of every vector works on a message of its own.
//!
//! One message's blocks follow from each other, so a processor with wide registers hashes one no faster than one
//! without. Who has thousands, as a data-holding node that digests its source has, gets four to six times as many a
//! second. Results are those of [`crate::sm3`] and [`MacKey::mac`], message by message.
//!
//! No branch and no index depends on content. Not here: choosing what to hash together; callers have it in hand.

use pulp::{Arch, Scalar, Simd, WithSimd};

use crate::digest::{Digest, MacKey, sm3};

/// Messages hashed at a time.
const LANES: usize = 16;

/// From how many messages on it is worth the trouble.
const WORTH: usize = 4;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;

/// A chaining value V (§5.3.3).
pub(crate) type Chain = [u32; 8];

/// The initial value IV (§4.1).
const IV: Chain = [
    0x7380_166f,
    0x4914_b2b9,
    0x1724_42d7,
    0xda8a_0600,
    0xa96f_30bc,
    0x1631_38aa,
    0xe38d_ee4d,
    0xb0fb_0e4e,
];

/// One word of every lane.
type Words = [u32; LANES];

/// Messages that are put together from parts, end to end.
#[derive(Default)]
pub struct Messages {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl std::fmt::Debug for Messages {
    /// Without content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Messages({})", self.ends.len())
    }
}

impl Messages {
    /// None yet, with room for so many messages of so many bytes altogether.
    pub fn with_capacity(messages: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(messages),
        }
    }

    /// Adds the concatenation of `parts` as one message.
    pub fn push(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push(self.bytes.len());
    }

    fn slices(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        (starts.zip(&self.ends))
            .map(|(start, end)| &self.bytes[start..*end])
            .collect()
    }

    /// SM3 of each message, in order.
    pub fn sm3(&self) -> Vec<Digest> {
        sm3_each(&self.slices())
    }
}

/// SM3 of each message, in order.
pub fn sm3_each(messages: &[&[u8]]) -> Vec<Digest> {
    side_by_side(&IV, 0, messages)
        .unwrap_or_else(|| messages.iter().map(|message| sm3(message)).collect())
}

impl MacKey {
    /// HMAC-SM3 over each message, in order.
    pub fn mac_each(&self, messages: &Messages) -> Vec<Digest> {
        let messages = messages.slices();
        let one_by_one = || messages.iter().map(|message| self.mac(&[message]));
        let [inner, outer] = self.chains();
        let Some(inner) = side_by_side(inner, 1, &messages) else {
            return one_by_one().collect();
        };
        let inner: Vec<&[u8]> = inner.iter().map(|digest| &digest.as_bytes()[..]).collect();
        side_by_side(outer, 1, &inner).unwrap_or_else(|| one_by_one().collect())
    }
}

/// The chaining value after one block.
pub(crate) fn chain_after(block: &[u8; BLOCK]) -> Chain {
    let mut state = IV.map(|word| [word; LANES]);
    let mut words = [[0; LANES]; 16];
    fill(&mut words, 0, block);
    compress(Scalar::new(), &mut state, &words, 0);
    state.map(|word| word[0])
}

/// The digests of messages that each follow `blocks` blocks with the chaining value `start`; none where it would
/// be slower than one by one.
fn side_by_side(start: &Chain, blocks: u64, messages: &[&[u8]]) -> Option<Vec<Digest>> {
    let arch = Arch::new();
    if messages.len() < WORTH || matches!(arch, Arch::Scalar) {
        return None;
    }
    let mut digests = vec![Digest::ZERO; messages.len()];
    arch.dispatch(Run {
        start,
        blocks,
        messages,
        digests: &mut digests,
    });
    Some(digests)
}

/// A run over all messages. A lane that is done with one takes up the next, so that long ones hold up no other.
struct Run<'a> {
    start: &'a Chain,
    blocks: u64,
    messages: &'a [&'a [u8]],
    digests: &'a mut [Digest],
}

/// The message that a lane works on, and its next block.
#[derive(Clone, Copy)]
struct Lane {
    message: usize,
    block: usize,
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut state: [Words; 8] = [[0; LANES]; 8];
        let mut words: [Words; 16] = [[0; LANES]; 16];
        let mut lanes: [Option<Lane>; LANES] = [None; LANES];
        let mut waiting = 0..self.messages.len();
        loop {
            let mut idle = true;
            for (index, lane) in lanes.iter_mut().enumerate() {
                if lane.is_none() {
                    *lane = waiting.next().map(|message| Lane { message, block: 0 });
                    for (word, start) in state.iter_mut().zip(self.start) {
                        word[index] = *start;
                    }
                }
                if let Some(Lane { message, block }) = *lane {
                    let block = padded(self.messages[message], block, self.blocks);
                    fill(&mut words, index, &block);
                    idle = false;
                }
            }
            if idle {
                return;
            }
            for first in (0..LANES).step_by(S::U32_LANES) {
                compress(simd, &mut state, &words, first);
            }
            for (index, lane) in lanes.iter_mut().enumerate() {
                if let Some(Lane { message, block }) = lane {
                    *block += 1;
                    if *block == blocks_of(self.messages[*message]) {
                        self.digests[*message] = digest(&state, index);
                        *lane = None;
                    }
                }
            }
        }
    }
}

/// Blocks of a message with its padding (§5.2): a one bit, zeros, and the length in 8 bytes.
#[inline(always)]
fn blocks_of(message: &[u8]) -> usize {
    (message.len() + 8) / BLOCK + 1
}

/// One block of a padded message that follows `before` others.
#[inline(always)]
fn padded(message: &[u8], block: usize, before: u64) -> [u8; BLOCK] {
    let rest = &message[(block * BLOCK).min(message.len())..];
    if let Some(whole) = rest.first_chunk() {
        return *whole;
    }
    let mut bytes = [0; BLOCK];
    bytes[..rest.len()].copy_from_slice(rest);
    // The one bit follows the last byte, which may have been the last of the block before.
    if block * BLOCK <= message.len() {
        bytes[rest.len()] = 0x80;
    }
    if block + 1 == blocks_of(message) {
        let bits = (before * BLOCK as u64 + message.len() as u64) * 8;
        bytes[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
    }
    bytes
}

/// Puts a block into a lane.
#[inline(always)]
fn fill(words: &mut [Words; 16], lane: usize, block: &[u8; BLOCK]) {
    let (chunks, _) = block.as_chunks::<4>();
    for (word, bytes) in words.iter_mut().zip(chunks) {
        word[lane] = u32::from_be_bytes(*bytes);
    }
}

fn digest(state: &[Words; 8], lane: usize) -> Digest {
    let mut bytes = [0; Digest::LEN];
    let (chunks, _) = bytes.as_chunks_mut::<4>();
    for (bytes, word) in chunks.iter_mut().zip(state) {
        *bytes = word[lane].to_be_bytes();
    }
    Digest::new(bytes)
}

/// The compression function CF (§5.3.2, §5.3.3) in as many lanes as a register has, from lane `first` on.
#[inline(always)]
fn compress<S: Simd>(simd: S, state: &mut [Words; 8], words: &[Words; 16], first: usize) {
    let lanes = first..first + S::U32_LANES;
    let load = |words: &Words| simd.partial_load_u32s(&words[lanes.clone()]);
    let splat = |word: u32| simd.splat_u32s(word);
    let xor = |left, right| simd.xor_u32s(left, right);
    let and = |left, right| simd.and_u32s(left, right);
    let or = |left, right| simd.or_u32s(left, right);
    let add = |left, right| simd.add_u32s(left, right);
    let rotated = |word, by: u32| {
        or(
            simd.wrapping_dyn_shl_u32s(word, splat(by)),
            simd.wrapping_dyn_shr_u32s(word, splat(32 - by)),
        )
    };

    // §5.3.2: W. W' is made where it is used.
    let mut w = [splat(0); 68];
    for (word, block) in w.iter_mut().zip(words) {
        *word = load(block);
    }
    for j in 16..68 {
        let x = xor(xor(w[j - 16], w[j - 9]), rotated(w[j - 3], 15));
        let p1 = xor(xor(x, rotated(x, 15)), rotated(x, 23));
        w[j] = xor(xor(p1, rotated(w[j - 13], 7)), w[j - 6]);
    }

    // §5.3.3.
    let before = [0, 1, 2, 3, 4, 5, 6, 7].map(|word: usize| load(&state[word]));
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = before;
    for j in 0..64 {
        let (t, ff, gg) = if j < 16 {
            (0x79cc_4519_u32, xor(xor(a, b), c), xor(xor(e, f), g))
        } else {
            let majority = or(and(a, b), and(c, or(a, b)));
            (0x7a87_9d8a, majority, xor(g, and(e, xor(f, g))))
        };
        let a12 = rotated(a, 12);
        let t = splat(t.rotate_left(j as u32));
        let ss1 = rotated(add(add(a12, e), t), 7);
        let ss2 = xor(ss1, a12);
        let tt1 = add(add(add(ff, d), ss2), xor(w[j], w[j + 4]));
        let tt2 = add(add(add(gg, h), ss1), w[j]);
        (d, c, b, a) = (c, rotated(b, 9), a, tt1);
        let p0 = xor(xor(tt2, rotated(tt2, 9)), rotated(tt2, 17));
        (h, g, f, e) = (g, rotated(f, 19), e, p0);
    }
    for ((word, after), before) in (state.iter_mut().zip([a, b, c, d, e, f, g, h])).zip(before) {
        simd.partial_store_u32s(&mut word[lanes.clone()], xor(before, after));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

    #[test]
    fn messages_of_every_length_have_the_digests_that_they_have_one_by_one() {
        let mut rng = StdRng::seed_from_u64(1);
        let texts: Vec<Vec<u8>> = (0..300)
            .map(|length| {
                let mut text = vec![0; length];
                rng.fill_bytes(&mut text);
                text
            })
            .collect();
        let mut texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        for round in 0..20 {
            let alone: Vec<Digest> = texts.iter().map(|text| sm3(text)).collect();
            assert_eq!(sm3_each(&texts), alone, "round {round}");
            // Other neighbours in other lanes, and fewer of them.
            texts.truncate(texts.len() - rng.random_range(1..15));
            let by = rng.random_range(0..texts.len());
            texts.rotate_left(by);
        }
        for few in 0..40 {
            let alone: Vec<Digest> = texts[..few].iter().map(|text| sm3(text)).collect();
            assert_eq!(sm3_each(&texts[..few]), alone, "{few} messages");
        }
    }

    #[test]
    fn a_key_of_any_length_gives_the_macs_that_it_gives_one_by_one() {
        for key in [0, 1, 32, 63, 64, 65, 200] {
            let key = MacKey::new(&vec![7; key]);
            let mut messages = Messages::default();
            let texts: Vec<Vec<u8>> = (0..150).map(|length| vec![length as u8; length]).collect();
            for text in &texts {
                let (left, right) = text.split_at(text.len() / 2);
                messages.push(&[left, right]);
            }
            let alone: Vec<Digest> = texts.iter().map(|text| key.mac(&[text])).collect();
            assert_eq!(key.mac_each(&messages), alone);
        }
    }

    #[test]
    fn the_standards_two_examples_hold_in_every_lane() {
        // GB/T 32905-2016 annex A.
        let long = b"abcd".repeat(16);
        let messages: Vec<&[u8]> = (0..2 * LANES)
            .map(|index| if index % 3 == 0 { &b"abc"[..] } else { &long })
            .collect();
        for (index, digest) in sm3_each(&messages).iter().enumerate() {
            let expected = if index % 3 == 0 {
                "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
            } else {
                "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
            };
            assert_eq!(digest.to_string(), expected, "lane {index}");
        }
    }
}
