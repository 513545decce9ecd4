//! Whether samples are nearer to the training examples than new data is.
//!
//! Meehan, Chaudhuri & Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models", section 3.
//! <https://arxiv.org/abs/2004.05675>

/// Probability that a sample is nearer to its nearest training example than a test example is to its own, ties half: the
/// Mann-Whitney statistic over the number of pairs. 0.5 for samples like test data, 1 for copies. `None` where a side is empty.
pub fn copying_probability(sample_distances: &[f64], test_distances: &[f64]) -> Option<f64> {
    let num_pairs = sample_distances.len() as f64 * test_distances.len() as f64;
    let mut sorted = test_distances.to_vec();
    sorted.sort_by(f64::total_cmp);
    let wins: f64 = sample_distances
        .iter()
        .map(|&distance| {
            let not_above = sorted.partition_point(|&other| other <= distance);
            let below = sorted.partition_point(|&other| other < distance);
            (sorted.len() - not_above) as f64 + 0.5 * (not_above - below) as f64
        })
        .sum();
    (num_pairs > 0.0).then(|| wins / num_pairs)
}

/// The same as a standard score, `Z_U` of the paper (without its cells): negative where data is copied, positive where samples stay
/// further away than test data; a standard normal variable for samples like test data. No correction for ties. `None` where a side
/// is empty.
pub fn copying_score(sample_distances: &[f64], test_distances: &[f64]) -> Option<f64> {
    let (num_samples, num_test) = (sample_distances.len() as f64, test_distances.len() as f64);
    let probability = copying_probability(sample_distances, test_distances)?;
    let deviation = ((num_samples + num_test + 1.0) / (12.0 * num_samples * num_test)).sqrt();
    Some((0.5 - probability) / deviation)
}

/// The smallest distance that at least the share `quantile` of the test examples does not exceed. `None` without any.
pub fn copying_threshold(test_distances: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted = test_distances.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = ((quantile * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(rank - 1).copied()
}

/// Percent of samples nearer to the training examples than the share `quantile` of the nearest test examples, those at the very
/// [threshold](copying_threshold) half: about 100 `quantile` for samples like test data, where no two distances are equal. `None` where
/// a side is empty.
pub fn copied_share(sample_distances: &[f64], test_distances: &[f64], quantile: f64) -> Option<f64> {
    let threshold = copying_threshold(test_distances, quantile)?;
    let weight = |distance: f64| if distance < threshold { 1.0 } else { f64::from(u8::from(distance == threshold)) / 2.0 };
    let nearer: f64 = sample_distances.iter().map(|&distance| weight(distance)).sum();
    (!sample_distances.is_empty()).then(|| 100.0 * nearer / sample_distances.len() as f64)
}
