"""Pictures and films of odd sizes through pagereel, beside the processors of transformers: what no fixed golden has.

usage: odd_pictures.py [--pagereel build/cli/pagereel] [--devices ref,cpu,vulkan] [--first SEED] [--n N] [--keep FOLDER]
needs: what tools/goldens/vision.py needs; ffmpeg; the models of tests/golden/vision

Each seed draws a family and either one to three pictures, tiny, large, wide or tall, or a film of odd length and rate. They stand in a
prompt: the ids, how many visual tokens stand where, and their positions have to be the processor's, and the visual tokens those that transformers' encoder
makes of the processor's pixels, to a root mean square of 1e-4 relative, which a single wrong pixel of most pictures exceeds (weights are
f32). Prints a line for each, and ends with 1 if one is WRONG.
"""
import os
import subprocess

import numpy as np
import odd
from PIL import Image

import vision
from pictures import picture

BOUND = 1e-4
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../tests/golden/vision')
IMAGE = {'idefics3': '<image>', 'internvl': '<IMG_CONTEXT>'}
VIDEO = {'idefics3': '<video>', 'internvl': '<video>', 'qwen3vl': '<|video_pad|>'}
models = {}


def model_of(family, folder):
    """A random model of the family's shape, its processor, and its encoder as a file; made once."""
    if family.name not in models:
        model, path = family.model().float().eval(), os.path.join(folder, f'{family.name}.mmproj.gguf')
        body, params = family.parts(model)
        vision.fill_vision(params, np.random.default_rng(7), body.config.hidden_size)
        family.write_mmproj(path, model, np.float32)
        models[family.name] = model, family.processor(**family.small), path
    return models[family.name]


def side(rng, most):
    return int(np.exp(rng.uniform(0, np.log(most))))


def draw_size(rng, most, qwen):
    width, height = side(rng, most), side(rng, most)
    if rng.integers(2):  # the usual sort
        width, height = int(rng.integers(16, most)), int(rng.integers(16, most))
    if qwen and max(width, height) > 200 * min(width, height):
        height = width  # refused by the processor
    return width, height


def draw_pictures(rng, family, qwen):
    return [(str(rng.choice(['photo', 'text', 'black'], p=[.5, .4, .1])), *draw_size(rng, 1200, qwen), int(rng.integers(100)))
            for _ in range(rng.integers(1, 4))]


def draw_film(rng, family, qwen):
    fps, total = float(rng.choice([1, 2, 5, 7.5, 10, 12, 24, 25, 29, 30])), int(rng.integers(2 + 2 * qwen, 120))
    return vision.Film('photo', *draw_size(rng, 160, qwen), fps, total)


def save_film(path, film):
    """PNG in QuickTime: every pixel comes back."""
    encoder = subprocess.Popen(['ffmpeg', '-v', 'error', '-y', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', f'{film.width}x{film.height}', '-r',
                                str(film.fps), '-i', '-', '-c:v', 'png', path], stdin=subprocess.PIPE)
    for i in range(film.total):
        encoder.stdin.write(film.frame(i).tobytes())
    encoder.stdin.close()
    if encoder.wait():
        raise RuntimeError('ffmpeg fails')


def runs_of(family, ids):
    """Ids with each run of visual tokens as one negative number."""
    pads, out = family.pad_ids(), []
    for i in ids:
        if i not in pads:
            out.append(i)
        elif out and out[-1] < 0:
            out[-1] -= 1
        else:
            out.append(-1)
    return out


def positions_of(family, model, given):
    """Of each visual token from the beginning of its run, as transformers has them; None: as text has them."""
    at, pads, out = family.positions(model, given), family.pad_ids(), []
    if at is None:
        return None
    previous = first = None
    for i, token in enumerate(given['input_ids'][0].tolist()):
        if token in pads:
            first = first if previous in pads else i
            out.append([axis[i] - axis[first] for axis in at])
        previous = token
    return out


def embed(a, device, mmproj, path, rows):
    """Visual tokens of a file, and their positions."""
    told = odd.run_json(a.pagereel, 'embed', '--device', device, '--mmproj', mmproj, path, '-o', rows)
    return np.load(rows), told['positions']


def ask(a, family, device, mmproj, prompt, media):
    files = [v for kind, path in media for v in (f'--{kind}', path)]
    text = os.path.join(GOLDEN, f'{family.name}.f16.gguf')
    told = odd.run_json(a.pagereel, 'run', '-m', text, '--mmproj', mmproj, '--raw', '--device', device, '--temp', '0', '-n', '1', '--logprobs', '1',
                        '-c', '32768', *files, '-p', prompt)['prompt_tokens']
    return [t if isinstance(t, int) else -t['image_tokens'] for t in told]


def check(seed, a, folder):
    rng = np.random.default_rng([seed, 79])
    family = vision.FAMILIES[rng.integers(len(vision.FAMILIES))]
    qwen = isinstance(family, vision.Qwen)
    model, processor, mmproj = model_of(family, folder)
    if rng.integers(3):
        pictures, films = draw_pictures(rng, family, qwen), []
        mark = IMAGE.get(family.name, '<|vision_start|><|image_pad|><|vision_end|>')
        prompt = 'See ' + ' and '.join(['<image>'] * len(pictures)) + ' now'
        asked, say = prompt.replace('<image>', mark), ' '.join(f'{k} {w} x {h}' for k, w, h, _ in pictures)
        media = [('image', os.path.join(folder, f'{seed}-{i}.png')) for i in range(len(pictures))]
        for (_, path), drawn in zip(media, pictures):
            Image.fromarray(picture(*drawn)).save(path)
    else:
        pictures, films = [], [draw_film(rng, family, qwen)]
        prompt, asked = 'See <video> now', 'See ' + VIDEO.get(family.name, '<|vision_start|><|video_pad|><|vision_end|>') + ' now'
        media, film = [('video', os.path.join(folder, f'{seed}.mov'))], films[0]
        save_film(media[0][1], film)
        say = f'film {film.width} x {film.height}, {film.total} frames at {film.fps:g} a second'
    given, _ = vision.run_processor(family, processor, vision.Case('odd', asked, pictures, films))
    at = positions_of(family, model, given)
    want, ids = family.visual(model, given).numpy(), runs_of(family, given['input_ids'][0].tolist())
    said, good = [], True
    for device in a.devices:
        try:
            got = [embed(a, device, mmproj, path, os.path.join(folder, 'rows.npy')) for _, path in media]
            error, same = odd.difference(np.concatenate([g[0] for g in got]), want), ask(a, family, device, mmproj, prompt, media) == ids
            placed = at is None and got[0][1] is None or at == sum((g[1] for g in got), [])
            good &= error <= BOUND and same and placed
            said.append(f'{device} {error:.1e}{"" if same else ", other ids"}{"" if placed else ", other positions"}')
        except RuntimeError as e:
            good = False
            said.append(f'{device}: {e}')
    print(f'{seed}: {family.name} {say}: {len(want)} tokens, {", ".join(said)}{"" if good else "  WRONG"}', flush=True)
    for _, path in media if good else []:
        os.unlink(path)
    return good


if __name__ == '__main__':
    odd.main(check, 100, ['cpu'])
