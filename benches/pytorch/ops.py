"""The ops in PyTorch, as their users write them there."""
import torch
import torch.nn.functional as F


def attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def scan_by_mambapy(u, delta, a, b, c):
    from mambapy.pscan import pscan

    h = pscan(torch.exp(delta.unsqueeze(-1) * a), (delta * u).unsqueeze(-1) * b.unsqueeze(2))
    return (h @ c.unsqueeze(-1)).squeeze(-1)


def scan_by_loop(u, delta, a, b, c):
    decay, write = torch.exp(delta.unsqueeze(-1) * a), (delta * u).unsqueeze(-1) * b.unsqueeze(2)
    h, out = torch.zeros(u.shape[0], u.shape[2], a.shape[1]), []
    for t in range(u.shape[1]):
        h = decay[:, t] * h + write[:, t]
        out.append((h @ c[:, t].unsqueeze(-1)).squeeze(-1))
    return torch.stack(out, 1)


def scalar_decay(q, k, v, log_decay, chunk=64):
    """The listing of the Mamba-2 paper (arXiv 2405.21060, listing 1); `[batch, seq, heads, dim]`."""
    batch, seq, heads, value_dim = v.shape
    chunks = seq // chunk
    q, k, v = (x.view(batch, chunks, chunk, heads, -1) for x in (q, k, v))
    sums = log_decay.view(batch, chunks, chunk, heads).permute(0, 3, 1, 2).cumsum(-1)
    future = ~torch.ones(chunk, chunk, dtype=torch.bool).tril()
    decay = torch.exp((sums[..., :, None] - sums[..., None, :]).masked_fill(future, -torch.inf))
    inside = torch.einsum("bclhn,bcshn,bhcls,bcshp->bclhp", q, k, decay, v)
    written = torch.einsum("bclhn,bhcl,bclhp->bchpn", k, torch.exp(sums[..., -1:] - sums), v)
    states, state = [], torch.zeros_like(written[:, 0])
    for i in range(chunks):
        states.append(state)
        state = state * torch.exp(sums[:, :, i, -1])[..., None, None] + written[:, i]
    before = torch.einsum("bclhn,bchpn,bhcl->bclhp", q, torch.stack(states, 1), torch.exp(sums))
    return (inside + before).reshape(batch, seq, heads, value_dim)


def vector_decay(q, k, v, log_decay, chunk=64):
    """Gated linear attention in chunks (arXiv 2312.06635, section 4.2); `[batch, seq, heads, dim]`.

    In its fast form, which holds while a chunk's decays multiply to more than e⁻⁸⁰.
    """
    q, k, v, log_decay = (x.transpose(1, 2).unflatten(2, (-1, chunk)) for x in (q, k, v, log_decay))
    sums = log_decay.cumsum(3)
    end = sums[:, :, :, -1:]
    q, grown, k = q * sums.exp(), k * (-sums).exp(), k * (end - sums).exp()
    inside = (q @ grown.mT).tril() @ v
    written, through = k.mT @ v, end.exp().mT
    states, state = [], torch.zeros_like(written[:, :, 0])
    for i in range(written.shape[2]):
        states.append(state)
        state = state * through[:, :, i] + written[:, :, i]
    return (inside + q @ torch.stack(states, 2)).flatten(2, 3).transpose(1, 2)


def delta_rule(q, k, v, log_decay, beta):
    """Hugging Face's gated delta rule; `[batch, seq, heads, dim]`."""
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

    return torch_chunk_gated_delta_rule(
        q, k, v, g=log_decay, beta=beta, chunk_size=64, use_qk_l2norm_in_kernel=True)[0]
