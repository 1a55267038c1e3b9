# SPDX-License-Identifier: GPL-2.0-or-later
"""What the second stage looks at: pictures, pieces of films and pages, each drawn and looked at once, kept as the visual tokens that the program's
memory would keep of them. Prompts are put together from these in ever other ways (prompts.py), so that steps cost no looking; a few of
them are renewed at each step.
"""

import dataclasses
import math
import random

import numpy as np
import torch
from PIL import Image

from train import memory
from world import film, paper, picture

WIDTHS = ((480, 270), (480, 270), (640, 360), (400, 300))


@dataclasses.dataclass
class Picture:
    """One shot as a file of its own, and as a film that shows nothing else."""
    shot: film.Shot
    rows: torch.Tensor  # all visual tokens
    shown: torch.Tensor  # those that aren't blank
    kept: torch.Tensor  # what memory keeps of a film
    told: tuple  # what each token of these three tells


@dataclasses.dataclass
class Segment:
    """A piece of a film in its own clock: `values` [n, width] in memory's order, each begun at (frame, cell) of `origin`."""
    shots: list
    said: list
    times: list  # seconds that each frame is shown, from and to
    values: torch.Tensor
    origin: list
    told: list  # what each of them tells

    def moved(self, start):
        """Shots and subtitles of the same piece beginning at second `start`."""
        by = start - self.times[0][0]
        return [dataclasses.replace(s, t0=s.t0 + by, t1=s.t1 + by) for s in self.shots], \
            [dataclasses.replace(s, t0=s.t0 + by, t1=s.t1 + by) for s in self.said]

    def pictures(self, start, n):
        """(second, visual tokens, what they tell) of each picture that a prompt shows of the first n tokens."""
        return [(self.times[self.origin[part[0]][0]][0] + start - self.times[0][0], self.values[part], [self.told[i] for i in part])
                for part in memory.pictures(self.origin[:n])]


@dataclasses.dataclass
class Leaf:
    """A page of a paper, and its visual tokens that aren't blank."""
    page: paper.Page
    shown: torch.Tensor


@dataclasses.dataclass
class Lesson:
    """As much of a pool as lessons need."""
    vocabulary: list
    leaves: list


def square(scene):
    """A scene as the encoder's picture: scaled until its longest edge fits, then stretched, as the program does it."""
    return np.asarray(picture.fitted(scene.image).resize((picture.SIZE, picture.SIZE), Image.LANCZOS))


def spoilt(rng, pixels):
    return np.asarray(picture._spoil(rng, Image.fromarray(pixels))) if rng.random() < picture.LEVELS[-1].dirt else pixels


class Pool:
    """Depends on the seed and on how often it was renewed alone. `look`: pictures [n, SIZE, SIZE, 3] in bytes to visual tokens; `tell`: visual
    tokens [n, width] to what each tells, (word or number, thing), "" for none."""

    def __init__(self, seed, vocabulary, look, tell, pictures=256, segments=160, leaves=80):
        self.rng, self.vocabulary, self.look, self.tell = random.Random(f"pool {seed}"), vocabulary, look, tell
        self.pictures, self.segments, self.leaves, self.turn = [], [], [], 0
        while len(self.pictures) < pictures:
            self.pictures += self._pictures(16)
        while len(self.segments) < segments:
            self.segments += self._film()
        while len(self.leaves) < leaves:
            self.leaves += self._leaves(8)

    def montage(self, rng, n):
        """A piece of a film of n shots in which nothing moves, put together from pictures: their tokens in any order."""
        seen, shots, said, t = rng.sample(self.pictures, n), [], [], 0
        for picture_of in seen:
            t0, t = t, t + rng.randint(4, 14)
            shots.append(dataclasses.replace(picture_of.shot, t0=t0, t1=t))
            if rng.random() < 0.4:
                said.append(film.Subtitle(t0 + 0.2, t - 0.2, film.saying(rng, self.vocabulary)))
        origin = [(k, i) for k, picture_of in enumerate(seen) for i in range(len(picture_of.kept))]
        rng.shuffle(origin)
        values = torch.stack([seen[k].kept[i] for k, i in origin])
        return Segment(shots, said, [(s.t0, s.t1) for s in shots], values, origin, [seen[k].told[2][i] for k, i in origin])

    def lesson(self, rng, n):
        """A pool of n new pages alone, whose pictures aren't looked at: their text costs nothing."""
        pages = [paper.plan(rng.getrandbits(60), 1 + (k % 2), self.vocabulary).pages[-1] for k in range(n)]
        return Lesson(self.vocabulary, [Leaf(page, torch.zeros(0, 1)) for page in pages])

    def renew(self):
        """Puts new ones in the place of the oldest: of one kind after the other."""
        self.turn += 1
        if self.turn % 8 == 0:
            self.leaves = self.leaves[8:] + self._leaves(8)
        elif self.turn % 2:
            fresh = self._film()
            self.segments = self.segments[len(fresh):] + fresh
        else:
            self.pictures = self.pictures[8:] + self._pictures(8)

    def _pictures(self, n):
        rng, drawn = self.rng, []
        for _ in range(n):
            plan = film.plan(rng.getrandbits(60), rng.uniform(12, 30), self.vocabulary)
            shot = rng.choice(plan.shots)
            shot.items = [dataclasses.replace(i, motion="still") for i in shot.items]
            pixels = square(film.frame(plan, (shot.t0 + shot.t1) / 2, *rng.choice(WIDTHS), False))
            drawn.append((shot, spoilt(rng, pixels)))
        seen, out = self.look([p for _, p in drawn]), []
        side = round(math.sqrt(seen.shape[1]))
        for (shot, pixels), rows in zip(drawn, seen):
            values, origin = memory.compress(rows.numpy()[None], [(0, 4)], side)
            kept = torch.from_numpy(values)[sorted(range(len(origin)), key=lambda i: origin[i])]
            parts = rows, rows[torch.from_numpy(~memory.blank(pixels, side))], kept
            out.append(Picture(shot, *(p.half() for p in parts), tuple(self.tell(p) for p in parts)))
        return out

    def _film(self):
        rng = self.rng
        plan = film.plan(rng.getrandbits(60), rng.uniform(30, 50), self.vocabulary)
        for shot in plan.shots:
            for item in shot.items:
                if item.motion != "still" and rng.random() < 0.5:  # films move as much, but what stands still is cheaper to look at
                    item.motion = "still"
        size, cut, out = rng.choice(WIDTHS), memory.segments(memory.steps(plan.shots)), []
        pixels = [[spoilt(rng, square(film.frame(plan, t + memory.LATE, *size, False))) for t, _ in part] for part in cut]
        seen = self.look([p for part in pixels for p in part]).split([len(part) for part in pixels])
        for n, (part, rows) in enumerate(zip(cut, seen)):
            times = [t for t, _ in part] + [cut[n + 1][0][0] if n + 1 < len(cut) else part[-1][0] + 1]
            times = list(zip(times, times[1:]))
            values, origin = memory.compress(rows.numpy(), times, round(math.sqrt(rows.shape[1])))
            said = [s for s in plan.subtitles if s.t0 < times[-1][1] and times[0][0] < s.t1]
            shots = [shot for k, (_, shot) in enumerate(part) if k == 0 or shot is not part[k - 1][1]]
            out.append(Segment(shots, said, times, torch.from_numpy(values).half(), origin, self.tell(torch.from_numpy(values))))
        return out

    def _leaves(self, n):
        rng = self.rng
        pages = [paper.plan(rng.getrandbits(60), 1 + (k % 2), self.vocabulary).pages[-1] for k in range(n)]
        drawn = [square(self._page(page, rng)) for page in pages]
        seen = self.look(drawn)
        side = round(math.sqrt(seen.shape[1]))
        return [Leaf(page, rows[torch.from_numpy(~memory.blank(pixels, side))].half()) for page, pixels, rows in zip(pages, drawn, seen)]

    @staticmethod
    def _page(page, rng):
        """A page as the program sees it."""
        return paper.render(paper.Paper("", "", (rng.randrange(64), rng.randrange(64)), [page]), page, 362, 512)
