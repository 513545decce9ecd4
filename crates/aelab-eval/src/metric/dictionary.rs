//! How much of a known dictionary a learned one holds.

/// For each of `atoms` the largest cosine with one of `others`, both rows of `size` values. The sign counts: an atom with the
/// opposite sign is another one. A row of zeros is at cosine 0 to everything.
///
/// # Panics
/// When the slices are not whole rows, or there are no others.
pub fn max_cosines(atoms: &[f32], others: &[f32], size: usize) -> Vec<f64> {
    assert!(
        size > 0 && !others.is_empty() && atoms.len().is_multiple_of(size) && others.len().is_multiple_of(size),
        "dictionaries are whole rows"
    );
    let (atoms, others) = (unit_rows(atoms, size), unit_rows(others, size));
    let cosine = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let largest = |atom: &[f64]| others.chunks_exact(size).map(|other| cosine(atom, other)).fold(f64::NEG_INFINITY, f64::max);
    atoms.chunks_exact(size).map(largest).collect()
}

/// Mean of [`max_cosines`]: the mean max cosine similarity of Sharkey, Braun & Millidge 2022, 1 where each of `atoms` is among
/// `others`. Not symmetric.
pub fn mean_max_cosine(atoms: &[f32], others: &[f32], size: usize) -> f64 {
    let cosines = max_cosines(atoms, others, size);
    cosines.iter().sum::<f64>() / cosines.len() as f64
}

fn unit_rows(rows: &[f32], size: usize) -> Vec<f64> {
    let mut unit: Vec<f64> = rows.iter().map(|&value| f64::from(value)).collect();
    for row in unit.chunks_exact_mut(size) {
        // By the largest value first, so that no square overflows or vanishes.
        let largest = row.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        if largest > 0.0 {
            row.iter_mut().for_each(|value| *value /= largest);
            let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            row.iter_mut().for_each(|value| *value /= norm);
        }
    }
    unit
}
