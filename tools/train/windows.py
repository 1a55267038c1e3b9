# SPDX-License-Identifier: GPL-2.0-or-later
"""Batches for the encoder: windows of drawn scenes, several of each, shifted and stretched, with the labels of every patch.

Drawing costs ten times what cutting costs, and where a letter lies in its patch is what the encoder has to learn not to mind.
The windows of a step depend on the seed and the step's number alone.
"""

import math
import random

import numpy as np
import torch
from PIL import Image

from world import film, paper, picture

POINT = 8  # pixels between the points of `cover`
PATCH = picture.PATCH


class Sheet:
    """A drawn scene with maps of what lies where, in its own pixels. `names`: numbers of the words that are told as a whole; `across`, `down`: tiles that it is cut into; `fit`: it is seen as small
    as programs make it before they stretch it."""

    def __init__(self, scene, names, across=1, down=1, fit=False):
        self.across, self.down = across, down
        self.image, self.size = picture.fitted(scene.image) if fit else scene.image, scene.size
        width, height = scene.size
        shape = (height, width)
        self.letter, self.word = np.zeros(shape, np.uint8), np.full(shape, -1, np.int16)
        self.kind, self.amount = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self.colour = np.full(shape, picture.COLOURS.index(scene.background), np.uint8)
        for thing in scene.objects:
            x0, y0, x1, y1 = (max(0, round(v)) for v in thing.box)
            part = (slice(y0, y1), slice(x0, x1))
            if thing.angles:
                ys, xs = np.ogrid[y0:min(y1, height), x0:min(x1, width)]
                dx, dy = xs + 0.5 - (thing.box[0] + thing.box[2]) / 2, ys + 0.5 - (thing.box[1] + thing.box[3]) / 2
                inside = (dx * dx + dy * dy < ((thing.box[2] - thing.box[0]) / 2) ** 2) & \
                    ((np.degrees(np.arctan2(dy, dx)) - thing.angles[0]) % 360 < thing.angles[1] - thing.angles[0])
            else:
                inside = ...
            self.kind[part][inside] = 1 + picture.KINDS.index(thing.kind)
            self.colour[part][inside] = picture.COLOURS.index(thing.colour)
            self.amount[part][inside] = 0 if thing.amount < 0 else 1 + min(picture.AMOUNTS - 2, int(thing.amount * (picture.AMOUNTS - 1)))
        self.named = np.array([named(item.text, names) for item in scene.words] or [[0] * (1 + picture.SLOTS)], np.int64)
        middles, classes, words, indices = [], [], [], []
        self.spell = np.zeros((max(1, len(scene.words)), picture.SPELL), np.int64)
        for n, item in enumerate(scene.words):
            for k, (char, (x0, y0, x1, y1)) in enumerate(zip(item.text.lower(), item.letters)):
                index = picture.INDEX.get(char, 0)
                if k < picture.SPELL:
                    self.spell[n, k] = index
                middles.append(((x0 + x1) / 2, (y0 + y1) / 2))
                classes.append(index)
                words.append(n)
                indices.append(min(k, picture.SPELL - 1) + 1)
                part = (slice(max(0, round(y0)), max(0, round(y1))), slice(max(0, round(x0)), max(0, round(x1))))
                self.letter[part], self.word[part] = index, n
        self.middles = np.array(middles, np.float32).reshape(-1, 2)
        self.classes, self.words, self.indices = (np.array(v, np.int64) for v in (classes, words, indices))

    def window(self, make, side, dirt=0.0, whole=None):
        """Pixels [side, side, 3] of a random window (or of the whole scene) and what each of its g x g patches has to tell:

        centre [g, g, 8]: letter whose centre lies in each of 2 rows x 4 columns of slots, 0 none
        index [g, g, 8]: which of its word's letters that is, counted from 1; 0 none or the word is cut off
        cover [g, g, 4]: letter that covers the point in the middle of each quarter, 0 none
        word [g, g]: index into `spell` of the word that the patch lies in, -1 none (or its word is cut off)
        kind, colour, amount [g, g]: object at the patch's centre (0 none), its colour (the background's without an object)
        """
        width, height = self.size
        if whole or whole is None and side == picture.SIZE and self.down == 1 and make.random() < 0.6:
            box = (0.0, 0.0, float(width), float(height))
        else:
            zoom = make.uniform(0.85, 1.15)
            wide, high = (min(limit, side / picture.SIZE * limit / n / zoom / make.uniform(0.93, 1.07)) for limit, n in
                          ((width, self.across), (height, self.down)))
            x, y = make.uniform(0, width - wide), make.uniform(0, height - high)
            box = (x, y, x + wide, y + high)
        fx, fy = self.image.size[0] / width, self.image.size[1] / height
        image = self.image.resize((side, side), make.choice((Image.BILINEAR, Image.BICUBIC, Image.LANCZOS)),
                                  box=(box[0] * fx, box[1] * fy, box[2] * fx, box[3] * fy))
        if make.random() < dirt:
            image = picture._spoil(make, image)
        x, y, sx, sy = box[0], box[1], side / (box[2] - box[0]), side / (box[3] - box[1])

        def sample(array, step):
            at = (np.arange(side // step) + 0.5) * step
            return array[np.minimum((y + at / sy).astype(int), height - 1)[:, None], np.minimum((x + at / sx).astype(int), width - 1)]

        g = side // PATCH
        middles = (self.middles - (x, y)) * (sx, sy)
        inside = ((middles >= 0) & (middles < side)).all(1)
        cut = np.zeros(len(self.spell), bool)
        cut[self.words[~inside]] = True
        middles, words = middles[inside].astype(int), self.words[inside]
        centre, index = np.zeros((2 * g, 4 * g), np.int64), np.zeros((2 * g, 4 * g), np.int64)
        centre[middles[:, 1] // 8, middles[:, 0] // 4] = self.classes[inside]
        index[middles[:, 1] // 8, middles[:, 0] // 4] = np.where(cut[words], 0, self.indices[inside])
        word = sample(self.word, PATCH).astype(np.int64)
        word[middles[:, 1] // PATCH, middles[:, 0] // PATCH] = words
        word[cut[word] & (word >= 0)] = -1  # nobody can tell what lies beyond the edge
        return np.asarray(image), {
            "centre": centre.reshape(g, 2, g, 4).transpose(0, 2, 1, 3).reshape(g, g, 8),
            "index": index.reshape(g, 2, g, 4).transpose(0, 2, 1, 3).reshape(g, g, 8),
            "cover": sample(self.letter, POINT).astype(np.int64).reshape(g, 2, g, 2).transpose(0, 2, 1, 3).reshape(g, g, 4),
            "word": word, "kind": sample(self.kind, PATCH).astype(np.int64), "colour": sample(self.colour, PATCH).astype(np.int64),
            "amount": sample(self.amount, PATCH).astype(np.int64),
        }


def named(text, names):
    """What a printed word is told as: its number in `names` (counted from 1; 0 for words of no list, len(names) + 1 for numbers), and its
    characters if it is a number, a time or a score."""
    bare = text.lower().strip(".,!?")
    if len(bare) <= picture.SLOTS and bare[:1].isdigit() and all(c in picture.DIGITS for c in bare):
        return [len(names) + 1] + [picture.DIGITS.index(c) for c in bare.ljust(picture.SLOTS)]
    return [names.get(bare, 0)] + [0] * picture.SLOTS


def collect(made, sheets):
    """Windows and their labels as tensors: pictures [n, side, side, 3] in bytes; words of all of them in one list."""
    base, out = 0, {}
    for (_, truth), sheet in zip(made, sheets):
        truth["word"] = np.where(truth["word"] >= 0, truth["word"] + base, -1)
        base += len(sheet.spell)
    for key in made[0][1]:
        out[key] = torch.from_numpy(np.stack([truth[key] for _, truth in made]))
    out["spell"] = torch.from_numpy(np.concatenate([sheet.spell for sheet in sheets]))
    out["named"] = torch.from_numpy(np.concatenate([sheet.named for sheet in sheets]))
    return torch.from_numpy(np.stack([pixels for pixels, _ in made])), out


def draw(make, level, vocabulary):
    """A sheet of a level: a picture, a frame of a film, or a page of a paper."""
    kind, names = make.random(), {w: 1 + i for i, w in enumerate(vocabulary)}
    if kind < level.frames:
        plan = film.plan(make.getrandbits(60), 15, vocabulary)
        width, height = make.choice(((480, 270), (400, 300), (512, 288), (320, 320)))
        return Sheet(film.frame(plan, make.uniform(0, 14.9), width, height, make.random() < 0.1), names, fit=make.random() < 0.8)
    if kind < level.frames + level.papers:
        plan = paper.plan(make.getrandbits(60), 1, vocabulary)
        return Sheet(paper.render(plan, plan.pages[0], 768, 1024), names, 3, 4)
    return Sheet(picture.scene(make, level, vocabulary), names, fit=make.random() < level.fit)


class Windows:
    """Sheets of `block` steps are drawn as they are needed and shared by those steps."""

    def __init__(self, seed, vocabulary, block=16):
        self.seed, self.vocabulary, self.block, self.have = seed, vocabulary, block, {}

    def batch(self, step, level, lower, side, n):
        """Batch of a step: windows of `level`, a fifth of them of one of the levels up to `lower`."""
        make = random.Random(f"{self.seed} {step}")
        block, sheets = step // self.block, max(4, math.ceil(n * (side / picture.SIZE) ** 2 / 2) * 2)
        self.have = {k: v for k, v in self.have.items() if k[0] == block}
        made, sheets_of = [], []
        for _ in range(n):
            which = make.randrange(sheets * self.block // 4)
            key = (block, level, which)
            if key not in self.have:
                own = random.Random(f"{self.seed} {key}")
                now = picture.LEVELS[level if own.random() < 0.85 else own.randint(0, lower)]
                self.have[key] = draw(own, now, self.vocabulary), now
            sheet, now = self.have[key]
            made.append(sheet.window(make, side, now.dirt))
            sheets_of.append(sheet)
        return collect(made, sheets_of)
