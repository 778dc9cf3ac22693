//! The kernels. Each splits its work by a rule that depends on the shapes alone, so that the same inputs give
//! the same bits whatever the number of threads.

pub(crate) mod selective_scan;
mod shared;
mod vectorised;
