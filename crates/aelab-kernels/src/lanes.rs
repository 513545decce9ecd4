//! Sixteen numbers that are worked on at once, whatever the machine has for it.

use crate::math::multiply_add;

/// How many there are.
pub(crate) const LANES: usize = 16;

/// Sixteen numbers, in registers.
pub(crate) trait Lanes: Copy {
    /// How many of them a loop can keep besides what it reads.
    const NUM_SUMS: usize;
    /// How many columns of them a product works on at a time at most.
    const NUM_COLUMNS: usize;

    fn load(from: &[f32; LANES]) -> Self;
    fn splat(value: f32) -> Self;
    /// `self + a b`.
    fn add_product(self, a: Self, b: Self) -> Self;
    fn store(self, to: &mut [f32; LANES]);
    /// A bit for each, the first in the lowest: whether it is not zero.
    fn are_not_zero(self) -> u16;
}

impl Lanes for [f32; LANES] {
    const NUM_SUMS: usize = 4;
    const NUM_COLUMNS: usize = 1;

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        *from
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        [value; LANES]
    }

    #[inline(always)]
    fn add_product(mut self, a: Self, b: Self) -> Self {
        for lane in 0..LANES {
            self[lane] = multiply_add::<{ cfg!(target_arch = "aarch64") }>(a[lane], b[lane], self[lane]);
        }
        self
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self;
    }

    #[inline(always)]
    fn are_not_zero(self) -> u16 {
        self.iter().rev().fold(0, |bits, value| bits << 1 | u16::from(*value != 0.0))
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::Pair;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _CMP_NEQ_UQ, _mm256_cmp_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_movemask_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_ps, _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    use super::{LANES, Lanes};

    // Only functions that are compiled for AVX-512 may use this form of `Lanes`: the proof of each block below.
    impl Lanes for __m512 {
        const NUM_SUMS: usize = 24;
        const NUM_COLUMNS: usize = 4;

        #[inline(always)]
        fn load(from: &[f32; LANES]) -> Self {
            // SAFETY: the array has the 16 numbers that are read; see above.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_fmadd_ps(a, b, self) }
        }

        #[inline(always)]
        fn store(self, to: &mut [f32; LANES]) {
            // SAFETY: the array has room for the 16 numbers that are written; see above.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self) }
        }

        #[inline(always)]
        fn are_not_zero(self) -> u16 {
            // SAFETY: see above.
            unsafe { _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(self, _mm512_setzero_ps()) }
        }
    }

    /// Two vectors of eight.
    #[derive(Clone, Copy)]
    pub(crate) struct Pair(__m256, __m256);

    // Only functions that are compiled for AVX2 and FMA may use this form of `Lanes`: the proof of each block below.
    impl Lanes for Pair {
        const NUM_SUMS: usize = 6;
        const NUM_COLUMNS: usize = 2;

        #[inline(always)]
        fn load(from: &[f32; LANES]) -> Self {
            // SAFETY: the array has 16 numbers, eight from its start and eight from its middle; see above.
            unsafe { Self(_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))) }
        }

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: see above.
            let half = unsafe { _mm256_set1_ps(value) };
            Self(half, half)
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: see above.
            unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
        }

        #[inline(always)]
        fn store(self, to: &mut [f32; LANES]) {
            // SAFETY: the array has room for 16 numbers, eight from its start and eight from its middle; see above.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), self.0);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), self.1);
            }
        }

        #[inline(always)]
        fn are_not_zero(self) -> u16 {
            // SAFETY: see above.
            let bits = |half| unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(half, _mm256_setzero_ps())) };
            (bits(self.0) | bits(self.1) << 8) as u16
        }
    }
}

/// Sixteen numbers from `at` on.
#[inline(always)]
pub(crate) fn lanes(numbers: &[f32], at: usize) -> &[f32; LANES] {
    numbers[at..at + LANES].try_into().expect("a range of so many numbers")
}

#[inline(always)]
pub(crate) fn lanes_mut(numbers: &mut [f32], at: usize) -> &mut [f32; LANES] {
    (&mut numbers[at..at + LANES]).try_into().expect("a range of so many numbers")
}
