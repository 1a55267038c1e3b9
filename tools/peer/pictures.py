"""Pictures in the forms that people have, as pagereel sees them and as transformers does.

usage: pictures.py MMPROJ [--pagereel build/cli/pagereel]
needs: numpy, pillow, transformers

Each picture is opened by Pillow, turned as its EXIF says (transformers' load_image does that) and made RGB by transformers'
convert_to_rgb; that goes into an encoder as plain PNG. The file itself goes into the same encoder. `difference` is the root mean square of
what the visual tokens differ by, relative: 0 means that every pixel is the same.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../goldens'))
from pictures import picture  # noqa: E402

W, H = 300, 200


def exif(orientation):
    tags = Image.Exif()
    tags[0x112] = orientation
    return tags


def forms():
    """Name of the file -> how it is saved."""
    rgb = Image.fromarray(picture('photo', W, H, 5))
    grey = rgb.convert('L')
    alpha = Image.fromarray((np.indices((H, W))[1] * 255 // (W - 1)).astype(np.uint8))
    rgba, grey_alpha = rgb.copy(), grey.convert('LA')
    rgba.putalpha(alpha)
    grey_alpha.putalpha(alpha)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    yield 'rgb.png', rgb, {}
    yield 'grey.png', grey, {}
    yield 'grey-16-bit.png', deep, {}
    yield 'black-and-white.png', grey.convert('1'), {}
    yield 'palette.png', rgb.quantize(64), {}
    yield 'palette-transparent.png', rgb.quantize(64), {'transparency': 3}
    yield 'rgba.png', rgba, {}
    yield 'grey-alpha.png', grey_alpha, {}
    yield 'colour-key.png', rgb, {'transparency': rgb.getpixel((0, 0))}
    yield 'rgba.webp', rgba, {'lossless': True, 'exact': True}
    yield 'lossy.webp', rgb, {}
    yield 'picture.bmp', rgb, {}
    yield 'still.gif', rgb.quantize(64), {}
    yield 'moving.gif', rgb.quantize(64), {'save_all': True, 'append_images': [Image.new('P', (W, H))]}
    yield 'picture.tiff', rgb, {}
    yield '444.jpg', rgb, {'quality': 95, 'subsampling': 0}
    yield '420.jpg', rgb, {'quality': 95, 'subsampling': 2}
    yield 'progressive.jpg', rgb, {'quality': 95, 'subsampling': 0, 'progressive': True}
    yield 'grey.jpg', grey, {'quality': 95}
    yield 'cmyk.jpg', rgb.convert('CMYK'), {'quality': 95}
    for orientation in range(2, 9):
        yield f'exif-{orientation}.jpg', rgb, {'quality': 95, 'subsampling': 0, 'exif': exif(orientation)}


def embed(a, path, folder):
    out = os.path.join(folder, 'rows.npy')
    done = subprocess.run([a.pagereel, 'embed', '--device', 'cpu', '--mmproj', a.mmproj, path, '-o', out], capture_output=True, text=True)
    return (np.load(out), '') if done.returncode == 0 else (None, done.stderr.strip())


def main():
    p = argparse.ArgumentParser()
    p.add_argument('mmproj')
    p.add_argument('--pagereel', default='build/cli/pagereel')
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, image, how in forms():
            path, plain = os.path.join(folder, name), os.path.join(folder, 'plain.png')
            image.save(path, **how)
            with Image.open(path) as opened:
                turned = ImageOps.exif_transpose(opened)
                Image.fromarray(convert_to_rgb(turned, return_numpy=True)).save(plain)
            (got, why), (want, _) = embed(a, path, folder), embed(a, plain, folder)
            if got is None or got.shape != want.shape:
                print(f'{name:24} {why or "another size"}')
            else:
                print(f'{name:24} difference {np.sqrt(((got - want) ** 2).mean() / (want ** 2).mean()):.1e}', flush=True)


if __name__ == '__main__':
    main()
