//! Against the numbers that transformers 5.23 computes.

use super::*;

/// A few units in the last place: two libraries' powers differ by as much.
const TOLERANCE: f32 = 4.0 * f32::EPSILON;

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found / expected - 1.0).abs() <= TOLERANCE, "{index}: {found:e} instead of {expected:e}");
    }
}

fn yarn(theta: f64, scaling: RopeScaling) -> (Vec<f32>, f32) {
    Rope { theta, scaling }.inverse_frequencies(32)
}

#[test]
fn unscaled() {
    let (found, factor) = Rope { theta: 10_000.0, scaling: RopeScaling::None }.inverse_frequencies(16);
    let expected = [1.0, 3.162_277_6e-1, 1e-1, 3.162_278e-2, 1e-2, 3.162_277_9e-3, 1e-3, 3.162_278e-4];
    assert_close(&found, &expected);
    assert_eq!(factor, 1.0);
}

#[test]
fn linear() {
    let scaling = RopeScaling::Linear { factor: 4.0 };
    let (found, factor) = Rope { theta: 10_000.0, scaling }.inverse_frequencies(16);
    let expected = [2.5e-1, 7.905_694e-2, 2.5e-2, 7.905_695e-3, 2.5e-3, 7.905_695e-4, 2.5e-4, 7.905_695e-5];
    assert_close(&found, &expected);
    assert_eq!(factor, 1.0);
}

#[test]
fn llama3() {
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_positions: 8192,
    };
    let (found, factor) = Rope { theta: 500_000.0, scaling }.inverse_frequencies(32);
    let expected = [
        1.0,
        4.403_666_3e-1,
        1.939_227_6e-1,
        8.539_71e-2,
        3.760_603e-2,
        1.656_044e-2,
        7.292_665e-3,
        3.211_446e-3,
        5.248_46e-4,
        7.784_655_5e-5,
        3.428_102_4e-5,
        1.509_621_8e-5,
        6.647_869_7e-6,
        2.927_499_7e-6,
        1.289_173_2e-6,
        5.677_088e-7,
    ];
    assert_close(&found, &expected);
    assert_eq!(factor, 1.0);
}

#[test]
fn yarn_as_the_paper_suggests() {
    let (found, factor) = yarn(
        1e6,
        RopeScaling::Yarn {
            factor: 4.0,
            attention_factor: None,
            beta_fast: 32.0,
            beta_slow: 1.0,
            magnitudes: None,
            truncate: true,
            original_positions: 32_768,
        },
    );
    let expected = [
        1.0,
        4.216_965e-1,
        1.778_279_4e-1,
        7.498_941_6e-2,
        3.162_278e-2,
        1.333_521_5e-2,
        4.779_901_4e-3,
        1.659_961_7e-3,
        5.5e-4,
        1.686_785_8e-4,
        4.445_698_5e-5,
        1.874_735_6e-5,
        7.905_694e-6,
        3.333_803_5e-6,
        1.405_853_4e-6,
        5.928_434_3e-7,
    ];
    assert_close(&found, &expected);
    assert_eq!(factor, 1.138_629_4);
}

#[test]
fn yarn_with_everything_stated() {
    let (found, factor) = yarn(
        10_000.0,
        RopeScaling::Yarn {
            factor: 40.0,
            attention_factor: None,
            beta_fast: 16.0,
            beta_slow: 2.0,
            magnitudes: Some((0.7, 1.0)),
            truncate: false,
            original_positions: 4096,
        },
    );
    let expected = [
        1.0,
        5.623_413_3e-1,
        3.162_277_6e-1,
        1.778_279_4e-1,
        1e-1,
        5.623_413e-2,
        3.162_278e-2,
        1.509_612e-2,
        5.790_104_6e-3,
        1.738_218_7e-3,
        1.239_524_6e-4,
        4.445_698_5e-5,
        2.5e-5,
        1.405_853_25e-5,
        7.905_694_5e-6,
        4.445_698_3e-6,
    ];
    assert_close(&found, &expected);
    assert_eq!(factor, 0.919_156);
}

#[test]
fn a_stated_attention_factor_holds() {
    let (_, factor) = yarn(
        10_000.0,
        RopeScaling::Yarn {
            factor: 2.0,
            attention_factor: Some(1.5),
            beta_fast: 32.0,
            beta_slow: 1.0,
            magnitudes: None,
            truncate: true,
            original_positions: 64,
        },
    );
    assert_eq!(factor, 1.5);
}
