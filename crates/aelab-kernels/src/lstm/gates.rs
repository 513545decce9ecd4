//! The gates of a layer of long short-term memory: nonlinearities and their gradients, one example at a time.
//!
//! Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000: `c' = f c + i g`, `h' = o tanh(c')`.

use crate::isa::compiled_for_each_isa;
use crate::math::{multiply_add, sigmoid, tanh};

#[inline(always)]
fn forward_body<const FMA: bool>(i: &mut [f32], f: &mut [f32], g: &mut [f32], o: &mut [f32], before: &[f32], c: &mut [f32], h: &mut [f32]) {
    let gates = i.iter_mut().zip(f).zip(g).zip(o);
    for ((((((i, f), g), o), before), c), h) in gates.zip(before).zip(c).zip(h) {
        (*i, *f, *g, *o) = (sigmoid::<FMA>(*i), sigmoid::<FMA>(*f), tanh::<FMA>(*g), sigmoid::<FMA>(*o));
        *c = multiply_add::<FMA>(*f, *before, *i * *g);
        *h = *o * tanh::<FMA>(*c);
    }
}

compiled_for_each_isa! {
    fn forward_of_units(i: &mut [f32], f: &mut [f32], g: &mut [f32], o: &mut [f32], before: &[f32], c: &mut [f32], h: &mut [f32]) = forward_body
}

#[expect(clippy::too_many_arguments, reason = "separate slices are known not to overlap")]
#[inline(always)]
fn backward_body<const FMA: bool>(
    i: &mut [f32],
    f: &mut [f32],
    g: &mut [f32],
    o: &mut [f32],
    before: &[f32],
    c: &[f32],
    of_h: &[f32],
    of_c: &mut [f32],
) {
    let gates = i.iter_mut().zip(f).zip(g).zip(o);
    for (((((((i, f), g), o), before), c), of_h), of_c) in gates.zip(before).zip(c).zip(of_h).zip(of_c) {
        let squashed = tanh::<FMA>(*c);
        let through = multiply_add::<FMA>(*of_h * *o, 1.0 - squashed * squashed, *of_c);
        let by_i = through * *g * (*i * (1.0 - *i));
        let by_f = through * *before * (*f * (1.0 - *f));
        let by_g = through * *i * (1.0 - *g * *g);
        let by_o = *of_h * squashed * (*o * (1.0 - *o));
        *of_c = through * *f;
        (*i, *f, *g, *o) = (by_i, by_f, by_g, by_o);
    }
}

compiled_for_each_isa! {
    fn backward_of_units(
        i: &mut [f32],
        f: &mut [f32],
        g: &mut [f32],
        o: &mut [f32],
        before: &[f32],
        c: &[f32],
        of_h: &[f32],
        of_c: &mut [f32],
    ) = backward_body
}

/// Input, forget, cell and output gates.
fn split(gates: &mut [f32]) -> [&mut [f32]; 4] {
    let quarter = gates.len() / 4;
    let (i, rest) = gates.split_at_mut(quarter);
    let (f, rest) = rest.split_at_mut(quarter);
    let (g, o) = rest.split_at_mut(quarter);
    [i, f, g, o]
}

/// Cell `c` and output `h` from what goes into the `gates`, `[4, unit]`, and the cell before; the gates' values in its place.
pub(crate) fn forward(gates: &mut [f32], before: &[f32], c: &mut [f32], h: &mut [f32]) {
    let [i, f, g, o] = split(gates);
    forward_of_units(i, f, g, o, before, c, h);
}

/// Gradients by what went into the `gates` in place of their values, from the gradient by `h`. `of_c` comes in as the gradient by
/// the cell `c` from later steps, and goes out as that by the cell before.
pub(crate) fn backward(gates: &mut [f32], before: &[f32], c: &[f32], of_h: &[f32], of_c: &mut [f32]) {
    let [i, f, g, o] = split(gates);
    backward_of_units(i, f, g, o, before, c, of_h, of_c);
}
