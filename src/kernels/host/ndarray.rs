//! Tensors of ndarray as slices.
#![allow(
    deprecated,
    reason = "burn-ndarray is deprecated from 0.22 on, and supported here as long as Burn has it"
)]

use super::*;
use burn::backend::ops::FloatTensorOps;
use burn_ndarray::{NdArray, NdArrayTensor};

impl HostExtension for NdArray {
    fn host_op(inputs: Tensors<Self>, op: Arc<dyn AnyOp>) -> Tensors<Self> {
        forward::<Self>(&*op, inputs.0, false).0
    }
}

impl HostMemory for NdArray {
    type Lent = TensorData;

    fn lend(tensor: NdArrayTensor, _: bool) -> TensorData {
        burn::backend::try_read_sync(Self::float_into_data(tensor))
            .expect("host memory is read without waiting")
            .expect("a float tensor has data")
    }

    fn slice<F: Real>(tensor: &TensorData) -> &[F] {
        tensor.as_slice::<F>().expect("the data have this dtype")
    }

    fn strides(tensor: &TensorData) -> Vec<usize> {
        contiguous_strides(tensor.shape())
    }

    fn tensor<F: Real>(data: Vec<F>, dims: &[usize]) -> NdArrayTensor {
        NdArrayTensor::from_data(TensorData::new(data, dims.to_vec()))
    }
}
