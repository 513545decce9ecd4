//! t-SNE: a map in two dimensions that keeps neighbours together, for the eye.
//!
//! van der Maaten & Hinton 2008, "Visualizing data using t-SNE"; the forces approximated by trees (van der Maaten 2014).

use aelab_core::{DataSpec, Domain, Examples, Stream};
use bhtsne::{Neighbor, tSNE};
use rand::RngExt;

use crate::{EvaluationError, Pca, nearest_neighbours};

/// How far a cell of the tree may be seen as one point; the usual value.
const THETA: f64 = 0.5;
const NUM_STEPS: usize = 1000;
/// Spread of the map at the start (Kobak & Berens 2019).
const INITIAL_SPREAD: f64 = 1e-4;

/// Where the points are in the plane.
#[derive(Debug, PartialEq)]
pub(crate) struct Map {
    pub(crate) points: Vec<[f32; 2]>,
    /// The perplexity that it was made with: a smaller one than asked for where there are few points.
    pub(crate) perplexity: f64,
}

/// A map of `points`, rows of `size` values. `None` where there is nothing to map: fewer than four points, or all at one place.
///
/// It starts at the first two principal components, with exact neighbours, and is computed by one thread: the sums of several come
/// in any order. So the same points give the same map, to the bit. `stream` is drawn from where the points lie on a line.
pub(crate) fn t_sne(points: &[f32], size: usize, perplexity: f64, stream: &mut Stream) -> Result<Option<Map>, EvaluationError> {
    let num = points.len() / size.max(1);
    // Three times the perplexity is how many neighbours there have to be.
    let perplexity = perplexity.min(((num.saturating_sub(1)) / 3) as f64);
    if perplexity < 1.0 {
        return Ok(None);
    }
    let Some(start) = initial_map(points, size, stream)? else { return Ok(None) };
    let num_neighbours = ((3.0 * perplexity) as usize).min(num - 1);
    let neighbours: Vec<Vec<Neighbor<f64>>> = nearest_neighbours(points, points, size, num_neighbours, true)
        .into_iter()
        .map(|near| near.into_iter().map(|neighbour| Neighbor { index: neighbour.index, distance: neighbour.distance }).collect())
        .collect();
    let embed = || {
        let indices: Vec<usize> = (0..num).collect();
        let mut map = tSNE::<f64, usize, 2>::new(&indices);
        map.perplexity(perplexity).epochs(NUM_STEPS).initial_embedding(start).barnes_hut_with_neighbors(THETA, &neighbours);
        map.embedding()
    };
    let Ok(one_thread) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return Ok(None) };
    let map = one_thread.install(embed);
    match map.iter().find(|value| !value.is_finite()) {
        Some(&value) => Err(EvaluationError::NonFinite { metric: "t-SNE".to_owned(), value }),
        None => {
            let points = map.as_chunks::<2>().0.iter().map(|point| point.map(|value| value as f32)).collect();
            Ok(Some(Map { points, perplexity }))
        }
    }
}

/// Points in memory, for a PCA of them.
struct Points<'a> {
    spec: DataSpec,
    values: &'a [f32],
}

impl Examples for Points<'_> {
    fn spec(&self) -> &DataSpec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.values.len() / self.spec.num_features().max(1)
    }

    fn gather(&self, indices: &[usize], _stream: &mut Stream, out: &mut Vec<f32>) {
        let size = self.spec.num_features();
        for &index in indices {
            out.extend_from_slice(&self.values[index * size..][..size]);
        }
    }

    fn labels(&self) -> Option<&[u32]> {
        None
    }
}

/// The first two principal components, shrunk; `None` where all points are the same.
fn initial_map(points: &[f32], size: usize, stream: &mut Stream) -> Result<Option<Vec<f64>>, EvaluationError> {
    let examples = Points { spec: DataSpec::new([size], Domain::Real), values: points };
    let pca = Pca::fit(&examples, stream)?;
    let variance = |component: usize| pca.eigenvalues().get(component).copied().unwrap_or(0.0);
    if variance(0) <= 0.0 {
        return Ok(None);
    }
    let scale = INITIAL_SPREAD / variance(0).sqrt();
    let mut map = Vec::with_capacity(2 * examples.len());
    if variance(1) > 1e-12 * variance(0) {
        map.extend(pca.encode(points, 2).into_iter().map(|value| value * scale));
    } else {
        // Points on a line stay on it, as all forces lie in it: they have to leave it a little.
        for value in pca.encode(points, 1) {
            map.extend([value * scale, INITIAL_SPREAD * (stream.random::<f64>() - 0.5)]);
        }
    }
    Ok(Some(map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aelab_core::{Purpose, stream};

    /// Three heaps far from each other in five dimensions.
    fn heaps() -> Vec<f32> {
        let mut draws = stream(1, Purpose::Evaluation, 0, 0);
        (0..90)
            .flat_map(|index| (0..5).map(move |dimension| (index, dimension)))
            .map(|(index, dimension)| {
                let offset = if index % 3 == dimension { 20.0 } else { 0.0 };
                offset + draws.random::<f32>()
            })
            .collect()
    }

    fn map(points: &[f32], size: usize, perplexity: f64) -> Option<Map> {
        t_sne(points, size, perplexity, &mut stream(1, Purpose::Evaluation, 1, 0)).unwrap()
    }

    #[test]
    fn heaps_stay_apart_and_together() {
        let map = map(&heaps(), 5, 10.0).unwrap();
        let flat: Vec<f32> = map.points.into_iter().flatten().collect();
        for (index, near) in nearest_neighbours(&flat, &flat, 2, 10, true).iter().enumerate() {
            assert!(near.iter().all(|neighbour| neighbour.index % 3 == index % 3), "{index}");
        }
    }

    #[test]
    fn maps_are_the_same_to_the_bit_whatever_the_number_of_threads() {
        let points = heaps();
        let with_threads = |num: usize| rayon::ThreadPoolBuilder::new().num_threads(num).build().unwrap().install(|| map(&points, 5, 10.0));
        let first = with_threads(1).unwrap();
        for num in [1, 2, 4, 7] {
            assert_eq!(with_threads(num).unwrap(), first);
        }
    }

    #[test]
    fn few_points_duplicates_and_lines_are_mapped_as_far_as_they_can_be() {
        assert_eq!(map(&[1.0, 2.0, 3.0], 1, 30.0), None);
        assert_eq!(map(&[2.0; 40], 2, 5.0), None);
        let line: Vec<f32> = (0..40).map(|index| index as f32).collect();
        let map_of_line = map(&line, 1, 30.0).unwrap();
        assert_eq!(map_of_line.perplexity, 13.0);
        assert!(map_of_line.points.iter().any(|point| point[1].abs() > 0.1));
        let pairs: Vec<f32> = (0..40).flat_map(|index| [(index / 4) as f32, ((index / 4) % 3) as f32]).collect();
        assert_eq!(map(&pairs, 2, 2.0).unwrap().points.len(), 40);
    }
}
