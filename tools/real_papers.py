#!/usr/bin/env python3
"""Holds pages of real papers to what a person sees on them (real_papers.json): headings in the order in which they are read, across two and
three columns, and the captions that the figures have, from top to bottom.

usage: real_papers.py [--pagereel build/cli/pagereel] FOLDER...

FOLDER holds the PDFs somewhere: those of the packages octave-doc, texlive-publishers-doc and texlive-pictures-doc, unpacked with
`dpkg-deb -x`. A file that isn't there is left out, and counted.
"""
import argparse
import glob
import json
import os
import subprocess
import sys


def find(folders, name):
    for folder in folders:
        found = glob.glob(os.path.join(glob.escape(folder), '**', os.path.basename(name)), recursive=True)
        if found:
            return sorted(found)[0]
    return None


def check(pagereel, path, page):
    """What is wrong with a page."""
    done = subprocess.run([pagereel, 'inspect', '--units', '--pages', str(page['page']), path], capture_output=True)
    if done.returncode:
        return [done.stderr.decode().strip()]
    unit, wrong, at = json.loads(done.stdout.decode().splitlines()[-1]), [], -1
    texts = [line['text'] for line in unit['lines']]
    for heading in page['order']:
        place = next((i for i in range(at + 1, len(texts)) if heading in texts[i]), None)
        if place is None:
            wrong.append(f'"{heading}" isn\'t there, or stands before what is read before it')
        else:
            at = place
    captions = [r['text'] for r in unit.get('regions', []) if r['kind'] == 'figure' and r['text']]
    wanted = page.get('captions', [])
    if wanted and not (len(captions) == len(wanted) and all(c.startswith(w) for c, w in zip(captions, wanted))):
        wrong.append(f'captions are {[c[:40] for c in captions]}')
    return wrong


def main():
    p = argparse.ArgumentParser()
    p.add_argument('folders', nargs='+')
    p.add_argument('--pagereel', default='build/cli/pagereel')
    a = p.parse_args()
    with open(os.path.join(os.path.dirname(__file__), 'real_papers.json'), encoding='utf-8') as file:
        pages = json.load(file)
    right = missing = 0
    for page in pages:
        path = find(a.folders, page['file'])
        if not path:
            missing += 1
            continue
        wrong = check(a.pagereel, path, page)
        right += not wrong
        print(f'{page["file"]} page {page["page"]}: {"; ".join(wrong) or "right"}', flush=True)
    print(f'{right} of {len(pages) - missing} pages are right, {missing} are not here')
    sys.exit(right != len(pages) - missing)


if __name__ == '__main__':
    main()
