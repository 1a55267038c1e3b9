"""Write a llama-architecture GGUF with random weights in any format: for speed, and for how much rounding costs.

usage: random_model.py OUT [--layers N --width D --heads H --kv K --ffn F --vocab V --untied --seed S] --type TYPE
needs: numpy, gguf; for K-quants and IQ4_*: ggml's quantisers (PAGEREEL_PEER, see README.md)

TYPE is a format (f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4), or a mix as model files
have it: q4_k_m (Q4_K with Q6_K for the output and half of the value and down matrices). Norms stay f32. The default shape is
SmolLM2-135M's (30 layers, 576 wide); for formats with blocks of 256, the same 768 wide. The tokenizer knows bytes only.
"""
import argparse
import os
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

import llama_cpp

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../goldens'))
from tokens import byte_tokens  # noqa: E402

# Spread of a matrix = gain / sqrt(columns): activations keep their size through the layers (tools/goldens/decoder.py).
GAIN = dict(attn_q=1.2, attn_k=1.2, attn_v=1.0, attn_output=1.2, ffn_gate=1.2, ffn_up=1.2, ffn_down=1.2)


def more_bits(layer, n_layer):
    """The layers whose value and down matrices get Q6_K in a Q4_K_M file: the first and last eighth and every third between."""
    return layer < n_layer // 8 or layer >= 7 * n_layer // 8 or (layer - n_layer // 8) % 3 == 2


def kind_of(kind, part, layer, n_layer):
    if kind != 'q4_k_m':
        return T[kind.upper()]
    if part in ('token_embd', 'output') or part in ('attn_v', 'ffn_down') and more_bits(layer, n_layer):
        return T.Q6_K
    return T.Q4_K


def shape_of(kind):
    blocks_of_256 = kind == 'q4_k_m' or gguf.GGML_QUANT_SIZES[T[kind.upper()]][0] == 256
    return dict(width=768, heads=12, kv=4, ffn=2048) if blocks_of_256 else dict(width=576, heads=9, kv=3, ffn=1536)


def encode(x, kind):
    if kind == T.F32:
        return x
    if kind == T.F16:
        return x.astype(np.float16)
    per_block, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    try:
        return gguf.quants.quantize(x, kind)
    except NotImplementedError:
        return llama_cpp.quantize(x, kind, x.shape[1] // per_block * n_bytes)


def decode(raw, kind):
    if kind in (T.F32, T.F16):
        return raw.astype(np.float32)
    return gguf.quants.dequantize(raw, kind).astype(np.float32)


def write(path, kind, width, heads, kv, ffn, layers=30, vocab=49152, tied=True, seed=0, exact=False):
    """exact: the weights that the format stands for, as f32."""
    rng = np.random.default_rng(seed)
    d_head = width // heads
    w = gguf.GGUFWriter(path, 'llama')
    w.add_type('model')
    w.add_name(f'random {kind}')
    w.add_context_length(8192)
    w.add_embedding_length(width)
    w.add_block_count(layers)
    w.add_feed_forward_length(ffn)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(100000.0)
    w.add_rope_dimension_count(d_head)
    w.add_vocab_size(vocab)
    w.add_tokenizer_model('gpt2')
    w.add_tokenizer_pre('smollm')
    w.add_token_list(byte_tokens() + ['Ġt', 'he', '<|endoftext|>', '<|im_start|>', '<|im_end|>'] + [f'<|u{i}|>' for i in range(vocab - 261)])
    w.add_token_types([1] * 258 + [3] * 3 + [5] * (vocab - 261))
    w.add_token_merges(['Ġ t', 'h e'])
    w.add_bos_token_id(258)
    w.add_eos_token_id(260)
    w.add_add_bos_token(False)

    def matrix(name, rows, cols, std, layer=0):
        k = kind_of(kind, name.split('.')[-2], layer, layers)
        x = rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(std)
        if exact:
            w.add_tensor(name, decode(encode(x, k), k))
        else:
            w.add_tensor(name, encode(x, k), raw_dtype=k)

    def norm(name):
        w.add_tensor(name, (1 + 0.2 * rng.standard_normal(width)).astype(np.float32))

    matrix('token_embd.weight', vocab, width, 2 * width ** -0.5 if tied else 1.0)
    for i in range(layers):
        norm(f'blk.{i}.attn_norm.weight')
        norm(f'blk.{i}.ffn_norm.weight')
        for part, rows, cols in (('attn_q', width, width), ('attn_k', kv * d_head, width), ('attn_v', kv * d_head, width),
                                 ('attn_output', width, width), ('ffn_gate', ffn, width), ('ffn_up', ffn, width), ('ffn_down', width, ffn)):
            matrix(f'blk.{i}.{part}.weight', rows, cols, GAIN[part] * cols ** -0.5, i)
    norm('output_norm.weight')
    if not tied:
        matrix('output.weight', vocab, width, 2 * width ** -0.5)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument('out')
    p.add_argument('--type', default='q8_0', dest='kind')
    for name, default in dict(layers=30, width=None, heads=None, kv=None, ffn=None, vocab=49152, seed=0).items():
        p.add_argument('--' + name, type=int, default=default)
    p.add_argument('--untied', action='store_true')
    a = {k: v for k, v in vars(p.parse_args()).items() if v is not None}
    path, tied = a.pop('out'), not a.pop('untied')
    write(path, tied=tied, **{**shape_of(a['kind']), **a})
    print(path, f'{os.path.getsize(path) / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
