# SPDX-License-Identifier: GPL-2.0-or-later
"""Training pictures, drawn in memory with their truth: words with the box of every letter, objects, charts, backgrounds.

A picture is drawn on a canvas of any aspect and stretched to a square tile of SIZE, as the program does with film frames and
pieces of pages. The truth comes along in its pixels; tools/train/windows.py turns it into what the encoder learns.
"""

import dataclasses
import io
import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from world import fonts, words

SIZE, PATCH = 256, 16
GRID = SIZE // PATCH
LETTERS = " abcdefghijklmnopqrstuvwxyz0123456789:.-%$,!?'&/+()"  # class 0 is "no letter"; case is not told apart
INDEX = {c: i for i, c in enumerate(LETTERS)}
SPELL = 12  # letters of a word that are learnt
DIGITS = " 0123456789:-%"  # of numbers, times and scores, of which SLOTS characters are learnt one by one; class 0 is none
SLOTS = 5
AMOUNTS = 21  # 0 none, 1..20: 0-5 %, 5-10 %, ...
COLOURS = list(words.COLOURS)
KINDS = words.KINDS + words.AREAS


@dataclasses.dataclass
class Word:
    """A printed word: text and the boxes of its letters [x0, y0, x1, y1] on the canvas."""
    text: str
    letters: list


@dataclasses.dataclass
class Object:
    kind: str
    colour: str
    box: tuple  # x0, y0, x1, y1 on the canvas
    amount: float = -1.0  # share of the scale that a bar or slice covers
    angles: tuple = ()  # of a slice: from, to in degrees, clockwise from the right


class Scene:
    """A canvas with the truth of what was drawn on it."""

    def __init__(self, rng, width, height, background):
        self.rng, self.size, self.background = rng, (width, height), background
        self.words, self.objects = [], []
        self.image = Image.new("RGB", self.size)
        self.draw = ImageDraw.Draw(self.image)

    def text(self, x, y, text, face, size, fill, stroke=0, stroke_fill=None):
        """Prints a line with its capitals' top at y; returns its box."""
        top, bottom = fonts.extent(face, size)
        whole = stroke or not isinstance(self.draw, ImageDraw.ImageDraw)  # a page of a PDF takes whole lines
        if whole:
            self.draw.text((x, y - top), text, fill=fill, font=fonts.load(face, size), stroke_width=stroke, stroke_fill=stroke_fill)
        at, letters, run = x, [], ""
        for c in text + " ":
            wide = fonts.advance(face, size, c)
            if not whole:
                mask, (dx, dy) = fonts.glyph(face, size, c)
                if mask:
                    self.draw.bitmap((round(at + dx), round(y - top + dy)), mask, fill)
            if c == " ":
                if run:
                    self.words.append(Word(run, letters))
                run, letters = "", []
            else:
                run += c
                letters.append((at, y, at + wide, y + bottom - top))
            at += wide
        return (x, y, at, y + bottom - top)

    def shape(self, kind, colour, box, fill, amount=-1.0):
        draw_kind(self.draw, kind, box, fill, self.rng)
        self.objects.append(Object(kind, colour, box, amount))


def shade(rng, name):
    """An RGB that people would call `name`."""
    centre, spread = words.COLOURS[name]
    common = rng.uniform(-spread, spread) * 0.6
    return tuple(int(min(255, max(0, c + common + rng.uniform(-spread, spread) * 0.4))) for c in centre)


def luminance(rgb):
    return 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2]


def ink(rng, paper, contrast=90):
    """A colour that stands out from `paper`; on pure black or white mostly the other."""
    if paper in ((0, 0, 0), (255, 255, 255)) and rng.random() < 0.8:
        return (255, 255, 255) if paper == (0, 0, 0) else (0, 0, 0)
    for _ in range(20):
        rgb = shade(rng, rng.choice(COLOURS)) if rng.random() < 0.5 else rng.choice(((0, 0, 0), (255, 255, 255)))
        if abs(luminance(rgb) - luminance(paper)) > contrast:
            return rgb
    return (0, 0, 0) if luminance(paper) > 127 else (255, 255, 255)


def _ring(points, box):
    x0, y0, x1, y1 = box
    return [(x0 + (x1 - x0) * x, y0 + (y1 - y0) * y) for x, y in points]


_STAR = [(0.5 + 0.5 * r * math.sin(math.pi * k / 5), 0.5 - 0.5 * r * math.cos(math.pi * k / 5))
         for k in range(10) for r in ((1.0 if k % 2 == 0 else 0.42),)]
_HEART = [(0.5 + 0.03 * 16 * math.sin(t) ** 3, 0.45 - 0.031 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)))
          for t in (2 * math.pi * k / 40 for k in range(40))]
_POLYGONS = {
    "square": [(0, 0), (1, 0), (1, 1), (0, 1)], "triangle": [(0.5, 0), (1, 1), (0, 1)], "diamond": [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)],
    "cross": [(0.34, 0), (0.66, 0), (0.66, 0.34), (1, 0.34), (1, 0.66), (0.66, 0.66), (0.66, 1), (0.34, 1), (0.34, 0.66), (0, 0.66), (0, 0.34), (0.34, 0.34)],
    "arrow": [(0, 0.34), (0.55, 0.34), (0.55, 0.05), (1, 0.5), (0.55, 0.95), (0.55, 0.66), (0, 0.66)], "star": _STAR, "heart": _HEART,
}


def draw_kind(draw, kind, box, fill, rng=random):
    """Draws a shape or thing of `fill` into box."""
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    dark = tuple(c * 5 // 9 for c in fill)
    light = tuple(c + (255 - c) * 2 // 3 for c in fill)
    at = lambda *points: _ring(points, box)
    if kind in _POLYGONS:
        draw.polygon(_ring(_POLYGONS[kind], box), fill=fill)
    elif kind == "circle":
        draw.ellipse(box, fill=fill)
    elif kind == "ring":
        draw.ellipse(box, outline=fill, width=max(2, int(min(w, h) * 0.2)))
    elif kind == "moon":
        outer = [(0.62 + 0.5 * math.cos(t), 0.5 + 0.5 * math.sin(t)) for t in (math.pi * (0.35 + 1.3 * k / 20) for k in range(21))]
        inner = [(0.80 + 0.42 * math.cos(t), 0.5 + 0.42 * math.sin(t)) for t in (math.pi * (1.62 - 1.24 * k / 20) for k in range(21))]
        draw.polygon(_ring(outer + inner, box), fill=fill)
    elif kind == "house":
        draw.polygon(at((0, 0.45), (0.5, 0), (1, 0.45)), fill=dark)
        draw.rectangle(at((0.12, 0.45), (0.88, 1)), fill=fill)
        draw.rectangle(at((0.42, 0.68), (0.6, 1)), fill=dark)
    elif kind == "tree":
        draw.rectangle(at((0.42, 0.6), (0.58, 1)), fill=(100, 60, 30))
        draw.ellipse(at((0.1, 0), (0.9, 0.72)), fill=fill)
    elif kind == "car":
        draw.polygon(at((0.2, 0.45), (0.32, 0.15), (0.7, 0.15), (0.82, 0.45)), fill=light)
        draw.rectangle(at((0, 0.42), (1, 0.78)), fill=fill)
        draw.ellipse(at((0.12, 0.62), (0.36, 1)), fill=(30, 30, 30))
        draw.ellipse(at((0.64, 0.62), (0.88, 1)), fill=(30, 30, 30))
    elif kind == "boat":
        draw.polygon(at((0, 0.68), (1, 0.68), (0.8, 1), (0.2, 1)), fill=fill)
        draw.polygon(at((0.48, 0), (0.48, 0.62), (0.9, 0.62)), fill=light)
        draw.line(at((0.46, 0), (0.46, 0.68)), fill=dark, width=max(1, int(w * 0.04)))
    elif kind == "fish":
        draw.polygon(at((0.25, 0.5), (0, 0.12), (0, 0.88)), fill=dark)
        draw.ellipse(at((0.15, 0.15), (1, 0.85)), fill=fill)
        draw.ellipse(at((0.78, 0.36), (0.86, 0.48)), fill=(10, 10, 10))
    elif kind == "cup":
        draw.ellipse(at((0.55, 0.3), (1, 0.75)), outline=fill, width=max(2, int(w * 0.08)))
        draw.polygon(at((0.05, 0.12), (0.75, 0.12), (0.66, 1), (0.14, 1)), fill=fill)
        draw.ellipse(at((0.05, 0.04), (0.75, 0.2)), fill=dark)
    elif kind == "flag":
        draw.rectangle(at((0.06, 0), (0.14, 1)), fill=(90, 90, 90))
        draw.polygon(at((0.14, 0.03), (1, 0.12), (0.8, 0.32), (1, 0.52), (0.14, 0.58)), fill=fill)
    elif kind == "umbrella":
        draw.pieslice(at((0, 0.02), (1, 1.08)), 180, 360, fill=fill)
        draw.line(at((0.5, 0.5), (0.5, 0.95)), fill=(70, 70, 70), width=max(2, int(w * 0.05)))
        draw.arc(at((0.5, 0.85), (0.66, 1.0)), 0, 180, fill=(70, 70, 70), width=max(2, int(w * 0.05)))
    else:
        raise ValueError(f"nothing of the world is called {kind}")


# --- what pictures are made of ----------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Level:
    """How hard pictures are. `sizes` is in pixels of the tile."""
    faces: int
    sizes: tuple
    dirt: float  # share of pictures with noise, blur, compression
    reading: float = 0.5  # share of pictures that are full of words
    pages: float = 0.3  # share of those that are lines of text over the whole picture: the most letters for each patch
    plain: float = 0.0  # share of pictures in black and white
    stretch: float = 16 / 9  # how far pictures may be pressed together from the sides
    apart: int = 1  # blanks between the words of a line, at most
    short: float = 0.0  # share of words of lines that are cut to one to four letters
    frames: float = 0.0  # share of windows cut from frames of films, and
    papers: float = 0.0  # from pages of papers, instead of pictures of this file
    aspects: tuple = (1.0, 1.0, 4 / 3, 16 / 9)
    fit: float = 0.0  # share of pictures that are seen as small as programs make them, as 4 of 5 frames are
    outside: float = 0.26  # share of words that are in no list
    numbers: float = 0.24  # share of numbers, times and scores among what is printed


# Letters that fit into a patch come first: an encoder of patches learns them long before it puts larger ones together; and short words
# that stand well apart, because which of its word's letters one is has to be counted from the word's start.
LEVELS = [
    Level(4, (14, 22), 0.0, reading=0.9, pages=0.8, plain=0.8, stretch=1.2, apart=5, short=0.5),
    Level(8, (12, 32), 0.05, reading=0.75, pages=0.6, plain=0.4, stretch=1.4, apart=4, short=0.2, frames=0.1, papers=0.05),
    Level(14, (12, 44), 0.2, reading=0.45, pages=0.5, plain=0.2, apart=3, short=0.1, frames=0.35, papers=0.08),
    Level(99, (11, 52), 0.4, reading=0.45, pages=0.4, plain=0.1, apart=2, frames=0.45, papers=0.12),
    # What is asked about: frames of films, and pictures that are as large and hold more words.
    Level(99, (20, 64), 0.3, reading=0.75, pages=0.05, apart=2, frames=0.5, papers=0.04, aspects=(4 / 3, 16 / 9, 16 / 9), fit=0.5, outside=0.1, numbers=0.45),
]


def _overlaps(box, taken, gap):
    return any(box[0] < t[2] + gap and t[0] < box[2] + gap and box[1] < t[3] + gap and t[1] < box[3] + gap for t in taken)


def _place(rng, scene, wide, high, taken, gap=4):
    """A free box on the scene, or None."""
    width, height = scene.size
    if wide > width - 4 or high > height - 4:
        return None
    for _ in range(12):
        x, y = rng.uniform(2, width - wide - 2), rng.uniform(2, height - high - 2)
        box = (x, y, x + wide, y + high)
        if not _overlaps(box, taken, gap):
            taken.append(box)
            return box
    return None


def _size(rng, level, scale):
    low, high = level.sizes
    return max(6, round(low * (high / low) ** rng.random() ** 1.3 * scale))


def _backdrop(rng, scene, colour):
    """Fills the canvas with one colour, a slope of it, or a horizon; returns the colour at the top."""
    width, height = scene.size
    base = shade(rng, colour)
    scene.draw.rectangle((0, 0, width, height), fill=base)
    style = rng.random()
    if style < 0.3:
        other = shade(rng, colour)
        strip = np.linspace(0, 1, 64)[:, None] * (np.array(other) - base) + base
        strip = Image.fromarray(strip.astype(np.uint8)[:, None, :] if rng.random() < 0.5 else strip.astype(np.uint8)[None])
        scene.image.paste(strip.resize(scene.size, Image.BILINEAR))
    elif style < 0.42:
        for _ in range(rng.randint(3, 14)):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            scene.draw.line((x, y, x + rng.uniform(-60, 60), y + rng.uniform(-60, 60)), fill=shade(rng, colour), width=rng.randint(1, 5))
    return base


def _words_everywhere(rng, scene, level, vocabulary, scale, taken, count, paper):
    for _ in range(count):
        face, size = rng.choice(fonts.faces()[:level.faces]), _size(rng, level, scale)
        text = words.printed(rng, vocabulary, level.outside, level.numbers)
        top, bottom = fonts.extent(face, size)
        wide, high = fonts.width(face, size, text), bottom - top
        board = rng.random() < 0.25
        pad = size * 0.3 if board else 0
        box = _place(rng, scene, wide + 2 * pad, high * 1.25 + 2 * pad, taken)
        if not box:
            continue
        under = paper
        if board:
            under = shade(rng, rng.choice(COLOURS))
            scene.draw.rectangle(box, fill=under)
        colour = ink(rng, under, 60 if level.dirt > 0.3 else 100)
        stroke = 1 if not board and rng.random() < 0.1 else 0
        scene.text(box[0] + pad, box[1] + pad, text, face, size, colour, stroke, ink(rng, colour) if stroke else None)


def _paragraph(rng, scene, level, vocabulary, scale, taken, paper, whole=False):
    face, size = rng.choice(fonts.faces()[:level.faces]), max(6, round(level.sizes[0] * rng.uniform(1, 1.5) * scale))
    width, height = scene.size
    step = size * rng.uniform(1.25, 1.6)
    lines = int((height - 4) / step) if whole else rng.randint(2, 6)
    box = (rng.uniform(2, 8), rng.uniform(2, 8), width - 4, height) if whole else _place(rng, scene, width * rng.uniform(0.5, 0.95), step * lines, taken)
    if not box:
        return
    colour = ink(rng, paper, 110)
    y = box[1]
    for _ in range(lines):
        line = ""
        while True:
            more = words.printed(rng, vocabulary, level.outside, level.numbers)
            if rng.random() < level.short:
                more = more[:rng.randint(1, 4)]
            more = " " * (rng.randint(min(2, level.apart), level.apart) if line else 0) + more
            if fonts.width(face, size, line + more) > box[2] - box[0]:
                break
            line += more
        if line:
            scene.text(box[0], y, line, face, size, colour)
        y += step


def _objects(rng, scene, taken, count, paper):
    width, height = scene.size
    for _ in range(count):
        high = height * rng.uniform(0.12, 0.42)
        kind = rng.choice(words.KINDS)
        box = _place(rng, scene, high * rng.uniform(0.85, 1.2), high, taken, 2)
        if not box:
            continue
        for _ in range(10):
            colour = rng.choice(COLOURS)
            fill = shade(rng, colour)
            if sum(abs(a - b) for a, b in zip(fill, paper)) > 110:
                break
        else:
            continue
        scene.shape(kind, colour, box, fill)


def _bars(rng, scene, level, vocabulary, scale, paper):
    width, height = scene.size
    face, size = rng.choice(fonts.faces()[:level.faces]), max(6, round(rng.uniform(level.sizes[0], level.sizes[0] * 1.5) * scale))
    dark, n = ink(rng, paper, 110), rng.randint(2, 6)
    left, right, top, bottom = width * 0.08, width * 0.96, height * 0.14 + size, height * 0.98 - size * 1.6
    scene.draw.line((left, bottom, right, bottom), fill=dark, width=2)
    scene.draw.line((left, top - size, left, bottom), fill=dark, width=2)
    step = (right - left) / n
    one = rng.choice(COLOURS) if rng.random() < 0.5 else None
    for k in range(n):
        share, colour = rng.uniform(0.06, 1), one or rng.choice(COLOURS)
        fill = shade(rng, colour)
        if sum(abs(a - b) for a, b in zip(fill, paper)) < 90:
            colour, fill = "black", (20, 20, 20)
        box = (left + step * (k + 0.15), bottom - share * (bottom - top), left + step * (k + 0.85), bottom)
        scene.shape("square", colour, box, fill)
        scene.objects[-1] = Object("bar", colour, box, share)
        label, value = rng.choice(vocabulary), str(rng.randint(1, 999))
        while len(label) > 2 and fonts.width(face, size, label) > step * 0.96:
            label = rng.choice([w for w in vocabulary if len(w) < len(label)] or [label[:-1]])
        scene.text(left + step * (k + 0.5) - fonts.width(face, size, label) / 2, bottom + size * 0.3, label, face, size, dark)
        if fonts.width(face, size, value) < step:
            scene.text(left + step * (k + 0.5) - fonts.width(face, size, value) / 2, box[1] - size * 1.05, value, face, size, dark)


def _pie(rng, scene, level, vocabulary, scale, paper):
    width, height = scene.size
    face, size = rng.choice(fonts.faces()[:level.faces]), max(6, round(rng.uniform(level.sizes[0], level.sizes[0] * 1.4) * scale))
    n = rng.randint(2, 5)
    side = height * rng.uniform(0.55, 0.8)
    x, y = width * 0.03, (height - side) / 2
    shares = [rng.uniform(0.1, 1) for _ in range(n)]
    total, angle = sum(shares), rng.uniform(0, 360)
    dark = ink(rng, paper, 110)
    for k, colour in enumerate(rng.sample(COLOURS, n)):
        share, fill = shares[k] / total, shade(rng, colour)
        to = angle + 360 * share
        scene.draw.pieslice((x, y, x + side, y + side), angle, to, fill=fill)
        scene.objects.append(Object("slice", colour, (x, y, x + side, y + side), share, (angle, to)))
        angle = to
        row = y + size * 2 * k
        scene.draw.rectangle((x + side * 1.08, row, x + side * 1.08 + size * 0.8, row + size * 0.8), fill=fill)
        if share > 0.1 and rng.random() < 0.7 and row + size < height:
            scene.text(x + side * 1.08 + size * 1.1, row, f"{round(share * 100)}% {rng.choice(vocabulary)}", face, size, dark)


_NOISE = {}


def _noise(rng):
    if not _NOISE:
        make = np.random.default_rng(7)
        _NOISE["bank"] = make.normal(0, 1, (SIZE * 2, SIZE * 2, 3)).astype(np.float32)
    y, x = rng.randrange(SIZE), rng.randrange(SIZE)
    return _NOISE["bank"][y:y + SIZE, x:x + SIZE]


def _spoil(rng, image):
    """Noise, blur, darkness and compression, as cheap cameras and encoders make them."""
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))
    if rng.random() < 0.5:
        pixels = np.asarray(image, np.float32)
        pixels = pixels * rng.uniform(0.7, 1.0) + rng.uniform(0, 30) + _noise(rng)[:pixels.shape[0], :pixels.shape[1]] * rng.uniform(2, 16)
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        packed = io.BytesIO()
        image.save(packed, "JPEG", quality=rng.randint(25, 85))
        image = Image.open(packed).convert("RGB")
    return image


def scene(rng, level, vocabulary):
    """A random scene of a level."""
    aspect = min(level.stretch, rng.choice(level.aspects))
    scale = rng.uniform(0.9, 1.5)
    width, height = round(SIZE * scale * aspect), round(SIZE * scale)
    plain = rng.random() < level.plain
    colour = rng.choice(COLOURS) if rng.random() < 0.6 and not plain else rng.choice(("white", "white", "black")) if plain else "white"
    out = Scene(rng, width, height, colour)
    if plain:
        paper = (255, 255, 255) if colour == "white" else (0, 0, 0)
        out.draw.rectangle((0, 0, width, height), fill=paper)
    else:
        paper = _backdrop(rng, out, colour)
    taken, kind = [], rng.random()
    if kind < level.reading * level.pages:
        _paragraph(rng, out, level, vocabulary, scale, taken, paper, True)
    elif kind < level.reading * (level.pages + (1 - level.pages) * 0.75):
        _words_everywhere(rng, out, level, vocabulary, scale, taken, rng.randint(6, 18), paper)
    elif kind < level.reading:
        for _ in range(rng.randint(1, 3)):
            _paragraph(rng, out, level, vocabulary, scale, taken, paper)
    elif kind < level.reading + (1 - level.reading) * 0.25:
        _bars(rng, out, level, vocabulary, scale, paper)
    elif kind < level.reading + (1 - level.reading) * 0.4:
        _pie(rng, out, level, vocabulary, scale, paper)
    else:
        _objects(rng, out, taken, rng.randint(1, 7), paper)
        _words_everywhere(rng, out, level, vocabulary, scale, taken, rng.randint(0, 3), paper)
    return out


def fitted(image):
    """A picture scaled to a longest edge of SIZE, the other even, as programs do it before they stretch one to a tile."""
    width, height = image.size
    wide, high = (SIZE, int(SIZE * height / width)) if width >= height else (int(SIZE * width / height), SIZE)
    return image.resize((wide + wide % 2, high + high % 2), Image.LANCZOS)


def tile(rng, level, vocabulary):
    """A scene as [SIZE, SIZE, 3] u8, and the scene with its truth."""
    out = scene(rng, level, vocabulary)
    image = out.image.resize((SIZE, SIZE), rng.choice((Image.BICUBIC, Image.BILINEAR, Image.LANCZOS)))
    if rng.random() < level.dirt:
        image = _spoil(rng, image)
    return np.asarray(image), out
