//! Decision trees for classes, single and bagged, and how much each dimension contributes to them.
//!
//! Breiman, Friedman, Olshen & Stone 1984, "Classification and Regression Trees"; Breiman 1996, "Bagging Predictors".
//! <https://doi.org/10.1007/BF00058655>

use aelab_core::{Stream, draw_positions};
use rayon::prelude::*;

use super::factor_codes::draw_one;

/// What stands at a place of a tree.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// Share of each class among the training examples that arrive here.
    Leaf { shares: Vec<f64> },
    /// Values up to `threshold` go to the node at `below`, the others to the one at `above`.
    Split { latent: usize, threshold: f64, below: usize, above: usize },
}

/// A classification tree with binary splits that lower the Gini impurity the most.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionTree {
    nodes: Vec<Node>,
    importances: Vec<f64>,
}

/// A split of the examples of a node: of `samples` sorted by `latent`, the first `num_below`.
struct Candidate {
    latent: usize,
    threshold: f64,
    /// Sum over both sides of the sum of squared class counts over their number: higher is purer.
    purity: f64,
}

impl DecisionTree {
    /// Fits examples `samples` (positions, repeated ones count as often) of `latents` `[latent][example]` and `classes` below
    /// `num_classes`. Nodes that are pure, `max_depth` splits deep or alike in all dimensions are leaves. Thresholds lie midway
    /// between neighbouring values. Of equally good splits the first wins: in the order of dimensions that `order` gives for each
    /// node, then from small values to large ones.
    pub(crate) fn fit(
        latents: &[Vec<f32>],
        classes: &[u32],
        num_classes: usize,
        samples: Vec<u32>,
        max_depth: usize,
        mut order: impl FnMut() -> Vec<usize>,
    ) -> Self {
        let mut nodes = vec![Node::Leaf { shares: Vec::new() }];
        let mut importances = vec![0.0; latents.len()];
        let mut open = vec![(0, samples, 0)];
        while let Some((at, samples, depth)) = open.pop() {
            let mut counts = vec![0u64; num_classes];
            samples.iter().for_each(|&sample| counts[classes[sample as usize] as usize] += 1);
            let num = samples.len() as f64;
            let is_pure = counts.iter().filter(|count| **count > 0).count() < 2;
            let split = if is_pure || depth >= max_depth { None } else { best_split(latents, classes, &counts, &samples, &order()) };
            let Some(Candidate { latent, threshold, purity }) = split else {
                nodes[at] = Node::Leaf { shares: counts.iter().map(|&count| count as f64 / num.max(1.0)).collect() };
                continue;
            };
            // The fall of impurity times the number of examples: n (1 - sum p^2) is n less sum of squares over n.
            importances[latent] += purity - counts.iter().map(|count| count * count).sum::<u64>() as f64 / num;
            let (below, above): (Vec<u32>, Vec<u32>) =
                samples.into_iter().partition(|&sample| f64::from(latents[latent][sample as usize]) <= threshold);
            nodes[at] = Node::Split { latent, threshold, below: nodes.len(), above: nodes.len() + 1 };
            for part in [below, above] {
                open.push((nodes.len(), part, depth + 1));
                nodes.push(Node::Leaf { shares: Vec::new() });
            }
        }
        let sum: f64 = importances.iter().sum();
        if sum > 0.0 {
            importances.iter_mut().for_each(|importance| *importance /= sum);
        }
        Self { nodes, importances }
    }

    /// Fits all examples: `latents` `[latent][example]`, `classes` below `num_classes`; the first dimension wins ties.
    ///
    /// # Panics
    /// When a class is not below `num_classes`, or dimensions have not equally many examples as there are classes.
    pub fn of_all(latents: &[Vec<f32>], classes: &[u32], num_classes: usize, max_depth: usize) -> Self {
        assert!(latents.iter().all(|latent| latent.len() == classes.len()), "every dimension has all examples");
        let samples = (0..classes.len() as u32).collect();
        Self::fit(latents, classes, num_classes, samples, max_depth, || (0..latents.len()).collect())
    }

    /// Share of each dimension in the fall of the Gini impurity, `[latent]`; sums to 1, or is 0 where nothing was split.
    pub fn importances(&self) -> &[f64] {
        &self.importances
    }

    /// Shares of the classes in the leaf of a code.
    pub fn shares(&self, code: &[f32]) -> &[f64] {
        let mut at = 0;
        loop {
            match &self.nodes[at] {
                Node::Leaf { shares } => return shares,
                &Node::Split { latent, threshold, below, above } => at = if f64::from(code[latent]) <= threshold { below } else { above },
            }
        }
    }
}

fn best_split(latents: &[Vec<f32>], classes: &[u32], counts: &[u64], samples: &[u32], order: &[usize]) -> Option<Candidate> {
    let mut best: Option<Candidate> = None;
    let mut sorted: Vec<(f32, u32)> = Vec::with_capacity(samples.len());
    let (mut below, mut above) = (Vec::new(), Vec::new());
    for &latent in order {
        sorted.clear();
        sorted.extend(samples.iter().map(|&sample| (latents[latent][sample as usize], classes[sample as usize])));
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        below.clear();
        below.resize(counts.len(), 0u64);
        above.clear();
        above.extend_from_slice(counts);
        // Sums of squared counts are whole numbers: no rounding decides between splits.
        let (mut below_squares, mut above_squares) = (0u64, counts.iter().map(|count| count * count).sum::<u64>());
        for (moved, pair) in (1..).zip(sorted.windows(2)) {
            let class = pair[0].1 as usize;
            below_squares += 2 * below[class] + 1;
            above_squares -= 2 * above[class] - 1;
            below[class] += 1;
            above[class] -= 1;
            if pair[0].0 < pair[1].0 {
                let purity = below_squares as f64 / f64::from(moved) + above_squares as f64 / (samples.len() as f64 - f64::from(moved));
                if best.as_ref().is_none_or(|best| purity > best.purity) {
                    let threshold = f64::midpoint(f64::from(pair[0].0), f64::from(pair[1].0));
                    best = Some(Candidate { latent, threshold, purity });
                }
            }
        }
    }
    best
}

/// Trees of bootstrap samples that vote.
#[derive(Debug, Clone, PartialEq)]
pub struct BaggedTrees {
    trees: Vec<DecisionTree>,
    num_classes: usize,
}

impl BaggedTrees {
    /// `num_trees` trees, each of as many examples as there are, drawn with replacement. Every split may use every dimension; of
    /// dimensions that split equally well one is drawn, so that copies of a dimension share its importance.
    pub fn fit(latents: &[Vec<f32>], classes: &[u32], num_classes: usize, num_trees: usize, max_depth: usize, stream: &Stream) -> Self {
        let trees = (0..num_trees as u64)
            .into_par_iter()
            .map(|tree| {
                // A stream of its own for each tree: the order in which threads finish does not matter.
                let mut stream = stream.clone();
                stream.set_stream(tree + 1);
                let samples = (0..classes.len()).map(|_| draw_one(&mut stream, classes.len()) as u32).collect();
                let mut orders = stream.clone();
                DecisionTree::fit(latents, classes, num_classes, samples, max_depth, || {
                    draw_positions(&mut orders, latents.len(), latents.len())
                })
            })
            .collect();
        Self { trees, num_classes }
    }

    /// Mean over the trees of their importances, `[latent]`; sums to 1, or is 0 where nothing was split.
    pub fn importances(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.trees.first().map_or(0, |tree| tree.importances.len())];
        for tree in &self.trees {
            sums.iter_mut().zip(&tree.importances).for_each(|(sum, importance)| *sum += importance);
        }
        let sum: f64 = sums.iter().sum();
        if sum > 0.0 {
            sums.iter_mut().for_each(|value| *value /= sum);
        }
        sums
    }

    /// The class with the largest mean share in the leaves of a code; the first of equals.
    pub fn predict(&self, code: &[f32]) -> u32 {
        let mut sums = vec![0.0; self.num_classes];
        for tree in &self.trees {
            sums.iter_mut().zip(tree.shares(code)).for_each(|(sum, share)| *sum += share);
        }
        (0..self.num_classes).rev().max_by(|&a, &b| sums[a].total_cmp(&sums[b])).unwrap_or(0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_splits_midway_where_classes_part_and_stops_where_they_are_pure() {
        let tree = DecisionTree::of_all(&[vec![5.0; 4], vec![0.0, 1.0, 3.0, 7.0]], &[0, 0, 1, 1], 2, 9);
        assert_eq!(tree.importances(), [0.0, 1.0]);
        assert_eq!(tree.nodes.len(), 3);
        assert_eq!((tree.shares(&[0.0, 2.0]), tree.shares(&[0.0, 2.1])), (&[1.0, 0.0][..], &[0.0, 1.0][..]));
    }

    #[test]
    fn what_cannot_be_told_apart_is_a_leaf_of_shares() {
        for tree in [
            DecisionTree::of_all(&[vec![1.0; 4]], &[0, 1, 1, 1], 2, 9),
            DecisionTree::of_all(&[vec![0.0, 1.0, 2.0, 3.0]], &[0, 1, 1, 1], 2, 0),
        ] {
            assert_eq!((tree.importances(), tree.shares(&[0.0])), (&[0.0][..], &[0.25, 0.75][..]));
        }
    }

    #[test]
    fn exclusive_or_needs_a_split_that_gains_nothing_at_first() {
        let tree = DecisionTree::of_all(&[vec![0.0, 0.0, 1.0, 1.0], vec![0.0, 1.0, 0.0, 1.0]], &[0, 1, 1, 0], 2, 9);
        assert_eq!([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]].map(|code| tree.shares(&code)[1]), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(tree.importances(), [0.0, 1.0]);
    }

    #[test]
    fn trees_of_a_stream_are_the_same_and_the_first_class_wins_ties() {
        let latents = [(0..40).map(|x| x as f32).collect::<Vec<_>>(), (0..40).map(|x| (x * 7 % 40) as f32).collect()];
        let classes: Vec<u32> = (0..40).map(|x| x / 10).collect();
        let stream = aelab_core::stream(1, aelab_core::Purpose::Evaluation, 14, 0);
        let bagged = BaggedTrees::fit(&latents, &classes, 4, 10, 5, &stream);
        assert_eq!(bagged, BaggedTrees::fit(&latents, &classes, 4, 10, 5, &stream));
        assert!(bagged.importances()[0] > 0.9 && bagged.predict(&[35.0, 0.0]) == 3);
        let untrained = BaggedTrees::fit(&[vec![1.0; 4]], &[0, 1, 0, 1], 2, 1, 5, &stream);
        assert_eq!(untrained.importances(), [0.0]);
        assert_eq!(BaggedTrees { trees: Vec::new(), num_classes: 3 }.predict(&[0.0]), 0);
    }
}
