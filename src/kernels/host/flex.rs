//! Tensors of flex as slices.

use super::*;
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

impl HostExtension for Flex {
    fn host_op(inputs: Tensors<Self>, op: Arc<dyn AnyOp>) -> Tensors<Self> {
        forward::<Self>(&*op, inputs.0, false).0
    }
}

impl HostMemory for Flex {
    type Lent = FlexTensor;

    fn lend(tensor: FlexTensor, views: bool) -> FlexTensor {
        let strides = tensor.layout().strides();
        let has_rows = strides.last() == Some(&1) && strides.iter().all(|&stride| stride >= 0);
        if views && has_rows { tensor } else { tensor.to_contiguous() }
    }

    fn slice<F: Real>(tensor: &FlexTensor) -> &[F] {
        F::of_flex(tensor)
    }

    fn strides(tensor: &FlexTensor) -> Vec<usize> {
        tensor.layout().strides().iter().map(|stride| stride.unsigned_abs()).collect()
    }

    fn tensor<F: Real>(data: Vec<F>, dims: &[usize]) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(data, dims.to_vec()))
    }
}
