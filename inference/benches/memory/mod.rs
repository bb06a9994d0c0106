//! What bounds a product by a matrix: memory, which is only read.

use std::hint::black_box;

use memmap2::MmapMut;

/// As many bytes in large pages, as weights lie in them.
pub(crate) fn large_pages(bytes: usize) -> MmapMut {
    let mut memory = MmapMut::map_anon(bytes).expect("memory");
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    memory.fill(1);
    memory
}

/// Reads every byte, and does next to nothing with it.
pub(crate) fn read(memory: &[u64]) {
    let mut sums = [0_u64; 32];
    for part in memory.as_chunks::<32>().0 {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum ^= value;
        }
    }
    black_box(sums);
}
