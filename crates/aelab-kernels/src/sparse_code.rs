//! A dense layer of which only the largest outputs of each row are kept, and the dense layer behind it, as one operation: all
//! products but the first are taken over what is kept alone.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, Shape};
use burn::tensor::Tensor;

use crate::activation::{Activation, forward_columns};
use crate::fused::{Fused, fused_of, given, or_empty};
use crate::isa::compiled_for_each_isa;
use crate::map::transposed;
use crate::parallel::rows_with_values;
use crate::primitive::{is_ours, numbers, shape_of, tensor_of};
use crate::product::{Matrix, product_with};
use crate::top_k::largest_of_rows;

/// The weights around a sparse code.
#[derive(Debug, Clone)]
pub struct SparseCode {
    /// `W`, `[input, unit]`.
    pub weight: Tensor<2>,
    /// `b`, `[unit]`.
    pub bias: Option<Tensor<1>>,
    /// `V`, `[unit, output]`; where left out, the transpose of `W`.
    pub decoder_weight: Option<Tensor<2>>,
    /// `c`, `[output]`.
    pub decoder_bias: Option<Tensor<1>>,
    /// Units that are kept at each row.
    pub k: usize,
}

/// More of the units than this part, kept, and dense products are as fast.
const SPARSE: usize = 8;
/// With fewer rows than this, dense products cost no more than turning the weight once.
const FEW_ROWS: usize = 24;

impl SparseCode {
    /// `z`, the `k` largest of each row of `x W + b` and 0 in place of the others, and `z V + c`; the code comes without a tape.
    /// `None` where the tensors are not on `flex`, or where dense products are faster.
    ///
    /// # Shapes
    /// `x`: `[batch, input]`; `z`: `[batch, unit]`; the output: `[batch, output]`.
    pub fn forward(&self, x: &Tensor<2>) -> Option<(Tensor<2>, Tensor<2>)> {
        let ([batch, _], [inputs, units]) = (x.dims(), self.weight.dims());
        let outputs = self.decoder_weight.as_ref().map_or(inputs, |weight| weight.dims()[1]);
        let on_flex = [Some(x), Some(&self.weight), self.decoder_weight.as_ref()].into_iter().flatten().all(is_ours);
        if !on_flex || batch < FEW_ROWS || self.k == 0 || self.k * SPARSE > units || inputs * outputs == 0 {
            return None;
        }
        let zeros = |width: usize| Tensor::<1>::zeros([width], &x.device());
        let bias = self.bias.clone().unwrap_or_else(|| zeros(units)).unsqueeze::<2>();
        let decoder_bias = self.decoder_bias.clone().unwrap_or_else(|| zeros(outputs)).unsqueeze::<2>();
        let code = Arc::new(Mutex::new(None));
        let operation = AroundCode { k: self.k, code: Arc::clone(&code) };
        let [x, weight, bias, decoder_bias] = [x, &self.weight, &bias, &decoder_bias].map(|tensor| tensor.clone().into_dispatch());
        let output = fused_of([x, weight, bias, decoder_bias, or_empty(self.decoder_weight.as_ref())], operation);
        let code = code.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some((Tensor::from_primitive::<Flex>(code), output))
    }
}

#[derive(Debug)]
struct AroundCode {
    k: usize,
    /// Where the code is put for the caller: it is no output of which a gradient could be asked.
    code: Arc<Mutex<Option<FlexTensor>>>,
}

/// Columns that are summed in registers at a time.
const TILE: usize = 128;

/// `output <- output + sum of factor * rows[index]` over the columns from `start` on.
#[inline(always)]
fn add_rows<const FMA: bool, const WIDTH: usize>(
    output: &mut [f32],
    rows: &[f32],
    width: usize,
    start: usize,
    indices: &[u32],
    factors: &[f32],
) {
    let mut sums = [0.0_f32; WIDTH];
    sums.copy_from_slice(&output[start..start + WIDTH]);
    for (index, factor) in indices.iter().zip(factors) {
        let row = &rows[*index as usize * width + start..][..WIDTH];
        for column in 0..WIDTH {
            sums[column] = crate::math::multiply_add::<FMA>(*factor, row[column], sums[column]);
        }
    }
    output[start..start + WIDTH].copy_from_slice(&sums);
}

#[inline(always)]
fn combine_body<const FMA: bool>(output: &mut [f32], rows: &[f32], indices: &[u32], factors: &[f32]) {
    let width = output.len();
    let mut start = 0;
    while start + TILE <= width {
        add_rows::<FMA, TILE>(output, rows, width, start, indices, factors);
        start += TILE;
    }
    while start + 16 <= width {
        add_rows::<FMA, 16>(output, rows, width, start, indices, factors);
        start += 16;
    }
    while start < width {
        add_rows::<FMA, 1>(output, rows, width, start, indices, factors);
        start += 1;
    }
}

compiled_for_each_isa! {
    /// `output <- output + sum_n factors[n] * rows[indices[n]]`; `rows`: `[any, output.len()]`.
    fn combine(output: &mut [f32], rows: &[f32], indices: &[u32], factors: &[f32]) = combine_body
}

#[inline(always)]
fn dots_body<const FMA: bool>(dots: &mut [f32], vector: &[f32], rows: &[f32], indices: &[u32]) {
    const LANES: usize = 64;
    let width = vector.len();
    for (dot, index) in dots.iter_mut().zip(indices) {
        let row = &rows[*index as usize * width..][..width];
        let mut sums = [0.0_f32; LANES];
        let (parts, of_row) = (vector.chunks_exact(LANES), row.chunks_exact(LANES));
        let rest: f32 = parts.remainder().iter().zip(of_row.remainder()).map(|(a, b)| a * b).sum();
        for (a, b) in parts.zip(of_row) {
            for lane in 0..LANES {
                sums[lane] = crate::math::multiply_add::<FMA>(a[lane], b[lane], sums[lane]);
            }
        }
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
            half /= 2;
        }
        *dot = sums[0] + rest;
    }
}

compiled_for_each_isa! {
    /// `dots[n] <- vector . rows[indices[n]]`; `rows`: `[any, vector.len()]`.
    fn dots(dots: &mut [f32], vector: &[f32], rows: &[f32], indices: &[u32]) = dots_body
}

/// For each unit the rows that keep it, in order, and the places of these in the list of what is kept.
struct ByUnit {
    /// Where the entries of a unit begin; one more than there are units.
    begins: Vec<usize>,
    rows: Vec<u32>,
    places: Vec<u32>,
}

impl ByUnit {
    fn new(kept: &[u32], k: usize, units: usize) -> Self {
        let mut begins = vec![0; units + 1];
        kept.iter().for_each(|unit| begins[*unit as usize + 1] += 1);
        (0..units).for_each(|unit| begins[unit + 1] += begins[unit]);
        let (mut next, mut rows, mut places) = (begins.clone(), vec![0; kept.len()], vec![0; kept.len()]);
        for (place, unit) in kept.iter().enumerate() {
            let at = &mut next[*unit as usize];
            (rows[*at], places[*at]) = ((place / k) as u32, place as u32);
            *at += 1;
        }
        Self { begins, rows, places }
    }

    /// `values` of what is kept, in the order of units.
    fn ordered(&self, values: &[f32]) -> Vec<f32> {
        self.places.iter().map(|place| values[*place as usize]).collect()
    }
}

/// What the gradients are computed from.
#[derive(Debug)]
struct AroundCodeState {
    x: FlexTensor,
    weight: FlexTensor,
    /// `[unit, output]`.
    decoder: FlexTensor,
    /// Whether that is the transpose of `weight`.
    tied: bool,
    /// The units that are kept and their values, `[batch, k]`.
    kept: Vec<u32>,
    values: Vec<f32>,
}

impl Fused<5> for AroundCode {
    type State = AroundCodeState;

    /// The inputs are `x`, `W`, `b`, `c`, and `V` where it is not the transpose of `W`.
    fn forward(&self, [x, weight, bias, decoder_bias, decoder]: [FlexTensor; 5], _needs: [bool; 5]) -> (FlexTensor, AroundCodeState) {
        let k = self.k;
        let ([batch, inner], units) = (shape_of(&x), shape_of(&weight)[1]);
        let bias = numbers(&bias);
        let (rows, columns) = (Matrix::new(numbers(&x), batch, inner), Matrix::new(numbers(&weight), inner, units));
        let mut code = product_with(rows, columns, &|_, first, row| forward_columns(Activation::Linear, row, first, Some(bias)));
        let kept = largest_of_rows(&code, units, k);
        let mut values = vec![0.0; batch * k];
        for ((row, kept), values) in code.chunks_exact_mut(units).zip(kept.chunks_exact(k)).zip(values.chunks_exact_mut(k)) {
            values.iter_mut().zip(kept).for_each(|(value, unit)| *value = row[*unit as usize]);
            row.fill(0.0);
            kept.iter().zip(values).for_each(|(unit, value)| row[*unit as usize] = *value);
        }
        let decoder = given(decoder);
        let tied = decoder.is_none();
        let decoder = decoder.unwrap_or_else(|| tensor_of(transposed(numbers(&weight), units), Shape::new([units, inner])));
        let outputs = shape_of(&decoder)[1];
        let mut output = numbers(&decoder_bias).repeat(batch);
        let (rows, mut nothing) = (numbers(&decoder), vec![0.0; batch]);
        rows_with_values(&mut output, outputs, &mut nothing, |row, output, _| {
            combine(output, rows, &kept[row * k..][..k], &values[row * k..][..k]);
        });
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = Some(tensor_of(code, Shape::new([batch, units])));
        (tensor_of(output, Shape::new([batch, outputs])), AroundCodeState { x, weight, decoder, tied, kept, values })
    }

    /// Where the decoder is tied, its gradient is added to that by `W`.
    fn backward(&self, gradient: FlexTensor, state: AroundCodeState, needs: [bool; 5]) -> [Option<FlexTensor>; 5] {
        let AroundCodeState { x, weight, decoder, tied, kept, values } = state;
        let (k, [inner, units], [batch, outputs]) = (self.k, shape_of(&weight), shape_of(&gradient));
        let gradient = numbers(&gradient);
        let mut slopes = vec![0.0; batch * k];
        let (rows, mut nothing) = (numbers(&decoder), vec![0.0; batch]);
        rows_with_values(&mut slopes, k, &mut nothing, |row, slopes, _| {
            dots(slopes, &gradient[row * outputs..][..outputs], rows, &kept[row * k..][..k]);
        });
        let by_unit = ByUnit::new(&kept, k, units);
        let slopes_by_unit = by_unit.ordered(&slopes);
        // One row for each unit: the sum over the examples that keep it.
        let add = |sums: &mut [f32], of_examples: &[f32], factors: &[f32]| {
            let (width, mut nothing) = (sums.len() / units, vec![0.0; units]);
            rows_with_values(sums, width, &mut nothing, |unit, sums, _| {
                let range = by_unit.begins[unit]..by_unit.begins[unit + 1];
                combine(sums, of_examples, &by_unit.rows[range.clone()], &factors[range]);
            });
        };
        let of_decoder = |mut sums: Vec<f32>| {
            add(&mut sums, gradient, &by_unit.ordered(&values));
            sums
        };
        let of_weight = needs[1].then(|| {
            let mut sums = vec![0.0; units * inner];
            add(&mut sums, numbers(&x), &slopes_by_unit);
            let sums = if tied { of_decoder(sums) } else { sums };
            tensor_of(transposed(&sums, inner), Shape::new([inner, units]))
        });
        let of_bias = needs[2].then(|| {
            let sums = by_unit.begins.windows(2).map(|range| slopes_by_unit[range[0]..range[1]].iter().sum()).collect();
            tensor_of(sums, Shape::new([1, units]))
        });
        let of_decoder_bias = needs[3].then(|| {
            let ones = vec![1.0; batch];
            let all: Vec<u32> = (0..batch as u32).collect();
            let mut sums = vec![0.0; outputs];
            combine(&mut sums, gradient, &all, &ones);
            tensor_of(sums, Shape::new([1, outputs]))
        });
        let of_x = needs[0].then(|| {
            let upright = if tied { Vec::new() } else { transposed(numbers(&weight), units) };
            let rows = if tied { rows } else { &upright };
            let mut of_x = vec![0.0; batch * inner];
            rows_with_values(&mut of_x, inner, &mut vec![0.0; batch], |row, of_x, _| {
                combine(of_x, rows, &kept[row * k..][..k], &slopes[row * k..][..k]);
            });
            tensor_of(of_x, Shape::new([batch, inner]))
        });
        let own = !tied && needs[4];
        let of_decoder = own.then(|| tensor_of(of_decoder(vec![0.0; units * outputs]), Shape::new([units, outputs])));
        [of_x, of_weight, of_bias, of_decoder_bias, of_decoder]
    }
}
