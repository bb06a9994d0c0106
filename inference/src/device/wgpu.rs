//! Adapters that WGPU reaches, and Burn's devices on them.

use std::sync::{Mutex, PoisonError};

use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{DType, Device, DeviceKind};

use super::{Adapter, AdapterKind, DeviceError, Placement};

/// What WGPU reaches here: OpenGL is left out, which shows each adapter a
/// second time and computes worse.
const BACKENDS: [(wgpu::Backend, WgpuBackend, &str); 3] = [
    (wgpu::Backend::Vulkan, WgpuBackend::Vulkan, "vulkan"),
    (wgpu::Backend::Metal, WgpuBackend::Metal, "metal"),
    (wgpu::Backend::Dx12, WgpuBackend::Dx12, "dx12"),
];

/// Programs that play a GPU, whatever they say they are.
const SOFTWARE: [&str; 4] = ["llvmpipe", "lavapipe", "swiftshader", "basic render"];

/// What is open already: two models on one adapter share it. Held while
/// instances come and go, too, which not every Vulkan loader survives on
/// several threads at once.
static OPENED: Mutex<Vec<(Adapter, Device)>> = Mutex::new(Vec::new());

pub(super) fn adapters() -> Vec<Adapter> {
    let _alone = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found: Vec<Adapter> = Vec::new();
    for (backend, _, name) in BACKENDS {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: backend.into(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        for adapter in pollster::block_on(instance.enumerate_adapters(backend.into())) {
            let info = adapter.get_info();
            let kind = match info.device_type {
                _ if SOFTWARE.iter().any(|name| info.name.to_lowercase().contains(name)) => AdapterKind::Software,
                wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
                wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
                wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
                wgpu::DeviceType::Cpu => AdapterKind::Software,
                wgpu::DeviceType::Other => AdapterKind::Other,
            };
            let index = found.iter().filter(|other| other.kind == kind && other.backend == name).count();
            let limits = adapter.limits();
            let largest_buffer = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
            found.push(Adapter { name: info.name, kind, backend: name.to_owned(), index, largest_buffer });
        }
    }
    found
}

pub(super) fn open(adapter: &Adapter) -> Result<Placement, DeviceError> {
    let unusable = |reason: String| DeviceError::Unusable { name: adapter.name.clone(), reason };
    let kind = match adapter.kind {
        AdapterKind::Discrete => DeviceKind::DiscreteGpu(adapter.index),
        AdapterKind::Integrated => DeviceKind::IntegratedGpu(adapter.index),
        AdapterKind::Virtual => DeviceKind::VirtualGpu(adapter.index),
        AdapterKind::Software => DeviceKind::Cpu,
        AdapterKind::Other => return Err(unusable("it does not say what it is".to_owned())),
    };
    let (_, api, _) = BACKENDS
        .into_iter()
        .find(|(_, _, name)| *name == adapter.backend)
        .ok_or_else(|| unusable("its interface is not supported".to_owned()))?;
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let device = match opened.iter().find(|(known, _)| known == adapter) {
        Some((_, device)) => device.clone(),
        None => {
            let options = Device::wgpu_options().device_kind(kind).graphics_api(api);
            let device = options.init().map_err(|error| unusable(error.to_string()))?;
            opened.push((adapter.clone(), device.clone()));
            device
        }
    };
    let supports_half = device.supports_dtype(DType::F16);
    Ok(Placement {
        device,
        name: adapter.name.clone(),
        backend: format!("wgpu ({})", adapter.backend),
        host: false,
        half: adapter.kind != AdapterKind::Software && supports_half,
        shares_memory: matches!(adapter.kind, AdapterKind::Integrated | AdapterKind::Software),
        largest_buffer: Some(adapter.largest_buffer),
    })
}
