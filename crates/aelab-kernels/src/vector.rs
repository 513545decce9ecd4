//! Sums of vectors, in place.

use crate::isa::compiled_for_each_isa;
use crate::math::multiply_add;

#[inline(always)]
fn add_body<const FMA: bool>(sum: &mut [f32], part: &[f32]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
}

compiled_for_each_isa! {
    /// `sum <- sum + part`.
    pub(crate) fn add(sum: &mut [f32], part: &[f32]) = add_body
}

#[inline(always)]
fn add_scaled_body<const FMA: bool>(sum: &mut [f32], factor: f32, part: &[f32]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum = multiply_add::<FMA>(factor, *part, *sum));
}

compiled_for_each_isa! {
    /// `sum <- sum + factor part`.
    pub(crate) fn add_scaled(sum: &mut [f32], factor: f32, part: &[f32]) = add_scaled_body
}
