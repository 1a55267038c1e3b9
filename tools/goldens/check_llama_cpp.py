"""Reads the language-model goldens with llama.cpp: a second opinion on the GGUF files and on the numbers.

usage: PAGEREEL_PEER=FOLDER check_llama_cpp.py tests/golden/llm        (tools/peer/README.md: what goes into FOLDER)

Embedding rows are fed as llama.cpp takes them: four positions each, t in the fourth place too, because its qwen3vl turns
the rotary pairs that no axis names by the fourth (transformers by t). Text pieces of those models are fed as rows as well.
"""
import json
import os
import sys

import gguf
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../peer'))
import llama_cpp  # noqa: E402


def embeddings(path):
    for t in gguf.GGUFReader(path).tensors:
        if t.name == 'token_embd.weight':
            return gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
    raise ValueError(path)


def read_as_rows(golden, folder, table):
    """All pieces and the golden's own steps as rows [n, width] and positions [4, n]."""
    width = golden['row_width']
    rows = np.fromfile(os.path.join(folder, golden['rows_file']), '<f4').reshape(-1, width)
    out, position, at, used = [], [], 0, 0
    for p in golden['pieces'] + [{'ids': [s['id'] for s in golden['steps'][:-1]]}]:
        if 'ids' in p:
            text = np.zeros((len(p['ids']), width), np.float32)
            text[:, :table.shape[1]] = table[p['ids']]
            out.append(text)
            position += [[at + i] * 4 for i in range(len(text))]
            at += len(text)
        else:
            out.append(rows[used:used + p['rows']])
            used += p['rows']
            position += [[at + t, at + h, at + w, at + t] for t, h, w in p['position']]
            at += p['advance']
    return np.concatenate(out), np.array(position).T


def steps_of(model, golden, folder, path):
    n_steps = len(golden['steps'])
    if golden['rows_file']:
        rows, position = read_as_rows(golden, folder, embeddings(path))
        n = len(rows) - n_steps + 1
        parts = [(slice(0, n),)] + [(slice(n + i, n + i + 1),) for i in range(n_steps - 1)]
        return [model.decode(rows=rows[s], position=position[:, s]) for s, in parts]
    ids = [i for p in golden['pieces'] for i in p['ids']]
    logits = [model.decode(ids, position=np.arange(len(ids)))]
    for i, s in enumerate(golden['steps'][:-1]):
        logits.append(model.decode([s['id']], position=[len(ids) + i]))
    return logits


def main():
    folder = sys.argv[1]
    for name in sorted(os.listdir(folder)):
        if not name.endswith('.json'):
            continue
        golden = json.load(open(os.path.join(folder, name)))
        for file in golden['models']:
            path = os.path.join(folder, file)
            try:
                model = llama_cpp.Model(path)
            except RuntimeError as e:
                print(f'{file}: {e}')
                continue
            off, same = [], 0
            for step, logits in zip(golden['steps'], steps_of(model, golden, folder, path)):
                got = llama_cpp.logprobs(logits)
                off += [abs(got[i] - lp) for i, lp in step['top']]
                same += int(got.argmax()) == step['id']
            print(f'{file}: {same} of {len(golden["steps"])} tokens the same, log-probabilities differ by {np.median(off):.5f} '
                  f'(median), {max(off):.5f} (most)')
            model.close()


if __name__ == '__main__':
    main()
