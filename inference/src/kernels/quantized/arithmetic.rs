//! Sums of products of whole numbers, on whatever vectors there are.
//!
//! Every path gives the same numbers: they are exact.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use pulp::NullaryFnOnce;

use super::activations::Block;
use super::tile::{COLUMNS, VECTORS};

/// How a processor multiplies one tile by the same block of several rows.
pub(crate) trait Arithmetic: Copy {
    /// Weights of eight bits, from -127 to 127.
    fn eight<const R: usize>(self, tile: &[[i8; 32]; VECTORS], x: [&Block; R]) -> [[i32; COLUMNS]; R];

    /// Weights of four bits, as they are kept: from 0 to 15.
    fn four<const R: usize>(self, tile: &[[u8; 32]; VECTORS / 2], x: [&Block; R]) -> [[i32; COLUMNS]; R];
}

/// What is computed with the arithmetic that the processor has. All of it is
/// inlined, so that it is compiled for that processor.
pub(super) trait Operation {
    /// Computes it.
    fn run<A: Arithmetic>(self, arithmetic: A);
}

/// An operation with the vectors that it runs on.
struct Run<A, O> {
    arithmetic: A,
    operation: O,
}

impl<A: Arithmetic, O: Operation> NullaryFnOnce for Run<A, O> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.operation.run(self.arithmetic);
    }
}

/// Runs `operation` with the best arithmetic there is.
pub(super) fn dispatch(operation: impl Operation) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(Run { arithmetic: simd, operation });
    }
    #[cfg(target_arch = "aarch64")]
    if let Some(simd) = pulp::aarch64::Neon::try_new() {
        return simd.vectorize(Run { arithmetic: simd, operation });
    }
    operation.run(portable::Portable);
}

#[cfg(test)]
mod tests;
