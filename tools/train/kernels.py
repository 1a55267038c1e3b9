# SPDX-License-Identifier: GPL-2.0-or-later
"""A transformer layer and the cross-entropy as training needs them, two to three times as fast on a CPU as PyTorch's own.

kernels.c does the element-wise work in bfloat16 and is compiled at first use ($CC or cc); without a compiler, `library()` is None and
model.py computes the same with PyTorch's operations. States are bfloat16, parameters and their gradients float32.
"""

import ctypes
import functools
import os
import pathlib
import subprocess
import tempfile

import torch

_SOURCE = pathlib.Path(__file__).with_name("kernels.c")
_FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC"]


@functools.lru_cache(maxsize=None)
def library():
    """The compiled kernels, or None where they can't be had."""
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder, "kernels.so")
        try:
            subprocess.run([os.environ.get("CC", "cc"), *_FLAGS, str(_SOURCE), "-o", str(made), "-lm"], check=True)
            found = ctypes.CDLL(str(made))
        except (OSError, subprocess.CalledProcessError):
            return None
    found.cross_entropy.restype = ctypes.c_double
    return found


def call(name, *arguments):
    """Calls a kernel: tensors (contiguous, or None) as pointers, whole numbers as int64_t, others as float."""
    given = []
    for a in arguments:
        if a is None:
            given.append(None)
        elif isinstance(a, torch.Tensor):
            assert a.is_contiguous()
            given.append(ctypes.c_void_p(a.data_ptr()))
        else:
            given.append(ctypes.c_int64(a) if isinstance(a, int) else ctypes.c_float(a))
    return getattr(library(), name)(*given)


def columns(g):
    out = torch.empty(g.shape[1])
    call("columns", g, out, g.shape[0], g.shape[1])
    return out


def heads_first(x, b, n, parts, heads):
    """[b*n, parts*heads*hd] to [parts, b*heads, n, hd]."""
    hd = x.shape[1] // (parts * heads)
    return x.view(b, n, parts, heads, hd).permute(2, 0, 3, 1, 4).contiguous().view(parts, b * heads, n, hd)


def heads_last(x, b, heads):
    """[parts, b*heads, n, hd] to [b*n, parts*heads*hd]."""
    parts, _, n, hd = x.shape
    return x.view(parts, b, heads, n, hd).permute(1, 3, 0, 2, 4).reshape(b * n, parts * heads * hd)


class VisionLayer(torch.autograd.Function):
    """x [b*n, d] bfloat16 through model.VisionLayer; the arguments behind `eps` are its parameters in float32."""

    @staticmethod
    def forward(ctx, x, b, heads, eps, w1, b1, wqkv, bqkv, wo, bo, w2, b2, wu, bu, wd, bd):
        rows, d = x.shape
        n, scale = rows // b, (d // heads) ** -0.5
        wqkv, wo, wu, wd = (w.bfloat16() for w in (wqkv, wo, wu, wd))
        h1, how1 = torch.empty_like(x), torch.empty(rows, 2)
        call("norm", x, None, w1, b1, h1, how1, rows, d, eps)
        q, k, v = qkv = heads_first(torch.addmm(bqkv.bfloat16(), h1, wqkv.t()), b, n, 3, heads)
        p = torch.bmm(q, k.transpose(1, 2))
        call("softmax", p, b * heads * n, n, scale)
        mixed = heads_last(torch.bmm(p, v)[None], b, heads)
        x1, h2, how2 = x.clone(), h1.new_empty(h1.shape), torch.empty(rows, 2)
        call("norm", x1, torch.addmm(bo.bfloat16(), mixed, wo.t()), w2, b2, h2, how2, rows, d, eps)
        u = torch.addmm(bu.bfloat16(), h2, wu.t())
        y = torch.empty_like(u)
        call("gelu", u, y, u.numel())
        ctx.save_for_backward(x, h1, how1, qkv, p, mixed, x1, h2, how2, u, y, w1, w2, wqkv, wo, wu, wd)
        ctx.b, ctx.heads = b, heads
        return torch.addmm(bd.bfloat16(), y, wd.t()).add_(x1)

    @staticmethod
    def backward(ctx, g):
        x, h1, how1, (q, k, v), p, mixed, x1, h2, how2, u, y, w1, w2, wqkv, wo, wu, wd = ctx.saved_tensors
        rows, d, b, heads = *x.shape, ctx.b, ctx.heads
        n, scale = rows // b, (d // heads) ** -0.5
        g = g.contiguous()
        dwd, dbd = g.t().mm(y), columns(g)
        du = g.mm(wd)
        call("gelu_back", u, du, du.numel())
        dwu, dbu = du.t().mm(h2), columns(du)
        side, dw2, db2 = g.clone(), torch.zeros(d), torch.zeros(d)
        call("norm_back", du.mm(wu), x1, w2, how2, side, dw2, db2, rows, d)
        dwo, dbo = side.t().mm(mixed), columns(side)
        dmixed = heads_first(side.mm(wo), b, n, 1, heads)[0]
        dqkv = torch.empty(3, *dmixed.shape, dtype=x.dtype)
        torch.bmm(p.transpose(1, 2), dmixed, out=dqkv[2])
        dp = torch.bmm(dmixed, v.transpose(1, 2))
        call("softmax_back", p, dp, b * heads * n, n, scale)
        torch.bmm(dp, k, out=dqkv[0])
        torch.bmm(dp.transpose(1, 2), q, out=dqkv[1])
        dqkv = heads_last(dqkv, b, heads)
        dwqkv, dbqkv = dqkv.t().mm(h1), columns(dqkv)
        dw1, db1 = torch.zeros(d), torch.zeros(d)
        call("norm_back", dqkv.mm(wqkv), x, w1, how1, side, dw1, db1, rows, d)
        return (side, None, None, None, dw1, db1, dwqkv.float(), dbqkv, dwo.float(), dbo, dw2, db2, dwu.float(), dbu, dwd.float(), dbd)


class TextLayer(torch.autograd.Function):
    """x [b*n, d] bfloat16 through model.TextLayer, n a multiple of 16; `cos`, `sin` [n, head] as kernels.c's rope takes them. The
    arguments behind `eps` are its parameters in float32: q, k, v and gate, up put together."""

    @staticmethod
    def forward(ctx, x, b, heads, cos, sin, eps, w1, wqkv, wo, w2, wu, wd):
        rows, d = x.shape
        n, scale = rows // b, (d // heads) ** -0.5
        wqkv, wo, wu, wd = (w.bfloat16() for w in (wqkv, wo, wu, wd))
        h1, how1 = torch.empty_like(x), torch.empty(rows)
        call("rms", x, None, w1, h1, how1, rows, d, eps)
        q, k, v = qkv = heads_first(h1.mm(wqkv.t()), b, n, 3, heads)
        call("rope", qkv, cos, sin, 2 * b * heads, n, d // heads, 1.0)  # q and k
        p = torch.bmm(q, k.transpose(1, 2))
        call("softmax_causal", p, b * heads, n, scale)
        mixed = heads_last(torch.bmm(p, v)[None], b, heads)
        x1, h2, how2 = x.clone(), torch.empty_like(x), torch.empty(rows)
        call("rms", x1, mixed.mm(wo.t()), w2, h2, how2, rows, d, eps)
        u = h2.mm(wu.t())
        y = u.new_empty(rows, u.shape[1] // 2)
        call("swiglu", u, y, rows, y.shape[1])
        ctx.save_for_backward(x, h1, how1, qkv, p, mixed, x1, h2, how2, u, y, w1, w2, wqkv, wo, wu, wd, cos, sin)
        ctx.b, ctx.heads = b, heads
        return y.mm(wd.t()).add_(x1)

    @staticmethod
    def backward(ctx, g):
        x, h1, how1, (q, k, v), p, mixed, x1, h2, how2, u, y, w1, w2, wqkv, wo, wu, wd, cos, sin = ctx.saved_tensors
        rows, d, b, heads = *x.shape, ctx.b, ctx.heads
        n, scale = rows // b, (d // heads) ** -0.5
        g = g.contiguous()
        dwd, du = g.t().mm(y), u.clone()
        call("swiglu_back", du, g.mm(wd), rows, y.shape[1])
        dwu, side, dw2 = du.t().mm(h2), g.clone(), torch.zeros(d)
        call("rms_back", du.mm(wu), x1, w2, how2, side, dw2, rows, d)
        dwo = side.t().mm(mixed)
        dmixed = heads_first(side.mm(wo), b, n, 1, heads)[0]
        dqkv = torch.empty(3, *dmixed.shape, dtype=x.dtype)
        torch.bmm(p.transpose(1, 2), dmixed, out=dqkv[2])
        dp = torch.bmm(dmixed, v.transpose(1, 2))
        call("softmax_back", p, dp, b * heads * n, n, scale)
        torch.bmm(dp, k, out=dqkv[0])
        torch.bmm(dp.transpose(1, 2), q, out=dqkv[1])
        call("rope", dqkv, cos, sin, 2 * b * heads, n, d // heads, -1.0)
        dqkv = heads_last(dqkv, b, heads)
        dwqkv, dw1 = dqkv.t().mm(h1), torch.zeros(d)
        call("rms_back", dqkv.mm(wqkv), x, w1, how1, side, dw1, rows, d)
        return side, None, None, None, None, None, dw1, dwqkv.float(), dwo.float(), dw2, dwu.float(), dwd.float()


class Norm(torch.autograd.Function):
    """Layer norm of rows [.., d] in bfloat16."""

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        rows, d = x.numel() // x.shape[-1], x.shape[-1]
        out, how = torch.empty_like(x), torch.empty(rows, 2)
        call("norm", x, None, weight, bias, out, how, rows, d, eps)
        ctx.save_for_backward(x, weight, how)
        return out

    @staticmethod
    def backward(ctx, g):
        x, weight, how = ctx.saved_tensors
        d = x.shape[-1]
        dx, dw, db = torch.zeros_like(x), torch.zeros(d), torch.zeros(d)
        call("norm_back", g.contiguous(), x, weight, how, dx, dw, db, x.numel() // d, d)
        return dx, dw, db, None


class Loss(torch.autograd.Function):
    """Sum of weight * cross-entropy over the rows of bfloat16 logits [m, classes], which are used up."""

    @staticmethod
    def forward(ctx, logits, wanted, weight):
        grad = logits.detach().clone()
        loss = call("cross_entropy", grad, wanted.contiguous(), weight.contiguous(), *logits.shape)
        ctx.save_for_backward(grad)
        return torch.tensor(loss, dtype=torch.float32)

    @staticmethod
    def backward(ctx, g):
        grad, = ctx.saved_tensors
        return grad if float(g) == 1 else grad * g.to(grad.dtype), None, None
