//! Keys and values of what a layer has seen, in a fixed number of slots.
//!
//! The memory is taken once, for `slots × context_length` positions, so that
//! load cannot make it grow. Writing changes the buffer in place: a cache holds
//! the only reference to it.

use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor};

/// The cache of one layer.
#[derive(Debug)]
pub(crate) struct Cache {
    /// `[slots, kv_heads, context_length, head_dim]`
    keys: Buffer,
    /// As `keys`.
    values: Buffer,
}

/// A tensor that is taken out to be changed, and put back.
#[derive(Debug)]
struct Buffer(Option<Tensor<4>>);

// === impl Cache ===

impl Cache {
    pub(crate) fn new(shape: [usize; 4], device: &Device, dtype: DType) -> Self {
        let buffer = || Buffer(Some(Tensor::zeros(shape, (device, dtype))));
        Self { keys: buffer(), values: buffer() }
    }

    /// Writes consecutive positions of one slot: `[rows, kv_heads, head_dim]`.
    pub(crate) fn write_run(&mut self, slot: usize, start: usize, keys: Tensor<3>, values: Tensor<3>) {
        let write = |buffer: &mut Buffer, rows: Tensor<3>| {
            let [length, heads, head_dim] = rows.dims();
            let rows = rows.swap_dims(0, 1).unsqueeze();
            buffer.update(|all| all.slice_assign([slot..slot + 1, 0..heads, start..start + length, 0..head_dim], rows));
        };
        write(&mut self.keys, keys);
        write(&mut self.values, values);
    }

    /// Writes one position for each of several slots: `[rows, kv_heads, head_dim]`
    /// at the coordinates `[rows, kv_heads, 3]` (slot, head, position).
    pub(crate) fn scatter(&mut self, coordinates: &Tensor<3, Int>, keys: Tensor<3>, values: Tensor<3>) {
        let write = |buffer: &mut Buffer, rows: Tensor<3>| {
            buffer.update(|all| all.scatter_nd(coordinates.clone(), rows, IndexingUpdateOp::Assign));
        };
        write(&mut self.keys, keys);
        write(&mut self.values, values);
    }

    /// The first `length` positions of one slot: keys and values
    /// `[1, kv_heads, length, head_dim]`.
    pub(crate) fn slot(&self, slot: usize, length: usize) -> (Tensor<4>, Tensor<4>) {
        let read = |buffer: &Buffer| {
            let all = buffer.get();
            let [_, heads, _, head_dim] = all.dims();
            all.slice([slot..slot + 1, 0..heads, 0..length, 0..head_dim])
        };
        (read(&self.keys), read(&self.values))
    }

    /// The first `length` positions of several slots: keys and values
    /// `[rows, kv_heads, length, head_dim]`.
    pub(crate) fn select(&self, slots: &Tensor<1, Int>, length: usize) -> (Tensor<4>, Tensor<4>) {
        let read = |buffer: &Buffer| {
            let all = buffer.get();
            let [count, heads, _, head_dim] = all.dims();
            all.slice([0..count, 0..heads, 0..length, 0..head_dim]).select(0, slots.clone())
        };
        (read(&self.keys), read(&self.values))
    }

    /// Keys and values of all slots, whole.
    #[cfg(feature = "cpu")]
    pub(crate) fn whole(&self) -> (Tensor<4>, Tensor<4>) {
        (self.keys.get(), self.values.get())
    }
}

// === impl Buffer ===

impl Buffer {
    fn get(&self) -> Tensor<4> {
        self.0.clone().expect("only `update` takes it, and puts it back")
    }

    fn update(&mut self, change: impl FnOnce(Tensor<4>) -> Tensor<4>) {
        let buffer = self.0.take().expect("only `update` takes it, and puts it back");
        self.0 = Some(change(buffer));
    }
}
