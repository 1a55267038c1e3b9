"""Small random language models as GGUF files, and what Hugging Face transformers says that they answer.

usage: llm.py OUT_FOLDER [--all-f32] [--only NAME]
needs: numpy, torch, transformers, gguf (tools/goldens/README.md)

For each case a transformers model is filled with seeded random weights, written as GGUF here (names and keys as llama.cpp's
converter writes them), and run greedily for 16 steps. The JSON beside the GGUF holds the input and, for each step, the id
chosen and the 20 best (id, log-probability). tests/golden/README.md describes the files.

How the weights are chosen: decoder.py. A seed is rejected until the best two tokens of every step are at least 0.08 apart in
log-probability (the greedy path must not hang on rounding: twice what the loosest backend may be off) and the 16 steps
bring at least 6 different tokens. The first seed that passes is kept.

Each case also names what a wrong implementation could forget ("blunders"). The script runs the model with each blunder over
the same tokens, demands that some log-probability of the top 20 moves by at least 0.1, and prints by how much.
"""
import argparse
import copy
import json
import os

import numpy as np
import torch
import transformers as hf
from gguf import GGMLQuantizationType as T

from decoder import N_VOCAB, Model, fill, interleave, matrices, gguf_name, quantise, write_gguf

STEPS, TOP, MIN_GAP, MIN_DISTINCT, MIN_BLUNDER = 16, 20, 0.08, 6, 0.1


# ---- inputs ---------------------------------------------------------------------------------------------------------

def ids(rng, n):
    return {'ids': rng.integers(0, 256, n).tolist()}


def picture(rows, cols):
    """A still: every token t = 0, h = row, w = column; what follows starts behind the larger side."""
    return {'rows': rows * cols, 'position': [[0, r, c] for r in range(rows) for c in range(cols)], 'advance': max(rows, cols)}


def video(frames, step, rows, cols):
    """Qwen2.5-VL: frames of one video, `step` positions apart."""
    position = [[t * step, r, c] for t in range(frames) for r in range(rows) for c in range(cols)]
    return {'rows': len(position), 'position': position, 'advance': max(map(max, position)) + 1}


def one_picture(rng):
    return [ids(rng, 6), {'ids': [261]}, picture(3, 4), {'ids': [262]}, ids(rng, 9)]


def two_pictures(rng):
    return [ids(rng, 5), {'ids': [261]}, picture(2, 5), {'ids': [262]}, ids(rng, 3), {'ids': [261]}, picture(3, 2), {'ids': [262]},
            ids(rng, 8)]


def one_video(rng):
    return [ids(rng, 7), {'ids': [261]}, video(3, 4, 2, 3), {'ids': [262]}, ids(rng, 9)]


def text(rng):
    return [ids(rng, 40)]


class Input:
    """A list of pieces as tensors that grow by one token a step."""

    def __init__(self, pieces, rows, axes, n_deepstack):
        self.pieces, self.rows, self.axes, self.n_deepstack = pieces, rows, axes, n_deepstack

    def tensors(self, model, extra):
        """Rows [n, d], positions [axes, n], deepstack or None."""
        d = model.body.config.hidden_size
        embed = model.body.embed_tokens.weight
        x, position, mask, deep = [], [], [], []
        at = used = 0
        for p in self.pieces + ([{'ids': extra}] if extra else []):
            if 'ids' in p:
                n = len(p['ids'])
                x.append(embed[p['ids']])
                position += [[at + i] * 3 for i in range(n)]
                at += n
            else:
                n = p['rows']
                chunk = self.rows[used:used + n]
                used += n
                x.append(chunk[:, :d])
                deep.append(chunk[:, d:].reshape(n, self.n_deepstack, d))
                position += [[at + i for i in axis] for axis in p['position']]
                at += p['advance']
            mask += [('rows' in p)] * n
        position = torch.tensor(position).T[:self.axes]
        deepstack = (torch.tensor(mask), torch.cat(deep).swapaxes(0, 1)) if self.n_deepstack else None
        return torch.cat(x), position, deepstack


def greedy(model, inputs):
    """Ids [STEPS] and their distributions [STEPS, n_vocab]. Every step reads the whole text again: no cache to trust."""
    chosen, steps = [], []
    for _ in range(STEPS):
        steps.append(model.logprobs(*inputs.tensors(model, chosen))[-1])
        chosen.append(int(steps[-1].argmax()))
    return chosen, np.stack(steps)


def forced(model, inputs, chosen):
    return model.logprobs(*inputs.tensors(model, chosen[:-1]))[-STEPS:]


# ---- cases ----------------------------------------------------------------------------------------------------------

BASE = dict(vocab_size=N_VOCAB, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=2048, rms_norm_eps=1e-5, pad_token_id=None, bos_token_id=258, eos_token_id=260)


def rope(theta=10000.0, kind='default', **more):
    return dict(rope_theta=theta, rope_type=kind, **more)


def weights_edit(pattern, fn):
    """A blunder: the same model with every parameter whose name holds `pattern` edited."""
    def make(model):
        wrong = copy.deepcopy(model)
        hit = 0
        with torch.no_grad():
            for name, p in wrong.body.named_parameters():
                if pattern in name:
                    p.copy_(fn(p))
                    hit += 1
        assert hit, pattern
        return wrong
    return make


def rope_edit(**change):
    """A blunder: the same weights under other rotary parameters."""
    def make(model):
        cfg = copy.deepcopy(model.body.config)
        cfg.rope_parameters = {**cfg.rope_parameters, **change}
        wrong = Model(type(model.body)(cfg), model.head)
        wrong.body.load_state_dict(model.body.state_dict())
        return wrong
    return make


def pairs_swapped(model):
    """Rotary pairs taken as neighbours where they are halves (or the other way round)."""
    wrong = copy.deepcopy(model)
    cfg = model.body.config
    with torch.no_grad():
        for name, p in wrong.body.named_parameters():
            for part, n in (('q_proj', cfg.num_attention_heads), ('k_proj', cfg.num_key_value_heads)):
                if part in name:
                    p.copy_(torch.from_numpy(interleave(p.numpy(), n)))
            if name.endswith(('q_norm.weight', 'k_norm.weight')):
                p.copy_(torch.from_numpy(interleave(p.numpy(), 1)))
    return wrong


class Case:
    def __init__(self, name, arch, body, config, pre, pieces=text, axes=1, n_deepstack=0, head=False, blunders=(), kinds=None,
                 formats=(T.F16,)):
        self.name, self.arch, self.body, self.config, self.pre = name, arch, body, {**BASE, **config}, pre
        self.pieces, self.axes, self.n_deepstack, self.head = pieces, axes, n_deepstack, head
        self.blunders = {'rotary pairs as the other kind': pairs_swapped, **dict(blunders)}
        self.kinds, self.formats = kinds, formats


class SkipDeepstack(Model):
    def logprobs(self, x, position, deepstack=None):
        return super().logprobs(x, position)


class OneAxis(Model):
    def __init__(self, body, head, axis):
        super().__init__(body, head)
        self.axis = axis

    def logprobs(self, x, position, deepstack=None):
        return super().logprobs(x, position[self.axis].expand(3, -1), deepstack)


class Sequential(Model):
    def logprobs(self, x, position, deepstack=None):
        return super().logprobs(x, torch.arange(len(x)).expand(3, -1), deepstack)


def sections_for_interleaved(model):
    """The sections of qwen2vl where qwen3vl interleaves."""
    wrong = copy.deepcopy(model)
    sections = model.body.config.rope_parameters['mrope_section']

    def blocks(freq):
        freq = torch.cat([f[i] for i, f in enumerate(freq.split(sections, dim=-1))], dim=-1)
        return torch.cat((freq, freq), dim=-1)
    wrong.body.rotary_emb.recomposition_frequencies = blocks
    return wrong


def leftover_pairs_unturned(model):
    """Pairs that no axis of the interleaving names, turned by position 0 instead of by t (llama.cpp does that)."""
    wrong = copy.deepcopy(model)
    right = wrong.body.rotary_emb
    inv = right.inv_freq.clone()
    t, h, w = model.body.config.rope_parameters['mrope_section']
    for s in range(len(inv)):
        if not (s % 3 == 1 and s < 3 * h or s % 3 == 2 and s < 3 * w or s % 3 == 0 and s < 3 * t):
            inv[s] = 0
    right.inv_freq.copy_(inv)
    return wrong


MROPE_BLUNDERS = {
    'height forgotten': lambda m: OneAxis(m.body, m.head, 0),
    'positions counted as tokens': lambda m: Sequential(m.body, m.head),
}
QWEN2VL = dict(num_attention_heads=2, num_key_value_heads=1, rms_norm_eps=1e-6, rope_parameters=rope(1000.0, mrope_section=[4, 6, 6]))
QWEN3VL = dict(num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=32, intermediate_size=64, rms_norm_eps=1e-6,
               rope_parameters=rope(500.0, mrope_section=[8, 4, 4], mrope_interleaved=True))


def all_of(kind, n_layer):
    parts = ('attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down')
    return {'token_embd.weight': kind, 'output.weight': kind,
            **{f'blk.{i}.{p}.weight': kind for i in range(n_layer) for p in parts}}


# Every weight format at least once. attn_output and ffn_down have rows of 128 and 96: no 256-blocks there.
MIXED = {
    'token_embd.weight': T.Q6_K, 'output.weight': T.Q4_K,
    **{f'blk.0.{k}.weight': v for k, v in dict(
        attn_q=T.Q4_0, attn_k=T.Q2_K, attn_v=T.Q6_K, attn_output=T.Q5_0, ffn_gate=T.Q3_K, ffn_up=T.Q5_1, ffn_down=T.Q8_0).items()},
    **{f'blk.1.{k}.weight': v for k, v in dict(
        attn_q=T.BF16, attn_k=T.F16, attn_v=T.MXFP4, attn_output=T.IQ4_NL, ffn_gate=T.IQ4_XS, ffn_up=T.Q5_K, ffn_down=T.Q4_1).items()},
}

CASES = [
    Case('llama', 'llama', hf.LlamaModel, dict(rope_parameters=rope()), 'llama-bpe', head=True,
         blunders={'second layer attends evenly': weights_edit('layers.1.self_attn.k_proj', lambda p: p * 0)}),
    Case('llama-tied', 'llama', hf.LlamaModel, dict(hidden_size=72, num_attention_heads=3, num_key_value_heads=1, intermediate_size=100,
                                                    rope_parameters=rope(100000.0)), 'smollm', formats=(T.F16, T.F32),
         blunders={'rope base of 10000': rope_edit(rope_theta=10000.0)}),
    Case('llama-rope-llama3', 'llama', hf.LlamaModel, dict(rope_parameters=rope(
        kind='llama3', factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)), 'llama-bpe',
         blunders={'no rope scaling': rope_edit(rope_type='default')}),
    Case('llama-rope-linear', 'llama', hf.LlamaModel, dict(rope_parameters=rope(kind='linear', factor=4.0)), 'llama-bpe',
         blunders={'no rope scaling': rope_edit(rope_type='default')}),
    Case('llama-rope-yarn', 'llama', hf.LlamaModel, dict(rope_parameters=rope(
        kind='yarn', factor=4.0, original_max_position_embeddings=512)), 'llama-bpe',
         blunders={'no rope scaling': rope_edit(rope_type='default'), 'linear scaling': rope_edit(rope_type='linear'),
                   'no attention factor': rope_edit(attention_factor=1.0),
                   'wrong original context': rope_edit(original_max_position_embeddings=2048)}),
    Case('qwen2', 'qwen2', hf.Qwen2Model, dict(rope_parameters=rope(1000000.0)), 'qwen2', head=True,
         blunders={f'no {b} bias': weights_edit(f'{b}_proj.bias', lambda p: p * 0) for b in 'qkv'}),
    Case('qwen3', 'qwen3', hf.Qwen3Model, dict(head_dim=32, rms_norm_eps=1e-6, rope_parameters=rope(1000000.0)), 'qwen2',
         blunders={f'no {b} norm weights': weights_edit(f'{b}_norm', lambda p: p * 0 + 1) for b in 'qk'}),
    Case('qwen2vl', 'qwen2vl', hf.Qwen2VLTextModel, QWEN2VL, 'qwen2', one_picture, axes=3, blunders=MROPE_BLUNDERS),
    Case('qwen2vl-video', 'qwen2vl', hf.Qwen2_5_VLTextModel, QWEN2VL, 'qwen2', one_video, axes=3, blunders=MROPE_BLUNDERS),
    Case('qwen3vl', 'qwen3vl', hf.Qwen3VLTextModel, QWEN3VL, 'qwen2', two_pictures, axes=3, n_deepstack=2,
         blunders={**MROPE_BLUNDERS, 'no deepstack': lambda m: SkipDeepstack(m.body, m.head),
                   'sections not interleaved': sections_for_interleaved, 'leftover pairs at position 0': leftover_pairs_unturned}),
    Case('llama-q8_0', 'llama', hf.LlamaModel, dict(rope_parameters=rope()), 'llama-bpe', head=True, kinds=all_of(T.Q8_0, 2)),
    Case('llama-q4_0', 'llama', hf.LlamaModel, dict(rope_parameters=rope()), 'llama-bpe', head=True, kinds=all_of(T.Q4_0, 2)),
    Case('llama-mixed', 'llama', hf.LlamaModel, dict(hidden_size=256, head_dim=64, num_attention_heads=2, num_key_value_heads=1,
                                                     rope_parameters=rope()), 'llama-bpe', head=True, kinds=MIXED),
]


# ---- making ---------------------------------------------------------------------------------------------------------

def build(case, seed):
    """The model, its input, and the blocks of its matrices if the case is quantised."""
    rng = np.random.default_rng(seed)
    model = Model(case.body(case.body.config_class(**case.config)), torch.zeros(0) if case.head else None)
    fill(model, rng)
    blocks = quantise(model, rng, case.kinds) if case.kinds else None
    pieces = case.pieces(rng)
    n = sum(p.get('rows', 0) for p in pieces)
    std = float(model.body.embed_tokens.weight.detach().std())
    rows = rng.standard_normal((n, case.config['hidden_size'] * (1 + case.n_deepstack))).astype(np.float32) * std
    return model, Input(pieces, torch.from_numpy(rows), case.axes, case.n_deepstack), blocks


def search(case):
    """The first seed whose greedy path is clear and not monotonous."""
    for seed in range(1, 2000):
        model, inputs, blocks = build(case, seed)
        chosen, steps = greedy(model, inputs)
        best = np.sort(steps, -1)
        gap = (best[:, -1] - best[:, -2]).min()
        if gap >= MIN_GAP and len(set(chosen)) >= MIN_DISTINCT:
            return seed, gap, model, inputs, blocks, chosen, steps
    raise SystemExit(f'{case.name}: no seed gives clear choices')





def make(case, folder, formats):
    seed, gap, model, inputs, blocks, chosen, steps = search(case)
    order = np.argsort(-steps, -1, kind='stable')[:, :TOP]
    print(f'{case.name}: seed {seed}, smallest gap {gap:.3f}, {len(set(chosen))} different tokens, best '
          f'{np.exp(steps.max(-1)).mean():.2f} on average')
    for what, blunder in case.blunders.items():
        wrong = forced(blunder(model), inputs, chosen)
        moved = np.abs(np.take_along_axis(wrong - steps, order, -1)).max()
        print(f'    {what}: {moved:.2f}')
        assert moved >= MIN_BLUNDER, f'{case.name}: the golden would not notice: {what}'

    models = []
    for kind in [None] if case.kinds else formats:
        models.append(f'{case.name}.gguf' if case.kinds else f'{case.name}.{kind.name.lower()}.gguf')
        write_gguf(os.path.join(folder, models[-1]), case, model, kind, blocks)
    golden = {
        'name': case.name, 'models': models,
        'made_with': f'transformers {hf.__version__} {case.body.__name__}, torch {torch.__version__.split("+")[0]}, seed {seed}',
        'pieces': inputs.pieces, 'row_width': inputs.rows.shape[1], 'rows_file': f'{case.name}.rows.f32' if len(inputs.rows) else None,
        'steps': [{'id': i, 'top': [[int(k), round(float(s[k]), 5)] for k in o]} for i, s, o in zip(chosen, steps, order)],
    }
    if len(inputs.rows):
        inputs.rows.numpy().astype('<f4').tofile(os.path.join(folder, golden['rows_file']))
    with open(os.path.join(folder, case.name + '.json'), 'w') as f:
        f.write('{\n' + ',\n'.join(f'{json.dumps(k)}: {json.dumps(v)}' for k, v in golden.items() if k != 'steps'))
        f.write(',\n"steps": [\n' + ',\n'.join(json.dumps(s) for s in golden['steps']) + '\n]\n}\n')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('out')
    p.add_argument('--all-f32', action='store_true', help='write an f32 file of every case, not only of those kept in the tree')
    p.add_argument('--only')
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    torch.set_num_threads(1)
    for case in CASES:
        if a.only in (None, case.name):
            make(case, a.out, (T.F16, T.F32) if a.all_f32 else case.formats)


if __name__ == '__main__':
    main()
