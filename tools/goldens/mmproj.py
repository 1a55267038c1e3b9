"""The GGUF files of a vision encoder (mmproj), keys and names as llama.cpp's converter writes them. Used by vision.py."""
import gguf
import numpy as np

LAYER = {'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.out_proj': 'attn_out',
         'layer_norm1': 'ln1', 'layer_norm2': 'ln2', 'mlp.fc1': 'ffn_up', 'mlp.fc2': 'ffn_down',
         'attn.qkv': 'attn_qkv', 'attn.proj': 'attn_out', 'norm1': 'ln1', 'norm2': 'ln2', 'mlp.linear_fc1': 'ffn_up',
         'mlp.linear_fc2': 'ffn_down', 'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down',
         'attention.q_proj': 'attn_q', 'attention.k_proj': 'attn_k', 'attention.v_proj': 'attn_v', 'attention.projection_layer': 'attn_out',
         'layernorm_before': 'ln1', 'layernorm_after': 'ln2', 'lambda_1': 'ls1', 'lambda_2': 'ls2'}
FIXED = {'embeddings.patch_embedding': 'v.patch_embd', 'embeddings.position_embedding': 'v.position_embd', 'post_layernorm': 'v.post_ln',
         'modality_projection.proj': 'mm.model.fc',
         'patch_embed.proj': 'v.patch_embd', 'pos_embed': 'v.position_embd', 'merger.norm': 'v.post_ln', 'merger.ln_q': 'v.post_ln',
         'merger.linear_fc1': 'mm.0', 'merger.linear_fc2': 'mm.2', 'merger.mlp.0': 'mm.0', 'merger.mlp.2': 'mm.2',
         'embeddings.patch_embeddings.projection': 'v.patch_embd', 'embeddings.position_embeddings': 'v.position_embd',
         'layer_norm': 'mm.model.mlp.0', 'linear_1': 'mm.model.mlp.1', 'linear_2': 'mm.model.mlp.3'}
WHOLE = {'embeddings.cls_token': 'v.class_embd'}  # without .weight
DEEPSTACK = {'norm': 'norm', 'linear_fc1': 'fc1', 'linear_fc2': 'fc2'}


def gguf_name(name, deepstack):
    """blocks.1.attn.qkv.bias -> v.blk.1.attn_qkv.bias"""
    if name in WHOLE:
        return WHOLE[name]
    words = name.split('.')
    part, kind = '.'.join(words[:-1]), words[-1]
    if words[0] in ('blocks', 'layers', 'layer'):
        return f'v.blk.{words[1]}.{LAYER[".".join(words[2:-1])]}.{kind}'
    if words[0] == 'deepstack_merger_list':
        return f'v.deepstack.{deepstack[int(words[1])]}.{DEEPSTACK[words[2]]}.{kind}'
    return f'{FIXED[part]}.{kind}'


def tensors(params, deepstack, split_qkv):
    """Parameters by transformers' names without their prefix -> (GGUF name, array). Qwen's convolution over two frames becomes
    two over one frame; Qwen2's joint q, k, v become three matrices."""
    for name, x in params:
        to = gguf_name(name, deepstack)
        if x.ndim == 5:
            yield to, np.ascontiguousarray(x[:, :, 0])
            yield to + '.1', np.ascontiguousarray(x[:, :, 1])
        elif split_qkv and '.attn_qkv.' in to:
            for part, third in zip('qkv', np.split(x, 3)):
                yield to.replace('attn_qkv', f'attn_{part}'), np.ascontiguousarray(third)
        else:
            yield to, x


def write(path, name, params, kind, add_keys, deepstack=(), split_qkv=False, f32=()):
    """`kind` is the type of matrices (np.float16 or np.float32); names that hold a word of `f32` and vectors stay f32."""
    w = gguf.GGUFWriter(path, 'clip')
    w.add_type('mmproj')
    w.add_name(name)
    w.add_file_type(1 if kind == np.float16 else 0)
    w.add_clip_has_vision_encoder(True)
    add_keys(w)
    for to, x in tensors(params, deepstack, split_qkv):
        w.add_tensor(to, x.astype(np.float32 if x.ndim == 1 or any(f in to for f in f32) else kind))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
