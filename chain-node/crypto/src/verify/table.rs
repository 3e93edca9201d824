//! Fixed-base tables: multiples of a public point, so that [k]P is a handful of additions and no doubling.
//!
//! Everything here runs in variable time, on public values only: signatures, digests, public
//! keys. No secret may ever reach it.

use sm2::elliptic_curve::BatchNormalize;
use sm2::elliptic_curve::ff::PrimeField;
use sm2::elliptic_curve::hazmat::FieldArithmetic;
use sm2::elliptic_curve::point::AffineCoordinates;
use sm2::{AffinePoint, ProjectivePoint, Scalar, Sm2};

use super::sum::Sum;

/// An element of the curve's field, from the `sm2` crate (synthesised by fiat-crypto).
pub(super) type Field = <Sm2 as FieldArithmetic>::FieldElement;

/// A point other than infinity, by its two coordinates.
#[derive(Clone, Copy)]
pub(super) struct Affine {
    pub(super) x: Field,
    pub(super) y: Field,
}

impl Affine {
    /// The coordinates of a point that is known not to be infinity.
    pub(super) fn new(point: &AffinePoint) -> Self {
        let coordinate = |bytes| {
            Option::from(Field::from_repr(bytes)).expect("a point's coordinates are below p")
        };
        Self {
            x: coordinate(point.x()),
            y: coordinate(point.y()),
        }
    }
}

/// j · 2^(W·i) · P for every window i and 1 ≤ j ≤ 2^(W-1). Digits are signed, which halves the
/// table: a negative digit takes the point with y negated.
///
/// W = 9: 29 windows × 256 points × 64 bytes = 464 KiB.
pub(super) struct Table<const W: u32> {
    points: Vec<Affine>,
}

impl<const W: u32> Table<W> {
    /// Points in a window.
    const HALF: usize = 1 << (W - 1);
    /// Windows that cover 256 bits and the carry of signed digits above them.
    pub(super) const WINDOWS: usize = 257_usize.div_ceil(W as usize);

    /// Multiples of a point other than infinity. Takes milliseconds.
    pub(super) fn new(base: &AffinePoint) -> Self {
        let mut points = Vec::with_capacity(Self::WINDOWS * Self::HALF);
        let mut window_base = *base;
        let mut multiples = Vec::with_capacity(Self::HALF);
        for _ in 0..Self::WINDOWS {
            let mut multiple = ProjectivePoint::from(window_base);
            multiples.clear();
            multiples.push(multiple);
            for _ in 1..Self::HALF {
                multiple += &window_base;
                multiples.push(multiple);
            }
            // None is infinity: neither j nor a power of two is a multiple of the prime n.
            let normal: Vec<AffinePoint> = ProjectivePoint::batch_normalize(multiples.as_slice());
            points.extend(normal.iter().map(Affine::new));
            // The last multiple is half of the next window's base.
            window_base = (multiple + multiple).to_affine();
        }
        Self { points }
    }

    /// Adds [scalar]P, as at most [`Table::WINDOWS`] points, to `terms`.
    pub(super) fn select(&self, scalar: &Scalar, terms: &mut Vec<Affine>) {
        let limbs = limbs(scalar.to_repr().as_ref());
        let mut carry = 0;
        for window in 0..Self::WINDOWS {
            let digit = bits(&limbs, window as u32 * W, W) as usize + carry;
            let negative = digit > Self::HALF;
            carry = usize::from(negative);
            let magnitude = if negative { (1 << W) - digit } else { digit };
            if magnitude == 0 {
                continue;
            }
            let mut point = self.points[window * Self::HALF + magnitude - 1];
            if negative {
                point.y = -point.y;
            }
            terms.push(point);
        }
        debug_assert_eq!(carry, 0, "the windows reach past bit 255");
    }
}

/// [a]P + [b]Q from their tables.
pub(super) fn sum_of_products<const V: u32, const W: u32>(
    (p, a): (&Table<V>, &Scalar),
    (q, b): (&Table<W>, &Scalar),
) -> Sum {
    // Gathering all points first lets the memory reads overlap; adding them is one long chain.
    let mut terms = Vec::with_capacity(Table::<V>::WINDOWS + Table::<W>::WINDOWS);
    p.select(a, &mut terms);
    q.select(b, &mut terms);
    let mut sum = Sum::INFINITY;
    for term in &terms {
        sum.add(term);
    }
    sum
}

/// Big-endian bytes as four limbs, least significant first.
fn limbs(bytes: &[u8]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_be_bytes(chunk.try_into().expect("chunks of eight"));
    }
    limbs
}

/// `width` bits from bit `from`; bits past the top are zero.
fn bits(limbs: &[u64; 4], from: u32, width: u32) -> u64 {
    let (index, shift) = ((from / 64) as usize, from % 64);
    let Some(low) = limbs.get(index) else {
        return 0;
    };
    let mut value = low >> shift;
    if shift + width > 64 {
        value |= limbs.get(index + 1).map_or(0, |high| high << (64 - shift));
    }
    value & ((1 << width) - 1)
}
