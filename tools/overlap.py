"""How long a minute of video takes, beside its slowest stage alone.

usage: overlap.py [--pagereel build/cli/pagereel] [--seconds 60] [--rounds 3] [--layers 1 12]
needs: ffmpeg; numpy and gguf for the encoders (tools/peer/random_mmproj.py)

Stages: decoding (pagereel inspect --fps, pictures at full size, nothing done with them), encoding (pagereel bench vision, one
crop, times the frames), and all of it (pagereel embed). Two encoders of the same shape but other depths: one about as fast as the
decoder, one far slower. Encoding gets one thread and the film a codec that is decoded by one, so that with two cores the stages
don't share any. `ratio` is the whole over the slower stage alone. Cores share memory and clock, so the two stages are also run at
the same time as programs that know nothing of each other: `beside` is the whole over the slower one of these, what is lost by us
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
    """Seconds of each of two programs that run at the same time; the encoder says its own."""
    start = time.perf_counter()
    one, two = (subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for command in (encoder, decoder))
    two.communicate()
    return time.perf_counter() - start, json.loads(one.communicate()[0])['encode_s']


def measure(a, film, mmproj):
    options = ('--mmproj', mmproj, '--device', 'cpu', '--threads', '1')
    decoder = (a.pagereel, 'inspect', '--units', '--fps', '1', '--pixels', '67108864', film)
    encoder = (a.pagereel, 'bench', 'vision', *options, '--side', '512', '--image-tokens', '64', '--json', '--runs')
    decode, encode, whole, beside = [], [], [], []
    for _ in range(a.rounds):
        seconds, _ = run(*decoder)
        decode.append(seconds)
        seconds, each = both(decoder, (*encoder, str(min(a.seconds, 30))))
        beside.append(max(seconds, each * a.seconds))
        _, out = run(*encoder, '5')
        encode.append(json.loads(out)['encode_s'] * a.seconds)
        seconds, out = run(a.pagereel, 'embed', *options, '--json', film)
        whole.append(seconds)
        assert len(json.loads(out)['runs']) == a.seconds
    return min(decode), min(encode), min(whole), min(beside)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--seconds', type=int, default=60)
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--layers', type=int, nargs='*', default=[1, 12], help='of the encoders')
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        film = os.path.join(folder, 'film.avi')
        run('ffmpeg', '-v', 'error', '-f', 'lavfi', '-i', f'testsrc2=s=1920x1080:r=30:d={a.seconds}', '-c:v', 'msmpeg4v2', '-q:v', '4', film)
        print(f'{a.seconds} s of 1920 x 1080, 30 frames a second, one looked at each second; seconds, minima of {a.rounds} rounds')
        print(f'{"encoder":>10} {"decoding":>9} {"encoding":>9} {"all of it":>9} {"ratio":>6} {"beside":>6}')
        for layers in a.layers:
            mmproj = os.path.join(folder, f'{layers}.gguf')
            run(sys.executable, os.path.join(HERE, 'peer/random_mmproj.py'), mmproj, '--shape', 'siglip-512', '--layers', str(layers))
            decode, encode, whole, beside = measure(a, film, mmproj)
            print(f'{layers:3} layers {decode:9.2f} {encode:9.2f} {whole:9.2f} {whole / max(decode, encode):6.2f} {whole / beside:6.2f}', flush=True)


if __name__ == '__main__':
    main()
