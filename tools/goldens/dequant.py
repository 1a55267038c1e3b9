"""Write tests/golden/dequant.bin: quantised blocks and the floats that they stand for.

usage: dequant.py OUT            needs: numpy, gguf

Two cases per type. "random": random bytes with scales forced into a sane range, so that every bit field of
the block takes every value. "data": normally distributed numbers quantised by the `gguf` package, for the
types that it can quantise. The expected floats are `gguf.quants.dequantize`'s. Layout: tests/golden/README.md.
"""
import struct
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

SEED = 20
VALUES = 2048  # weights per case: a whole number of blocks of every type

# (type, offsets of the f16 scales in a block)
TYPES = [
    (T.F16, None), (T.BF16, None),
    (T.Q4_0, [0]), (T.Q4_1, [0, 2]), (T.Q5_0, [0]), (T.Q5_1, [0, 2]), (T.Q8_0, [0]),
    (T.Q2_K, [80, 82]), (T.Q3_K, [108]), (T.Q4_K, [0, 2]), (T.Q5_K, [0, 2]), (T.Q6_K, [208]),
    (T.IQ4_NL, [0]), (T.IQ4_XS, [0]), (T.MXFP4, None),
]


def random_halves(rng, n):
    """n f16 scales of both signs in 2^-10..2^-1; the first three are a zero, a subnormal and a large one."""
    x = (2.0 ** rng.uniform(-10, -1, n) * rng.choice([-1, 1], n)).astype(np.float16)
    x[:3] = np.array([0, 5e-7, -40], np.float16)[:min(n, 3)]
    return x


def random_blocks(rng, kind, scales):
    if kind in (T.F16, T.BF16):
        return special_halves(rng, kind)
    per_block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    n = VALUES // per_block
    b = rng.integers(0, 256, (n, block_bytes), dtype=np.uint8)
    for k, at in enumerate(scales or []):
        # a different rotation for each field, so that the zero scale does not meet the zero minimum
        b[:, at:at + 2] = np.roll(random_halves(rng, n), k).view(np.uint8).reshape(n, 2)
    if kind == T.MXFP4:
        b[:, 0] = rng.integers(110, 140, n)
        b[:4, 0] = [0, 1, 2, 250]  # the subnormal scales and a huge one
    return b


def special_halves(rng, kind):
    """Every exponent of the format, both signs, zero and subnormals; no infinities or NaNs."""
    bits = rng.integers(0, 1 << 16, VALUES).astype(np.uint16)
    bits[:4] = [0, 0x8000, 1, 0x8001]
    exponent = 0x7c00 if kind == T.F16 else 0x7f80
    bits[(bits & exponent) == exponent] ^= 0x4000
    return bits.view(np.uint8)


def dequantize(raw, kind):
    if kind == T.F16:
        return raw.reshape(-1).view(np.float16).astype(np.float32)
    return gguf.quants.dequantize(raw, kind).astype(np.float32).reshape(-1)


def quantise(rng, kind):
    x = rng.standard_normal((VALUES // 256, 256)).astype(np.float32)
    if kind == T.F16:
        return x.astype(np.float16).view(np.uint8)
    try:
        return gguf.quants.quantize(x, kind)
    except NotImplementedError:
        return None


def main():
    rng = np.random.default_rng(SEED)
    cases = []
    for kind, scales in TYPES:
        for what, raw in ((0, random_blocks(rng, kind, scales)), (1, quantise(rng, kind))):
            if raw is None:
                continue
            want = dequantize(raw, kind)
            assert want.size == VALUES and np.isfinite(want).all(), (kind, what)
            cases.append((kind, what, np.ascontiguousarray(raw).tobytes(), want.astype('<f4').tobytes()))
    with open(sys.argv[1], 'wb') as f:
        f.write(b'PRDQ' + struct.pack('<II', 1, len(cases)))
        for kind, what, raw, want in cases:
            f.write(struct.pack('<IIII', kind, what, len(raw), len(want) // 4))
            f.write(raw + b'\0' * (-len(raw) % 4) + want)
    print(sys.argv[1], len(cases), 'cases:', ' '.join(f'{k.name}/{"random data".split()[w]}' for k, w, _, _ in cases))


if __name__ == '__main__':
    main()
