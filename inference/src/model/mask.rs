//! Which positions a token may look at.

use std::ops::Range;

use burn::tensor::{Bool, Device, Tensor, TensorData};

/// Whether the token at `query` must not look at `key`: it lies ahead, or
/// further back than the window reaches.
const fn hidden(query: usize, key: usize, window: Option<usize>) -> bool {
    key > query
        || match window {
            Some(window) => query - key >= window,
            None => false,
        }
}

/// The masks of one computation, one for each kind of window there is among
/// the layers.
#[derive(Debug)]
pub(crate) struct Masks(Vec<(Option<usize>, Tensor<4, Bool>)>);

impl Masks {
    /// For consecutive positions of one sequence, the rows of a group of
    /// queries that share a key head one after the other:
    /// `[1, 1, group · rows, length]`.
    pub(crate) fn run(
        windows: &[Option<usize>],
        group: usize,
        positions: Range<usize>,
        length: usize,
        device: &Device,
    ) -> Self {
        let shape = [1, 1, group * positions.len(), length];
        let queries = (0..group).flat_map(|_| positions.clone());
        Self::each(windows, shape, &queries, device)
    }

    /// For one position of each of several sequences: `[rows, 1, group, length]`.
    pub(crate) fn rows(
        windows: &[Option<usize>],
        group: usize,
        positions: &[usize],
        length: usize,
        device: &Device,
    ) -> Self {
        let queries = positions.iter().flat_map(|position| (0..group).map(|_| *position));
        Self::each(windows, [positions.len(), 1, group, length], &queries, device)
    }

    /// Masks of this shape, whose rows are the positions `queries`.
    fn each(
        windows: &[Option<usize>],
        shape: [usize; 4],
        queries: &(impl Iterator<Item = usize> + Clone),
        device: &Device,
    ) -> Self {
        let [.., length] = shape;
        let mut masks: Vec<(Option<usize>, Tensor<4, Bool>)> = Vec::new();
        for &window in windows {
            if masks.iter().all(|(known, _)| *known != window) {
                let mut mask = Vec::with_capacity(shape.iter().product());
                for query in queries.clone() {
                    mask.extend((0..length).map(|key| hidden(query, key, window)));
                }
                masks.push((window, Tensor::from_data(TensorData::new(mask, shape), device)));
            }
        }
        Self(masks)
    }

    /// The mask of a layer with this window.
    pub(crate) fn of(&self, window: Option<usize>) -> Tensor<4, Bool> {
        let mask = self.0.iter().find(|(known, _)| *known == window);
        mask.expect("masks are made for the windows of all layers").1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::hidden;

    #[test]
    fn a_token_sees_itself_and_what_came_before() {
        let seen = |window| (0..6).filter(|key| !hidden(3, *key, window)).collect::<Vec<_>>();
        assert_eq!(seen(None), [0, 1, 2, 3]);
        assert_eq!(seen(Some(2)), [2, 3], "a window counts the token itself");
        assert_eq!(seen(Some(100)), [0, 1, 2, 3]);
    }
}
