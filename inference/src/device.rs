//! Where a model runs. Besides this file and its folder, only the operations of
//! the [CPU](crate::model) name a backend of Burn's.

#[cfg(feature = "gpu")]
mod wgpu;

use burn::tensor::Device;

use crate::settings::DeviceChoice;

/// What kind of hardware an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// A card with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU handed to a virtual machine.
    Virtual,
    /// A program that computes on the processor what a GPU would.
    Software,
    /// What does not say what it is.
    Other,
}

impl AdapterKind {
    /// One word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Other => "other",
        }
    }
}

/// Something that WGPU can compute on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Its own name: `NVIDIA H200`.
    pub name: String,
    /// What kind of hardware it is.
    pub kind: AdapterKind,
    /// The graphics interface it is reached through: `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// Its place among those of the same kind and interface.
    index: usize,
    /// The most bytes of one buffer that a kernel may see.
    largest_buffer: u64,
}

/// Why there is no device to run on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// A GPU is asked for, and there is none.
    #[error("no GPU was found; adapters: {}", list(.0))]
    NoGpu(Vec<Adapter>),
    /// No adapter has this name.
    #[error("no adapter's name contains {wanted:?}; adapters: {}", list(.found))]
    NoSuchAdapter {
        /// What it should contain.
        wanted: String,
        /// What there is.
        found: Vec<Adapter>,
    },
    /// Built without what is asked for.
    #[error("this build has no support for {0}")]
    NotBuilt(&'static str),
    /// The adapter is there and does not work.
    #[error("the adapter {name:?} cannot be used: {reason}")]
    Unusable {
        /// Which.
        name: String,
        /// What its driver said.
        reason: String,
    },
}

/// A device to run on.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    pub(crate) device: Device,
    /// Its own name.
    pub(crate) name: String,
    /// What computes there.
    pub(crate) backend: String,
    /// Whether it is the processor itself, not an adapter.
    pub(crate) host: bool,
    /// Whether half precision is worth having: a real GPU that computes in it.
    pub(crate) half: bool,
    /// Whether its memory is the processor's.
    pub(crate) shares_memory: bool,
    /// The most bytes that it takes in one piece, where there is a limit.
    pub(crate) largest_buffer: Option<u64>,
}

/// The adapters of this machine; none where the build has no GPU support.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    #[cfg(feature = "gpu")]
    return wgpu::adapters();
    #[cfg(not(feature = "gpu"))]
    return Vec::new();
}

/// Finds what is asked for.
///
/// # Errors
///
/// If there is no such device, or it cannot be used.
pub(crate) fn choose(choice: &DeviceChoice) -> Result<Placement, DeviceError> {
    match choice {
        DeviceChoice::Cpu => host(),
        DeviceChoice::Auto => match best(adapters()) {
            Some(adapter) => open(&adapter).or_else(|error| {
                tracing::warn!(%error, "falling back to the CPU");
                host()
            }),
            None => host(),
        },
        DeviceChoice::Gpu => {
            let found = adapters();
            best(found.clone()).ok_or(DeviceError::NoGpu(found)).and_then(|adapter| open(&adapter))
        }
        DeviceChoice::Adapter(name) => {
            let found = adapters();
            let wanted = name.to_lowercase();
            found
                .iter()
                .find(|adapter| adapter.name.to_lowercase().contains(&wanted))
                .cloned()
                .ok_or_else(|| DeviceError::NoSuchAdapter { wanted: name.clone(), found })
                .and_then(|adapter| open(&adapter))
        }
    }
}

/// The adapter to take where none is named: a card before what shares the
/// processor's memory before what is virtual, and never software.
fn best(adapters: Vec<Adapter>) -> Option<Adapter> {
    let rank = |adapter: &Adapter| match adapter.kind {
        AdapterKind::Discrete => Some(0),
        AdapterKind::Integrated => Some(1),
        AdapterKind::Virtual => Some(2),
        AdapterKind::Software | AdapterKind::Other => None,
    };
    adapters.into_iter().filter(|adapter| rank(adapter).is_some()).min_by_key(rank)
}

#[cfg(feature = "cpu")]
#[expect(clippy::unnecessary_wraps, reason = "builds without it have none")]
pub(crate) fn host() -> Result<Placement, DeviceError> {
    Ok(Placement {
        device: Device::flex(),
        name: processor(),
        backend: "flex".to_owned(),
        host: true,
        half: false,
        shares_memory: true,
        largest_buffer: None,
    })
}

#[cfg(not(feature = "cpu"))]
pub(crate) fn host() -> Result<Placement, DeviceError> {
    Err(DeviceError::NotBuilt("the CPU"))
}

/// The processor's own name, where the system tells it.
#[cfg(feature = "cpu")]
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or_else(|| format!("CPU ({})", std::env::consts::ARCH), |(_, name)| name.trim().to_owned())
}

#[cfg(not(feature = "gpu"))]
fn open(_adapter: &Adapter) -> Result<Placement, DeviceError> {
    Err(DeviceError::NotBuilt("GPUs"))
}

#[cfg(feature = "gpu")]
use wgpu::open;

fn list(adapters: &[Adapter]) -> String {
    if adapters.is_empty() {
        return "none".to_owned();
    }
    let named = |adapter: &Adapter| format!("{} ({}, {})", adapter.name, adapter.kind.as_str(), adapter.backend);
    adapters.iter().map(named).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Adapter, AdapterKind, best};

    fn adapter(name: &str, kind: AdapterKind) -> Adapter {
        Adapter { name: name.to_owned(), kind, backend: "vulkan".to_owned(), index: 0, largest_buffer: 0 }
    }

    #[test]
    fn a_software_adapter_is_never_taken_by_itself() {
        let found = vec![adapter("llvmpipe", AdapterKind::Software), adapter("odd", AdapterKind::Other)];
        assert_eq!(best(found), None);
    }

    #[test]
    fn a_card_comes_before_what_shares_memory() {
        let found = vec![
            adapter("llvmpipe", AdapterKind::Software),
            adapter("UHD", AdapterKind::Integrated),
            adapter("H200", AdapterKind::Discrete),
        ];
        assert_eq!(best(found).map(|found| found.name).as_deref(), Some("H200"));
    }
}
