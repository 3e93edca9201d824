//! Adding affine points to a running sum, in variable time.
//!
//! The `sm2` crate's complete formulas never branch, which secrets need; they take 13
//! multiplications for an addition. These take 10 and branch on the exceptional cases, which
//! public values allow. The field's arithmetic is the crate's own.

use sm2::elliptic_curve::ff::Field as _;

use super::table::{Affine, Field};

/// A point (X/ZZ, Y/ZZZ) with ZZ³ = ZZZ²; infinity when ZZ is zero. These are the "XYZZ"
/// coordinates of the Explicit-Formulas Database.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    x: Field,
    y: Field,
    zz: Field,
    zzz: Field,
}

impl Sum {
    /// The sum of nothing.
    pub(super) const INFINITY: Self = Self {
        x: Field::ONE,
        y: Field::ONE,
        zz: Field::ZERO,
        zzz: Field::ZERO,
    };

    pub(super) fn is_infinity(&self) -> bool {
        self.zz.is_zero_vartime()
    }

    /// Whether the affine x coordinate is `candidate`, without dividing. Never true of infinity.
    pub(super) fn has_x(&self, candidate: &Field) -> bool {
        !self.is_infinity() && self.x == *candidate * self.zz
    }

    /// Adds a point (madd-2008-s, 8M + 2S), whatever it is: the same, the opposite, the first.
    pub(super) fn add(&mut self, point: &Affine) {
        if self.is_infinity() {
            *self = Self {
                x: point.x,
                y: point.y,
                zz: Field::ONE,
                zzz: Field::ONE,
            };
            return;
        }
        let p = point.x * self.zz - self.x;
        let r = point.y * self.zzz - self.y;
        if p.is_zero_vartime() {
            // The formula below divides by p: the same point, or its opposite.
            *self = if r.is_zero_vartime() {
                Self::doubled(point)
            } else {
                Self::INFINITY
            };
            return;
        }
        let pp = p.square();
        let ppp = p * pp;
        let q = self.x * pp;
        self.x = r.square() - ppp - q.double();
        self.y = r * (q - self.x) - self.y * ppp;
        self.zz *= pp;
        self.zzz *= ppp;
    }

    /// 2P (mdbl-2008-s-1 with a = -3). No point of this curve of odd order has y = 0.
    fn doubled(point: &Affine) -> Self {
        let u = point.y.double();
        let v = u.square();
        let w = u * v;
        let s = point.x * v;
        let slope = point.x.square() - Field::ONE;
        let m = slope.double() + slope;
        let x = m.square() - s.double();
        Self {
            x,
            y: m * (s - x) - w * point.y,
            zz: v,
            zzz: w,
        }
    }
}
