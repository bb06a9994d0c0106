//! Operations that the CPU computes by [kernels](crate::kernels) of our own,
//! plugged in where Burn has a place for such.
//!
//! They exist for Burn's flex backend only; the decoder calls them on no other.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

use crate::engine::forward::Step;
use crate::kernels::attention::{Attention, Query};
use crate::kernels::{Matrix, pointwise};

/// What flex computes for the decoder.
#[backend_extension(Flex)]
pub(crate) trait HostOps: Backend {
    /// `[rows, in] → [rows, out]`
    fn multiply(x: FloatTensor<Self>, weight: Arc<dyn Matrix>) -> FloatTensor<Self>;

    /// `[…, features] → […, features]`: see [`RmsNorm`](super::norm::RmsNorm).
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self>;

    /// `[rows, heads, head_dim]`, with cosines and sines
    /// `[rows, 1, head_dim / 2]`: see [`RotaryRows`](super::rotary::RotaryRows).
    fn rotate(x: FloatTensor<Self>, cosines: FloatTensor<Self>, sines: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `[rows, 2 · width] → [rows, width]`: see
    /// [`FeedForward`](super::feed_forward::FeedForward).
    fn gate(both: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Attention of one token for each of several sequences, over the cache
    /// where it lies: `[rows, heads, head_dim] → [rows, heads · head_dim]`.
    fn cached_attention(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        cached: FloatTensor<Self>,
        rows: Arc<[Query]>,
        window: Option<usize>,
    ) -> FloatTensor<Self>;
}

// === impl HostOps ===

impl HostOps for Flex {
    fn multiply(x: FlexTensor, weight: Arc<dyn Matrix>) -> FlexTensor {
        let x = x.to_contiguous();
        let rows = x.layout().shape()[0];
        let mut y = vec![0.0; rows * weight.outputs()];
        weight.multiply(rows, values(&x), &mut y);
        tensor(y, rows, weight.outputs())
    }

    fn rms_norm(x: FlexTensor, weight: FlexTensor, epsilon: f32) -> FlexTensor {
        let x = x.to_contiguous();
        let mut y = vec![0.0; values(&x).len()];
        pointwise::rms_norm(values(&x), values(&weight), epsilon, &mut y);
        FlexTensor::from_data(TensorData::new(y, x.layout().shape().clone()))
    }

    fn rotate(x: FlexTensor, cosines: FlexTensor, sines: FlexTensor) -> FlexTensor {
        let (x, cosines, sines) = (x.to_contiguous(), cosines.to_contiguous(), sines.to_contiguous());
        let half = cosines.layout().shape()[2];
        let mut y = values(&x).to_vec();
        let row = y.len() / x.layout().shape()[0];
        let angles = values(&cosines).chunks_exact(half).zip(values(&sines).chunks_exact(half));
        for (row, (cosines, sines)) in y.chunks_exact_mut(row).zip(angles) {
            pointwise::rotate(row, cosines, sines);
        }
        FlexTensor::from_data(TensorData::new(y, x.layout().shape().clone()))
    }

    fn gate(both: FlexTensor) -> FlexTensor {
        let both = both.to_contiguous();
        let shape = both.layout().shape();
        let (rows, width) = (shape[0], shape[1] / 2);
        let mut gated = Vec::with_capacity(rows * width);
        for row in values(&both).chunks_exact(2 * width) {
            let (gate, up) = row.split_at(width);
            let start = gated.len();
            gated.extend_from_slice(up);
            pointwise::silu_gate(gate, &mut gated[start..]);
        }
        tensor(gated, rows, width)
    }

    fn cached_attention(
        queries: FlexTensor,
        keys: FlexTensor,
        cached: FlexTensor,
        rows: Arc<[Query]>,
        window: Option<usize>,
    ) -> FlexTensor {
        let queries = queries.to_contiguous();
        let heads = queries.layout().shape()[1];
        let shape = keys.layout().shape();
        let (kv_heads, max, dim) = (shape[1], shape[2], shape[3]);
        #[expect(clippy::cast_precision_loss, reason = "a head has a few hundred values")]
        let scale = (dim as f32).sqrt().recip();
        let (keys, cached) = (values(&keys), values(&cached));
        let layer = Attention { keys, values: cached, kv_heads, group: heads / kv_heads, max, dim, window, scale };
        let mut context = vec![0.0; rows.len() * heads * dim];
        layer.attend(&rows, values(&queries), &mut context);
        tensor(context, rows.len(), heads * dim)
    }
}

/// See [`HostOps::multiply`].
pub(super) fn multiply(x: Tensor<2>, weight: Arc<dyn Matrix>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::multiply(x.into_dispatch(), weight))
}

/// See [`HostOps::rms_norm`].
pub(super) fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f32) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), weight.into_dispatch(), epsilon))
}

/// See [`HostOps::rotate`].
pub(super) fn rotate(x: Tensor<3>, cosines: Tensor<3>, sines: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::rotate(x.into_dispatch(), cosines.into_dispatch(), sines.into_dispatch()))
}

/// See [`HostOps::gate`].
pub(super) fn gate(both: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::gate(both.into_dispatch()))
}

/// See [`HostOps::cached_attention`].
pub(super) fn cached_attention(
    queries: Tensor<3>,
    (keys, values): (Tensor<4>, Tensor<4>),
    steps: &[Step],
    window: Option<usize>,
) -> Tensor<2> {
    let rows = steps.iter().map(|step| Query { slot: step.slot, length: step.position + 1 }).collect();
    let (queries, keys, values) = (queries.into_dispatch(), keys.into_dispatch(), values.into_dispatch());
    Tensor::from_dispatch(Dispatch::cached_attention(queries, keys, values, rows, window))
}

fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("contiguous, and in single precision on the CPU")
}

fn tensor(values: Vec<f32>, rows: usize, columns: usize) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, [rows, columns]))
}
