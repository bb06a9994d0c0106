//! Which positions a token may look at.

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
    pub(crate) fn run(windows: &[Option<usize>], group: usize, start: usize, rows: usize, device: &Device) -> Self {
        let length = start + rows;
        Self::each(windows, [1, 1, group * rows, length], device, |window, mask| {
            for _ in 0..group {
                for query in start..length {
                    mask.extend((0..length).map(|key| hidden(query, key, window)));
                }
            }
        })
    }

    /// For one position of each of several sequences: `[rows, 1, group, length]`.
    pub(crate) fn rows(
        windows: &[Option<usize>],
        group: usize,
        positions: &[usize],
        length: usize,
        device: &Device,
    ) -> Self {
        Self::each(windows, [positions.len(), 1, group, length], device, |window, mask| {
            for &query in positions {
                for _ in 0..group {
                    mask.extend((0..length).map(|key| hidden(query, key, window)));
                }
            }
        })
    }

    fn each(
        windows: &[Option<usize>],
        shape: [usize; 4],
        device: &Device,
        fill: impl Fn(Option<usize>, &mut Vec<bool>),
    ) -> Self {
        let mut masks: Vec<(Option<usize>, Tensor<4, Bool>)> = Vec::new();
        for &window in windows {
            if masks.iter().all(|(known, _)| *known != window) {
                let mut mask = Vec::with_capacity(shape.iter().product());
                fill(window, &mut mask);
                masks.push((window, Tensor::from_data(TensorData::new(mask, shape), device)));
            }
        }
        Self(masks)
    }

    /// The mask of a layer with this window; `None` if it was not among those
    /// the masks were made for.
    pub(crate) fn of(&self, window: Option<usize>) -> Option<Tensor<4, Bool>> {
        self.0.iter().find(|(known, _)| *known == window).map(|(_, mask)| mask.clone())
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
