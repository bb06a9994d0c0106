//! Random numbers that a seed determines.
//!
//! Xoshiro256++ (Blackman and Vigna, 2019), seeded through SplitMix64 as its
//! authors advise. A generator of our own because its numbers are part of what
//! "same seed, same text" promises: no dependency's update may change them.

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: [u64; 4],
}

// === impl Random ===

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut walk = seed;
        Self { state: std::array::from_fn(|_| split_mix(&mut walk)) }
    }

    /// A number from 0 to below 1, with 53 random bits.
    pub(super) fn fraction(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next() >> 11) as f64 * STEP
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }
}

fn split_mix(walk: &mut u64) -> u64 {
    *walk = walk.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *walk;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_authors() {
        // The published generators, started from 0 and from 1, 2, 3, 4.
        let mut walk = 0;
        assert_eq!(split_mix(&mut walk), 0xE220_A839_7B1D_CDAF);
        assert_eq!(split_mix(&mut walk), 0x6E78_9E6A_A1B9_65F4);
        let mut random = Random { state: [1, 2, 3, 4] };
        let numbers: Vec<u64> = std::iter::repeat_with(|| random.next()).take(4).collect();
        assert_eq!(numbers, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn fractions_are_spread_evenly() {
        let mut random = Random::new(7);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            let fraction = random.fraction();
            assert!((0.0..1.0).contains(&fraction));
            counts[(fraction * 10.0) as usize] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 400), "{counts:?}");
    }
}
