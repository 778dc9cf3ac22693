"""torch.nn.LSTM, one layer."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden
from torch import nn

batch, seq, d_model, d_hidden = 2, 19, 8, 8
golden = Golden(__file__, d_model=d_model, d_hidden=d_hidden)
lstm = golden.parameters(nn.LSTM(d_model, d_hidden, batch_first=True))
x = golden.leaf("x", golden.normal(batch, seq, d_model))
y, (h, c) = lstm(x)
golden.backward(y)
golden.store("state.h", h[0])
golden.store("state.c", c[0])
golden.save()
