use super::*;

/// Keeps what an arithmetic makes of one tile.
struct Both<'a, const R: usize> {
    eight: &'a [[i8; 32]; VECTORS],
    four: &'a [[u8; 32]; VECTORS / 2],
    x: [&'a Block; R],
    result: &'a mut [[[i32; COLUMNS]; R]; 2],
}

impl<const R: usize> Operation for Both<'_, R> {
    #[inline(always)]
    fn run<A: Arithmetic>(self, arithmetic: A) {
        *self.result = [arithmetic.eight(self.eight, self.x), arithmetic.four(self.four, self.x)];
    }
}

fn compare(weight: impl Fn(usize) -> i8, byte: impl Fn(usize) -> u8, activation: impl Fn(usize) -> i8) {
    let eight = std::array::from_fn(|j| std::array::from_fn(|i| weight(j * 32 + i)));
    let four = std::array::from_fn(|j| std::array::from_fn(|i| byte(j * 32 + i)));
    let blocks: [Block; 3] = std::array::from_fn(|r| Block {
        values: std::array::from_fn(|j| std::array::from_fn(|i| activation(r * 32 + j * 4 + i))),
        scale: 1.0,
        sum: 0,
    });
    let (mut best, mut portable) = ([[[0; COLUMNS]; 3]; 2], [[[1; COLUMNS]; 3]; 2]);
    let x = blocks.each_ref();
    dispatch(Both { eight: &eight, four: &four, x, result: &mut best });
    Both { eight: &eight, four: &four, x, result: &mut portable }.run(portable::Portable);
    assert_eq!(best, portable);
}

#[test]
fn vectors_and_the_portable_path_agree() {
    compare(
        |i| ((i * 37) % 255) as i8 ^ if i % 2 == 0 { 0 } else { 1 },
        |i| (i * 91) as u8,
        |i| ((i * 53 + 11) % 255).wrapping_sub(127) as i8,
    );
}

#[test]
fn nothing_overflows_at_the_extremes() {
    for weight in [127, -127] {
        for activation in [127, -127] {
            compare(|_| weight, |_| 255, |_| activation);
        }
    }
}
