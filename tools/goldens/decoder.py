"""Small random decoders: transformers models with seeded weights, and their GGUF files. Used by llm.py.

How the weights are chosen. A transformers model as initialised (std 0.02) answers almost uniformly, so a wrong rope or norm
would hardly show. Here every matrix is normal with std gain / sqrt(fan_in), so that activations keep their size through the
layers; queries and keys get a gain that makes attention scores about 1.5 wide (attention looks at a few tokens, not at all
alike); the output makes logits about 2 wide. Norm weights are 1 +- 0.2 and biases 0 +- 0.5, so that leaving one out shows.
Matrices are rounded to f16 before the model runs: the f32 and the f16 file of a case mean the same and share one JSON.
"""
import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T

from dequant import dequantize
from tokens import byte_tokens

N_VOCAB = 288
SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<|vision_start|>', '<|vision_end|>', '<|image_pad|>', '<|video_pad|>']


# ---- models ---------------------------------------------------------------------------------------------------------

class Model:
    """A decoder without head, and a head [n_vocab, d]: the same for all families."""

    def __init__(self, body, head=None):
        self.body, self.head = body.float().eval(), head
        self.body.set_attn_implementation('eager')

    def tied(self):
        return self.head is None

    @torch.no_grad()
    def logprobs(self, x, position, deepstack=None):
        """Rows x [n, d] at positions [axes, n] (axes 1 or 3); deepstack = (mask [n], rows [k, n_masked, d]).
        Log-probabilities [n, n_vocab] (numpy)."""
        args = dict(inputs_embeds=x[None], use_cache=False)
        args['position_ids'] = position[0][None] if len(position) == 1 else position[:, None]
        if deepstack is not None:
            args.update(visual_pos_masks=deepstack[0][None], deepstack_visual_embeds=list(deepstack[1]))
        h = self.body(**args).last_hidden_state[0]
        head = self.body.embed_tokens.weight if self.head is None else self.head
        return torch.log_softmax((h @ head.T).double(), -1).numpy()


def fill(model, rng):
    """Seeded weights, see the head comment. Returns nothing; the head is made too if there is to be one."""
    def normal(shape, std):
        return torch.from_numpy((rng.standard_normal(shape) * std).astype(np.float32))

    gain = {'q_proj': 1.2, 'k_proj': 1.2, 'v_proj': 1.0, 'o_proj': 1.2, 'gate_proj': 1.2, 'up_proj': 1.2, 'down_proj': 1.2}
    d = model.body.config.hidden_size
    with torch.no_grad():
        for name, p in sorted(model.body.named_parameters()):
            part = name.split('.')[-2]
            if name == 'embed_tokens.weight':
                p.copy_(normal(p.shape, 2 / d ** 0.5 if model.tied() else 1.0).half().float())
            elif 'norm' in part:
                p.copy_((1.2 if part in ('q_norm', 'k_norm') else 1.0) * (1 + normal(p.shape, 0.2)))
            elif name.endswith('bias'):
                p.copy_(normal(p.shape, 0.5))
            else:
                p.copy_(normal(p.shape, gain[part] / p.shape[1] ** 0.5).half().float())
        if not model.tied():
            model.head = normal((N_VOCAB, d), 2 / d ** 0.5).half().float()


def quantise(model, rng, kinds):
    """Replaces the matrices by random blocks of the ggml types in `kinds` (GGUF name -> type) with the same spread.
    Returns GGUF name -> blocks; the model gets what they stand for."""
    blocks = {}
    with torch.no_grad():
        for name, p in matrices(model):
            kind = kinds[gguf_name(name)]
            raw, w = random_blocks(rng, kind, p.shape, float(p.std()))
            p.copy_(torch.from_numpy(w))
            blocks[gguf_name(name)] = raw
    return blocks


def matrices(model):
    for name, p in sorted(model.body.named_parameters()):
        if p.ndim == 2:
            yield name, p
    if not model.tied():
        yield 'lm_head.weight', model.head


def random_blocks(rng, kind, shape, std):
    """Random blocks [rows, bytes] of a type, centred on zero and about `std` wide, and their values [rows, cols]."""
    scales = {T.Q4_0: 0, T.Q5_0: 0, T.Q8_0: 0, T.Q3_K: 108, T.Q6_K: 208, T.IQ4_NL: 0, T.IQ4_XS: 0}
    scale_min = {T.Q4_1: (0, 2), T.Q5_1: (0, 2), T.Q2_K: (80, 82), T.Q4_K: (0, 2), T.Q5_K: (0, 2)}
    rows, cols = shape
    if kind in (T.F16, T.BF16):
        raw = gguf.quants.quantize(rng.standard_normal(shape).astype(np.float32) * std, kind)
        return raw.view(np.uint8).reshape(rows, -1), dequantize(raw.view(np.uint8), kind).reshape(shape)
    per_block, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    b = rng.integers(0, 256, (rows * cols // per_block, n_bytes), dtype=np.uint8)
    if kind == T.MXFP4:
        e = int(np.round(np.log2(std / 2))) + 127  # half of the E2M1 values are below 2
        b[:, 0] = rng.integers(e - 1, e + 1, len(b))
    else:
        def put(at, values):
            b[:, at:at + 2] = values.astype(np.float16).reshape(-1, 1).view(np.uint8).reshape(-1, 2)

        def spread(*values):
            """The weights if the scales were these ones."""
            for at, v in zip(fields, values):
                put(at, np.full(len(b), v))
            return dequantize(b, kind)

        fields = scale_min.get(kind) or (scales[kind],)
        jitter = rng.uniform(0.7, 1.3, len(b))
        if len(fields) == 2:
            scale = spread(1, 0)
            minimum = -scale.mean() / spread(0, 1).mean()
            unit = std / spread(1, minimum).std()
            put(fields[0], unit * jitter)
            put(fields[1], unit * minimum * jitter)
        else:
            put(fields[0], std / spread(1).std() * jitter)
    w = dequantize(b, kind).reshape(shape)
    assert 0.7 * std < w.std() < 1.4 * std and abs(w.mean()) < 0.2 * std, (kind.name, w.std() / std, w.mean() / std)
    return b.reshape(rows, -1), w


# ---- GGUF -----------------------------------------------------------------------------------------------------------

def gguf_name(name):
    """model.layers.3.self_attn.q_proj.weight -> blk.3.attn_q.weight"""
    fixed = {'embed_tokens.weight': 'token_embd.weight', 'norm.weight': 'output_norm.weight', 'lm_head.weight': 'output.weight'}
    parts = {'q_proj': 'attn_q', 'k_proj': 'attn_k', 'v_proj': 'attn_v', 'o_proj': 'attn_output', 'q_norm': 'attn_q_norm',
             'k_norm': 'attn_k_norm', 'input_layernorm': 'attn_norm', 'post_attention_layernorm': 'ffn_norm',
             'gate_proj': 'ffn_gate', 'up_proj': 'ffn_up', 'down_proj': 'ffn_down'}
    if name in fixed:
        return fixed[name]
    words = name.split('.')  # layers.N.….part.weight
    return f'blk.{words[1]}.{parts[words[-2]]}.{words[-1]}'


def interleave(w, n_head):
    """Rows of q or k from rotary halves (i, i + d/2), as transformers pairs them, to neighbours (2i, 2i + 1): NORM rope."""
    d = len(w) // n_head
    return np.ascontiguousarray(w.reshape(n_head, 2, d // 2, -1).swapaxes(1, 2)).reshape(w.shape)


def add_tokenizer(w, pre):
    tokens = byte_tokens() + ['Ġt', 'he'] + SPECIAL
    kinds = [gguf.TokenType.NORMAL] * 258 + [gguf.TokenType.CONTROL] * len(SPECIAL)
    while len(tokens) < N_VOCAB:
        tokens.append(f'[PAD{len(tokens)}]')
        kinds.append(gguf.TokenType.UNUSED)
    w.add_tokenizer_model('gpt2')
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges(['Ġ t', 'h e'])
    w.add_bos_token_id(258)
    w.add_eos_token_id(260)
    w.add_add_bos_token(False)


def rope_divisors(rope, d_head):
    """llama3 scaling as a table of divisors of the rotary frequencies, [d_head / 2]."""
    freq = rope['rope_theta'] ** -(np.arange(0, d_head, 2) / d_head)
    wavelength = 2 * np.pi / freq
    n = rope['original_max_position_embeddings']
    low, high, factor = rope['low_freq_factor'], rope['high_freq_factor'], rope['factor']
    smooth = np.clip((n / wavelength - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def write_gguf(path, case, model, kind, blocks=None):
    cfg, arch = model.body.config, case.arch
    rope = cfg.rope_parameters
    d_head = getattr(cfg, 'head_dim', None) or cfg.hidden_size // cfg.num_attention_heads
    w = gguf.GGUFWriter(path, arch)
    w.add_type('model')
    w.add_name(case.name)
    w.add_context_length(cfg.max_position_embeddings)
    w.add_embedding_length(cfg.hidden_size)
    w.add_block_count(cfg.num_hidden_layers)
    w.add_feed_forward_length(cfg.intermediate_size)
    w.add_head_count(cfg.num_attention_heads)
    w.add_head_count_kv(cfg.num_key_value_heads)
    w.add_layer_norm_rms_eps(cfg.rms_norm_eps)
    w.add_rope_freq_base(rope['rope_theta'])
    w.add_vocab_size(cfg.vocab_size)
    if arch == 'llama':
        w.add_rope_dimension_count(d_head)
    if d_head * cfg.num_attention_heads != cfg.hidden_size:
        w.add_key_length(d_head)
        w.add_value_length(d_head)
    if 'mrope_section' in rope:
        w.add_rope_dimension_sections([*rope['mrope_section'], 0])
    if case.n_deepstack:
        w.add_uint32(f'{arch}.n_deepstack_layers', case.n_deepstack)
    if rope['rope_type'] in ('linear', 'yarn'):
        w.add_rope_scaling_type(gguf.RopeScalingType(rope['rope_type']))
        w.add_rope_scaling_factor(rope['factor'])
    if rope['rope_type'] == 'yarn':
        w.add_rope_scaling_orig_ctx_len(rope['original_max_position_embeddings'])
    if getattr(case, 'words', None):
        case.words.write(w)
    else:
        add_tokenizer(w, case.pre)
    if rope['rope_type'] == 'llama3':
        w.add_tensor('rope_freqs.weight', rope_divisors(rope, d_head))

    heads = {'attn_q': cfg.num_attention_heads, 'attn_k': cfg.num_key_value_heads}
    params = dict(model.body.named_parameters())
    if not model.tied():
        params['lm_head.weight'] = model.head
    for name, p in params.items():
        x, to = p.detach().numpy(), gguf_name(name)
        n_head = heads.get(to.split('.')[-2]) if arch == 'llama' else None
        if x.ndim < 2:
            w.add_tensor(to, interleave(x, n_head) if n_head else x)
        elif blocks:
            raw = blocks[to]
            w.add_tensor(to, interleave(raw, n_head) if n_head else raw, raw_dtype=case.kinds[to])
        else:
            x = x.astype(np.float16 if kind == T.F16 else np.float32)
            w.add_tensor(to, interleave(x, n_head) if n_head else x)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
