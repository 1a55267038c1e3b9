# SPDX-License-Identifier: GPL-2.0-or-later
"""Films of the world: shots with things, signs, title cards, subtitles, clocks, scores and events, and the truth about them.

A film is a plan (`Film`), made from a seed; `frame()` draws any moment of it, with the truth that picture.labels() takes.
`write()` encodes it with ffmpeg and puts the truth beside it: NAME.mp4 and NAME.json.
"""

import dataclasses
import json
import os
import pathlib
import random
import subprocess

from world import fonts, picture, words

PLACES = {  # centre of an item on the picture, as shares of width and height
    "left": (0.2, 0.5), "right": (0.8, 0.5), "top": (0.5, 0.22), "bottom": (0.5, 0.74), "middle": (0.5, 0.48),
    "top left": (0.2, 0.22), "top right": (0.8, 0.22), "bottom left": (0.2, 0.74), "bottom right": (0.8, 0.74),
}
CONTRAST = 120  # between text and what it stands on, in steps of luminance: what people read at a glance
MOTIONS = ("still", "still", "still", "appears", "leaves", "moves left", "moves right", "grows", "shrinks")


@dataclasses.dataclass
class Item:
    """A shape or thing in a shot. Of an event, `when` is its moment (or middle) in seconds of the film."""
    kind: str
    colour: str
    place: str
    size: float  # height, as a share of the picture's
    rgb: tuple
    motion: str = "still"
    when: float = 0.0

    def box(self, shot, t):
        """Box at t as shares of the picture, or None while the item isn't there."""
        x, y = PLACES[self.place]
        size, part = self.size, min(1.0, max(0.0, (t - shot.t0) / (shot.t1 - shot.t0)))
        if self.motion == "appears" and t < self.when or self.motion == "leaves" and t >= self.when:
            return None
        if self.motion == "moves left":
            x = 0.85 - 0.7 * part
        elif self.motion == "moves right":
            x = 0.15 + 0.7 * part
        elif self.motion == "grows":
            size *= 0.5 + part * 0.6
        elif self.motion == "shrinks":
            size *= 1.1 - part * 0.6
        return (x - size * 0.3, y - size / 2, x + size * 0.3, y + size / 2)


@dataclasses.dataclass
class Sign:
    text: str
    place: str
    size: float
    face: int  # index into fonts.faces(), modulo their number
    ink: tuple
    board: tuple
    board_colour: str


@dataclasses.dataclass
class Shot:
    t0: float
    t1: float
    kind: str  # scene, card, chart
    background: str
    paper: tuple
    items: list = dataclasses.field(default_factory=list)
    signs: list = dataclasses.field(default_factory=list)
    lines: list = dataclasses.field(default_factory=list)  # of a title card
    bars: list = dataclasses.field(default_factory=list)  # (label, value, colour, rgb)
    clock: str = ""
    score: str = ""
    look: float = 0.5  # a number from 0 to 1 that layout may depend on


@dataclasses.dataclass
class Subtitle:
    t0: float
    t1: float
    text: str


@dataclasses.dataclass
class Film:
    seed: str
    seconds: float
    shots: list
    subtitles: list

    def shot(self, t):
        for shot in self.shots:
            if t < shot.t1:
                return shot
        return self.shots[-1]

    def subtitle(self, t):
        return next((s for s in self.subtitles if s.t0 <= t < s.t1), None)


SAYINGS = ["The {a} is near the {b}.", "We left the {a} by the {b}.", "Meet me at the {a}.", "Nobody has seen the {a} today.",
           "Bring the {a} to the {b}.", "There is no {a} without a {b}.", "I heard a {a} in the {b}.", "The {a} opens at {n}.",
           "Platform {n} for the {a}.", "It costs {n} at the {a}."]


class Deck:
    """Deals words so that none comes twice before all came once: a needle is a word that the film shows once."""

    def __init__(self, rng, vocabulary):
        self.rng, self.all, self.left = rng, list(vocabulary), []

    def deal(self, longest=99):
        """The next word of at most `longest` letters; longer ones go to the end of the deck."""
        for _ in range(len(self.all)):
            if not self.left:
                self.left = self.rng.sample(self.all, len(self.all))
            word = self.left.pop()
            if len(word) <= longest:
                return word
            self.left.insert(0, word)
        return word[:longest]


LABEL = 6  # letters of a bar's label: more don't fit under a bar in a size that can be read


def _case(rng, text):
    return rng.choice((text.upper(), text.upper(), text.capitalize(), text))


def _item(rng, shot, places, kinds):
    kind = kinds.pop()
    for _ in range(20):
        colour = rng.choice(picture.COLOURS)
        rgb = picture.shade(rng, colour)
        if sum(abs(a - b) for a, b in zip(rgb, shot.paper)) > 140:
            break
    else:
        colour, rgb = ("black", (15, 15, 15)) if picture.luminance(shot.paper) > 127 else ("white", (245, 245, 245))
    item = Item(kind, colour, places.pop(), rng.uniform(0.18, 0.25), rgb, rng.choice(MOTIONS))
    item.when = shot.t0 + (shot.t1 - shot.t0) * rng.uniform(0.35, 0.65)
    return item


def _sign(rng, shot, deck, places):
    board_colour = rng.choice(picture.COLOURS)
    board = picture.shade(rng, board_colour)
    text = _case(rng, deck.deal()) if rng.random() < 0.75 else str(rng.randint(1, 999))
    return Sign(text, places.pop(), rng.uniform(0.13, 0.19), rng.randrange(64), picture.ink(rng, board, CONTRAST), board, board_colour)


def _shot(rng, t0, t1, deck):
    colour = rng.choice(picture.COLOURS)
    kind = rng.choices(("scene", "card", "chart"), (0.8, 0.12, 0.08))[0]
    shot = Shot(t0, t1, kind, colour, picture.shade(rng, colour), look=rng.random())
    if kind == "card":
        shot.lines = [_case(rng, deck.deal()) for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.5:
            shot.lines.append(f"{rng.choice(('Part', 'Chapter', 'Day', 'Room'))} {rng.randint(1, 99)}")
    elif kind == "chart":
        shot.background, shot.paper = "white", picture.shade(rng, "white")
        one = rng.choice(picture.COLOURS[:7])
        colours = [one] * 5 if rng.random() < 0.5 else rng.sample([c for c in picture.COLOURS if c != "white"], 5)
        shot.bars = [(deck.deal(LABEL), rng.randint(5, 99), c, picture.shade(rng, c)) for c in colours[:rng.randint(3, 4)]]
    else:
        if rng.random() < 0.12:
            shot.clock = f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}"
        elif rng.random() < 0.1:
            shot.score = f"{rng.randint(0, 20)}-{rng.randint(0, 20)}"
        # Either set leaves room between neighbours; a corner that a clock or a score takes is left out.
        corners = [p for p in PLACES if " " in p and not (shot.clock and p == "top left" or shot.score and p == "top right")]
        places = corners + ["middle"] if rng.random() < 0.6 else ["left", "right", "top", "bottom"]
        rng.shuffle(places)
        kinds = rng.sample(words.KINDS, len(words.KINDS))
        shot.items = [_item(rng, shot, places, kinds) for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.25:  # several of one kind and colour, for counting
            first = shot.items[0]
            first.motion = "still"
            for _ in range(rng.randint(1, len(places))):
                shot.items.append(dataclasses.replace(first, place=places.pop()))
        moving = [i for i in shot.items if i.motion.startswith("moves")]
        if moving:  # it crosses the middle, alone there: all else stands in corners
            free = corners[:]
            rng.shuffle(free)
            for item in shot.items:
                item.place = "middle" if item is moving[0] else free.pop()
                item.motion = item.motion if item is moving[0] or item not in moving else "still"
            places = free
        if rng.random() < 0.75:
            shot.signs = [_sign(rng, shot, deck, places) for _ in range(rng.choice((1, 1, 2))) if places]
    return shot


def saying(rng, vocabulary):
    """What a subtitle may say."""
    a, b = rng.sample(vocabulary, 2)
    return rng.choice(SAYINGS).format(a=a, b=b, n=rng.randint(2, 99))


def plan(seed, seconds, vocabulary, shortest=4.0, longest=14.0):
    """A film of `seconds` from a seed. Everything lasts `shortest` seconds or more."""
    rng = random.Random(f"film {seed}")
    deck, shots, subtitles, t = Deck(rng, vocabulary), [], [], 0.0
    while t < seconds - 0.01:
        end = min(seconds, t + rng.uniform(shortest, longest))
        if seconds - end < shortest:
            end = seconds
        shot = _shot(rng, t, end, deck)
        shots.append(shot)
        if shot.kind != "chart" and end - t > 3 and rng.random() < 0.4:
            text = rng.choice(SAYINGS).format(a=deck.deal(), b=deck.deal(), n=rng.randint(2, 99))
            subtitles.append(Subtitle(t + 0.2, end - 0.2, text))
        t = end
    return Film(str(seed), seconds, shots, subtitles)


def _face(index):
    faces = fonts.faces()
    return faces[index % len(faces)]


def _centred(scene, x, y, text, face, size, room=0.96):
    """Where a line about (x, y) stands and its size, so that it takes `room` of the width at the most."""
    wide = fonts.width(face, size, text)
    room *= scene.size[0]
    while wide > room and size > 6:
        size -= 1
        wide = fonts.width(face, size, text)
    top, bottom = fonts.extent(face, size)
    x = min(max(x - wide / 2, scene.size[0] * 0.02), scene.size[0] * 0.98 - wide)
    return (x, y - (bottom - top) / 2, wide, bottom - top, size)


def frame(film, t, width=480, height=270, burn_subtitles=True):
    """The picture at t, as a picture.Scene."""
    shot = film.shot(t)
    rng = random.Random(f"{film.seed} {shot.t0}")
    scene = picture.Scene(rng, width, height, shot.background)
    scene.draw.rectangle((0, 0, width, height), fill=shot.paper)
    if shot.kind == "scene" and shot.look < 0.4:  # a floor
        floor = tuple(max(0, c - 14) for c in shot.paper)
        scene.draw.rectangle((0, height * 0.8, width, height), fill=floor)
    for item in shot.items:
        box = item.box(shot, t)
        if box:
            # Sizes are shares of the height in both directions, so that a square stays one.
            middle, half = (box[0] + box[2]) / 2 * width, (box[3] - box[1]) * height * 0.5
            scene.shape(item.kind, item.colour, (middle - half, box[1] * height, middle + half, box[3] * height), item.rgb)
    for sign in shot.signs:
        px, py = PLACES[sign.place]
        x, y, wide, high, size = _centred(scene, px * width, py * height, sign.text, _face(sign.face), round(sign.size * height), 0.44)
        pad = size * 0.35
        scene.draw.rectangle((x - pad, y - pad, x + wide + pad, y + high + pad), fill=sign.board)
        scene.text(x, y, sign.text, _face(sign.face), size, sign.ink)
    if shot.lines:
        size, ink = round(height * (0.2 if len(shot.lines) < 3 else 0.15)), picture.ink(rng, shot.paper, CONTRAST)
        for k, line in enumerate(shot.lines):
            y = height * (0.5 + (k - (len(shot.lines) - 1) / 2) * 0.24)
            x, top, _, _, fit = _centred(scene, width / 2, y, line, _face(int(shot.look * 64)), size)
            scene.text(x, top, line, _face(int(shot.look * 64)), fit, ink)
    if shot.bars:
        _bars(scene, shot, width, height)
    face = _face(int(shot.look * 8))
    for text, x in ((shot.clock, 0.1), (shot.score, 0.9)):
        if text:
            x, y, wide, high, size = _centred(scene, x * width, height * 0.1, text, face, round(height * 0.14))
            scene.draw.rectangle((x - 4, y - 4, x + wide + 4, y + high + 4), fill=(20, 20, 25))
            scene.text(x, y, text, face, size, (255, 255, 255))
    said = film.subtitle(t) if burn_subtitles else None
    if said:
        x, y, wide, high, size = _centred(scene, width / 2, height * 0.93, said.text, face, round(height * 0.075))
        scene.draw.rectangle((x - 5, y - 4, x + wide + 5, y + high + 5), fill=(10, 10, 10))
        scene.text(x, y, said.text, face, size, (255, 255, 255))
    return scene


def _bars(scene, shot, width, height):
    face, size, dark = _face(int(shot.look * 12)), round(height * 0.1), (25, 25, 25)
    left, right, top, bottom = width * 0.06, width * 0.97, height * 0.14, height * 0.86
    scene.draw.line((left, bottom, right, bottom), fill=dark, width=2)
    step, most = (right - left) / len(shot.bars), max(v for _, v, _, _ in shot.bars)
    for k, (label, value, colour, rgb) in enumerate(shot.bars):
        middle = left + step * (k + 0.5)
        box = (middle - step * 0.33, bottom - (bottom - top) * value / most, middle + step * 0.33, bottom)
        scene.draw.rectangle(box, fill=rgb)
        scene.objects.append(picture.Object("bar", colour, box, value / most))
        for text, y in ((label, bottom + size * 0.75), (str(value), box[1] - size * 0.55)):
            x, at, _, _, fit = _centred(scene, middle, y, text, face, size, 0.95 * step / width)
            scene.text(x, at, text, face, fit, dark)


def truth(film):
    """The film as plain data for a file beside it."""
    return {"seed": film.seed, "seconds": film.seconds,
            "shots": [{k: v for k, v in dataclasses.asdict(s).items() if v not in ([], "")} for s in film.shots],
            "subtitles": [dataclasses.asdict(s) for s in film.subtitles]}


def _stamp(t):
    ms = round(t * 1000)
    return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


def write(film, path, questions=(), fps=5, width=640, height=360, burn_subtitles=False):
    """Encodes the film to `path` (.mp4); subtitles become a text track (or a part of the picture), the truth NAME.json."""
    path = pathlib.Path(path)
    subtitles = path.with_suffix(".subtitles.srt")  # for ffmpeg alone: beside the film it would be read as a second track
    with open(subtitles, "w", encoding="utf-8") as out:
        for n, said in enumerate(film.subtitles, 1):
            out.write(f"{n}\n{_stamp(said.t0)} --> {_stamp(said.t1)}\n{said.text}\n\n")
    track = ["-i", str(subtitles), "-map", "0:v", "-map", "1:s", "-c:s", "mov_text"] if film.subtitles and not burn_subtitles else []
    run = subprocess.Popen(
        ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps),
         "-i", "pipe:0", *track, "-c:v", "libx264", "-preset", "veryfast", "-crf", "27", "-pix_fmt", "yuv420p",
         "-threads", os.environ.get("OMP_NUM_THREADS", "2"), "-movflags", "+faststart", "-bitexact", str(path)], stdin=subprocess.PIPE)
    before, still = None, None
    for n in range(round(film.seconds * fps)):
        t = (n + 0.5) / fps
        shot = film.shot(t)
        moves = any(i.motion != "still" for i in shot.items)
        said = film.subtitle(t) if burn_subtitles else None
        if still is None or moves or before != (shot.t0, said and said.t0):
            still = frame(film, t, width, height, burn_subtitles).image.tobytes()
        before = (shot.t0, said and said.t0)
        run.stdin.write(still)
    run.stdin.close()
    failed = run.wait()
    subtitles.unlink()
    if failed:
        raise RuntimeError(f"ffmpeg couldn't write {path}; its own words stand above")
    with open(path.with_suffix(".json"), "w", encoding="utf-8") as out:
        json.dump({**truth(film), "fps": fps, "questions": list(questions)}, out, indent=1)
