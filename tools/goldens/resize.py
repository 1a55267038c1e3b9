"""What Pillow and torch make of the test pictures when they resize them.

usage: resize.py > tests/golden/vision/resize.json
needs: numpy, torch, pillow (tools/goldens/README.md)
"""
import json
import zlib

import numpy as np
import PIL
import torch
from PIL import Image
from torch.nn.functional import interpolate

from pictures import picture

SIZES = [((1, 1), (7, 5)), ((2, 3), (40, 40)), ((97, 61), (33, 20)), ((97, 61), (97, 20)), ((97, 61), (31, 61)), ((97, 61), (300, 211)),
         ((640, 480), (512, 512)), ((1000, 3), (10, 30)), ((5, 2000), (64, 64)), ((331, 470), (330, 471)), ((64, 64), (64, 64)),
         ((2048, 1536), (16, 16)), ((1280, 720), (448, 252)), ((30000, 2), (3, 5)), ((3, 20000), (9, 1))]
PILLOW = {'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC, 'lanczos': Image.LANCZOS}
TORCH = ['bilinear', 'bicubic']


def cases():
    rng = np.random.default_rng(1)
    for n, ((w, h), (w2, h2)) in enumerate(SIZES):
        for kind in ('photo', 'text'):
            p = picture(kind, w, h, n)
            out = [('pillow', f, np.array(Image.fromarray(p).resize((w2, h2), m))) for f, m in PILLOW.items()]
            t = torch.from_numpy(p).permute(2, 0, 1)[None].contiguous()
            out += [('torch', f, interpolate(t, (h2, w2), mode=f, antialias=True)[0].permute(1, 2, 0).contiguous().numpy()) for f in TORCH]
            for rounding, f, x in out:
                at = np.sort(rng.choice(x.size, 8))
                yield {'picture': [kind, w, h, n], 'width': w2, 'height': h2, 'rounding': rounding, 'filter': f,
                       'crc32': zlib.crc32(x.tobytes()), 'bytes': [[int(i), int(x.flat[i])] for i in at]}


if __name__ == '__main__':
    print(f'{{\n"made_with": "Pillow {PIL.__version__}, torch {torch.__version__.split("+")[0]}",\n"cases": [')
    print(',\n'.join(json.dumps(c) for c in cases()) + '\n]\n}')
