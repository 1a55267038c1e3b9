"""Write vision encoders (mmproj files) with random weights in the shapes of real ones: for speed.

usage: random_mmproj.py OUT --shape SHAPE [--type f16|q8_0|f32|bf16] [--layers N]
needs: numpy, gguf

SHAPE is siglip-512 (SmolVLM2-256M's: SigLIP-base at 512 x 512, 64 visual tokens of 576 values) or qwen3vl-2b (Qwen3-VL-2B's:
24 layers of 1024, DeepStack behind layers 5, 11 and 17, rows of 4 x 2048 values). As in real files, the patch convolution, norms,
biases and tables stay f16 or f32 when matrices are q8_0. A text model of that width: random_model.py --width.
"""
import argparse
import os

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

SHAPES = {
    'siglip-512': dict(projector='idefics3', layers=12, width=768, ffn=3072, heads=12, image=512, patch=16, merge=4, out=576, eps=1e-6),
    'qwen3vl-2b': dict(projector='qwen3vl_merger', layers=24, width=1024, ffn=4096, heads=16, image=768, patch=16, merge=2, out=2048, eps=1e-6,
                       deepstack=[5, 11, 17], positions=2304),
}


def write(path, kind, projector, layers, width, ffn, heads, image, patch, merge, out, eps, deepstack=(), positions=0, seed=0):
    rng = np.random.default_rng(seed)
    w = gguf.GGUFWriter(path, 'clip')
    qwen = projector != 'idefics3'
    w.add_type('mmproj')
    w.add_name(f'random {projector} {kind.name}')
    w.add_bool('clip.has_vision_encoder', True)
    w.add_string('clip.projector_type', projector)
    w.add_bool('clip.use_gelu', True)
    for key, value in dict(image_size=image, patch_size=patch, embedding_length=width, feed_forward_length=ffn, block_count=layers,
                           projection_dim=out).items():
        w.add_uint32(f'clip.vision.{key}', value)
    w.add_uint32('clip.vision.attention.head_count', heads)
    w.add_float32('clip.vision.attention.layer_norm_epsilon', eps)
    w.add_array('clip.vision.image_mean', [0.5] * 3)
    w.add_array('clip.vision.image_std', [0.5] * 3)
    if qwen:
        w.add_uint32('clip.vision.spatial_merge_size', merge)
        w.add_array('clip.vision.is_deepstack_layers', [i in deepstack for i in range(layers)])
    else:
        w.add_uint32('clip.vision.projector.scale_factor', merge)
        w.add_uint32('clip.vision.preproc_image_size', 4 * image)

    def tensor(name, shape, std, kind):
        x = rng.standard_normal(shape, dtype=np.float32) * np.float32(std)
        if kind == T.F32:
            w.add_tensor(name, x)
        elif kind == T.F16:
            w.add_tensor(name, x.astype(np.float16))
        else:
            w.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)

    def linear(name, rows, cols, gain=1.0):
        tensor(name + '.weight', (rows, cols), gain * cols ** -0.5, kind)
        tensor(name + '.bias', (rows,), 0.02, T.F32)

    def norm(name, n):
        w.add_tensor(name + '.weight', (1 + 0.1 * rng.standard_normal(n)).astype(np.float32))
        tensor(name + '.bias', (n,), 0.02, T.F32)

    table = T.F32 if kind == T.F32 else T.F16
    for part in ('', '.1') if qwen else ('',):
        tensor('v.patch_embd.weight' + part, (width, 3, patch, patch), (3 * patch * patch) ** -0.5, table)
    tensor('v.patch_embd.bias', (width,), 0.02, T.F32)
    tensor('v.position_embd.weight', (positions or (image // patch) ** 2, width), 0.2, T.F32)
    for i in range(layers):
        blk = f'v.blk.{i}.'
        norm(blk + 'ln1', width)
        norm(blk + 'ln2', width)
        if qwen:
            linear(blk + 'attn_qkv', 3 * width, width)
        else:
            for part in 'qkv':
                linear(f'{blk}attn_{part}', width, width)
        linear(blk + 'attn_out', width, width, 0.3)
        linear(blk + 'ffn_up', ffn, width)
        linear(blk + 'ffn_down', width, ffn, 0.3)
    norm('v.post_ln', width)
    merged = merge * merge * width
    if not qwen:
        tensor('mm.model.fc.weight', (out, merged), merged ** -0.5, kind)
    else:
        linear('mm.0', merged, merged)
        linear('mm.2', out, merged)
    for i in deepstack:
        norm(f'v.deepstack.{i}.norm', merged)
        linear(f'v.deepstack.{i}.fc1', merged, merged)
        linear(f'v.deepstack.{i}.fc2', out, merged)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument('out')
    p.add_argument('--shape', choices=SHAPES, required=True)
    p.add_argument('--type', default='f16', choices=['f32', 'f16', 'bf16', 'q8_0'], dest='kind')
    p.add_argument('--layers', type=int, help='fewer, to be quicker')
    a = p.parse_args()
    shape = dict(SHAPES[a.shape])
    if a.layers:
        shape['layers'] = a.layers
        shape['deepstack'] = [i for i in shape.get('deepstack', []) if i < a.layers]
    write(a.out, T[a.kind.upper()], **shape)
    print(a.out, f'{os.path.getsize(a.out) / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
