//! Runs a loop with the widest instructions of this machine.

use crate::kernels::real::Real;

/// A piece of work to be compiled once per instruction set; the body must be `#[inline(always)]`.
pub(crate) trait Work {
    type Output;

    /// `FMA`: the target has fused multiply-add.
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Compiles `work` for every instruction set that `pulp` knows, and runs the best this machine has.
pub(crate) fn vectorised<W: Work>(work: W) -> W::Output {
    struct Fused<W>(W);

    impl<W: Work> pulp::NullaryFnOnce for Fused<W> {
        type Output = W::Output;

        #[inline(always)]
        fn call(self) -> W::Output {
            self.0.run::<true>()
        }
    }

    match pulp::Arch::new() {
        pulp::Arch::Scalar => work.run::<false>(),
        arch => arch.dispatch(Fused(work)),
    }
}

/// All of them to one, by halves.
#[inline(always)]
pub(crate) fn reduce<F: Real>(mut parts: [F; 32], f: impl Fn(F, F) -> F) -> F {
    for half in [16, 8, 4, 2, 1] {
        for l in 0..half {
            parts[l] = f(parts[l], parts[l + half]);
        }
    }
    parts[0]
}
