"""How long a minute of video takes, beside its slowest stage alone.

usage: overlap.py [--pagereel build/cli/pagereel] [--seconds 60] [--rounds 3]
needs: ffmpeg; numpy and gguf for the encoders (tools/peer/random_mmproj.py)

Stages: decoding (pagereel inspect --fps, pictures at full size, nothing done with them), encoding (pagereel bench vision, one
crop, times the frames), and all of it (pagereel embed). Two encoders of the same shape but other depths: one about as fast as the
decoder, one far slower. Encoding gets one thread and the film a codec that is decoded by one, so that with two cores the stages
don't share any; the ratio is the whole over the slower stage, minima of some rounds.
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


def measure(a, film, mmproj):
    options = ('--mmproj', mmproj, '--device', 'cpu', '--threads', '1')
    decode, encode, whole = [], [], []
    for _ in range(a.rounds):
        seconds, _ = run(a.pagereel, 'inspect', '--units', '--fps', '1', '--pixels', '67108864', film)
        decode.append(seconds)
        _, out = run(a.pagereel, 'bench', 'vision', *options, '--side', '512', '--image-tokens', '64', '--runs', '5', '--json')
        encode.append(json.loads(out)['encode_s'] * a.seconds)
        seconds, out = run(a.pagereel, 'embed', *options, '--json', film)
        whole.append(seconds)
        assert len(json.loads(out)['runs']) == a.seconds
    return min(decode), min(encode), min(whole)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--seconds', type=int, default=60)
    p.add_argument('--rounds', type=int, default=3)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        film = os.path.join(folder, 'film.avi')
        run('ffmpeg', '-v', 'error', '-f', 'lavfi', '-i', f'testsrc2=s=1280x720:r=30:d={a.seconds}', '-c:v', 'msmpeg4v2', '-q:v', '4', film)
        print(f'{a.seconds} s of 1280 x 720, 30 frames a second, one looked at each second; seconds, minima of {a.rounds} rounds')
        print(f'{"encoder":>10} {"decoding":>9} {"encoding":>9} {"all of it":>9} {"ratio":>6}')
        for layers in (1, 12):
            mmproj = os.path.join(folder, f'{layers}.gguf')
            run(sys.executable, os.path.join(HERE, 'peer/random_mmproj.py'), mmproj, '--shape', 'siglip-512', '--layers', str(layers))
            decode, encode, whole = measure(a, film, mmproj)
            print(f'{layers:3} layers {decode:9.2f} {encode:9.2f} {whole:9.2f} {whole / max(decode, encode):6.2f}')


if __name__ == '__main__':
    main()
