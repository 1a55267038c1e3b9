#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How often a question's page is among those that the model reads: sentences of real documents, reworded, as questions.

usage: recall_pages.py PROGRAM MODEL FILE.pdf... [--questions N] [--drop SHARE]
needs: pdftotext

Of each document N sentences are drawn (always the same ones), SHARE of their words are dropped and the others shuffled; the page is known. Any
text model will do, since only recall is looked at.
"""
import argparse
import json
import os
import random
import re
import subprocess
import tempfile


def sentences(path):
    pages = subprocess.run(['pdftotext', path, '-'], check=True, capture_output=True, text=True).stdout.split('\f')
    for number, page in enumerate(pages, 1):
        for sentence in re.split(r'(?<=[.!?])\s+', re.sub(r'\s+', ' ', page)):
            words = re.findall(r"[^\W\d_]{3,}", sentence)
            if 9 <= len(words) <= 30 and '. .' not in sentence:
                yield number, words


def main():
    p = argparse.ArgumentParser()
    p.add_argument('program')
    p.add_argument('model')
    p.add_argument('files', nargs='+')
    p.add_argument('--questions', type=int, default=20)
    p.add_argument('--drop', type=float, default=0.4)
    args = p.parse_args()
    total = hits = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in args.files:
            rng = random.Random(os.path.basename(path))
            every = list(sentences(path))
            asked = rng.sample(every, min(args.questions, len(every)))
            good = 0
            for page, words in asked:
                kept = rng.sample(words, max(4, round(len(words) * (1 - args.drop))))
                out = subprocess.run([args.program, 'ask', '--library', folder, '-m', args.model, '--device', 'cpu', '--raw', '-n', '1', '--json', path,
                                      ' '.join(kept) + '?'], check=True, capture_output=True, text=True).stdout
                good += page in [c.get('page') for c in json.loads(out)['citations']]
            total, hits = total + len(asked), hits + good
            print(f'{os.path.basename(path)}: {good} of {len(asked)}', flush=True)
    print(f'all: {hits} of {total}')


if __name__ == '__main__':
    main()
