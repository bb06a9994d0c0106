//! The exponential function on vectors.

use pulp::Simd;

/// e to the power of `x`, to within three units in the last place, for `x`
/// between -87 and 88; beyond, as at the nearer end.
///
/// Splits `x` into a power of two and a rest below ln 2 / 2, for which the
/// polynomial is the one of the Cephes library (`expf.c`).
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// Where `f32` has no more room for a fraction: adding it rounds.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first exact in few bits.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

    let number = |value| simd.splat_f32s(value);
    let x = simd.min_f32s(simd.max_f32s(x, number(-87.0)), number(88.0));
    let rounded = simd.mul_add_e_f32s(x, number(std::f32::consts::LOG2_E), number(ROUND));
    let power = simd.sub_f32s(rounded, number(ROUND));
    let rest = simd.mul_add_e_f32s(power, number(-LN_2[0]), x);
    let rest = simd.mul_add_e_f32s(power, number(-LN_2[1]), rest);
    let mut sum = number(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        sum = simd.mul_add_e_f32s(sum, rest, number(*coefficient));
    }
    let sum = simd.mul_add_e_f32s(sum, simd.mul_f32s(rest, rest), rest);
    let sum = simd.add_f32s(sum, number(1.0));
    // The lowest bits of `rounded` are the power, and become an exponent.
    let bits = simd.add_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(127));
    let scale = simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23));
    simd.mul_f32s(sum, simd.transmute_f32s_u32s(scale))
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;

    struct Exp(f32);

    impl WithSimd for Exp {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            let mut y = [0.0];
            simd.partial_store_f32s(&mut y, exp(simd, simd.splat_f32s(self.0)));
            y[0]
        }
    }

    #[test]
    fn is_close_to_the_exact_value() {
        for step in -8700..=8800 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            for y in [Arch::new().dispatch(Exp(x)), Exp(x).with_simd(pulp::Scalar::new())] {
                assert!((f64::from(y) - exact).abs() <= 3e-7 * exact, "{y} at {x}");
            }
        }
    }

    #[test]
    fn ends_where_numbers_end() {
        for (x, nearest) in [(-1e30, -87.0), (f32::NEG_INFINITY, -87.0), (1e30, 88.0)] {
            assert_eq!(Arch::new().dispatch(Exp(x)), Arch::new().dispatch(Exp(nearest)));
        }
    }
}
