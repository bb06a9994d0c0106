//! What computes.

/// What kind of hardware an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// What does not say what it is.
    Other,
}

impl AdapterKind {
    /// One word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        "other"
    }
}

/// An adapter that WGPU finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Its own name: `NVIDIA H200`.
    pub name: String,
    /// What kind of hardware it is.
    pub kind: AdapterKind,
    /// Through what it is reached: `vulkan`, `metal`, `dx12`, `gl`.
    pub backend: String,
}

/// Every adapter there is, software ones too.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    Vec::new()
}
