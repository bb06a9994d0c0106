//! Asks memory for what will be needed soon.
//!
//! A processor that multiplies each weight several times looks only a few
//! weights ahead by itself, and waits at each one.

/// How far ahead: more than memory delivers while one line is on its way.
const BYTES: usize = 4096;

/// A cache line.
const LINE: usize = 64;

/// Asks for the value that lies [`BYTES`] after `value`, which may be nothing
/// at all: that is only a hint.
#[inline(always)]
pub(super) fn ahead_of<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    if let Some(sse) = pulp::core_arch::x86::Sse::try_new() {
        use std::arch::x86_64::_MM_HINT_T0;
        let start = std::ptr::from_ref(value).cast::<i8>();
        for line in (0..size_of::<T>()).step_by(LINE) {
            sse._mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(BYTES + line));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (value, BYTES, LINE);
}
