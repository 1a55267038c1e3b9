"""Pictures through pagereel's encoder and llama.cpp's own, on the same files, threads and picture, in turns, in one run.

usage: PAGEREEL_PEER_CLIP=PROGRAM vision.py [--pagereel build/cli/pagereel] [--device cpu|vulkan] [--threads N] [--side PIXELS]
                                            [--rounds N] [--runs N] [--json] MMPROJ...
needs: numpy; PROGRAM is clip_encode.cpp, built against llama.cpp for that device (README.md)

Each file encodes one picture of --side x --side pixels as one crop, --runs times after a warm-up, in each of --rounds rounds. The
table gives each side's milliseconds (median, best) and the ratio of the medians: above 1, pagereel is faster. `difference`
compares the visual tokens that both make of the same pixels: the root mean square of what differs, relative to llama.cpp's.
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np


def picture(side):
    """Smooth colours, an edge and some text-like stripes, u8 [side, side, 3]."""
    y, x = np.mgrid[:side, :side] / side
    rgb = np.stack([127 + 120 * np.sin(7 * x + 3 * y), 255 * x * y, 127 + 120 * np.cos(9 * y - 2 * x)], 2)
    rgb[(y > 0.6) & (x > 0.3)] *= 0.3
    rgb[(np.floor(y * 40) % 3 == 0) & (np.floor(x * 97) % 4 != 0) & (y < 0.4)] = 20
    return rgb.astype(np.uint8)


def write_png(path, rgb):
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    rows = b''.join(b'\0' + row.tobytes() for row in rgb)
    with open(path, 'wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', rgb.shape[1], rgb.shape[0], 8, 2, 0, 0, 0)) +
                   chunk(b'IDAT', zlib.compress(rows, 1)) + chunk(b'IEND', b''))


def mean_and_std(path):
    import gguf
    fields = gguf.GGUFReader(path).fields
    return [np.array(fields[f'clip.vision.image_{k}'].contents(), np.float32) for k in ('mean', 'std')]


def run(command):
    env = dict(os.environ)
    env.setdefault('GGML_VK_VISIBLE_DEVICES', '0')  # llama.cpp hides software devices unless they are named
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise SystemExit(f'{" ".join(command)}: exit code {done.returncode}\n{done.stderr.strip()[-2000:]}')
    return json.loads(done.stdout)


def compare(a, path, folder):
    rgb = picture(a.side)
    mean, std = mean_and_std(path)
    pixels, png, theirs_out, ours_out = (os.path.join(folder, n) for n in ('pixels.f32', 'picture.png', 'theirs.f32', 'ours.npy'))
    ((rgb.astype(np.float32) / 255 - mean) / std).astype(np.float32).tofile(pixels)
    write_png(png, rgb)
    peer = [os.environ['PAGEREEL_PEER_CLIP'], path, 'gpu' if a.device == 'vulkan' else 'cpu', str(a.threads), str(a.runs),
            str(a.side), str(a.side), pixels, theirs_out]
    ours, theirs = [], []
    for _ in range(a.rounds):
        told = run(peer)
        theirs += told['ms']
        one_crop = ['--mmproj', path, '--device', a.device, '--threads', str(a.threads), '--image-tokens', str(told['tokens']), '--json']
        bench = run([a.pagereel, 'bench', 'vision', '--side', str(a.side), '--runs', str(a.runs), *one_crop])
        assert bench['crops'] == 1 and bench['tokens'] == told['tokens'], (bench, told)
        ours.append(1000 * bench['encode_s'])
    run([a.pagereel, 'embed', png, '-o', ours_out, *one_crop])
    x, y = np.load(ours_out), np.fromfile(theirs_out, np.float32).reshape(told['tokens'], told['width'])
    stats = {side: {'median': statistics.median(ms), 'best': min(ms)} for side, ms in (('pagereel', ours), ('llama.cpp', theirs))}
    return {'file': os.path.basename(path), 'side': a.side, 'tokens': told['tokens'], 'ms': stats,
            'ratio': stats['llama.cpp']['median'] / stats['pagereel']['median'],
            'ratio_of_best': stats['llama.cpp']['best'] / stats['pagereel']['best'], 'gflop_s': bench['gflop_s'],
            'difference': float(np.sqrt(((x - y) ** 2).mean() / (y ** 2).mean()))}


def main():
    p = argparse.ArgumentParser()
    p.add_argument('files', nargs='+')
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--device', default='cpu', choices=['cpu', 'vulkan'])
    p.add_argument('--threads', type=int, default=os.cpu_count())
    p.add_argument('--side', type=int, default=512)
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--runs', type=int, default=3)
    p.add_argument('--json', action='store_true')
    a = p.parse_args()
    if not os.environ.get('PAGEREEL_PEER_CLIP'):
        raise SystemExit('set PAGEREEL_PEER_CLIP to the program built from tools/peer/clip_encode.cpp')
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f'the machine is busy (load {load:.1f}): these figures will not mean much', file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        rows = [compare(a, path, folder) for path in a.files]
    if a.json:
        print(json.dumps(rows, indent=1))
        return
    print(f'{a.device}, {a.threads} threads, one crop of {a.side} x {a.side}, {a.rounds} rounds; ms: median (best)')
    print(f'{"file":32} {"tokens":>6} {"pagereel":>20} {"llama.cpp":>20} {"ratio":>6} {"difference":>10}')
    for r in rows:
        x, y = r['ms']['pagereel'], r['ms']['llama.cpp']
        print(f'{r["file"]:32} {r["tokens"]:6} {x["median"]:10.1f} ({x["best"]:7.1f}) {y["median"]:10.1f} ({y["best"]:7.1f}) '
              f'{r["ratio"]:6.2f} {r["difference"]:10.2e}')


if __name__ == '__main__':
    main()
