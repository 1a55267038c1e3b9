"""mmproj files as llama.cpp's own converter writes them, read by pagereel: their keys and tensor names are those of published files.

usage: converted.py CONVERTER [--pagereel build/cli/pagereel] [--only FAMILY] [--types f16,q8_0]
needs: what tools/goldens/vision.py needs; CONVERTER is llama.cpp's convert_hf_to_gguf.py (in the Python package llama-cpp-python's
source, vendor/llama.cpp)

Small random models of tools/goldens/vision.py are saved as transformers saves them and converted; one
picture's visual tokens are compared with transformers' own. Prints the root mean square of the difference, relative.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../goldens'))
from pictures import picture  # noqa: E402
from vision import FAMILIES  # noqa: E402

KINDS = {'f32': 1e-4, 'f16': 1e-3, 'bf16': 1e-2, 'q8_0': 3e-2}


def check(family, converter, program, types, folder):
    torch.manual_seed(5)
    if family.name == 'qwen2vl':
        family.depth = 3  # the converter knows the merger's mm.2 by a table with a row for each layer: real models have 32
    processor, model = family.processor(**family.small), family.model().eval()
    if not family.nested:  # files don't tell how large pictures may be: what is published counts
        processor = family.processor(**{**family.small, **list(family.published.values())[0]})
    source = os.path.join(folder, 'hf')
    model.save_pretrained(source)
    processor.save_pretrained(source)
    rgb = picture('photo', 120, 90, 3)
    png = os.path.join(folder, 'picture.png')
    Image.fromarray(rgb).save(png)
    image = [[Image.fromarray(rgb)]] if family.nested else [Image.fromarray(rgb)]
    given = processor.image_processor(image, return_tensors='pt', **family.image_args)
    want = family.visual(model, given).numpy()
    for kind in types:
        bound = KINDS[kind]
        out, rows = os.path.join(folder, f'mmproj-{kind}.gguf'), os.path.join(folder, 'rows.npy')
        done = subprocess.run([sys.executable, converter, source, '--mmproj', '--outtype', kind, '--outfile', out], capture_output=True, text=True)
        if done.returncode:
            print(f'{family.name} {kind}: the converter fails: {done.stderr.strip().splitlines()[-1]}')
            continue
        done = subprocess.run([program, 'embed', '--device', 'ref', '--mmproj', out, png, '-o', rows], capture_output=True, text=True)
        if done.returncode:
            print(f'{family.name} {kind}: {done.stderr.strip()}')
            continue
        got = np.load(rows)
        error = np.sqrt(((got - want) ** 2).mean() / (want ** 2).mean()) if got.shape == want.shape else np.inf
        print(f'{family.name:10} {kind:5} {got.shape[0]:4} visual tokens of {got.shape[1]}: {error:.1e} {"" if error <= bound else "WRONG"}', flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('converter')
    p.add_argument('--pagereel', default='build/cli/pagereel')
    p.add_argument('--only')
    p.add_argument('--types', type=lambda s: s.split(','), default=list(KINDS))
    a = p.parse_args()
    for family in FAMILIES:
        if a.only in (None, family.name):
            with tempfile.TemporaryDirectory() as folder:
                check(family, a.converter, a.pagereel, a.types, folder)


if __name__ == '__main__':
    main()
