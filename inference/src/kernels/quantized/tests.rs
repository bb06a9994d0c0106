use super::super::reference::{assert_close, numbers, product};
use super::*;

const SHAPES: [(usize, usize); 7] = [(1, 1), (31, 7), (32, 8), (33, 33), (64, 17), (320, 65), (768, 400)];

fn pack<T: Tile>(w: &[f32], inputs: usize, outputs: usize) -> Quantized<T> {
    Quantized::pack(inputs, outputs, |k, n| w[k * outputs + n])
}

/// The weights as kept, `[inputs, outputs]`.
fn kept<T: Tile>(packed: &Quantized<T>) -> Vec<f32> {
    let mut w = vec![0.0; packed.inputs() * packed.outputs()];
    let mut column = vec![0.0; packed.inputs()];
    for n in 0..packed.outputs() {
        packed.widen(n, &mut column);
        for (k, &weight) in column.iter().enumerate() {
            w[k * packed.outputs() + n] = weight;
        }
    }
    w
}

/// Panics unless each weight is off by at most `bound` times the largest one
/// of its block.
fn assert_bound<T: Tile>(bound: f32) {
    for (inputs, outputs) in SHAPES {
        let w = numbers(7, inputs * outputs);
        let kept = kept(&pack::<T>(&w, inputs, outputs));
        for n in 0..outputs {
            for start in (0..inputs).step_by(BLOCK) {
                let block = start..inputs.min(start + BLOCK);
                let at = |k: usize| k * outputs + n;
                let largest = block.clone().fold(0.0, |most: f32, k| most.max(w[at(k)].abs()));
                for k in block {
                    assert!((w[at(k)] - kept[at(k)]).abs() <= bound * largest);
                }
            }
        }
    }
}

#[test]
fn eight_bits_are_off_by_half_a_step() {
    // A step is a 127th of the largest weight, and its scale rounded up.
    assert_bound::<Eight>(1.008 / 254.0);
}

#[test]
fn four_bits_are_off_by_half_a_step_and_one_at_the_far_end() {
    assert_bound::<Four>(1.008 / 8.0);
}

/// Against the weights as kept, where only the rounding of activations counts.
fn assert_product<T: Tile>() {
    for (inputs, outputs) in SHAPES {
        let packed = pack::<T>(&numbers(5, inputs * outputs), inputs, outputs);
        let w = kept(&packed);
        for rows in [0, 1, 2, 3, 8, 9, 17, MANY_ROWS, MANY_ROWS + 3] {
            let shape = Shape { rows, inputs, outputs };
            let x = numbers(6, rows * inputs);
            let mut y = vec![f32::NAN; rows * outputs];
            packed.multiply(rows, &x, &mut y);
            assert_close(&y, &product(shape, &x, &w), 0.012);
        }
    }
}

#[test]
fn eight_bits_multiply() {
    assert_product::<Eight>();
}

#[test]
fn four_bits_multiply() {
    assert_product::<Four>();
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let packed = pack::<Eight>(&numbers(8, 96 * 40), 96, 40);
    let x = numbers(9, 11 * 96);
    let mut together = vec![0.0; 11 * 40];
    packed.multiply(11, &x, &mut together);
    for (x, together) in x.chunks(96).zip(together.chunks(40)) {
        let mut alone = vec![0.0; 40];
        packed.multiply(1, x, &mut alone);
        assert_eq!(alone, together);
    }
}

#[test]
fn whole_numbers_multiply_exactly() {
    // Activations and weights that need no rounding: one of each block is 127.
    let x: Vec<f32> = (0..64_usize).map(|k| if k.is_multiple_of(32) { 127.0 } else { (k % 32) as f32 }).collect();
    let w = |k: usize, n: usize| if k.is_multiple_of(32) { 127.0 } else { (k % 32 + n) as f32 };
    let packed = Quantized::<Eight>::pack(64, 9, w);
    let mut y = [0.0; 9];
    packed.multiply(1, &x, &mut y);
    for (n, y) in y.into_iter().enumerate() {
        let expected: f32 = (0..64).map(|k| x[k] * w(k, n)).sum();
        assert_eq!(y, expected);
    }
}

#[test]
fn a_weight_takes_as_many_bits_as_promised() {
    let w = numbers(1, 64 * 16);
    assert_eq!(pack::<Eight>(&w, 64, 16).bytes(), 64 * 16 * 17 / 16);
    assert_eq!(pack::<Four>(&w, 64, 16).bytes(), 64 * 16 * 9 / 16);
}

#[test]
fn blocks_of_zeros_and_of_denormal_numbers_make_no_nonsense() {
    for tiny in [0.0, f32::from_bits(1), f32::MIN_POSITIVE] {
        for packed in [kept(&pack::<Eight>(&[tiny; 64], 64, 1)), kept(&pack::<Four>(&[tiny; 64], 64, 1))] {
            assert!(packed.iter().all(|weight| weight.abs() <= 2.0 * f32::MIN_POSITIVE));
        }
        let packed = pack::<Eight>(&[1.0; 64], 64, 1);
        let mut y = [f32::NAN];
        packed.multiply(1, &[tiny; 64], &mut y);
        assert!(y[0].abs() <= 128.0 * f32::MIN_POSITIVE);
    }
}

#[test]
fn weights_that_are_no_numbers_do_not_panic() {
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        let packed = pack::<Four>(&[odd; 33], 33, 1);
        packed.multiply(1, &[1.0; 33], &mut [0.0]);
        let packed = pack::<Eight>(&[odd; 33], 33, 1);
        packed.multiply(1, &[odd; 33], &mut [0.0]);
    }
}
