"""minGRU as a loop (arXiv 2410.01201, section 3.1, g of appendix B.2.1), from an initial state.

h_t = (1 - z_t) h_{t-1} + z_t g(x W_h), z = σ(x W_z), g(v) = v + 0.5 where v >= 0, else σ(v). The case "expanded." has
a state twice as wide as the model, and a projection back.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, torch
from torch import nn

batch, seq, d_model = 2, 19, 7


class MinGru(nn.Module):
    def __init__(self, expand):
        super().__init__()
        self.z = nn.Linear(d_model, expand * d_model)
        self.h = nn.Linear(d_model, expand * d_model)
        if expand > 1:
            self.out = nn.Linear(expand * d_model, d_model)

    def forward(self, x, state):
        out = []
        for t in range(seq):
            z, v = torch.sigmoid(self.z(x[:, t])), self.h(x[:, t])
            state = (1 - z) * state + z * torch.where(v >= 0, v + 0.5, torch.sigmoid(v))
            out.append(state)
        y = torch.stack(out, dim=1)
        return (self.out(y) if hasattr(self, "out") else y), state


golden = Golden(__file__, d_model=d_model, expand=2)
x = golden.leaf("x", golden.normal(batch, seq, d_model))
models = golden.parameters(nn.ModuleDict({"plain": MinGru(1), "expanded": MinGru(2)}))
for name, model in models.items():
    width = model.z.out_features
    state = golden.leaf(f"{name}.initial_state", golden.normal(batch, width))
    y, state = model(x, state)
    golden.backward(y, case=f"{name}.")
    golden.backward(state, "state", f"{name}.dstate", "grad_state", f"{name}.")
golden.save()
