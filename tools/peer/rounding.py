"""How far rounding activations moves the answers: pagereel and llama.cpp on the same quantised files, over many prompts.

usage: PAGEREEL_PEER=FOLDER rounding.py [--pagereel build/cli/pagereel] [--device cpu|vulkan] [--prompts N] [FORMAT ...]

For each format a random model is written. The reference is what its weights stand for, as an f32 file, read by llama.cpp in f32
(with f32 weights it is within 1e-5 of transformers). Against it, on the quantised file, with an f32 cache: `pagereel --device ref`,
`pagereel --device cpu`, and llama.cpp. Each side reads a prompt and takes four greedy steps (the first from the prompt, the
others one by one); steps are compared for as long as the tokens before them are the same. The difference is that of the
log-probabilities of the reference's best 20 tokens: median and largest, and in how many prompts a step's best token is another.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

import llama_cpp
import random_model

FORMATS = ['f16', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'q5_0', 'q5_1', 'q2_k', 'q3_k', 'q4_k', 'q5_k', 'q6_k', 'iq4_nl', 'iq4_xs', 'mxfp4', 'q4_k_m']
SHAPE = dict(layers=4, width=256, heads=4, kv=2, ffn=768, vocab=512)
TOP, STEPS = 20, 4


def prompts(n):
    """Printable ASCII of 4 to 100 characters: one token each, the same for both sides."""
    rng = np.random.default_rng(7)
    return [bytes(rng.integers(33, 127, rng.integers(4, 100)).astype(np.uint8)).decode() for _ in range(n)]


def peer(path, texts):
    """For each text: its ids and the distributions [STEPS, n_vocab] of greedy steps."""
    m = llama_cpp.Model(path, cache=llama_cpp.GGML_F32)
    out = []
    for t in texts:
        m.clear()
        ids = m.tokenize(t)
        steps = [m.decode(ids, position=np.arange(len(ids)))]
        for i in range(STEPS - 1):
            steps.append(m.decode([int(steps[-1].argmax())], position=[len(ids) + i]))
        out.append((ids, [llama_cpp.logprobs(s) for s in steps]))
    m.close()
    return out


def ours(program, device, path, texts):
    """The same of pagereel."""
    out = []
    for t in texts:
        done = subprocess.run([program, 'run', '-m', path, '--device', device, '--raw', '--json', '--logprobs', str(SHAPE['vocab']), '-n',
                               str(STEPS), '--temp', '0', '--cache-type', 'f32', '-p', t], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f'{program}: exit code {done.returncode}\n{done.stderr.strip()}')
        answer = json.loads(done.stdout)
        steps = []
        for token in answer['tokens']:
            steps.append(np.full(SHAPE['vocab'], -np.inf))
            for top in token['top']:
                steps[-1][top['id']] = top['logprob']
        out.append((answer['prompt_tokens'], steps))
    return out


def distance(want, got):
    """Differences [steps, TOP] and the number of prompts in which some best token is another."""
    rows, flips = [], 0
    for (ids, a), (got_ids, b) in zip(want, got):
        assert list(ids) == list(got_ids), 'the two sides read different tokens'
        for x, y in zip(a, b):
            best = np.argsort(-x)[:TOP]
            rows.append(np.abs(x[best] - y[best]))
            if x.argmax() != y.argmax():
                flips += 1
                break
    return np.array(rows), flips


def main():
    p = argparse.ArgumentParser()
    p.add_argument('formats', nargs='*', default=FORMATS)
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--device', default='cpu', choices=['cpu', 'vulkan'])
    p.add_argument('--prompts', type=int, default=24)
    p.add_argument('--peer-only', action='store_true', help='leave pagereel out')
    a = p.parse_args()
    texts = prompts(a.prompts)
    sides = ['llama.cpp'] + ([] if a.peer_only else ['ref', a.device])
    every = {s: [] for s in sides}
    print(f'{len(texts)} prompts, best {TOP} log-probabilities: median, most (other best token)')
    print(f'{"format":8}' + ''.join(f'{s:>26}' for s in sides))
    with tempfile.TemporaryDirectory() as folder:
        for kind in a.formats:
            path, exact = (os.path.join(folder, kind + x + '.gguf') for x in ('', '-exact'))
            random_model.write(path, kind, **SHAPE)
            random_model.write(exact, kind, exact=True, **SHAPE)
            want = peer(exact, texts)
            line = f'{kind:8}'
            for s in sides:
                off, flips = distance(want, peer(path, texts) if s == 'llama.cpp' else ours(a.pagereel, s, path, texts))
                every[s].append(np.median(off))
                line += f'{np.median(off):12.5f} {off.max():8.4f} ({flips:2})'
            print(line, flush=True)
            os.remove(path)
            os.remove(exact)
    print(f'{"median":8}' + ''.join(f'{np.median(every[s]):12.5f}' + ' ' * 14 for s in sides))
    if not a.peer_only and np.median(every[a.device]) > np.median(every['llama.cpp']):
        sys.exit(f'{a.device} moves further than llama.cpp')


if __name__ == '__main__':
    main()
