# SPDX-License-Identifier: GPL-2.0-or-later
"""The embedded model: a SigLIP-like encoder with pixel shuffle (idefics3) and a llama decoder, exactly as GGUF programs run them.

The encoder's layers run through kernels.py where a C compiler is at hand; else products run in bfloat16 by the caller's autocast,
and attention is written with plain products, which train a quarter faster on a CPU than the fused operation.
"""

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn

from train import kernels


@dataclasses.dataclass
class VisionShape:
    image: int = 256
    patch: int = 16
    width: int = 256
    layers: int = 8
    heads: int = 4
    feed: int = 1024
    shuffle: int = 2  # side of the squares of patches that become one token
    eps: float = 1e-6

    @property
    def grid(self):
        return self.image // self.patch

    @property
    def tokens(self):
        return (self.grid // self.shuffle) ** 2


@dataclasses.dataclass
class TextShape:
    vocab: int = 1024
    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 4
    feed: int = 704
    context: int = 2048  # programs fill three quarters of it at the most
    rope_base: float = 1e6  # the slow half of a head's pairs hardly turns within a prompt: what matches what doesn't depend on how far it is
    eps: float = 1e-5


class VisionLayer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.heads = s.heads
        self.ln1, self.ln2 = nn.LayerNorm(s.width, s.eps), nn.LayerNorm(s.width, s.eps)
        self.qkv, self.out = nn.Linear(s.width, 3 * s.width), nn.Linear(s.width, s.width)
        self.up, self.down = nn.Linear(s.width, s.feed), nn.Linear(s.feed, s.width)

    def forward(self, x):  # [b, n, width]
        b, n, d = x.shape
        if x.dtype == torch.bfloat16 and kernels.library():
            own = [p for part in (self.ln1, self.qkv, self.out, self.ln2, self.up, self.down) for p in (part.weight, part.bias)]
            return kernels.VisionLayer.apply(x.reshape(b * n, d), b, self.heads, self.ln1.eps, *own).view(b, n, d)
        hd = d // self.heads
        q, k, v = self.qkv(self.ln1(x)).view(b, n, 3, self.heads, hd).permute(2, 0, 3, 1, 4).reshape(3, b * self.heads, n, hd)
        mixed = torch.bmm(torch.softmax(torch.bmm(q * hd ** -0.5, k.transpose(1, 2)), -1).to(v.dtype), v)
        x = x + self.out(mixed.view(b, self.heads, n, hd).transpose(1, 2).reshape(b, n, d))
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


def plane_waves(grid, width):
    """Sines and cosines over both axes, [grid*grid, width]: where the learnt position table starts. Quick waves come first."""
    waves = 1.6 * torch.exp(-math.log(50.0) * torch.arange(width // 4) / (width // 4))
    angle = torch.arange(grid)[:, None] * waves
    axis = torch.cat([angle.sin(), angle.cos()], 1)  # [grid, width/2]
    rows, cols = axis[:, None].expand(grid, grid, -1), axis[None].expand(grid, grid, -1)
    return 0.4 * torch.cat([rows, cols], 2).reshape(grid * grid, width)


# Where heads look at first, in rows and columns: at all neighbours while letters are found, then along the line for words.
BESIDE = ((0, -1), (0, 1), (1, 0)), ((0, -1), (0, 1), (0, -2), (0, 2))


@torch.no_grad()
def look_beside(layer, head, rows, cols, width, strength=5.0):
    """Makes a head of a fresh layer look at the patch so many rows and columns away: its queries are positions turned by that much.
    Letters lie across patches; finding that out by itself takes attention longer than learning the letters."""
    hd, quarter = width // layer.heads, width // 4
    waves = 1.6 * torch.exp(-math.log(50.0) * torch.arange(quarter) / quarter)
    query, key = layer.qkv.weight[head * hd:(head + 1) * hd], layer.qkv.weight[width + head * hd:width + (head + 1) * hd]
    query *= 0.3
    key *= 0.3
    for axis, move in ((0, rows), (1, cols)):
        for i in range(hd // 4):
            sine, cosine, row = axis * 2 * quarter + i, axis * 2 * quarter + quarter + i, axis * hd // 2 + 2 * i
            c, s = math.cos(float(waves[i]) * move), math.sin(float(waves[i]) * move)
            key[row, sine] += strength
            key[row + 1, cosine] += strength
            query[row, sine] += strength * c  # sin(a + wm) = sin a cos wm + cos a sin wm
            query[row, cosine] += strength * s
            query[row + 1, cosine] += strength * c
            query[row + 1, sine] -= strength * s


class Vision(nn.Module):
    """Pictures [b, 3, image, image] in -1..1 to patches [b, grid*grid, width] behind the last norm."""

    def __init__(self, s):
        super().__init__()
        self.shape = s
        self.patch = nn.Conv2d(3, s.width, s.patch, s.patch)
        self.position = nn.Parameter(plane_waves(s.grid, s.width))
        self.layers = nn.ModuleList(VisionLayer(s) for _ in range(s.layers))
        self.norm = nn.LayerNorm(s.width, s.eps)
        for layer in self.layers:
            for linear in (layer.out, layer.down):
                nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * s.layers))
            for linear in (layer.qkv, layer.up):
                nn.init.normal_(linear.weight, std=s.width ** -0.5 * 0.7)
        for i, layer in enumerate(self.layers[:-1]):
            for head, (rows, cols) in enumerate(BESIDE[0 if i < 4 else 1]):
                look_beside(layer, head, rows if i % 2 else -rows, cols, s.width)

    def forward(self, pictures, middle=None, corner=(0, 0), quick=False):
        """Also returns the states behind the layers that `middle` lists, if it is given. Pictures may be [b, high, wide, 3] in bytes, and smaller: windows of the whole one whose
        first patch lies at row and column `corner`. `quick`: states in bfloat16, by kernels.py where it can be had."""
        s = self.shape
        # The convolution as a product of cut-out patches: the same numbers, faster to train.
        if pictures.dtype == torch.uint8:
            b, rows, cols = len(pictures), pictures.shape[1] // s.patch, pictures.shape[2] // s.patch
            cut = pictures.view(b, rows, s.patch, cols, s.patch, 3).permute(0, 1, 3, 5, 2, 4).reshape(b, rows * cols, -1)
            cut = cut.to(torch.bfloat16 if quick else torch.float32).sub_(127.5).div_(127.5)
        else:
            b, rows, cols = len(pictures), pictures.shape[2] // s.patch, pictures.shape[3] // s.patch
            cut = pictures.view(b, 3, rows, s.patch, cols, s.patch).permute(0, 2, 4, 1, 3, 5).reshape(b, rows * cols, -1)
        position = self.position.view(s.grid, s.grid, -1)[corner[0]:corner[0] + rows, corner[1]:corner[1] + cols].reshape(rows * cols, -1)
        kernel = self.patch.weight.view(s.width, -1)
        if quick:
            x = F.linear(cut.bfloat16(), kernel.bfloat16(), self.patch.bias.bfloat16()) + position.bfloat16()
        else:
            x = F.linear(cut, kernel, self.patch.bias) + position
        seen = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if middle and i + 1 in middle:
                seen.append(x)
        x = norm(self.norm, x)
        return (x, *seen) if middle else x


def norm(layer, x):
    """A LayerNorm, by kernels.py if x is bfloat16."""
    return kernels.Norm.apply(x, layer.weight, layer.bias, layer.eps) if x.dtype == torch.bfloat16 and kernels.library() else layer(x)


def pixel_shuffle(x, grid, s):
    """[b, grid*grid, d] to [b, (grid/s)^2, s*s*d]: a token is the patches of an s x s square, row by row."""
    b, _, d = x.shape
    return x.view(b, grid // s, s, grid // s, s, d).permute(0, 1, 3, 2, 4, 5).reshape(b, (grid // s) ** 2, s * s * d)


class Connector(nn.Module):
    def __init__(self, v, t):
        super().__init__()
        self.grid, self.s = v.grid, v.shuffle
        self.fc = nn.Linear(v.width * v.shuffle ** 2, t.width, bias=False)

    def forward(self, x):
        return self.of(x, self.grid)

    def of(self, x, grid):
        """The same of a window of grid x grid patches."""
        return self.fc(pixel_shuffle(x, grid, self.s))


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rope_table(s, positions):
    """[n] to cosines and sines [n, head/2]."""
    head = s.width // s.heads
    angle = positions[:, None].float() * s.rope_base ** (-torch.arange(0, head, 2).float() / head)
    return angle.cos(), angle.sin()


def rope(x, cos, sin):
    """Turns neighbours (2i, 2i+1) of [b, h, n, head], as the llama architecture stores them."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


class TextLayer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        head = s.width // s.heads
        self.attn_norm, self.ffn_norm = RMSNorm(s.width, s.eps), RMSNorm(s.width, s.eps)
        self.q = nn.Linear(s.width, s.heads * head, bias=False)
        self.k = nn.Linear(s.width, s.kv_heads * head, bias=False)
        self.v = nn.Linear(s.width, s.kv_heads * head, bias=False)
        self.out = nn.Linear(s.heads * head, s.width, bias=False)
        self.gate, self.up = nn.Linear(s.width, s.feed, bias=False), nn.Linear(s.width, s.feed, bias=False)
        self.down = nn.Linear(s.feed, s.width, bias=False)

    def quick(self, x, cos, sin):
        """The same over bfloat16 rows [b, n, width] from their beginning, n a multiple of 16, for training."""
        b, n, d = x.shape
        own = (self.attn_norm.weight, torch.cat([self.q.weight, self.k.weight, self.v.weight]), self.out.weight, self.ffn_norm.weight,
               torch.cat([self.gate.weight, self.up.weight]), self.down.weight)
        return kernels.TextLayer.apply(x.reshape(b * n, d), b, self.s.heads, cos, sin, self.s.eps, *own).view(b, n, d)

    def forward(self, x, cos, sin, mask, cache=None):
        """`mask` [n, n_keys] is added to the scores; `cache` is (keys, values) so far. Returns x and the new cache."""
        s, (b, n, d) = self.s, x.shape
        head = d // s.heads
        h = self.attn_norm(x)
        q = rope(self.q(h).view(b, n, s.heads, head).transpose(1, 2), cos, sin)
        k = rope(self.k(h).view(b, n, s.kv_heads, head).transpose(1, 2), cos, sin)
        v = self.v(h).view(b, n, s.kv_heads, head).transpose(1, 2)
        k = k.to(v.dtype)
        if cache is not None:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        kept = (k, v)
        if s.kv_heads != s.heads:
            k, v = (t.repeat_interleave(s.heads // s.kv_heads, 1) for t in (k, v))
        scores = torch.matmul(q * head ** -0.5, k.transpose(-1, -2)) + mask.to(v.dtype)
        mixed = torch.matmul(torch.softmax(scores, -1).to(v.dtype), v)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, s.heads * head))
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h)), kept


class Text(nn.Module):
    """The decoder over rows [b, n, width], which are embeddings of tokens or of pictures."""

    def __init__(self, s):
        super().__init__()
        self.shape = s
        self.embed = nn.Embedding(s.vocab, s.width)  # the output head, too
        self.layers = nn.ModuleList(TextLayer(s) for _ in range(s.layers))
        self.norm = RMSNorm(s.width, s.eps)
        # As long as what layers add to them: embeddings of 0.04 were drowned (lengths of 1.4 under 190 behind the first layer), and no head
        # could copy what it looked at.
        nn.init.normal_(self.embed.weight, std=1.0)
        nn.init.constant_(self.embed.weight[:, 0], CONSTANT)
        nn.init.constant_(self.norm.weight, 0.1)
        for layer in self.layers:
            for linear in (layer.out, layer.down):
                nn.init.normal_(linear.weight, std=0.03 / math.sqrt(2 * s.layers))
        for i, layer in enumerate(self.layers[:3]):
            for head in range(s.heads):
                if i == 0 and head < 2:
                    look_before(layer, head, 1 + head)
                elif i != HEADING or head >= HEADED:
                    look_alike(layer, head)
        for layer in self.layers[:-1]:
            if s.kv_heads == s.heads:
                copy_through(layer)

    def forward(self, rows, caches=None, before=None):
        """States behind the last norm [b, n, width] and the caches of keys and values. `before` gets what goes into the layers that are its
        keys."""
        old = 0 if caches is None else caches[0][0].shape[2]
        n = rows.shape[1]
        if rows.dtype == torch.bfloat16 and caches is None and kernels.library() and self.shape.kv_heads == self.shape.heads:
            x = F.pad(rows, (0, 0, 0, -n % 16))
            cos, sin = rope_table(self.shape, torch.arange(x.shape[1]))
            cos, sin = torch.stack([cos, cos], -1).flatten(1), torch.stack([-sin, sin], -1).flatten(1)
            for i, layer in enumerate(self.layers):
                if before and i in before:
                    before[i] = x
                x = layer.quick(x, cos, sin)
            return self.norm(x[:, :n]), []
        cos, sin = rope_table(self.shape, torch.arange(old, old + n))
        mask = torch.full((n, old + n), float("-inf")).triu(old + 1)
        kept = []
        for i, layer in enumerate(self.layers):
            if before and i in before:
                before[i] = rows
            rows, cache = layer(rows, cos, sin, mask, None if caches is None else caches[i])
            kept.append(cache)
        return self.norm(rows), kept

    def logits(self, states):
        return F.linear(states, self.embed.weight)


# The layer of which so many heads are to look from what is asked for at what the question names, or the other way (answer.sources). One hands on 64
# of 256 numbers of it, too little to tell a word by: run C at 5,760 looked at the right place for 62 % of signs among several shots, and read 26 %.
LINK, LINKED = 2, 3
HEADING, HEADED = 1, 3  # the layer of which so many heads are to look at the heading that a token stands under (answer.headings)
CONSTANT = 4.0  # first number of every token's embedding: heads that look for a place, not for a thing, go by it


@torch.no_grad()
def look_before(layer, head, offset, strength=1.8):
    """Makes a head of a fresh first layer look at the token `offset` before."""
    s = layer.s
    hd = s.width // s.heads
    q, k = layer.q.weight[head * hd:(head + 1) * hd], layer.k.weight[head * hd:(head + 1) * hd]
    q *= 0.1
    k *= 0.1
    for i in range(10):
        angle = offset * s.rope_base ** (-2 * i / hd)
        k[2 * i, 0] = strength
        q[2 * i, 0], q[2 * i + 1, 0] = strength * math.cos(angle), -strength * math.sin(angle)


@torch.no_grad()
def look_alike(layer, head, strength=1.1):
    """Makes a head of a fresh layer look at tokens that are like its own, wherever they are."""
    s = layer.s
    hd = s.width // s.heads
    q, k = layer.q.weight[head * hd:(head + 1) * hd], layer.k.weight[head * hd:(head + 1) * hd]
    alike = torch.linalg.qr(torch.randn(s.width, hd // 2))[0].T * strength
    for own in (q, k):
        own *= 0.3
        own[hd // 2:] = alike
        own[:, 0] *= 0.3


@torch.no_grad()
def copy_through(layer, gain=0.5):
    """Makes a fresh layer's heads hand on together what they look at, as it is."""
    turned = torch.linalg.qr(torch.randn(layer.s.width, layer.s.width))[0]
    layer.v.weight.copy_(gain * turned)
    layer.out.weight.copy_(gain * turned.T)


def parameters(module):
    return sum(p.numel() for p in module.parameters())
