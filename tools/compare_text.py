#!/usr/bin/env python3
"""Compares the text and boxes of PDF pages with `pdftotext -bbox-layout`.

usage: compare_text.py [--pagereel build/cli/pagereel] [--pages N] [--verbose] [--json] FILE.pdf...

Words are what lies between blanks; there, pieces with less than a tenth of their height between them are one word, because a new
font begins a piece. A word with Hebrew or Arabic letters is what letters it has, in Unicode's ordinary forms: pdftotext writes them in the
order in which they stand on the page, with signs as they look, and pagereel as they are read. For each file, over up to N pages that are spread evenly over it:
  words  those of pdftotext
  equal  the share of them that pagereel has on the same page, each counted once
  order  the share of them that the longest common run of both sequences keeps (difflib's matching)
  box    mean and largest distance, in points, between a side of a line's box here and of the words in it there, over lines whose
         words are found in one piece
"""
import argparse
import collections
import difflib
import json
import os
import re
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ElementTree


RIGHT_TO_LEFT = re.compile('[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]')


def plain(word):
    """What is compared of a word."""
    if not RIGHT_TO_LEFT.search(word):
        return word
    letters = unicodedata.normalize('NFKC', word)
    return ''.join(sorted(c for c in letters if unicodedata.category(c)[0] == 'L')) or word


def pages_of(path, n):
    info = subprocess.run(['pdfinfo', path], capture_output=True, check=True).stdout.decode('utf-8', 'replace')
    count = int(re.search(r'Pages:\s+(\d+)', info)[1])
    return sorted({1 + i * count // n for i in range(n)} if count > n else range(1, count + 1))


def our_lines(pagereel, path, page):
    done = subprocess.run([pagereel, 'inspect', '--units', '--pixels', '0', '--pages', str(page), path], capture_output=True)
    if done.returncode or done.stderr:
        print(f'  page {page}: {done.stderr.decode().strip()}', file=sys.stderr)
    for line in done.stdout.decode().splitlines():
        unit = json.loads(line)
        if 'lines' in unit:
            return [([plain(word) for word in line['text'].split()], line['box']) for line in unit['lines']]
    return []


def their_words(path, page):
    done = subprocess.run(['pdftotext', '-bbox-layout', '-f', str(page), '-l', str(page), path, '-'], capture_output=True, check=True)
    text = re.sub(r'[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]', ' ', done.stdout.decode('utf-8', 'replace'))
    text = text.replace('<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
                        '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">', '')
    xhtml, words = '{http://www.w3.org/1999/xhtml}', []
    for line in ElementTree.fromstring(text).iter(xhtml + 'line'):
        last = None
        for word in line.iter(xhtml + 'word'):
            box = [float(word.get(k)) for k in ('xMin', 'yMin', 'xMax', 'yMax')]
            if last and abs(box[0] - last[2]) < 0.1 * (box[3] - box[1]):
                before, union = words.pop()
                union = [min(union[0], box[0]), min(union[1], box[1]), max(union[2], box[2]), max(union[3], box[3])]
                words.append((before + (word.text or ''), union))
            else:
                words.append((word.text or '', box))
            last = box
    return [(plain(part), box) for word, box in words for part in word.split()]


def compare_page(pagereel, path, page, sums, verbose):
    lines, words = our_lines(pagereel, path, page), their_words(path, page)
    ours, places = [], []
    for i, (line, _) in enumerate(lines):
        ours += line
        places += [i] * len(line)
    theirs = [word for word, _ in words]
    sums['pages'] += 1
    sums['words'] += len(theirs)
    missing = collections.Counter(theirs) - collections.Counter(ours)
    sums['equal'] += len(theirs) - sum(missing.values())
    if verbose and missing:
        print(f'  page {page}: {list(missing.elements())[:8]}', file=sys.stderr)
    found = collections.defaultdict(list)
    for a, b, n in difflib.SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks():
        sums['order'] += n
        for k in range(n):
            found[places[b + k]].append(words[a + k][1])
    for i, boxes in found.items():
        if len(boxes) != len(lines[i][0]):
            continue
        union = [min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)]
        far = max(abs(x - y) for x, y in zip(union, lines[i][1]))
        sums['lines'] += 1
        sums['far'] += far
        if verbose and far > max(sums['farthest'], 2):
            print(f'  page {page}: {" ".join(lines[i][0])[:50]}: {lines[i][1]} here, {union} there', file=sys.stderr)
        sums['farthest'] = max(sums['farthest'], far)


def share(sums, key):
    return sums[key] / sums['words'] if sums['words'] else 1


def row(name, sums):
    return (f'{name:28} {sums["pages"]:5} {sums["words"]:8} {100 * share(sums, "equal"):8.2f} % {100 * share(sums, "order"):7.2f} % '
            f'{sums["far"] / max(sums["lines"], 1):8.3f} {sums["farthest"]:8.2f}')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('files', nargs='+')
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--pages', type=int, default=20)
    p.add_argument('--verbose', action='store_true')
    p.add_argument('--json', action='store_true')
    a = p.parse_args()
    total, results = collections.Counter(farthest=0.0), {}
    if not a.json:
        print(f'{"file":28} {"pages":>5} {"words":>8} {"equal":>10} {"order":>9} {"box mean":>8} {"box max":>8}')
    for path in a.files:
        sums = collections.Counter(farthest=0.0)
        for page in pages_of(path, a.pages):
            compare_page(a.pagereel, path, page, sums, a.verbose)
        name = os.path.basename(path)
        results[name] = sums
        for key, value in sums.items():
            total[key] = max(total[key], value) if key == 'farthest' else total[key] + value
        if not a.json:
            print(row(name, sums), flush=True)
    if a.json:
        print(json.dumps(results, indent=1))
    else:
        print(row('all', total))


if __name__ == '__main__':
    main()
