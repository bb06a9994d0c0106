//! What stands between the products: normalisation, rotation, gate.

use pulp::{Arch, Simd, WithSimd};

use super::exponential::exp;

/// Root mean square normalisation (Zhang and Sennrich 2019): scales each row of
/// `x [rows, weight.len()]` to a mean square of one, and by `weight`, into
/// `y [rows, weight.len()]`.
///
/// # Panics
///
/// When `x` and `y` are not of one length, or not whole rows.
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "input and result are of one shape");
    if weight.is_empty() {
        return;
    }
    assert_eq!(x.len() % weight.len(), 0, "rows are as long as the weights");
    for (x, y) in x.chunks_exact(weight.len()).zip(y.chunks_exact_mut(weight.len())) {
        let mean = Arch::new().dispatch(SumOfSquares(x)) / x.len() as f32;
        let scale = 1.0 / (mean + epsilon).sqrt();
        for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
            *y = x * scale * weight;
        }
    }
}

/// Rotates each head of `x [heads, dim]` to its position (Su et al. 2021), the
/// upper half against the lower one as Hugging Face has them: `cos` and `sin`
/// are those of the position, `[dim / 2]`.
///
/// # Panics
///
/// When `cos` and `sin` are not of one length, or `x` is not whole heads.
pub(crate) fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    assert_eq!(cos.len(), sin.len(), "a cosine for each sine");
    if cos.is_empty() {
        return;
    }
    assert_eq!(x.len() % (2 * cos.len()), 0, "heads are twice as long as the angles");
    for head in x.chunks_exact_mut(2 * cos.len()) {
        let (lower, upper) = head.split_at_mut(cos.len());
        for (((lower, upper), cos), sin) in lower.iter_mut().zip(upper).zip(cos).zip(sin) {
            (*lower, *upper) = (*lower * cos - *upper * sin, *upper * cos + *lower * sin);
        }
    }
}

/// The gate of SwiGLU (Shazeer 2020): `up = silu(gate) · up`.
///
/// # Panics
///
/// When they are not of one length.
pub(crate) fn silu_gate(gate: &[f32], up: &mut [f32]) {
    assert_eq!(gate.len(), up.len(), "gate and values are of one shape");
    Arch::new().dispatch(SiluGate { gate, up });
}

struct SumOfSquares<'a>(&'a [f32]);

impl WithSimd for SumOfSquares<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (vectors, rest) = S::as_simd_f32s(self.0);
        let rest = simd.partial_load_f32s(rest);
        let mut sum = simd.mul_f32s(rest, rest);
        for &vector in vectors {
            sum = simd.mul_add_e_f32s(vector, vector, sum);
        }
        simd.reduce_sum_f32s(sum)
    }
}

struct SiluGate<'a> {
    gate: &'a [f32],
    up: &'a mut [f32],
}

impl WithSimd for SiluGate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (gates, gate_rest) = S::as_simd_f32s(self.gate);
        let (ups, up_rest) = S::as_mut_simd_f32s(self.up);
        for (&gate, up) in gates.iter().zip(ups) {
            *up = simd.mul_f32s(silu(simd, gate), *up);
        }
        let gate = silu(simd, simd.partial_load_f32s(gate_rest));
        let up = simd.mul_f32s(gate, simd.partial_load_f32s(up_rest));
        simd.partial_store_f32s(up_rest, up);
    }
}

/// x / (1 + e^-x).
#[inline(always)]
fn silu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let divisor = simd.add_f32s(simd.splat_f32s(1.0), exp(simd, simd.neg_f32s(x)));
    simd.div_f32s(x, divisor)
}

#[cfg(test)]
mod tests {
    use super::super::reference::{assert_close, numbers};
    use super::*;

    #[test]
    fn rows_are_normalised_each_by_itself() {
        for dim in [1, 7, 64, 100] {
            let (x, weight) = (numbers(1, 3 * dim), numbers(2, dim));
            let mut y = vec![f32::NAN; 3 * dim];
            rms_norm(&x, &weight, 1e-5, &mut y);
            let rows = x.chunks(dim).flat_map(|row| {
                let squares: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
                let scale = 1.0 / (squares / dim as f64 + 1e-5).sqrt();
                row.iter().zip(&weight).map(move |(&x, &w)| f64::from(x) * scale * f64::from(w)).collect::<Vec<_>>()
            });
            assert_close(&y, &rows.collect::<Vec<_>>(), 1e-6);
        }
    }

    #[test]
    fn halves_are_rotated_against_each_other() {
        let mut x = [1.0, 2.0, 3.0, 4.0];
        rotate(&mut x, &[0.0, 1.0], &[1.0, 0.0]);
        assert_eq!(x, [-3.0, 2.0, 1.0, 4.0]);
    }

    #[test]
    fn gate_equals_its_definition() {
        let gate: Vec<f32> = numbers(3, 203).into_iter().map(|x| 60.0 * x).collect();
        let up = numbers(4, 203);
        let expected: Vec<f64> = gate
            .iter()
            .zip(&up)
            .map(|(&gate, &up)| f64::from(gate) / (1.0 + (-f64::from(gate)).exp()) * f64::from(up))
            .collect();
        let (mut best, mut portable) = (up.clone(), up);
        silu_gate(&gate, &mut best);
        SiluGate { gate: &gate, up: &mut portable }.with_simd(pulp::Scalar::new());
        assert_close(&best, &expected, 1e-6);
        assert_close(&portable, &expected, 1e-6);
    }

    #[test]
    fn gate_ends_where_numbers_end() {
        let mut up = [1.0; 3];
        silu_gate(&[f32::MAX, -1e30, -1e4], &mut up);
        assert_eq!(up[0], f32::MAX);
        assert!(up[1..].iter().all(|value| value.abs() < 1.0));
    }
}
