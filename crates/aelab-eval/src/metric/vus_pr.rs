//! VUS-PR: the volume under the surface of precision and recall over thresholds and tolerances around anomalous stretches of a series.
//! No point of a stretch is found because another one was.
//!
//! Paparrizos, Boniol, Palpanas, Tsay, Elmore & Franklin 2022, "Volume under the surface: a new accuracy evaluation measure for
//! time-series anomaly detection", <https://doi.org/10.14778/3551793.3551830>, Sec. 4; details as in the authors' `RangeAUC_volume`.

/// Thresholds of a curve, as the authors' code has them: scores at evenly spaced ranks.
const NUM_THRESHOLDS: usize = 250;

/// The mean over tolerances `0..=max_buffer` of the area under precision against range-recall. Labels around a stretch fall off as
/// `sqrt(1 - distance / tolerance)`: up to half a tolerance before it and one step less after it, as the authors have it. Recall is weighted by the share of stretches of which something is
/// found. `None` where no point or every point is anomalous, or a score is not a number.
///
/// # Panics
/// When there is not one score per label.
pub fn vus_pr(is_anomalous: &[bool], scores: &[f64], max_buffer: usize) -> Option<f64> {
    assert_eq!(is_anomalous.len(), scores.len(), "each point has a label and a score");
    let num_anomalous = is_anomalous.iter().filter(|label| **label).count();
    if num_anomalous == 0 || num_anomalous == scores.len() || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut falling = scores.to_vec();
    falling.sort_unstable_by(|a, b| b.total_cmp(a));
    // `np.linspace(0, n - 1, 250).astype(int)`.
    let last = scores.len() - 1;
    let step = last as f64 / (NUM_THRESHOLDS - 1) as f64;
    let rank = |index: usize| if index + 1 == NUM_THRESHOLDS { last } else { (index as f64 * step) as usize };
    // Equal thresholds add nothing, neither to recall nor to the area.
    let mut thresholds: Vec<f64> = (0..NUM_THRESHOLDS).map(|index| falling[rank(index)]).collect();
    thresholds.dedup();
    let areas = (0..=max_buffer).map(|buffer| area(is_anomalous, scores, &thresholds, buffer));
    Some(areas.sum::<f64>() / (max_buffer + 1) as f64)
}

/// Area under precision against recall with one tolerance.
fn area(is_anomalous: &[bool], scores: &[f64], thresholds: &[f64], buffer: usize) -> f64 {
    let labels = soft_labels(is_anomalous, buffer);
    let stretches = stretches(labels.iter().map(|label| *label > 0.0));
    let num_anomalous = is_anomalous.iter().filter(|label| **label).count() as f64;
    let (mut sum, mut recall_before) = (0.0, 0.0);
    for threshold in thresholds {
        let called = |index: usize| scores[index] >= *threshold;
        let (mut num_called, mut found, mut weight) = (0.0, 0.0, 0.0);
        for (index, &label) in labels.iter().enumerate() {
            if called(index) {
                num_called += 1.0;
                found += label;
            }
            weight += if label == 1.0 {
                1.0
            } else if called(index) {
                label
            } else {
                0.0
            };
        }
        let num_found = stretches.iter().filter(|&&(start, end)| (start..end).any(called)).count();
        let existence = num_found as f64 / stretches.len() as f64;
        let recall = (2.0 * found / (num_anomalous + weight)).min(1.0) * existence;
        sum += (recall - recall_before) * found / num_called;
        recall_before = recall;
    }
    sum
}

/// 1 on a stretch, and what falls off around it: `extend_postive_range` of the authors (VUS, and TSB-AD after it), whose range after a
/// stretch starts at its last point and is a step shorter than that before it.
fn soft_labels(is_anomalous: &[bool], buffer: usize) -> Vec<f64> {
    let mut labels: Vec<f64> = is_anomalous.iter().map(|&label| f64::from(u8::from(label))).collect();
    let half = buffer / 2;
    for (start, end) in stretches(is_anomalous.iter().copied()) {
        let last = end - 1;
        let fall = |distance: usize| (1.0 - distance as f64 / buffer as f64).sqrt();
        let stop = (last + half).clamp(end, labels.len());
        labels[end..stop].iter_mut().enumerate().for_each(|(after, label)| *label += fall(end + after - last));
        let first = start.saturating_sub(half);
        labels[first..start].iter_mut().enumerate().for_each(|(before, label)| *label += fall(start - first - before));
    }
    labels.iter().map(|label| label.min(1.0)).collect()
}

/// Where each run of `true` starts and where it has ended.
fn stretches(labels: impl Iterator<Item = bool>) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (index, _) in labels.enumerate().filter(|(_, label)| *label) {
        match found.last_mut() {
            Some((_, end)) if *end == index => *end += 1,
            _ => found.push((index, index + 1)),
        }
    }
    found
}
