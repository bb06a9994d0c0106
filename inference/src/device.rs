//! What computes.

/// An adapter that WGPU finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Its own name: `NVIDIA H200`.
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: String,
    /// Through what it is reached: `vulkan`, `metal`, `dx12`, `gl`.
    pub backend: String,
}

/// Every adapter there is, software ones too.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    Vec::new()
}
