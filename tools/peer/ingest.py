"""Speed and memory of pagereel's ingest beside ffmpeg and poppler's tools, in turns, in one run.

usage: ingest.py --make FOLDER [--minutes N] [--pagereel build/cli/pagereel] [--rounds N]
       ingest.py [--start FILE]... [--video FILE] [--pdf FILE] [--pages N] [--memory FILE]... [--rounds N] [--json]

--make: makes the files below in FOLDER, unless they are there (5.5 GB, some minutes), and measures all of it. --minutes 10: with a film of ten
minutes and one of twenty in the place of those of one and two hours.
--start: from the start of the program to the first frame or page as a PNG, median of 20; beside it the same by ffmpeg or pdftoppm.
--video: one frame a second at 512 pixels against `ffmpeg -vf fps=1,scale=512:-2 -f null -`; then one frame a minute, which has to
take at most a fifth of ffmpeg's time. --pdf: pages as pictures with their text against `pdftoppm` and then `pdftotext` at the same
size. Wall time and processor time (of all processes and cores) are given: on a busy machine the second one is what counts.
--memory: resident memory of the program and its worker while a file is read, after the first tenth (of two hours: 12 minutes of film) and at most.

Made are: 60-minutes.mp4, an hour of 1920 x 1080 at 25 frames a second and 4 Mbit/s (H.264; a minute of a moving test picture with noise, sixty
times); 120-minutes.mp4, the same twice; figures.pdf, 300 pages in two columns with a plot, a picture and captions on each; thousand.pdf, 1000
of them.
"""
import argparse
import json
import math
import os
import random
import re
import resource
import statistics
import subprocess
import tempfile
import time
import zlib

START_RUNS = 20
PIXELS = 1 << 20


def make_film(folder, minutes):
    minute, path = os.path.join(folder, 'minute.mp4'), os.path.join(folder, f'{minutes}-minutes.mp4')
    if not os.path.exists(minute):
        subprocess.run(['ffmpeg', '-v', 'error', '-y', '-f', 'lavfi', '-i', 'testsrc2=s=1920x1080:r=25:d=60,noise=alls=6:allf=t', '-c:v', 'libx264',
                        '-preset', 'veryfast', '-b:v', '4M', '-pix_fmt', 'yuv420p', '-f', 'mp4', minute + '.part'], check=True)
        os.rename(minute + '.part', minute)
    if not os.path.exists(path):
        subprocess.run(['ffmpeg', '-v', 'error', '-y', '-stream_loop', str(minutes - 1), '-i', minute, '-c', 'copy', '-f', 'mp4', path + '.part'],
                       check=True)
        os.rename(path + '.part', path)
    return path


def page_content(pick, number):
    """Two columns of words, a plot of 400 points with bars in one, a picture in the other, and captions."""
    words = ['pump', 'valve', 'lever', 'the', 'of', 'pressure', 'flows', 'at', 'nine', 'bar', 'when', 'opened', 'slowly', 'measured', 'is']
    out = ['BT /F 9 Tf 11 TL']
    for column, (x, top) in enumerate(((50, 780), (310, 560))):
        out.append(f'1 0 0 1 {x} {top} Tm')
        out += [f"({' '.join(pick.choice(words) for _ in range(8))}) '" for _ in range(45 if column == 0 else 40)]
    out.append(f'1 0 0 1 310 590 Tm (Figure {2 * number}: The valve of page {number}.) Tj 1 0 0 1 50 90 Tm (Figure {2 * number + 1}: Pressure.) Tj ET')
    out.append('q 230 0 0 170 310 610 cm /P Do Q 0.5 w 50 110 m 50 260 l 280 260 l S')
    out += [f'{pick.random():.2f} 0.4 0.7 rg {60 + 20 * i} 110 12 {pick.randrange(20, 140)} re f' for i in range(11)]
    out.append('1 0 0 RG 50 180 m')
    out += [f'{50 + 0.575 * i:.2f} {180 + 60 * math.sin(i / 20) + pick.randrange(-8, 8):.2f} l' for i in range(1, 400)]
    return '\n'.join(out + ['S']).encode()


def make_pdf(folder, pages, name):
    path, pick, places = os.path.join(folder, name), random.Random(1), []
    if os.path.exists(path):
        return path
    with open(path + '.part', 'wb') as file:
        def put(head, data=None):
            places.append(file.tell())
            body = head if data is None else head[:-2] + b'/Filter/FlateDecode/Length %d>>stream\n%s\nendstream' % (len(data), data)
            file.write(b'%d 0 obj\n%s\nendobj\n' % (len(places), body))
        file.write(b'%PDF-1.5\n')
        put(b'<</Type/Catalog/Pages 2 0 R>>')
        put(b'<</Type/Pages/Kids[%s]/Count %d>>' % (b' '.join(b'%d 0 R' % (4 + 3 * i) for i in range(pages)), pages))
        put(b'<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>')
        for i in range(pages):
            n = 4 + 3 * i
            put(b'<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R/Resources<</Font<</F 3 0 R>>/XObject<</P %d 0 R>>>>>>' % (n + 1, n + 2))
            put(b'<<>>', zlib.compress(page_content(pick, i + 1)))
            noise = iter(pick.randbytes(170 * 230 * 3))
            pixels = bytes((x * 2 + y + c * i + (next(noise) & 15)) & 255 for y in range(170) for x in range(230) for c in range(3))
            put(b'<</Type/XObject/Subtype/Image/Width 230/Height 170/BitsPerComponent 8/ColorSpace/DeviceRGB>>', zlib.compress(pixels))
        table = file.tell()
        file.write(b'xref\n0 %d\n0000000000 65535 f \n' % (len(places) + 1) + b''.join(b'%010d 00000 n \n' % place for place in places))
        file.write(b'trailer\n<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n' % (len(places) + 1, table))
    os.rename(path + '.part', path)
    return path


def resident(pid):
    """MiB of a process and its children."""
    try:
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
            family = [pid, *map(int, file.read().split())]
        pages = 0
        for each in family:
            with open(f'/proc/{each}/statm', encoding='ascii') as file:
                pages += int(file.read().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf('SC_PAGESIZE') / (1 << 20)


def memory_row(pagereel, path):
    """Everything is read and printed; a tenth is what is printed until then."""
    seen = []
    with subprocess.Popen([pagereel, 'inspect', '--units', path], stdout=subprocess.PIPE, text=True) as process:
        for i, _ in enumerate(process.stdout):
            if i % 20 == 0:
                seen.append(resident(process.pid))
    tenth = max(seen[:max(1, len(seen) // 10)])
    return {'what': f'memory, {os.path.basename(path)}', 'units': i, 'after_a_tenth_mib': round(tenth), 'most_mib': round(max(seen))}


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
    p.add_argument('--make', metavar='FOLDER')
    p.add_argument('--minutes', type=int, default=60)
    p.add_argument('--memory', action='append', default=[])
    p.add_argument('--pages', type=int, default=300)
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--json', action='store_true')
    a = p.parse_args()
    if a.make:
        os.makedirs(a.make, exist_ok=True)
        a.video, a.pdf = make_film(a.make, a.minutes), make_pdf(a.make, 300, 'figures.pdf')
        a.memory = [make_film(a.make, 2 * a.minutes), make_pdf(a.make, 1000, 'thousand.pdf')]
        a.start = [os.path.join(a.make, 'minute.mp4'), a.video, a.pdf]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows += [start_row(a.pagereel, path, folder) for path in a.start]
    if a.video:
        rows += video_rows(a.pagereel, a.video, a.rounds)
    if a.pdf:
        rows.append(pdf_row(a.pagereel, a.pdf, a.pages, a.rounds))
    memory = [memory_row(a.pagereel, path) for path in a.memory]
    if a.json:
        print(json.dumps({'load': os.getloadavg()[0], 'rows': rows, 'memory': memory}, indent=1))
        return
    print(f'load {os.getloadavg()[0]:.1f}; wall (best) and processor seconds, medians')
    for row in rows:
        ours, peer = row['pagereel'], row['peer']
        limit = f', limit {row["limit"]}' if row['limit'] else ''
        print(f'{row["what"]:60} pagereel {ours["wall_s"]:8.3f} ({ours["best_wall_s"]:.3f}) {ours["cpu_s"]:8.3f}   peer '
              f'{peer["wall_s"]:8.3f} ({peer["best_wall_s"]:.3f}) {peer["cpu_s"]:8.3f}   ratio {row["wall_ratio"]:.2f} wall, '
              f'{row["cpu_ratio"]:.2f} cpu{limit}')
    for row in memory:
        print(f'{row["what"]:60} {row["units"]} units: {row["after_a_tenth_mib"]} MiB after a tenth, {row["most_mib"]} MiB at most')


if __name__ == '__main__':
    main()
