"""Texts and their Unicode normalization form C, for model/nfc.c.

usage: nfc.py > tests/golden/nfc.json
needs: tokenizers

First every character that isn't its own form, then random runs of characters that normalization touches.
"""
import json
import random
import unicodedata

from tokenizers import normalizers

LIMIT = range(0x110000)


def nfc(text):
    return normalizers.NFC().normalize_str(text)


def main():
    changed = [chr(c) for c in LIMIT if not 0xD800 <= c < 0xE000 and nfc(chr(c)) != chr(c)]
    marks = [chr(c) for c in LIMIT if unicodedata.combining(chr(c))]
    starters = [chr(c) for c in LIMIT if not unicodedata.combining(chr(c)) and unicodedata.decomposition(chr(c))
                and '<' not in unicodedata.decomposition(chr(c))]
    jamo = [chr(c) for c in (*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A7, 0x11C3), *range(0xAC00, 0xAC40))]
    joining = [chr(c) for c in (0x9BE, 0xB3E, 0xBBE, 0xCC2, 0xD3E, 0xDCF, 0x102E, 0x1B35, 0x11127, 0x114B0)]
    rng = random.Random(7)
    texts = [''.join(changed[i:i + 40]) for i in range(0, len(changed), 40)]
    for _ in range(400):
        text = ''
        for _ in range(rng.randint(1, 12)):
            kind = rng.randint(0, 5)
            text += rng.choice([changed, marks, starters, jamo, joining, list('aeiouAEOqx')][kind])
            if kind == 2 and rng.randint(0, 1):
                text = text[:-1] + unicodedata.normalize('NFD', text[-1])
        texts.append(text)
    texts += ['a' + '\u0301\u0323' * 40, '\u0301' * 20, '\u1100\u1161\u11a8\u11a8', 'e\u0301', '\u0344', '\u00e9\u0323', '\u212b']
    print('[\n' + ',\n'.join(json.dumps([t, nfc(t)]) for t in texts) + '\n]')


if __name__ == '__main__':
    main()
