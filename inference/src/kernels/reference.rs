//! What the kernels' results are compared with: plain sums in `f64`.

use super::Shape;

/// Numbers between -1 and 1 that look random; the same for the same seed.
pub(super) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1 << 23) as f32) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// `x [rows, inputs] · w [inputs, outputs]`.
pub(super) fn product(shape: Shape, x: &[f32], w: &[f32]) -> Vec<f64> {
    let mut y = vec![0.0; shape.rows * shape.outputs];
    for r in 0..shape.rows {
        for k in 0..shape.inputs {
            for n in 0..shape.outputs {
                y[r * shape.outputs + n] += f64::from(x[r * shape.inputs + k]) * f64::from(w[k * shape.outputs + n]);
            }
        }
    }
    y
}

/// Panics unless every value is as expected but for `tolerance` times the
/// largest one expected.
pub(super) fn assert_close(actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    let largest = expected.iter().fold(1e-30, |largest: f64, value| largest.max(value.abs()));
    for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(actual) - expected).abs();
        assert!(error <= tolerance * largest, "at {index}: {actual} where {expected} is expected");
    }
}
