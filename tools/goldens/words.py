"""Where the words of difficult texts end, for the families of pre-tokenizers that have no vocabulary in tests/golden/tokenizer.

usage: words.py > tests/golden/words.json
needs: numpy, tokenizers
"""
import json

from tokenizers import Regex, pre_tokenizers

import corpus

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r'[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]', r'[\p{Ll}\p{Lm}\p{Lo}\p{M}]'
LEAD = r'[^\r\n\p{L}\p{N}]?'
TAIL = r' ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+'
FAMILIES = {
    'tekken': LEAD + UPPER + '*' + LOWER + '+|' + LEAD + UPPER + '+' + LOWER + r'*|\p{N}|' + TAIL,
    'gpt-4o': LEAD + UPPER + '*' + LOWER + '+' + CONTRACTIONS + '?|' + LEAD + UPPER + '+' + LOWER + '*' + CONTRACTIONS + r'?|\p{N}{1,3}|' + TAIL,
}
MORE = ["It'S HELLO'll McDonald's XMLHttpRequest ÉCOLE École ʰello ǅabc 'ſx", 'a/b//c\n/d !/\r\n/e', 'ABC\u0301def\u0301GHI 中文ABC한글', '12345 ²³ ⅧⅨ ١٢٣٤']


def main():
    out = {}
    texts = [text for text in corpus.plain() + MORE if '\0' not in text]  # C reads them as strings
    for name, pattern in FAMILIES.items():
        split = pre_tokenizers.Split(Regex(pattern), 'isolated')
        out[name] = [[text, [len(text[:end].encode()) for _, (_, end) in split.pre_tokenize_str(text)]] for text in texts]
    print('{\n' + ',\n'.join(json.dumps(k) + ': [\n' + ',\n'.join(json.dumps(x, separators=(',', ':')) for x in v) + '\n]' for k, v in out.items()) + '\n}')


if __name__ == '__main__':
    main()
