# SPDX-License-Identifier: GPL-2.0-or-later
"""Words, colours, shapes and things of the world. Other word lists may be given: one word a line, `#` starts a comment."""

import pathlib

COLOURS = {  # name: centre in RGB, and how far each channel may wander
    "red": ((205, 25, 30), 28), "orange": ((250, 135, 15), 16), "yellow": ((245, 220, 40), 20), "green": ((40, 150, 50), 30),
    "blue": ((35, 75, 205), 32), "purple": ((125, 40, 165), 24), "pink": ((250, 145, 190), 18), "brown": ((120, 70, 30), 16),
    "black": ((18, 18, 20), 14), "white": ((245, 245, 243), 9), "gray": ((128, 128, 130), 18),
}
SHAPES = ["circle", "square", "triangle", "star", "heart", "cross", "diamond", "ring", "moon", "arrow"]
THINGS = ["house", "tree", "car", "boat", "fish", "cup", "flag", "umbrella"]
KINDS = SHAPES + THINGS
AREAS = ["bar", "slice", "line", "picture"]  # parts of charts and pages, besides KINDS, that the encoder tells apart

_FILE = pathlib.Path(__file__).with_name("words.txt")


def read(path=None):
    """The words of a list; the built-in one without a path."""
    lines = pathlib.Path(path or _FILE).read_text(encoding="utf-8").splitlines()
    words = [w for line in lines for w in line.split("#")[0].split()]
    if len(words) < 20:
        raise ValueError(f"{path}: {len(words)} words are too few for a world; at least 20 are needed")
    return words


def invent(rng):
    """A word that is in no list, so that reading is learnt by letters."""
    syllables = rng.choice((1, 2, 2, 3))
    return "".join(rng.choice("bcdfghjklmnpqrstvwxyz") + rng.choice("aeiouy") + rng.choice(("", "", "n", "r", "s", "t", "l", "m", "k"))
                   for _ in range(syllables))[:10]


def printed(rng, words, outside=0.26, numbers=0.24):
    """Something that a sign, title or label may say: a word, a number, a time, a score. `outside`: share of words that are in no list;
    `numbers`: of numbers, times and scores."""
    kind = rng.random()
    if kind < numbers:
        form = rng.random()
        if form < 0.66:
            return str(rng.randint(0, 10 ** rng.randint(1, 3) - 1))
        if form < 0.79:
            return f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}"
        if form < 0.89:
            return f"{rng.randint(0, 20)}-{rng.randint(0, 20)}"
        return f"{rng.randint(0, 100)}%"
    if kind < 1 - outside:
        text = rng.choice(words)
    elif kind < 1 - 0.3 * outside:
        text = invent(rng)
    else:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(rng.randint(1, 7)))
    case = rng.random()
    return text.upper() if case < 0.45 else text.capitalize() if case < 0.7 else text
