//! One source of each kernel, compiled for several instruction sets, the best of which is chosen when the program runs.

use std::sync::OnceLock;

/// The instruction sets that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    /// AVX-512 F, VL, BW, DQ and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every machine of the target has; on AArch64 that includes NEON.
    Portable,
}

impl Isa {
    /// The best that this machine has, looked up once: kernels ask for it at every row.
    #[inline]
    pub(crate) fn detect() -> Self {
        #[cfg(test)]
        if let Some(isa) = tests::FORCED.get() {
            return isa;
        }
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(Self::look_up)
    }

    fn look_up() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq") && has!("fma") {
                return Isa::Avx512;
            }
            if has!("avx2") && has!("fma") {
                return Isa::Avx2;
            }
        }
        Isa::Portable
    }
}

/// Defines `fn name(arguments)` that runs `body`, an `#[inline(always)]` function of the same arguments whose first
/// generic argument says whether the machine multiplies and adds in one instruction.
macro_rules! compiled_for_each_isa {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? = $body:ident) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, reason = "those of the body, named there")]
        $visibility fn $name($($argument: $type),*) $(-> $output)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "those of the body, named there")]
                fn avx512($($argument: $type),*) $(-> $output)? {
                    $body::<true>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "those of the body, named there")]
                fn avx2($($argument: $type),*) $(-> $output)? {
                    $body::<true>($($argument),*)
                }
                match $crate::isa::Isa::detect() {
                    // SAFETY: `detect` has found every feature that the function is compiled for.
                    $crate::isa::Isa::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    $crate::isa::Isa::Avx2 => return unsafe { avx2($($argument),*) },
                    $crate::isa::Isa::Portable => {}
                }
            }
            $body::<{ cfg!(target_arch = "aarch64") }>($($argument),*)
        }
    };
}
pub(crate) use compiled_for_each_isa;

/// Does `work` with each instruction set of this machine in turn, on this thread.
#[cfg(test)]
pub(crate) fn on_each_isa(work: impl FnMut(Isa)) {
    tests::sets().into_iter().for_each(tests::forced(work));
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::Isa;
    use crate::activation::{backward, forward_columns};
    use crate::likelihood::{value, value_and_gradient};
    use crate::{Activation, AdaGradStep, AdamStep, Loss, RmsPropStep, SgdStep, ada_grad, adam, rms_prop, sgd};

    thread_local! {
        /// What [`Isa::detect`] finds on this thread.
        pub(super) static FORCED: Cell<Option<Isa>> = const { Cell::new(None) };
    }

    /// The instruction sets that this machine has.
    pub(super) fn sets() -> Vec<Isa> {
        let mut sets = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let best = Isa::detect();
            sets.extend((best != Isa::Portable).then_some(Isa::Avx2));
            sets.extend((best == Isa::Avx512).then_some(Isa::Avx512));
        }
        sets
    }

    /// `work` with only the instruction set that it is given.
    pub(super) fn forced<T>(mut work: impl FnMut(Isa) -> T) -> impl FnMut(Isa) -> T {
        move |isa| {
            FORCED.set(Some(isa));
            let found = work(isa);
            FORCED.set(None);
            found
        }
    }

    fn values(seed: usize, num: usize, scale: f32) -> Vec<f32> {
        (0..num).map(|index| (((index * 7919 + seed * 104_729) % 10_007) as f32 / 5003.5 - 1.0) * scale).collect()
    }

    /// What every kernel makes of arrays of `num` numbers.
    fn results(num: usize) -> Vec<(String, Vec<f32>)> {
        let mut results = Vec::new();
        let (x, bias, upstream) = (values(1, num, 6.0), values(2, num, 1.0), values(3, num, 1.0));
        for activation in [
            Activation::Linear,
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Relu,
            Activation::LeakyRelu,
            Activation::Elu,
            Activation::Softplus,
        ] {
            let mut y = x.clone();
            forward_columns(activation, &mut y, 0, Some(&bias));
            let (mut gradient, mut sums) = (upstream.clone(), vec![0.0; num]);
            backward(activation, &mut gradient, &y, num, Some(&mut sums));
            results.extend(
                [("forward", y), ("backward", gradient), ("sums", sums)].map(|(name, found)| (format!("{activation:?} {name}"), found)),
            );
        }
        for loss in [
            Loss::SquaredError,
            Loss::SquaredErrorOfSigmoid,
            Loss::BinaryCrossEntropyFromLogits,
            Loss::ContinuousBernoulliFromLogits,
            Loss::MultinomialFromLogits,
        ] {
            let target = values(4, num, 0.5);
            let mut gradient = vec![0.0; num];
            let both = value_and_gradient(loss, &target, &x, &[], 0.25, &mut gradient);
            results.push((format!("{loss:?}"), vec![both, value(loss, &target, &x, &[])]));
            results.push((format!("{loss:?} gradient"), gradient));
        }
        let squares = || values(5, num, 0.1).iter().map(|value| value.abs() + 0.01).collect::<Vec<f32>>();
        let mut optimizer = |name: &str, step: Update<'_>| {
            let (mut parameter, mut gradient, mut first, mut second) = (x.clone(), upstream.clone(), values(6, num, 0.02), squares());
            step(&mut parameter, &mut gradient, &mut first, &mut second);
            results.extend(
                [("parameter", parameter), ("first", first), ("second", second)].map(|(array, found)| (format!("{name} {array}"), found)),
            );
        };
        let adam_step = AdamStep { weight_decay: 0.1, ..AdamStep::new([0.9, 0.999], 1e-8, 0.01, 3) };
        optimizer("adam", &|p, g, m, v| adam(&adam_step, p, g, m, v));
        let sgd_step = SgdStep { learning_rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.1 };
        optimizer("sgd", &|p, g, _, _| sgd(&sgd_step, p, g, &mut []));
        optimizer("sgd with momentum", &|p, g, m, _| sgd(&sgd_step, p, g, m));
        let rms_prop_step = RmsPropStep { learning_rate: 0.01, alpha: [0.9, 0.1], momentum: 0.5, epsilon: 1e-8, weight_decay: 0.1 };
        optimizer("rmsprop", &|p, g, _, v| rms_prop(&rms_prop_step, p, g, v, &mut [], &mut []));
        optimizer("rmsprop centred", &|p, g, m, v| rms_prop(&rms_prop_step, p, g, v, m, &mut []));
        optimizer("rmsprop with momentum", &|p, g, m, v| rms_prop(&rms_prop_step, p, g, v, &mut [], m));
        optimizer("rmsprop with both", &|p, g, m, v| rms_prop(&rms_prop_step, p, g, v, m, &mut vec![0.0; num]));
        let ada_grad_step = AdaGradStep { learning_rate: 0.1, epsilon: 1e-10, weight_decay: 0.1 };
        optimizer("adagrad", &|p, g, _, v| ada_grad(&ada_grad_step, p, g, v));
        results
    }

    /// Parameter, gradient and two moments, changed in place.
    type Update<'a> = &'a dyn Fn(&mut [f32], &mut [f32], &mut [f32], &mut [f32]);

    #[test]
    fn every_instruction_set_of_the_machine_gives_the_same_to_rounding() {
        let sets = sets();
        for num in [0, 1, 15, 33, 257] {
            let of_sets: Vec<_> = sets.iter().copied().map(forced(|_| results(num))).collect();
            for (isa, of_set) in sets.iter().zip(&of_sets) {
                for ((name, found), (_, expected)) in of_set.iter().zip(&of_sets[0]) {
                    let size = expected.iter().fold(1.0_f32, |size, value| size.max(value.abs()));
                    for (found, expected) in found.iter().zip(expected) {
                        assert!((found - expected).abs() <= 2e-6 * size, "{isa:?} {name} of {num}: {found} is not {expected}");
                    }
                }
            }
        }
    }
}
