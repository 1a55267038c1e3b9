# SPDX-License-Identifier: GPL-2.0-or-later
"""Fonts of the world: text faces found in the system's folders or in those that PAGEREEL_FONTS names, loaded once a size."""

import functools
import os
import pathlib

from PIL import Image, ImageFont

# Faces of Debian packages (tools/world/README.md lists them), easiest to read first: the curriculum begins with the first few.
STEMS = [
    "DejaVuSans-Bold", "LiberationSans-Bold", "FreeSansBold", "Lato-Bold",
    "DejaVuSans", "LiberationSans-Regular", "FreeSans", "Lato-Regular", "OpenSans-Bold", "OpenSans-Regular", "Roboto-Bold",
    "Roboto-Regular", "DejaVuSerif-Bold", "LiberationSerif-Bold",
]


@functools.lru_cache(maxsize=None)
def faces():
    """Paths of the faces that are there, in the order of STEMS; an error if there is none."""
    folders = [f for f in os.environ.get("PAGEREEL_FONTS", "").split(":") if f] + ["/usr/share/fonts"]
    found = {}
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*.[to]tf")):
            found.setdefault(path.stem, str(path))
    have = [found[stem] for stem in STEMS if stem in found]
    if not have:
        raise FileNotFoundError("no text faces: install fonts-dejavu-core, or name a folder in PAGEREEL_FONTS")
    return have


@functools.lru_cache(maxsize=4096)
def load(path, size):
    """A face at `size` pixels, with simple layout (the same everywhere, and fast)."""
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@functools.lru_cache(maxsize=200000)
def advance(path, size, char):
    """Width of one character in pixels."""
    return load(path, size).getlength(char)


@functools.lru_cache(maxsize=100000)
def glyph(path, size, char):
    """The mask of one character, and where it lies from the drawing position (None if it leaves nothing): drawing it again costs no
    hinting, which is most of what text costs."""
    face = load(path, size)
    mask, at = face.getmask2(char, "L")
    if not mask.size[0] or not mask.size[1]:
        return None, (0, 0)
    return Image.frombytes("L", mask.size, bytes(mask)), at


@functools.lru_cache(maxsize=4096)
def extent(path, size):
    """(top, bottom) of capitals and digits below the drawing position, in pixels."""
    _, top, _, bottom = load(path, size).getbbox("H0")
    return top, bottom


def width(path, size, text):
    return sum(advance(path, size, c) for c in text)
