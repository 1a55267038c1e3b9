#!/usr/bin/env python3
"""Reads the films and PDFs of Debian packages with pagereel, holds the results to ffprobe, pdfinfo and pdftotext, and writes a table.

usage: real_files.py [--pagereel build/cli/pagereel] [--each N] FOLDER... > docs/REAL_FILES.md

FOLDER holds .deb files (`apt-get download PACKAGE`), of which nothing is installed. Of each package up to N films and N PDFs are
taken, no two with the same bytes.
"""
import argparse
import collections
import glob
import hashlib
import json
import os
import subprocess
import tempfile

import compare_text

FILMS = ('.3gp', '.asf', '.avi', '.flv', '.gif', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.ogm', '.ogv', '.roq', '.ts', '.vob', '.webm', '.webp',
         '.wmv')
PAGES, FRAMES = 3, 8


def output(*command):
    done = subprocess.run(command, capture_output=True)
    return done.stdout.decode('utf-8', 'replace') if done.returncode == 0 else ''


def units_of(pagereel, path, *options):
    done = subprocess.run([pagereel, 'inspect', '--units', *options, path], capture_output=True)
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    if done.returncode or not lines:
        return None, [], [done.stderr.decode().strip()]
    return lines[0], lines[1:], []


def check_film(pagereel, path):
    """What it is, what was checked, and what was wrong."""
    info, units, wrong = units_of(pagereel, path, '--frames', str(FRAMES))
    frames = [u for u in units if u['unit'] == 'frame']
    stream = output('ffprobe', '-v', 'error', '-select_streams', 'v:0', '-show_entries', 'stream=codec_name,width,height', '-of',
                    'csv=p=0', path).strip().replace(',', ' ')
    checked = f'{len(frames)} frames'
    if not wrong and not frames:
        wrong.append('no frames')
    if not path.endswith('.webp') and frames:  # ffprobe doesn't read animated WebP
        text = output('ffprobe', '-v', 'error', '-select_streams', 'v:0', '-show_entries', 'frame=best_effort_timestamp_time', '-of',
                      'csv=p=0', path)
        times = sorted(float(line.strip(',')) for line in text.split() if line.strip(',') not in ('', 'N/A'))
        start = float(output('ffprobe', '-v', 'error', '-show_entries', 'format=start_time', '-of', 'csv=p=0', path).strip() or 0)
        checked += f', their times among the {len(times)} of ffprobe'
        for frame in frames if times else []:
            if 't0' in frame and min(abs(frame['t0'] + start - t) for t in times) > 0.001:
                wrong.append(f'no frame begins at {frame["t0"]} s')
    for a, b in zip(frames, frames[1:]):
        if b['t0'] < a['t1'] - 1e-6:
            wrong.append(f'frames overlap at {b["t0"]} s')
    return stream or 'WebP animation', checked, wrong


def check_document(pagereel, path):
    if not output('pdfinfo', path):
        _, _, wrong = units_of(pagereel, path, '--pixels', '0')
        asks = bool(wrong) and '--password' in wrong[0]
        return 'encrypted', 'the message names --password', [] if asks else wrong or ['is read though pdfinfo refuses it']
    facts = dict(line.split(':', 1) for line in output('pdfinfo', path).splitlines() if ':' in line)
    info, _, wrong = units_of(pagereel, path, '--pixels', '0', '--pages', '1')
    sums = collections.Counter(farthest=0.0)
    for page in compare_text.pages_of(path, PAGES):
        compare_text.compare_page(pagereel, path, page, sums, False)
        _, units, failed = units_of(pagereel, path, '--pages', str(page))
        wrong += failed + [f'page {page} is missing' for _ in [0] if not units]
    if not wrong and info.get('pages') != int(facts['Pages']):
        wrong.append(f'{info.get("pages")} pages instead of {facts["Pages"].strip()}')
    if compare_text.share(sums, 'equal') < 0.9:
        wrong.append('its words differ')
    what = f'{facts["Pages"].strip()} pages, {(facts.get("Producer") or facts.get("Creator") or "?").strip()}'
    return what, f'{sums["pages"]} pages drawn; {100 * compare_text.share(sums, "equal"):.1f} % of {sums["words"]} words, boxes within ' \
                 f'{sums["farthest"]:.1f} pt', wrong


def files_of(folder, endings, each):
    found, seen = [], set()
    for base, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(base, name)
            if not name.lower().endswith(endings) or os.path.islink(path) or os.path.getsize(path) < 4096:
                continue
            if name.endswith('.webp') and b'ANIM' not in open(path, 'rb').read(64):
                continue
            digest = hashlib.sha256(open(path, 'rb').read()).digest()
            if digest not in seen and len(found) < each:
                seen.add(digest)
                found.append(path)
    return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument('folders', nargs='+')
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--each', type=int, default=4)
    a = p.parse_args()
    rows = {'film': [], 'document': []}
    for deb in sorted(path for folder in a.folders for path in glob.glob(folder + '/*.deb')):
        package = os.path.basename(deb).rsplit('_', 1)[0].replace('%3a', ':').replace('_', ' ')
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(['dpkg-deb', '-x', deb, folder], check=True)
            for kind, endings, check in ('film', FILMS, check_film), ('document', ('.pdf',), check_document):
                for path in files_of(folder, endings, a.each):
                    what, checked, wrong = check(a.pagereel, path)
                    rows[kind].append((package, path[len(folder):], what, checked, '; '.join(wrong) or 'right'))
    print('# Real files\n\nFilms and PDFs from Debian packages, read by pagereel and held to ffprobe, pdfinfo and pdftotext. Made by\n'
          f'`tools/real_files.py --each {a.each} FOLDER`, where FOLDER holds the packages.')
    for kind, title in ('film', 'Films and animations'), ('document', 'PDFs'):
        good = sum(row[-1] == 'right' for row in rows[kind])
        print(f'\n## {title}: {len(rows[kind])}, of which {good} are right\n')
        print('| package | file | what it is | checked | result |\n|---|---|---|---|---|')
        for row in rows[kind]:
            print('| ' + ' | '.join(cell.replace('|', '/').replace('\n', ' ') for cell in row) + ' |')


if __name__ == '__main__':
    main()
