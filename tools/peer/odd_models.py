"""Language models of odd shapes through pagereel, beside transformers: what no fixed golden has.

usage: odd_models.py [--pagereel build/cli/pagereel] [--devices ref,cpu,vulkan] [--first SEED] [--n N] [--keep FOLDER]
needs: what tools/goldens/llm.py needs

Each seed draws an architecture, its widths, heads, layers, biases, rope scaling, whether the head is tied, the format of the weights
and a prompt of 1 to 700 tokens. The 20 best log-probabilities of 16 greedy steps are compared with transformers'; on `ref` with the
same weights dequantised; the others round activations beside quantised weights, so there the difference is only shown. Prints a line
for each model, and ends with 1 if one is WRONG.
"""
import os

import numpy as np
import odd
import transformers as hf
from gguf import GGMLQuantizationType as T

import llm
from decoder import write_gguf
from tokens import byte_tokens

BOUND = {'ref': 0.01, 'cpu': 0.03, 'vulkan': 0.03}
QUANTISED = (T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.IQ4_NL)
BODIES = {'llama': hf.LlamaModel, 'qwen2': hf.Qwen2Model, 'qwen3': hf.Qwen3Model, 'qwen2vl': hf.Qwen2VLTextModel, 'qwen3vl': hf.Qwen3VLTextModel}


def rope(rng, arch, d_head):
    theta = float(rng.choice([500.0, 10000.0, 1e6, 5e6]))
    if arch in ('qwen2vl', 'qwen3vl'):
        half = d_head // 2
        h = int(rng.integers(1, half // 3 + 1))
        more = {'mrope_interleaved': True} if arch == 'qwen3vl' else {}
        return llm.rope(theta, mrope_section=[half - 2 * h, h, h], **more)
    kind = rng.choice(['default', 'default', 'linear', 'yarn', 'llama3'] if arch == 'llama' else ['default', 'yarn'])
    if kind == 'linear':
        return llm.rope(theta, 'linear', factor=float(rng.choice([2.0, 3.5])))
    if kind == 'yarn':
        return llm.rope(theta, 'yarn', factor=float(rng.choice([2.0, 4.0, 32.0])), original_max_position_embeddings=int(rng.choice([64, 512])))
    if kind == 'llama3':
        return llm.rope(theta, 'llama3', factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
    return llm.rope(theta)


def draw(seed):
    """A case of llm.py and the format of its weights."""
    rng = np.random.default_rng([seed, 77])
    arch = str(rng.choice(list(BODIES)))
    kind = T(int(rng.choice([T.F32, T.F16, T.F16, *QUANTISED])))
    quantised = kind in QUANTISED
    kv, group = int(rng.choice([1, 1, 2, 3, 4])), int(rng.choice([1, 2, 3, 5, 8]))
    d_head = int(rng.choice([32, 64, 128] if quantised else [16, 32, 40, 64, 80, 96, 128, 256]))
    unit = 32 if quantised else 4
    d, ff = (int(rng.integers(1, 320 // unit)) * unit for _ in range(2))
    config = dict(hidden_size=d, intermediate_size=ff, num_hidden_layers=int(rng.integers(1, 5)), num_attention_heads=kv * group,
                  num_key_value_heads=kv, head_dim=d_head, rms_norm_eps=float(rng.choice([1e-5, 1e-6])))
    if arch in ('qwen2', 'qwen2vl'):  # these derive the width of a head
        config.pop('head_dim')
        config['hidden_size'] = kv * group * d_head
        if config['hidden_size'] > 2048:
            config.update(num_attention_heads=kv, hidden_size=kv * d_head)
    if arch == 'llama' and d % (kv * group):  # transformers wants whole parts even where heads have another width
        config['hidden_size'] = kv * group * unit
    if arch == 'llama' and rng.integers(2):
        config['attention_bias'] = True
    config['rope_parameters'] = rope(rng, arch, d_head)
    head = bool(rng.integers(2))
    case = llm.Case(f'odd-{seed}', arch, BODIES[arch], config, 'llama-bpe' if arch == 'llama' else 'qwen2', head=head,
                    axes=3 if arch in ('qwen2vl', 'qwen3vl') else 1)
    if quantised:
        case.kinds = llm.all_of(kind, config['num_hidden_layers'])
    n = int(rng.choice([1, 2, 31, 33, 255, 256, 257, int(rng.integers(1, 700))]))
    prompt = bytes(rng.integers(97, 104, n).astype(np.uint8)).decode()  # letters that no merge joins
    case.pieces = lambda _: [{'ids': [byte_tokens().index(c) for c in prompt]}]
    return case, kind, prompt


def compare(got, chosen, steps):
    """The largest difference until the greedy paths part; None: they part where the choice was clear."""
    worst = 0.0
    for t, token in enumerate(got['tokens']):
        worst = max([worst, *(abs(e['logprob'] - steps[t][e['id']]) for e in token['top'])])
        if token['id'] != chosen[t]:
            best = np.sort(steps[t])
            return worst if best[-1] - best[-2] < 0.06 else None
    return worst


def check(seed, a, folder):
    case, kind, prompt = draw(seed)
    model, inputs, blocks = llm.build(case, seed)
    chosen, steps = llm.greedy(model, inputs)
    path = os.path.join(folder, f'{case.name}.gguf')
    write_gguf(path, case, model, None if case.kinds else kind, blocks)
    config, results, good = case.config, [], True
    for device in a.devices:
        try:
            got = odd.run_json(a.pagereel, 'run', '-m', path, '--raw', '--device', device, '--cache-type', 'f32', '--temp', '0', '-n',
                               str(llm.STEPS), '--logprobs', str(llm.TOP), '-p', prompt)
            if got['prompt_tokens'] != inputs.pieces[0]['ids']:
                raise RuntimeError('other tokens')
            worst = compare(got, chosen, steps)
            said = 'parts' if worst is None else f'{worst:.1e}'
            if case.kinds and device != 'ref':
                results.append(f'{device} {said} (rounds)')
                continue
            good &= worst is not None and worst <= BOUND[device]
            results.append(f'{device} {said}')
        except RuntimeError as error:
            good = False
            results.append(f'{device}: {error}')
    print(f'{seed}: {case.arch} {kind.name} d {config["hidden_size"]} ff {config["intermediate_size"]} layers {config["num_hidden_layers"]} '
          f'heads {config["num_attention_heads"]}/{config["num_key_value_heads"]} x {config.get("head_dim", "")} '
          f'{config["rope_parameters"]["rope_type"]} {"untied" if case.head else "tied"} {len(prompt)} tokens: {", ".join(results)}'
          f'{"" if good else "  WRONG"}', flush=True)
    if good:
        os.unlink(path)
    return good


if __name__ == '__main__':
    odd.main(check, 50)
