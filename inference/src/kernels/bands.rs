//! Shares a product out over the threads, in bands of its columns.

use std::ops::Range;

use super::Shape;

/// Bytes of weights below which another thread costs more than it saves.
const WORTH_A_THREAD: usize = 192 * 1024;

/// The columns of a result that one thread computes, in every row.
pub(super) struct Band<'a> {
    /// Which columns.
    pub(super) columns: Range<usize>,
    /// Those columns of each row.
    pub(super) rows: Vec<&'a mut [f32]>,
}

/// Calls `compute` for each band of `y [rows, outputs]`, in parallel where the
/// weights are so many bytes that it pays. Bands begin at multiples of `unit`.
pub(super) fn each(y: &mut [f32], shape: Shape, unit: usize, weight_bytes: usize, compute: impl Fn(Band<'_>) + Sync) {
    let threads = (weight_bytes / WORTH_A_THREAD).clamp(1, rayon::current_num_threads());
    let units = shape.outputs.div_ceil(unit);
    let width = units.div_ceil(threads).max(1) * unit;
    let mut bands = split(y, shape.outputs, width);
    let Some(last) = bands.pop() else { return };
    if bands.is_empty() {
        compute(last);
        return;
    }
    rayon::scope(|scope| {
        for band in bands {
            let compute = &compute;
            scope.spawn(move |_| compute(band));
        }
        compute(last);
    });
}

/// `y [rows, outputs]` in bands of `width` columns.
fn split(y: &mut [f32], outputs: usize, width: usize) -> Vec<Band<'_>> {
    let mut bands: Vec<Band<'_>> = (0..outputs)
        .step_by(width)
        .map(|start| Band { columns: start..outputs.min(start + width), rows: Vec::new() })
        .collect();
    if outputs > 0 {
        for row in y.chunks_exact_mut(outputs) {
            for (band, part) in bands.iter_mut().zip(row.chunks_mut(width)) {
                band.rows.push(part);
            }
        }
    }
    bands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_belongs_to_one_band() {
        for (rows, outputs, width) in [(1, 1, 8), (3, 33, 8), (2, 64, 16), (0, 8, 8), (2, 0, 8)] {
            let mut y = vec![0.0; rows * outputs];
            for band in split(&mut y, outputs, width) {
                assert_eq!(band.rows.len(), rows);
                assert_eq!(band.columns.start % width, 0);
                for row in band.rows {
                    assert_eq!(row.len(), band.columns.len());
                    row.iter_mut().for_each(|value| *value += 1.0);
                }
            }
            assert!(y.iter().all(|&value| value == 1.0));
        }
    }
}
