//! Numbers of any kind, compared by their value: nothing is rounded to make two of them comparable.

use std::cmp::Ordering;

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    /// `None` where a NaN is involved.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Integer(a), Self::Float(b)) => integer_with_float(a, b),
            (Self::Float(a), Self::Integer(b)) => integer_with_float(b, a).map(Ordering::reverse),
        }
    }

    /// The nearest number that a `float32` can hold: what a constant becomes beside such a field, so that `x = 3.2` can
    /// be true.
    pub(super) fn rounded_to_single(self) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // what it is for
        let single = match self {
            Self::Integer(value) => value as f32,
            Self::Float(value) => value as f32,
        };
        Self::Float(f64::from(single))
    }
}

/// The integer is one of at most 64 bits.
fn integer_with_float(integer: i128, float: f64) -> Option<Ordering> {
    /// No integer reaches it, and every float below it has an integral part that an `i128` holds.
    const BEYOND: f64 = 1e30;
    if float.is_nan() {
        return None;
    }
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float <= -BEYOND {
        return Some(Ordering::Greater);
    }
    #[allow(clippy::cast_possible_truncation)] // within the range of an i128
    let whole = float.trunc() as i128;
    let order = integer.cmp(&whole);
    if order == Ordering::Equal {
        return 0.0.partial_cmp(&float.fract());
    }
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::Number::{Float, Integer};
    use std::cmp::Ordering::{Equal, Greater, Less};

    #[test]
    fn kinds_are_compared_exactly() {
        let large = (1i128 << 53) + 1;
        let table = [
            (Integer(3), Float(3.0), Some(Equal)),
            (Integer(3), Float(3.5), Some(Less)),
            (Integer(-3), Float(-3.5), Some(Greater)),
            (Integer(-4), Float(-3.5), Some(Less)),
            // As doubles they would be equal.
            (Integer(large), Float(9_007_199_254_740_992.0), Some(Greater)),
            (Integer(i128::from(u64::MAX)), Float(18_446_744_073_709_551_616.0), Some(Less)),
            (Integer(i128::from(u64::MAX)), Float(f64::INFINITY), Some(Less)),
            (Integer(i128::from(i64::MIN)), Float(f64::NEG_INFINITY), Some(Greater)),
            (Integer(0), Float(-0.0), Some(Equal)),
            (Integer(0), Float(f64::NAN), None),
            (Float(f64::NAN), Float(f64::NAN), None),
            (Integer(i128::from(u64::MAX)), Integer(-1), Some(Greater)),
        ];
        for (a, b, expected) in table {
            assert_eq!(a.compare(b), expected, "{a:?} with {b:?}");
            assert_eq!(b.compare(a), expected.map(std::cmp::Ordering::reverse), "{b:?} with {a:?}");
        }
    }

    #[test]
    fn constants_are_rounded_for_single_precision() {
        assert_eq!(Float(3.2).rounded_to_single(), Float(f64::from(3.2_f32)));
        assert_eq!(Integer(16_777_217).rounded_to_single(), Float(16_777_216.0));
    }
}
