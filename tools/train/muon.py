# SPDX-License-Identifier: GPL-2.0-or-later
"""An optimizer for matrices: momentum, turned into the nearest matrix whose singular values are all about one.

Each step changes all directions of a layer alike, which small transformers learn from in markedly fewer steps than from AdamW.
Method: Jordan and others, "Muon: an optimizer for hidden layers in neural networks", 2024 (five Newton-Schulz iterations).
"""

import torch


def orthogonal(g, steps=5):
    """Newton-Schulz iteration with a quintic whose slope at zero is steep; [n, rows, cols], rows <= cols."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(s, s, s, beta=b, alpha=c), x, beta=a)
    return x


class Muon(torch.optim.Optimizer):
    """`split`: a matrix that holds several side by side (q, k, v) is treated as that many."""

    def __init__(self, groups, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(groups, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, split=1))

    @torch.no_grad()
    def step(self):
        alike = {}  # matrices of one shape are turned together
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(state["momentum"], group["momentum"]).bfloat16()
                parts = ahead.view(group["split"], -1, ahead.shape[1])
                alike.setdefault(tuple(sorted(parts.shape[1:])), []).append((p, group, parts))
        for (low, high), members in alike.items():
            flat = [parts.mT if parts.shape[1] > low else parts for _, _, parts in members]
            turned = torch.split(orthogonal(torch.cat(flat)), [len(f) for f in flat])
            for (p, group, parts), t in zip(members, turned):
                t = t.mT if parts.shape[1] > low else t
                p.mul_(1 - group["lr"] * group["weight_decay"])
                # Scaled so that a step is about as long as AdamW's with the same rate.
                p.add_(t.reshape(p.shape), alpha=-group["lr"] * 0.2 * high ** 0.5)


# The rate of embeddings over that of AdamW's other weights: they are 20 times as large. They don't decay: run C's shrank from 16 to 3 in 3,700
# steps, drowned behind the first layer, and words in capitals, which are read and never said, forgot which word they are.
EMBEDDINGS = 8.0
FASTER = 3.0  # Muon's rate over AdamW's: 3e-3 beside 1e-3 learnt letters in three quarters of the steps of 1e-3 beside 1e-3


def optimizers(net, rate, decay=0.05, vision_share=1.0):
    """Muon for the matrices of layers, AdamW for all else (embeddings, heads, norms, biases). `vision_share` scales the encoder's rate."""
    groups = {}
    for name, p in net.named_parameters():
        matrix, embeds = p.dim() == 2 and ".layers." in f".{name}", "embed" in name and "patch" not in name
        share = vision_share if name.startswith("vision.") else EMBEDDINGS if embeds else 1.0
        split = 3 if matrix and "qkv" in name else 1
        groups.setdefault((matrix, share, split, p.dim() > 1, embeds), []).append(p)
    out = []
    for kind in (True, False):
        chosen = [{"params": ps, "share": share * (FASTER if kind else 1.0), "weight_decay": decay if wide and not embeds else 0.0,
                   **({"split": split} if kind else {})}
                  for (matrix, share, split, wide, embeds), ps in groups.items() if matrix == kind]
        out.append(Muon(chosen, lr=rate) if kind else torch.optim.AdamW(chosen, lr=rate, betas=(0.9, 0.98)))
    return out


def load(optimizers_of, saved):
    """Takes up what optimizers remember of their weights; rates and decay stay ours."""
    for optimizer, was in zip(optimizers_of, saved):
        ours = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        optimizer.load_state_dict(was)
        for group, own in zip(optimizer.param_groups, ours):
            group.update(own)


def set_rate(optimizers_of, rate):
    for optimizer in optimizers_of:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
