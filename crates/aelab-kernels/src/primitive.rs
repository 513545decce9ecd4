//! Between tensors of the backend and slices of numbers.

use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{Bytes, DType, Shape};
use burn::tensor::{Device, Tensor};

/// Whether a tensor lies where these kernels work: on `flex`, in single precision.
pub fn is_ours<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.device() == Device::flex() && tensor.dtype() == DType::F32
}

/// The tensor as a constant.
pub(crate) fn without_tape<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    if tensor.device().is_autodiff() { tensor.clone().inner() } else { tensor.clone() }
}

/// What stands behind a tensor that [`is_ours`] and has no tape.
pub(crate) fn primitive<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    tensor.try_into_primitive::<Flex>().expect("the tensor is on flex without a tape")
}

/// Rows and columns of a matrix.
pub(crate) fn shape_of(matrix: &FlexTensor) -> [usize; 2] {
    [0, 1].map(|dim| matrix.layout().shape()[dim])
}

/// A new tensor of these numbers.
pub(crate) fn tensor_of(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// The mean of these numbers as a tensor, `[1]`, summed in double precision.
pub(crate) fn mean(values: &[f32]) -> FlexTensor {
    let sum: f64 = values.iter().copied().map(f64::from).sum();
    tensor_of(vec![(sum / values.len() as f64) as f32], Shape::new([1]))
}

/// The same numbers one row after the other, from the start of their memory.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() && tensor.layout().start_offset() == 0 { tensor } else { tensor.to_contiguous() }
}

/// The numbers of a contiguous tensor.
pub(crate) fn numbers(tensor: &FlexTensor) -> &[f32] {
    &tensor.storage::<f32>()[..tensor.layout().num_elements()]
}

/// The numbers of a contiguous tensor, to be changed: in place where nothing else holds them, of a copy elsewhere.
pub(crate) fn numbers_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    let num = tensor.layout().num_elements();
    &mut tensor.storage_mut::<f32>()[..num]
}

/// Gives the numbers of several tensors to `work`, to be changed in place; a tensor that is shared is copied first. The tensors as
/// they were, in `Err`, where one of them is not on `flex`.
pub fn with_slices<const D: usize, const N: usize>(
    tensors: [Tensor<D>; N],
    work: impl FnOnce([&mut [f32]; N]),
) -> Result<[Tensor<D>; N], [Tensor<D>; N]> {
    with_optional_slices((tensors, []), |slices, []| work(slices)).map(|(tensors, [])| tensors).map_err(|(tensors, [])| tensors)
}

/// Tensors, and tensors that may be left out.
pub type Tensors<const D: usize, const N: usize, const M: usize> = ([Tensor<D>; N], [Option<Tensor<D>>; M]);

/// The same with tensors that may be left out, of which the numbers are then empty.
pub fn with_optional_slices<const D: usize, const N: usize, const M: usize>(
    (tensors, optional): Tensors<D, N, M>,
    work: impl FnOnce([&mut [f32]; N], [&mut [f32]; M]),
) -> Result<Tensors<D, N, M>, Tensors<D, N, M>> {
    if !tensors.iter().chain(optional.iter().flatten()).all(is_ours) {
        return Err((tensors, optional));
    }
    let laid_out = |tensor| contiguous(primitive(tensor));
    let (mut tensors, mut optional) = (tensors.map(laid_out), optional.map(|tensor| tensor.map(laid_out)));
    let of_optional = optional.each_mut().map(|tensor| tensor.as_mut().map_or(&mut [][..], numbers_mut));
    work(tensors.each_mut().map(numbers_mut), of_optional);
    Ok((tensors.map(Tensor::from_primitive::<Flex>), optional.map(|tensor| tensor.map(Tensor::from_primitive::<Flex>))))
}
