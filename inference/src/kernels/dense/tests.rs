use super::super::reference::{assert_close, numbers, product};
use super::*;

const SHAPES: [(usize, usize); 8] = [(1, 1), (3, 7), (4, 16), (33, 33), (64, 48), (96, 1030), (257, 129), (768, 2048)];

fn shape(rows: usize, (inputs, outputs): (usize, usize)) -> Shape {
    Shape { rows, inputs, outputs }
}

#[test]
fn equals_the_plain_product() {
    for inner in SHAPES {
        for rows in [0, 1, 2, 3, 5, 7, 8, 9, 17] {
            let shape = shape(rows, inner);
            let x = numbers(1, shape.rows * shape.inputs);
            let w = numbers(2, shape.inputs * shape.outputs);
            let mut y = vec![f32::NAN; rows * shape.outputs];
            multiply(shape, &x, &w, &mut y);
            assert_close(&y, &product(shape, &x, &w), 1e-5);
        }
    }
}

#[test]
fn portable_path_equals_the_plain_product() {
    for inner in SHAPES {
        let shape = shape(3, inner);
        let x = numbers(1, shape.rows * shape.inputs);
        let w = numbers(2, shape.inputs * shape.outputs);
        let mut y = vec![f32::NAN; shape.rows * shape.outputs];
        let band = Band { columns: 0..shape.outputs, rows: y.chunks_mut(shape.outputs).collect() };
        Multiply { shape, x: &x, w: &w, band }.with_simd(pulp::Scalar::new());
        assert_close(&y, &product(shape, &x, &w), 1e-5);
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let shape = shape(11, (96, 1030));
    let x = numbers(3, shape.rows * shape.inputs);
    let w = numbers(4, shape.inputs * shape.outputs);
    let mut together = vec![0.0; shape.rows * shape.outputs];
    multiply(shape, &x, &w, &mut together);
    for (x, together) in x.chunks(shape.inputs).zip(together.chunks(shape.outputs)) {
        let mut alone = vec![0.0; shape.outputs];
        multiply(Shape { rows: 1, ..shape }, x, &w, &mut alone);
        assert_eq!(alone, together);
    }
}

#[test]
fn nothing_in_makes_zeros() {
    let mut y = [f32::NAN; 6];
    multiply(Shape { rows: 2, inputs: 0, outputs: 3 }, &[], &[], &mut y);
    assert_eq!(y, [0.0; 6]);
}

#[test]
fn denormal_numbers_are_kept() {
    let tiny = f32::from_bits(3);
    let mut y = [0.0; 2];
    multiply(Shape { rows: 1, inputs: 2, outputs: 2 }, &[1.0, 2.0], &[tiny; 4], &mut y);
    assert_eq!(y, [f32::from_bits(9); 2]);
}

#[test]
#[should_panic(expected = "weights are [inputs, outputs]")]
fn weights_of_another_shape_are_refused() {
    multiply(Shape { rows: 1, inputs: 2, outputs: 2 }, &[0.0; 2], &[0.0; 5], &mut [0.0; 2]);
}
