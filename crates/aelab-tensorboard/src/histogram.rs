//! A sample of values as TensorBoard's histogram message.

use tensorboard_proto::summary::HistogramProto;

/// The smallest positive bucket limit; what is nearer to zero shares the two buckets around it.
const SMALLEST_LIMIT: f64 = 1e-12;
/// Limits stop here; beyond lies one bucket to either side.
const LARGEST_LIMIT: f64 = 1e20;
/// Each limit is this many times the one before: relative resolution 10 %.
const GROWTH: f64 = 1.1;

/// TensorFlow's bucket limits: a geometric series, its mirror image, zero, and the largest double.
fn bucket_limits() -> Vec<f64> {
    let positive: Vec<f64> =
        std::iter::successors(Some(SMALLEST_LIMIT), |limit| Some(limit * GROWTH)).take_while(|limit| *limit < LARGEST_LIMIT).collect();
    let negative = positive.iter().rev().map(|limit| -limit);
    negative.chain([0.0]).chain(positive.iter().copied()).chain([f64::MAX]).collect()
}

/// The histogram of `values`. What is not finite has no place on the axis and is left out.
///
/// Bucket `i` counts the values in `[limit[i - 1], limit[i])`. Runs of empty buckets are merged, as TensorFlow
/// does, so that the message stays small.
pub(crate) fn histogram(values: &[f32]) -> HistogramProto {
    let limits = bucket_limits();
    let mut counts = vec![0.0; limits.len()];
    let (mut min, mut max, mut num, mut sum, mut sum_squares) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0, 0.0);
    for value in values.iter().map(|value| f64::from(*value)).filter(|value| value.is_finite()) {
        let bucket = limits.partition_point(|limit| *limit <= value).min(limits.len() - 1);
        counts[bucket] += 1.0;
        min = min.min(value);
        max = max.max(value);
        num += 1.0;
        sum += value;
        sum_squares += value * value;
    }
    if num == 0.0 {
        (min, max) = (0.0, 0.0);
    }
    let mut message = HistogramProto::new();
    message.set_min(min);
    message.set_max(max);
    message.set_num(num);
    message.set_sum(sum);
    message.set_sum_squares(sum_squares);
    let kept: Vec<usize> =
        (0..limits.len()).filter(|&bucket| counts[bucket] > 0.0 || counts.get(bucket + 1).is_none_or(|next| *next > 0.0)).collect();
    message.set_bucket_limit(kept.iter().map(|&bucket| limits[bucket]).collect());
    message.set_bucket(kept.iter().map(|&bucket| counts[bucket]).collect());
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_ascend_and_mirror_each_other() {
        let limits = bucket_limits();
        assert!(limits.windows(2).all(|pair| pair[0] < pair[1]));
        let inner = &limits[..limits.len() - 1];
        assert!(inner.iter().zip(inner.iter().rev()).all(|(low, high)| *low == -high));
    }

    #[test]
    fn moments_are_those_of_the_finite_values() {
        let message = histogram(&[1.0, -2.0, f32::NAN, 4.0, f32::INFINITY]);
        assert_eq!((message.min, message.max, message.num, message.sum, message.sum_squares), (-2.0, 4.0, 3.0, 3.0, 21.0));
    }

    #[test]
    fn a_sample_without_finite_values_is_an_empty_histogram() {
        for values in [&[][..], &[f32::NAN, f32::NEG_INFINITY]] {
            let message = histogram(values);
            assert_eq!((message.min, message.max, message.num), (0.0, 0.0, 0.0));
            assert_eq!(message.bucket.iter().sum::<f64>(), 0.0);
        }
    }

    #[test]
    fn a_zero_is_counted_between_zero_and_the_smallest_limit() {
        let message = histogram(&[0.0; 5]);
        let bucket = message.bucket.iter().position(|count| *count == 5.0).unwrap();
        assert_eq!((message.bucket_limit[bucket - 1], message.bucket_limit[bucket]), (0.0, SMALLEST_LIMIT));
    }

    proptest! {
        #[test]
        fn each_bucket_counts_exactly_the_values_between_its_limits(values in proptest::collection::vec(-1e6f32..1e6, 1..200)) {
            let message = histogram(&values);
            prop_assert_eq!(message.bucket.iter().sum::<f64>(), values.len() as f64);
            let mut low = f64::NEG_INFINITY;
            for (limit, count) in message.bucket_limit.iter().zip(&message.bucket) {
                let inside = values.iter().filter(|value| (low..*limit).contains(&f64::from(**value))).count();
                prop_assert_eq!(inside as f64, *count);
                low = *limit;
            }
        }
    }
}
