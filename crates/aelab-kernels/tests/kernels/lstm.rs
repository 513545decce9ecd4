//! The layers of LSTM equal the plain expression in tensors, step by step: values and all gradients, under masks, in each form.

use crate::the_same_cases;
use std::sync::Arc;

use aelab_kernels::{Activation, LstmInput, LstmOutput, LstmPlan, lstm};
use burn::tensor::{Device, Tensor, TensorData, activation};
use proptest::prelude::*;

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Values in (-scale, scale) that repeat for the same seed.
fn values(seed: u64, num: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..num)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * scale
        })
        .collect()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// `new` in the rows marked, `old` in the others.
fn choose(rows: &[bool], old: Tensor<2>, new: Tensor<2>) -> Tensor<2> {
    let shape = old.dims();
    let mask = Tensor::<2, burn::tensor::Bool>::from_data(TensorData::new(rows.to_vec(), [rows.len(), 1]), &old.device());
    old.mask_where(mask.expand(shape), new)
}

/// What `lstm` says it computes, in tensors.
fn plain(plan: &LstmPlan, source: &Tensor<2>, parameters: &Tensor<1>, target: Option<&Tensor<2>>) -> Tensor<2> {
    let (batch, device) = (source.dims()[0], source.device());
    let mut at = 0;
    let mut take = |rows: usize, columns: usize| {
        let part = parameters.clone().narrow(0, at, rows * columns).reshape([rows, columns]);
        at += rows * columns;
        part
    };
    let is_code = matches!(plan.input, LstmInput::Code);
    let layers: Vec<(Tensor<2>, Option<Tensor<2>>)> = plan
        .layers
        .iter()
        .enumerate()
        .map(|(index, &[inputs, units])| (take(inputs + units, 4 * units), (index > 0 || !is_code).then(|| take(1, 4 * units))))
        .collect();
    let units = plan.layers[plan.layers.len() - 1][1];
    let map = if let LstmOutput::Affine { num_channels, .. } = plan.output {
        Some((take(units, num_channels), take(1, num_channels)))
    } else {
        None
    };
    let mut first = 0;
    let mut states: Vec<[Tensor<2>; 2]> = plan
        .layers
        .iter()
        .map(|&[_, units]| match plan.input {
            LstmInput::Fed { .. } => {
                first += 2 * units;
                [source.clone().narrow(1, first - 2 * units, units), source.clone().narrow(1, first - units, units)]
            }
            _ => [Tensor::zeros([batch, units], &device), Tensor::zeros([batch, units], &device)],
        })
        .collect();
    let inputs = plan.layers[0][0];
    let zeros = || Tensor::<2>::zeros([batch, inputs.max(1)], &device);
    let (mut own, mut truth) = (zeros(), zeros());
    let mut outputs: Vec<Option<Tensor<2>>> = vec![None; plan.num_steps];
    for visit in 0..plan.num_steps {
        let step = if plan.reverse { plan.num_steps - 1 - visit } else { visit };
        let present: Vec<bool> =
            (0..batch).map(|series| plan.present.as_ref().is_none_or(|present| present[series * (present.len() / batch) + step])).collect();
        let mut input = match &plan.input {
            LstmInput::Series => Some(choose(&present, zeros(), source.clone().narrow(1, step * inputs, inputs))),
            LstmInput::Code => None,
            LstmInput::Fed { given, .. } => Some(match (target, given) {
                (None, _) => own.clone(),
                (Some(_), None) => truth.clone(),
                (Some(_), Some(given)) => choose(&given[visit * batch..(visit + 1) * batch], own.clone(), truth.clone()),
            }),
        };
        for (([h, c], (weight, bias)), &[_, units]) in states.iter_mut().zip(&layers).zip(&plan.layers) {
            let joined = input.map_or_else(|| h.clone(), |input| Tensor::cat(vec![input, h.clone()], 1));
            let gates = joined.matmul(weight.clone());
            let gates = gates + bias.clone().unwrap_or_else(|| source.clone()).expand([batch, 4 * units]);
            let gate = |index: usize| gates.clone().narrow(1, index * units, units);
            let [i, f, o] = [0, 1, 3].map(|index| activation::sigmoid(gate(index)));
            let cell = f * c.clone() + i * gate(2).tanh();
            let output = o * cell.clone().tanh();
            *h = choose(&present, h.clone(), output);
            *c = choose(&present, c.clone(), cell);
            input = Some(h.clone());
        }
        let h = states[states.len() - 1][0].clone();
        outputs[step] = Some(match &map {
            None => h,
            Some((weight, bias)) => {
                let written = h.matmul(weight.clone()) + bias.clone();
                if let LstmInput::Fed { activation, .. } = &plan.input {
                    let mean = match activation {
                        Activation::Sigmoid => activation::sigmoid(written.clone()),
                        Activation::Tanh => written.clone().tanh(),
                        _ => written.clone(),
                    };
                    own = choose(&present, own, mean);
                    if let Some(target) = target {
                        truth = choose(&present, truth, target.clone().narrow(1, step * inputs, inputs));
                    }
                }
                written
            }
        });
    }
    match plan.output {
        LstmOutput::Last => states[states.len() - 1][0].clone(),
        LstmOutput::Every => Tensor::cat(outputs.into_iter().flatten().collect(), 1),
        LstmOutput::Affine { num_channels, num_steps } => {
            let rest = Tensor::zeros([batch, (num_steps - plan.num_steps) * num_channels], &device);
            let written = Tensor::cat(outputs.into_iter().flatten().collect(), 1);
            if num_steps > plan.num_steps { Tensor::cat(vec![written, rest], 1) } else { written }
        }
    }
}

struct Case {
    plan: LstmPlan,
    source: usize,
    target: Option<usize>,
    batch: usize,
    seed: u64,
}

/// The value, its form without a tape, and the gradients by source, parameters and target.
fn run(case: &Case, fused: bool) -> [Vec<f32>; 5] {
    let device = Device::flex().autodiff();
    let Case { plan, batch, seed, .. } = case;
    let is_code = matches!(plan.input, LstmInput::Code);
    let mut num: usize = plan.layers.iter().map(|[inputs, units]| 4 * units * (inputs + units + 1)).sum();
    let units = plan.layers[plan.layers.len() - 1][1];
    num -= if is_code { 4 * plan.layers[0][1] } else { 0 };
    if let LstmOutput::Affine { num_channels, .. } = plan.output {
        num += (units + 1) * num_channels;
    }
    let source = tensor(values(*seed, batch * case.source, 1.0), [*batch, case.source], &device).require_grad();
    let parameters = tensor(values(seed + 1, num, 0.6), [num], &device).require_grad();
    let target = case.target.map(|width| tensor(values(seed + 2, batch * width, 1.0), [*batch, width], &device).require_grad());
    let compute = |source: &Tensor<2>, parameters: &Tensor<1>, target: Option<&Tensor<2>>| {
        if fused { lstm(plan.clone(), source, parameters, target).unwrap() } else { plain(plan, source, parameters, target) }
    };
    let y = compute(&source, &parameters, target.as_ref());
    let mut upstream = values(seed + 3, y.shape().num_elements(), 1.0);
    // Nothing flows back through steps that a series lacks.
    if let (Some(present), LstmOutput::Affine { num_channels, num_steps }) = (&plan.present, plan.output) {
        let stride = present.len() / batch;
        for (index, upstream) in upstream.iter_mut().enumerate() {
            let (series, step) = (index / (num_steps * num_channels), index / num_channels % num_steps);
            if step < plan.num_steps && !present[series * stride + step] {
                *upstream = 0.0;
            }
        }
    }
    let gradients = (y.clone() * tensor(upstream, y.dims(), &device)).sum().backward();
    let without = compute(&source.clone().inner(), &parameters.clone().inner(), target.clone().map(Tensor::inner).as_ref());
    let of_target = target.map_or_else(Vec::new, |target| target.grad(&gradients).map_or_else(Vec::new, numbers));
    [numbers(y), numbers(without), numbers(source.grad(&gradients).unwrap()), numbers(parameters.grad(&gradients).unwrap()), of_target]
}

fn compare(case: &Case) {
    let (found, expected) = (run(case, true), run(case, false));
    assert_eq!(found[0], found[1], "the value does not depend on the tape");
    for (what, (found, expected)) in ["value", "without a tape", "source", "parameters", "target"].iter().zip(found.iter().zip(&expected)) {
        if *what == "target" && expected.is_empty() {
            // Nothing that was fed reaches the result.
            assert!(found.iter().all(|value| *value == 0.0));
            continue;
        }
        assert_eq!(found.len(), expected.len(), "{what} of {:?}", case.plan);
        let size = expected.iter().fold(1e-3_f32, |size, value| size.max(value.abs()));
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() <= 1e-5 * size, "{what}[{index}]: {found} is not {expected} of {size}, {:?}", case.plan);
        }
    }
}

/// Some steps are missing, at the ends and within; whole series and whole steps too.
fn presence(seed: u64, batch: usize, num_steps: usize) -> Arc<[bool]> {
    let draws = values(seed, batch * num_steps + batch + num_steps, 1.0);
    let (each, rest) = draws.split_at(batch * num_steps);
    let (series, steps) = rest.split_at(batch);
    (0..batch * num_steps).map(|index| each[index] > -0.6 && series[index / num_steps] > -0.8 && steps[index % num_steps] > -0.8).collect()
}

proptest! {
    #![proptest_config(the_same_cases(60))]

    #[test]
    fn layers_over_series_equal_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..40, num_steps in 1_usize..7, beyond in 0_usize..3, inputs in 1_usize..21, units in 1_usize..37,
        more in 0_usize..3, reverse: bool, masked: bool, which in 0_usize..3,
    ) {
        let mut layers = vec![[inputs, units]];
        layers.extend((0..more).map(|index| [units.saturating_sub(index).max(1), units.saturating_sub(index + 1).max(1)]));
        let present = masked.then(|| presence(seed + 9, batch, num_steps + beyond));
        let output = [LstmOutput::Every, LstmOutput::Last, LstmOutput::Affine { num_channels: 1 + seed as usize % 7, num_steps: num_steps + beyond }][which];
        let plan = LstmPlan { layers, num_steps, reverse, present, input: LstmInput::Series, output };
        compare(&Case { plan, source: (num_steps + beyond) * inputs, target: None, batch, seed });
    }

    #[test]
    fn layers_fed_with_a_code_equal_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..40, num_steps in 1_usize..7, beyond in 0_usize..3, units in 1_usize..37,
        more in 0_usize..2, reverse: bool, masked: bool, num_channels in 1_usize..20,
    ) {
        let mut layers = vec![[0, units]];
        layers.extend((0..more).map(|_| [units, units]));
        let present = masked.then(|| presence(seed + 9, batch, num_steps + beyond));
        let output = LstmOutput::Affine { num_channels, num_steps: num_steps + beyond };
        let plan = LstmPlan { layers, num_steps, reverse, present, input: LstmInput::Code, output };
        compare(&Case { plan, source: 4 * units, target: None, batch, seed });
    }

    #[test]
    fn layers_fed_with_their_own_values_or_the_true_ones_equal_the_plain_expression(
        seed in 0_u64..1000, batch in 1_usize..40, num_steps in 1_usize..7, beyond in 0_usize..3, units in 1_usize..37, more in 0_usize..2,
        reverse: bool, masked: bool, num_channels in 1_usize..20, which in 0_usize..3, forcing in 0_usize..3,
    ) {
        let mut layers = vec![[num_channels, units]];
        layers.extend((0..more).map(|_| [units, units]));
        let present = masked.then(|| presence(seed + 9, batch, num_steps + beyond));
        let given = (forcing == 1).then(|| presence(seed + 10, num_steps, batch));
        let activation = [Activation::Linear, Activation::Sigmoid, Activation::Tanh][which];
        let output = LstmOutput::Affine { num_channels, num_steps: num_steps + beyond };
        let source = layers.iter().map(|[_, units]| 2 * units).sum();
        let plan = LstmPlan { layers, num_steps, reverse, present, input: LstmInput::Fed { activation, given }, output };
        compare(&Case { plan, source, target: (forcing > 0).then_some((num_steps + beyond) * num_channels), batch, seed });
    }
}

/// 512 rows make a product of weight gradients: here there are several, and several blocks.
#[test]
fn long_series_in_many_blocks_stay_equal() {
    let plan = LstmPlan {
        layers: vec![[2, 20], [20, 16]],
        num_steps: 40,
        reverse: true,
        present: Some(presence(5, 70, 40)),
        input: LstmInput::Fed { activation: Activation::Sigmoid, given: None },
        output: LstmOutput::Affine { num_channels: 2, num_steps: 40 },
    };
    compare(&Case { plan, source: 72, target: None, batch: 70, seed: 1 });
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let plan = LstmPlan {
        layers: vec![[3, 24]],
        num_steps: 30,
        reverse: false,
        present: Some(presence(5, 130, 30)),
        input: LstmInput::Series,
        output: LstmOutput::Every,
    };
    let case = Case { plan, source: 90, target: None, batch: 130, seed: 1 };
    let on = |num_threads| rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap().install(|| run(&case, true));
    assert_eq!(on(1), on(3));
}

#[test]
fn a_step_that_a_series_lacks_keeps_its_memory_to_the_bit_whatever_stands_there() {
    let device = Device::flex();
    let parameters = tensor(values(3, 4 * 5 * (1 + 5 + 1), 1.0), [140], &device);
    let last = |x: Vec<f32>, present: Option<Arc<[bool]>>, num_steps: usize| {
        let plan =
            LstmPlan { layers: vec![[1, 5]], num_steps, reverse: false, present, input: LstmInput::Series, output: LstmOutput::Last };
        let num = x.len();
        numbers(lstm(plan, &tensor(x, [1, num], &device), &parameters, None).unwrap())
    };
    let whole = last(vec![0.3, -1.0], None, 2);
    for rubbish in [0.0, 1e30, f32::NAN, f32::INFINITY] {
        assert_eq!(last(vec![0.3, rubbish, -1.0, rubbish], Some(Arc::new([true, false, true, false])), 4), whole);
    }
}
