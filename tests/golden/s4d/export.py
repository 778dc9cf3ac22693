"""S4D (arXiv 2206.11893) as a convolution, by the Fourier transform, with no recurrence anywhere.

The kernel is K_l = 2 Re Σ_n C_n B̄_n λ_n^l. What an initial state adds to the outputs, and the final state, are sums over
powers of λ. The cases "zoh." and "bilinear." are two rules of discretisation; "frequencies." are the imaginary parts of
A at the start.
"""
import math
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, torch
from torch import nn
from torch.nn import functional as F

batch, seq, d_model, d_state = 2, 37, 5, 8
pairs = d_state // 2


def zoh(a, dt):
    decay = torch.exp(dt * a)
    return decay, (decay - 1) / a


def bilinear(a, dt):
    below = 1 - dt * a / 2
    return (1 + dt * a / 2) / below, dt / below


golden = Golden(__file__, d_model=d_model, d_state=d_state)
n = torch.arange(pairs)
golden.store("frequencies.lin", math.pi * n)
golden.store("frequencies.inv", d_state / math.pi * (d_state / (2 * n + 1) - 1))

x = golden.leaf("x", golden.normal(batch, seq, d_model))
state = golden.leaf("initial_state", golden.normal(batch, d_model, pairs, 2))
log_dt = golden.leaf("log_dt", golden.uniform(math.log(0.001), math.log(0.5), d_model))
a_log = golden.leaf("A_log", golden.uniform(-2.0, 1.0, d_model, pairs))
a_imag = golden.leaf("A_imag", golden.uniform(-1.0, 12.0, d_model, pairs))
c = golden.leaf("C", golden.normal(d_model, pairs, 2))
d = golden.leaf("D", golden.normal(d_model))
out = golden.parameters(nn.ModuleDict({"out": nn.Linear(d_model, 2 * d_model)}))["out"]

for case, rule in (("zoh.", zoh), ("bilinear.", bilinear)):
    a = torch.complex(-torch.exp(a_log), a_imag)
    decay, b = rule(a, torch.exp(log_dt)[:, None])
    read = 2 * torch.view_as_complex(c) * b
    start = torch.view_as_complex(state)
    powers = decay[..., None] ** torch.arange(seq + 1)
    kernel = torch.einsum("dn,dnl->dl", read, powers[..., :-1]).real
    u = x.mT
    y = torch.fft.irfft(torch.fft.rfft(kernel, 2 * seq) * torch.fft.rfft(u, 2 * seq), 2 * seq)[..., :seq]
    y = y + torch.einsum("dn,dnl,bdn->bdl", read, powers[..., 1:], start).real + d[:, None] * u
    y = F.glu(out(F.gelu(y.mT)), dim=-1)
    last = torch.einsum("dnl,bdl->bdn", powers[..., :-1].flip(-1), u.to(powers.dtype)) + powers[..., -1] * start
    golden.backward(y, case=case)
    golden.backward(torch.view_as_real(last), "state", "dstate", "grad_state", case)
golden.save()
