"""Speed of pagereel and llama.cpp on the same files, in turns, in one run.

usage: PAGEREEL_PEER=FOLDER bench.py [--pagereel build/cli/pagereel] [--device cpu|vulkan] [--threads N] [--rounds N] [--json] FILE...

A round runs pagereel (`pagereel bench llm --json`) and then llama.cpp, each in a process of its own, on one file: a prompt of 256
tokens in one go, then 32 tokens one by one. The table gives each side's median and best over the rounds; what counts is the
median, and the best tells whether the machine was quiet. llama.cpp is called as a library (no sampling, no JavaScript), with
flash attention and an f16 cache, which is its fastest setting. Its threads spin: on a busy machine its figures collapse.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROMPT, NEW, WARM_UP = 256, 32, 1
RUNS = {'cpu': 3, 'vulkan': 1}  # software Vulkan takes a minute a run


def peer(path, threads, runs):
    """Runs in a process of its own: tokens a second of llama.cpp, median of `runs` after a warm-up."""
    import numpy as np

    import llama_cpp
    m = llama_cpp.Model(path, threads=threads, n_ctx=PROMPT + 2 * NEW, cache=llama_cpp.GGML_F16, flash=True)
    prefill, decode = [], []
    for run in range(WARM_UP + runs):
        new = NEW if run >= WARM_UP else 2  # a warm-up is for compiling
        m.clear()
        ids = [(i * 7919 + run * 131) % (m.n_vocab - 300) + 300 for i in range(PROMPT)]
        t0 = time.perf_counter()
        m.decode(ids, position=np.arange(PROMPT))
        t1 = time.perf_counter()
        for i in range(new):
            m.decode([300 + i], position=[PROMPT + i])
        t2 = time.perf_counter()
        prefill.append(PROMPT / (t1 - t0))
        decode.append(new / (t2 - t1))
    print(json.dumps({'prefill_tok_s': statistics.median(prefill[WARM_UP:]), 'decode_tok_s': statistics.median(decode[WARM_UP:])}))


def run(command, **env):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
    if done.returncode:
        raise SystemExit(f'{" ".join(command)}: exit code {done.returncode}\n{done.stderr.strip()}')
    return json.loads(done.stdout)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('files', nargs='+')
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--device', default='cpu', choices=['cpu', 'vulkan'])
    p.add_argument('--threads', type=int, default=os.cpu_count())
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--json', action='store_true')
    p.add_argument('--peer-only', action='store_true', help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.peer_only:
        return peer(a.files[0], a.threads, RUNS[a.device])

    load = os.getloadavg()[0]
    if load > 0.5:
        print(f'the machine is busy (load {load:.1f}): these figures will not mean much', file=sys.stderr)
    rows = []
    for path in a.files:
        ours, theirs = [], []
        for _ in range(a.rounds):
            ours.append(run([a.pagereel, 'bench', 'llm', '-m', path, '--device', a.device, '--threads', str(a.threads), '--runs',
                             str(RUNS[a.device]), '--json']))
            theirs.append(run([sys.executable, os.path.join(HERE, 'bench.py'), '--peer-only', '--device', a.device, '--threads',
                               str(a.threads), path],
                              PAGEREEL_PEER_DEVICE=a.device))
        row = {'file': os.path.basename(path), 'device': a.device, 'rounds': a.rounds}
        for what in ('prefill_tok_s', 'decode_tok_s'):
            row[what] = {side: {'median': statistics.median(x[what] for x in xs), 'best': max(x[what] for x in xs)}
                         for side, xs in (('pagereel', ours), ('llama.cpp', theirs))}
        row['decode_bandwidth_share'] = statistics.median(x['decode_bandwidth_share'] for x in ours)
        row['bandwidth_gb_s'] = statistics.median(x['bandwidth_gb_s'] for x in ours)
        rows.append(row)
    if a.json:
        print(json.dumps(rows, indent=1))
        return
    print(f'{a.device}, {a.threads} threads, {PROMPT} + {NEW} tokens, median (best) of {a.rounds} rounds, tokens a second')
    print(f'{"file":28} {"":8} {"pagereel":>18} {"llama.cpp":>18} {"ratio":>6}')
    for r in rows:
        for what in ('prefill_tok_s', 'decode_tok_s'):
            x, y = r[what]['pagereel'], r[what]['llama.cpp']
            print(f'{r["file"]:28} {what.split("_")[0]:8} {x["median"]:9.1f} ({x["best"]:6.1f}) {y["median"]:9.1f} ({y["best"]:6.1f}) '
                  f'{x["median"] / y["median"]:6.2f}')
        print(f'{"":28} pagereel: decode reads {100 * r["decode_bandwidth_share"]:.0f} % of {r["bandwidth_gb_s"]:.1f} GB/s')


if __name__ == '__main__':
    main()
