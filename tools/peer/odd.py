"""What the programs odd_*.py share: their options, their loop over seeds, and what they ask of pagereel."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../goldens'))


def run(program, *command):
    """What it prints; RuntimeError with its last words if it fails."""
    done = subprocess.run([program, *command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def run_json(program, *command):
    return json.loads(run(program, *command, '--json'))


def embed(program, device, mmproj, path, out, *more):
    """Visual tokens [n, d] of a file."""
    run(program, 'embed', '--device', device, '--mmproj', mmproj, path, '-o', out, *more)
    return np.load(out)


def difference(got, want):
    """The root mean square of the difference, relative; infinite where shapes differ."""
    return float(np.sqrt(((got - want) ** 2).mean() / (want ** 2).mean())) if got.shape == want.shape else np.inf


def main(check, n, devices=('ref', 'cpu', 'vulkan')):
    """Runs check(seed, options, folder) -> bool for n seeds; ends with 1 if one isn't right."""
    p = argparse.ArgumentParser()
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--devices', type=lambda s: s.split(','), default=list(devices))
    p.add_argument('--first', type=int, default=1, metavar='SEED')
    p.add_argument('--n', type=int, default=n)
    p.add_argument('--keep', metavar='FOLDER', help='where the files of wrong ones stay')
    a = p.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        good = [check(seed, a, a.keep or folder) for seed in range(a.first, a.first + a.n)]
    print(f'{sum(good)} of {len(good)} right')
    sys.exit(not all(good))
