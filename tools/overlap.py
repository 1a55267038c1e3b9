"""How long a minute of video takes, beside its slowest stage alone.

usage: overlap.py [--pagereel build/cli/pagereel] [--seconds 60] [--rounds 3] [--rate 40] [--layers 1 12]
needs: ffmpeg; numpy and gguf for the encoders (tools/peer/random_mmproj.py)

Stages, each a program with its own start: decoding (pagereel inspect --fps, pictures at full size, nothing done with them), encoding
(pagereel bench vision, as many runs of one crop as there are frames, the first one included, which it calls warm-up), and all of it
(pagereel embed). Two encoders of the same shape but other depths: one about as fast as the decoder (--rate makes them equal on other machines), one far
slower. Encoding gets one
thread and the film a codec that is decoded by one, so that with two cores the stages don't share any; a stage that used both cores
alone couldn't be overlapped with anything. Preparing (resizing, copying) is a third stage, which has no core of its own here: what it
costs is in the whole. `ratio` is the whole over the slower stage alone. Cores share memory and clock, so the two stages are also run
at the same time as programs that know nothing of each other: `beside` is the whole over the slower one of these, what is lost by us
and not by the machine. Minima of some rounds.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def run(*command):
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'{" ".join(command)}: exit code {done.returncode}\n{done.stderr.strip()}')
    return time.perf_counter() - start, done.stdout


def both(decoder, encoder):
    """Seconds until the slower one of two programs that run at the same time is done."""
    start = time.perf_counter()
    for program in [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in (encoder, decoder)]:
        if program.wait():
            raise SystemExit(f'{" ".join(program.args)}: exit code {program.returncode}')
    return time.perf_counter() - start


def measure(a, film, mmproj):
    options = ('--mmproj', mmproj, '--device', 'cpu', '--threads', '1')
    decoder = (a.pagereel, 'inspect', '--units', '--fps', '1', '--pixels', '67108864', film)
    encoder = (a.pagereel, 'bench', 'vision', *options, '--side', '512', '--image-tokens', '64', '--json', '--runs', str(a.seconds - 1))
    decode, encode, whole, beside = [], [], [], []
    for _ in range(a.rounds):
        decode.append(run(*decoder)[0])
        encode.append(run(*encoder)[0])
        seconds, out = run(a.pagereel, 'embed', *options, '--json', film)
        whole.append(seconds)
        beside.append(both(decoder, encoder))
        assert len(json.loads(out)['runs']) == a.seconds
    return min(decode), min(encode), min(whole), min(beside)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--seconds', type=int, default=60)
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--rate', type=int, default=40, help="of the film: more frames keep the decoder longer")
    p.add_argument('--layers', type=int, nargs='*', default=[1, 12], help='of the encoders')
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        film = os.path.join(folder, 'film.avi')
        run('ffmpeg', '-v', 'error', '-f', 'lavfi', '-i', f'testsrc2=s=1920x1080:r={a.rate}:d={a.seconds}', '-c:v', 'msmpeg4v2', '-q:v', '4', film)
        print(f'{a.seconds} s of 1920 x 1080, {a.rate} frames a second, one looked at each second; seconds, minima of {a.rounds} rounds')
        print(f'{"encoder":>10} {"decoding":>9} {"encoding":>9} {"all of it":>9} {"ratio":>6} {"beside":>6}')
        for layers in a.layers:
            mmproj = os.path.join(folder, f'{layers}.gguf')
            run(sys.executable, os.path.join(HERE, 'peer/random_mmproj.py'), mmproj, '--shape', 'siglip-512', '--layers', str(layers))
            decode, encode, whole, beside = measure(a, film, mmproj)
            print(f'{layers:3} layers {decode:9.2f} {encode:9.2f} {whole:9.2f} {whole / max(decode, encode):6.2f} {whole / beside:6.2f}', flush=True)


if __name__ == '__main__':
    main()
