"""Speed of pagereel's ingest beside ffmpeg and poppler's tools, in turns, in one run.

usage: ingest.py [--pagereel build/cli/pagereel] [--start FILE]... [--video FILE] [--pdf FILE] [--pages N] [--rounds N] [--json]

--start: from the start of the program to the first frame or page as a PNG, median of 20; beside it the same by ffmpeg or pdftoppm.
--video: one frame a second at 512 pixels against `ffmpeg -vf fps=1,scale=512:-2 -f null -`; then one frame a minute, which has to
take at most a fifth of ffmpeg's time. --pdf: pages as pictures with their text against `pdftoppm` and then `pdftotext` at the same
size. Wall time and processor time (of all processes and cores) are given: on a busy machine the second one is what counts.

An hour of film:
    ffmpeg -f lavfi -i testsrc2=s=1920x1080:r=25:d=60,noise=alls=6:allf=t -c:v libx264 -preset veryfast -b:v 4M -pix_fmt yuv420p m.mp4
    ffmpeg -stream_loop 59 -i m.mp4 -c copy hour.mp4
"""
import argparse
import json
import math
import os
import re
import resource
import statistics
import subprocess
import tempfile
import time

START_RUNS = 20
PIXELS = 1 << 20


def measure(*commands):
    """Runs the commands one after the other: seconds of wall time, and of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    for command in commands:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(what, sides, rounds, limit=None):
    """A row: medians of both sides, run in turns, and the ratio of their processor times. limit: what the ratio may be."""
    results = {side: [] for side in sides}
    for _ in range(rounds):
        for side, commands in sides.items():
            results[side].append(measure(*commands))
    row = {'what': what, 'rounds': rounds, 'limit': limit}
    for side, pairs in results.items():
        row[side] = {'wall_s': round(statistics.median(p[0] for p in pairs), 4),
                     'best_wall_s': round(min(p[0] for p in pairs), 4),
                     'cpu_s': round(statistics.median(p[1] for p in pairs), 4)}
    for kind in 'wall', 'cpu':
        row[kind + '_ratio'] = round(row['pagereel'][kind + '_s'] / max(row['peer'][kind + '_s'], 1e-9), 3)
    return row


def start_row(pagereel, path, folder):
    with open(path, 'rb') as file:
        paged = b'%PDF-' in file.read(1024)
    out = os.path.join(folder, 'out')
    where = ['--page', '1'] if paged else ['--at', '0']
    peer = ['pdftoppm', '-png', '-singlefile', '-scale-to', '800', path, out] if paged else \
           ['ffmpeg', '-v', 'error', '-y', '-i', path, '-frames:v', '1', out + '.png']
    return compare(f'start to first {"page" if paged else "frame"}, {os.path.basename(path)}',
                   {'pagereel': [[pagereel, 'frame', path, *where, '-o', out + '.png']], 'peer': [peer]}, START_RUNS)


def video_rows(pagereel, path, rounds):
    peer = [['ffmpeg', '-v', 'error', '-i', path, '-vf', 'fps=1,scale=512:-2', '-f', 'null', '-']]
    size = subprocess.run(['ffprobe', '-v', 'error', '-select_streams', 'v:0', '-show_entries', 'stream=width,height', '-of', 'csv=p=0',
                           path], capture_output=True, text=True, check=True).stdout.strip().split(',')
    pixels = str(512 * round(512 * int(size[1]) / int(size[0])))
    units = [pagereel, 'inspect', '--units', '--pixels', pixels, path]
    first = compare('1 frame a second, 512 pixels', {'pagereel': [units + ['--fps', '1']], 'peer': peer}, rounds, 1)
    second = compare('1 frame a minute', {'pagereel': [units + ['--fps', repr(1 / 60)]]} | {'peer': [['true']]}, rounds, 0.2)
    second['peer'] = first['peer']  # ffmpeg's time for a frame a second is the measure of both
    for kind in 'wall', 'cpu':
        second[kind + '_ratio'] = round(second['pagereel'][kind + '_s'] / first['peer'][kind + '_s'], 3)
    return [first, second]


def pdf_row(pagereel, path, pages, rounds):
    info = subprocess.run(['pdfinfo', path], capture_output=True, text=True, check=True).stdout
    pages = min(pages, int(re.search(r'Pages:\s+(\d+)', info)[1]))
    width, height = (float(x) for x in re.search(r'Page size:\s+([\d.]+) x ([\d.]+)', info).groups())
    scale = math.sqrt(PIXELS / (width * height))
    size = ['-scale-to-x', str(int(width * scale)), '-scale-to-y', str(int(height * scale))]
    last = ['-f', '1', '-l', str(pages)]
    return compare(f'{pages} pages at {size[1]} x {size[3]} with text, {os.path.basename(path)}',
                   {'pagereel': [[pagereel, 'inspect', '--units', '--pixels', str(PIXELS), '--pages', f'1-{pages}', path]],
                    'peer': [['pdftoppm', *last, *size, path], ['pdftotext', *last, path, '-']]}, rounds, 1)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--start', action='append', default=[])
    p.add_argument('--video')
    p.add_argument('--pdf')
    p.add_argument('--pages', type=int, default=300)
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--json', action='store_true')
    a = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows += [start_row(a.pagereel, path, folder) for path in a.start]
    if a.video:
        rows += video_rows(a.pagereel, a.video, a.rounds)
    if a.pdf:
        rows.append(pdf_row(a.pagereel, a.pdf, a.pages, a.rounds))
    if a.json:
        print(json.dumps({'load': os.getloadavg()[0], 'rows': rows}, indent=1))
        return
    print(f'load {os.getloadavg()[0]:.1f}; wall (best) and processor seconds, medians')
    for row in rows:
        ours, peer = row['pagereel'], row['peer']
        limit = f', limit {row["limit"]}' if row['limit'] else ''
        print(f'{row["what"]:60} pagereel {ours["wall_s"]:8.3f} ({ours["best_wall_s"]:.3f}) {ours["cpu_s"]:8.3f}   peer '
              f'{peer["wall_s"]:8.3f} ({peer["best_wall_s"]:.3f}) {peer["cpu_s"]:8.3f}   ratio {row["wall_ratio"]:.2f} wall, '
              f'{row["cpu_ratio"]:.2f} cpu{limit}')


if __name__ == '__main__':
    main()
