"""Vocabularies and what Hugging Face tokenizers makes of difficult texts with them.

usage: tokenizer.py OUT_FOLDER [--real NAME=FILE.gguf ...] [--llama-cpp]
needs: numpy, gguf, tokenizers, transformers, sentencepiece

For each pre-tokenizer of the families that pagereel reads, a small vocabulary is trained on corpus.py and written as a GGUF
without tensors; the ids of every text come from the `tokenizers` library with the pipeline (normaliser, pre-tokenizer, model)
that the family's own tokenizer.json has. --real does the same with the vocabulary of a real GGUF file, whose texts' ids are
kept while the file is not. --llama-cpp counts how many texts llama.cpp tokenizes alike (PAGEREEL_PEER, see tools/peer).
"""
import argparse
import base64
import json
import os
import sys
import tempfile
import unicodedata

import gguf
import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers.convert_slow_tokenizer import generate_merges

import corpus
from tokens import byte_tokens

N_BPE, N_SPM = 1000, 900
CONTROL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
USER_DEFINED = ['<extra>', '<extra_long>']

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r'\s*[\r\n]+|\s+(?!\S)|\s+'
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r'|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|' + TAIL
QWEN2 = CONTRACTIONS + r'|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|' + TAIL
QWEN35 = CONTRACTIONS + r'|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|' + TAIL


def split(*patterns):
    return [pre_tokenizers.Split(Regex(p), 'isolated') for p in patterns] + [pre_tokenizers.ByteLevel(False, use_regex=False)]


class Family:
    def __init__(self, pre, steps, nfc=False, ignore_merges=False, add_bos=False):
        self.pre, self.steps, self.nfc, self.ignore_merges, self.add_bos = pre, steps, nfc, ignore_merges, add_bos


# `pre` of GGUF -> the pipeline. gpt-2, smollm, llama3, qwen2 and qwen3.5 as their tokenizer.json files have them; "default" is
# llama.cpp's own (a file without `pre`), written out with the same means.
BPE = [
    Family('gpt-2', [pre_tokenizers.ByteLevel(False, use_regex=True)]),
    Family('smollm', [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False, use_regex=True)]),
    Family('llama-bpe', split(LLAMA3), ignore_merges=True, add_bos=True),
    Family('qwen2', split(QWEN2), nfc=True),
    Family('qwen35', split(QWEN35), nfc=True),
    Family('default', split(r'[\p{P}\$\+<=>\^~\|]+', GPT2, r'\p{N}+', r'[0-9][0-9][0-9]')),
]
SPM = Family('default', None, add_bos=True)


def bpe_pipeline(family, model):
    t = Tokenizer(model)
    if family.nfc:
        t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence(family.steps)
    t.decoder = decoders.ByteLevel()
    return t


def spm_pipeline(tokens, scores, kinds):
    """As the tokenizer.json of Llama 2 has it: a blank before every piece of raw text, no pre-tokenizer, byte fallback."""
    vocab = {t: i for i, t in enumerate(tokens)}
    mergeable = {t: s for t, s, k in zip(tokens, scores, kinds) if k == gguf.TokenType.NORMAL}
    t = Tokenizer(models.BPE({k: v for k, v in vocab.items()}, generate_merges(vocab, mergeable), unk_token=tokens[0], fuse_unk=True,
                             byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')])
    return t


def add_special(t, control, user_defined):
    t.add_special_tokens([AddedToken(x, special=True, normalized=False) for x in control])
    t.add_tokens([AddedToken(x, special=False, normalized=False) for x in user_defined])


def train_bpe(family):
    """Tokens, merges and the tokenizer."""
    t = bpe_pipeline(family, models.BPE())
    t.train_from_iterator(corpus.plain(), trainers.BpeTrainer(
        vocab_size=N_BPE, min_frequency=2, initial_alphabet=byte_tokens(), show_progress=False))
    state = json.loads(t.to_str())['model']
    tokens = sorted(state['vocab'], key=state['vocab'].get)
    # Tokens that no merge makes: a tokenizer that ignores merges for whole words takes them all the same.
    whole = [x for x in ('Ġunreachable', 'Ġitself', 'unmade') if x not in tokens]
    tokens += whole
    merges = [tuple(m) for m in state['merges']]
    t = bpe_pipeline(family, models.BPE({x: i for i, x in enumerate(tokens)}, merges, ignore_merges=family.ignore_merges))
    add_special(t, CONTROL, USER_DEFINED)
    return tokens, merges, t


def train_spm():
    """Tokens, scores, kinds and the tokenizer."""
    with tempfile.TemporaryDirectory() as d:
        lines = [x for text in corpus.plain() for x in text.splitlines() if x.strip()]
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_prefix=d + '/m', model_type='bpe', vocab_size=N_SPM, byte_fallback=True, num_threads=1,
            character_coverage=0.98, normalization_rule_name='identity', split_digits=True, remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True, minloglevel=2)
        sp = sentencepiece.SentencePieceProcessor(model_file=d + '/m.model')
    tokens, scores, kinds = [], [], []
    for i in range(len(sp)):
        tokens.append(sp.id_to_piece(i))
        scores.append(sp.get_score(i))
        kinds.append(gguf.TokenType.UNKNOWN if sp.is_unknown(i) else gguf.TokenType.CONTROL if sp.is_control(i)
                     else gguf.TokenType.BYTE if sp.is_byte(i) else gguf.TokenType.NORMAL)
    t = spm_pipeline(tokens, scores, kinds)
    add_special(t, tokens[:3] + CONTROL, USER_DEFINED)
    return tokens, scores, kinds, t, sp


def write_vocab(path, family, model, tokens, kinds, merges=None, scores=None, bos=None, eos=None):
    w = gguf.GGUFWriter(path, 'llama')
    w.add_type('model')
    w.add_name('vocabulary ' + os.path.basename(path)[:-5])
    w.add_vocab_size(len(tokens))
    w.add_tokenizer_model(model)
    if model == 'llama' or family.pre != 'default':
        w.add_tokenizer_pre(family.pre)
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    if scores:
        w.add_token_scores(scores)
    if merges:
        w.add_token_merges([' '.join(m) for m in merges])
    w.add_bos_token_id(bos)
    w.add_eos_token_id(eos)
    w.add_add_bos_token(family.add_bos)
    w.add_add_space_prefix(model == 'llama')
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# ---- texts and ids --------------------------------------------------------------------------------------------------

def texts():
    """(bytes, special): special says that the text of control tokens becomes those tokens."""
    out = [(t.encode(), False) for t in corpus.plain()]
    for t in corpus.SPECIAL_TEXTS:
        out += [(t.encode(), False), (t.encode(), True)]
    return out + [(b, False) for b in corpus.BROKEN]


def reference_ids(t, what):
    """Ids of each text, None for what is no UTF-8."""
    out = []
    for raw, special in what:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            out.append(None)
            continue
        t.encode_special_tokens = not special
        out.append(t.encode(text, add_special_tokens=False).ids)
    return out


def write_json(path, file, family, bos, ids, what, note):
    composed = [i for i, (raw, _) in enumerate(what) if family.nfc and ids[i] is not None
                and not unicodedata.is_normalized('NFC', raw.decode())]
    with open(path, 'w') as f:
        head = {'vocab': file, 'made_with': f'tokenizers {tokenizers.__version__}{note}', 'bos': bos if family.add_bos else None,
                'composed': composed}
        f.write('{\n' + ',\n'.join(f'{json.dumps(k)}: {json.dumps(v)}' for k, v in head.items()) + ',\n"ids": [\n')
        f.write(',\n'.join(json.dumps(x, separators=(',', ':')) for x in ids) + '\n]\n}\n')


def compare(name, path, ids, what):
    import llama_cpp
    model = llama_cpp.Model(path, vocab_only=True)
    off = composed = 0
    for (raw, special), want in zip(what, ids):
        if want is None or b'\0' in raw or (got := model.tokenize(raw, special)) == want:
            continue
        if unicodedata.is_normalized('NFC', raw.decode()):
            off += 1
            print(f'        {raw.decode()[:60]!r} {"special " if special else ""}{want[:24]} {got[:24]}')
        else:
            composed += 1
    print(f'    llama.cpp differs in {off} of {len(ids)}, and in {composed} texts that are not in NFC')


def real(name, path):
    """Tokenizer, family and bos of the vocabulary in a GGUF file."""
    r = gguf.GGUFReader(path)
    get = {k: f for k, f in r.fields.items()}
    tokens, kinds = get['tokenizer.ggml.tokens'].contents(), get['tokenizer.ggml.token_type'].contents()
    if get['tokenizer.ggml.model'].contents() == 'llama':
        family, t = SPM, spm_pipeline(tokens, get['tokenizer.ggml.scores'].contents(), kinds)
    else:
        family = next(f for f in BPE if f.pre == get['tokenizer.ggml.pre'].contents())
        merges = [tuple(m.split(' ', 1)) for m in get['tokenizer.ggml.merges'].contents()]
        t = bpe_pipeline(family, models.BPE({x: i for i, x in enumerate(tokens)}, merges, ignore_merges=family.ignore_merges))
    add_special(t, [x for x, k in zip(tokens, kinds) if k in (gguf.TokenType.CONTROL, gguf.TokenType.UNKNOWN)],
                [x for x, k in zip(tokens, kinds) if k == gguf.TokenType.USER_DEFINED])
    return t, family, get['tokenizer.ggml.bos_token_id'].contents()


def main():
    p = argparse.ArgumentParser()
    p.add_argument('out')
    p.add_argument('--real', nargs='*', default=[], metavar='NAME=FILE')
    p.add_argument('--llama-cpp', action='store_true')
    a = p.parse_args()
    if a.llama_cpp:
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../peer'))
    os.makedirs(a.out, exist_ok=True)
    what = texts()
    with open(os.path.join(a.out, 'texts.json'), 'w') as f:
        f.write('[\n' + ',\n'.join(json.dumps({'text': base64.b64encode(raw).decode(), 'special': s}) for raw, s in what) + '\n]\n')

    def done(name, path, t, family, bos, note=''):
        ids = reference_ids(t, what)
        write_json(os.path.join(a.out, name + '.json'), os.path.basename(path), family, bos, ids, what, note)
        print(f'{name}: {t.get_vocab_size()} tokens, {len(what)} texts, {sum(len(x) for x in ids if x)} ids')
        if a.llama_cpp:
            compare(name, path, ids, what)
        return ids

    for family in BPE:
        tokens, merges, t = train_bpe(family)
        bos = len(tokens)
        path = os.path.join(a.out, f'bpe-{family.pre}.gguf')
        write_vocab(path, family, 'gpt2', tokens + CONTROL + USER_DEFINED, [1] * len(tokens) + [3] * len(CONTROL) + [4] * len(USER_DEFINED),
                    merges=merges, bos=bos, eos=bos + 2)
        done(f'bpe-{family.pre}', path, t, family, bos)

    tokens, scores, kinds, t, sp = train_spm()
    path = os.path.join(a.out, 'spm.gguf')
    write_vocab(path, SPM, 'llama', tokens + CONTROL + USER_DEFINED, kinds + [3] * len(CONTROL) + [4] * len(USER_DEFINED),
                scores=scores + [0.0] * (len(CONTROL) + len(USER_DEFINED)), bos=1, eos=2)
    ids = done('spm', path, t, SPM, 1)
    off = [raw for (raw, special), x in zip(what, ids) if x is not None and b'<' not in raw and sp.encode(raw.decode()) != x]
    print(f'    sentencepiece itself differs in {len(off)}:', off)

    for pair in a.real:
        name, path = pair.split('=', 1)
        t, family, bos = real(name, path)
        done(name, path, t, family, bos, ', vocabulary not kept here')


if __name__ == '__main__':
    main()
