#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How often a question's page is among those that the model reads: questions that people wrote to real documents (recall_questions.tsv).

usage: recall_pages.py PROGRAM MODEL FOLDER [--budgets 1024,6144] [--half tuning|held-out] [--misses]

FOLDER holds the documents, which come with Debian packages (the table names them). Any text model will do, since only recall is looked at; it
counts tokens as the model does. Of questions that a document says nothing of those count that are turned away without the model. Each question is asked in a process of its own.
"""
import argparse
import collections
import json
import os
import subprocess
import tempfile


def table(half):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'recall_questions.tsv'), encoding='utf-8') as file:
        for line in file:
            if not line.startswith('#'):
                name, part, pages, question = line.rstrip('\n').split('\t')
                if half in (None, part):
                    yield name, part, [int(page) for page in pages.split(',') if page != '-'], question


def ask(args, library, path, budget, question):
    """The pages that the model was shown."""
    done = subprocess.run([args.program, 'ask', '--library', library, '-m', args.model, '--device', 'cpu', '--raw', '-n', '0', '--budget',
                           str(budget), '--json', path, question], check=True, capture_output=True, text=True)
    return [c.get('page') for c in json.loads(done.stdout)['citations']]


def main():
    p = argparse.ArgumentParser()
    p.add_argument('program')
    p.add_argument('model')
    p.add_argument('folder')
    p.add_argument('--budgets', default='1024,6144')
    p.add_argument('--half', choices=['tuning', 'held-out', 'unanswerable'])
    p.add_argument('--misses', action='store_true')
    args = p.parse_args()
    hits, asked = collections.Counter(), collections.Counter()
    budgets = [int(b) for b in args.budgets.split(',')]
    questions = [q for q in table(args.half) if os.path.exists(os.path.join(args.folder, q[0]))]
    with tempfile.TemporaryDirectory() as library:
        for budget in budgets:
            for name, part, pages, question in questions:
                shown = ask(args, library, os.path.join(args.folder, name), budget, question)
                hit = any(page in shown for page in pages) if pages else not shown
                if args.misses and not hit:
                    print(f'{budget}: {name} {part}: {question} stands on {pages}, not on {shown}', flush=True)
                for key in ([name, part, 'all'] if pages else [part]):
                    asked[key, budget] += 1
                    hits[key, budget] += hit
    print('| | questions |' + ''.join(f' budget {b} |' for b in budgets) + '\n|---|---|' + '---|' * len(budgets))
    for key in dict.fromkeys(key for key, _ in asked):
        n = asked[key, budgets[0]]
        print(f'| {key} | {n} |' + ''.join(f' {hits[key, b]} ({100 * hits[key, b] / n:.0f} %) |' for b in budgets))


if __name__ == '__main__':
    main()
