# SPDX-License-Identifier: GPL-2.0-or-later
"""Episodes: what the model is shown and asked in training, as `pagereel ask` writes it.

An episode is a list of pieces, text or ("picture", index, marker), the pictures as [SIZE, SIZE, 3] u8, and turns of question and
answer. Everything that is written around pictures and answers lies in this file; it follows engine/ and memory/.
"""

import dataclasses
import random

import numpy as np
from PIL import Image

from train.tokenizer import END
from world import film, paper, picture, questions, words

SYSTEM = ("You answer questions about films and papers. Use only what is shown. After each answer name its tag, like [S1]. "
          "If it isn't shown, say: not shown.")
FAKE = "<fake_token_around_image>"


@dataclasses.dataclass
class Episode:
    pieces: list
    pictures: list
    turns: list  # (question, answer, kind)
    keep: float = 1.0  # share of visual tokens that memory kept


def one_picture(index, marker="<global-img>"):
    return [FAKE + marker, ("picture", index), FAKE]


def square(scene):
    return np.asarray(scene.image.resize((picture.SIZE, picture.SIZE), Image.LANCZOS))


def spoil(rng, pixels, level):
    return np.asarray(picture._spoil(rng, Image.fromarray(pixels))) if rng.random() < level.dirt else pixels


def align(rng, level, vocabulary, held_out=False):
    """A random picture, all of its words and things to be told: the densest signal for the connector."""
    while True:
        pixels, scene = picture.tile(rng, level, vocabulary)
        inside = [w for w in scene.words if w.letters[0][0] >= 0 and w.letters[-1][2] <= scene.size[0] and w.letters[0][3] <= scene.size[1]]
        turns = []
        if 0 < len(inside) <= 14:
            lines = sorted(inside, key=lambda w: (round(w.letters[0][1] / scene.size[1] * 8), w.letters[0][0]))
            turns.append(("Read everything.", " ".join(w.text.lower() for w in lines), "read all"))
        things = [o for o in scene.objects if o.kind in words.KINDS]
        if things:
            things = sorted(things, key=lambda o: o.box[0] + o.box[2])
            turns.append(("Name all things from left to right.", ", ".join(f"{o.colour} {o.kind}" for o in things), "name all"))
            lone = [o for o in things if sum(p.kind == o.kind for p in things) == 1]
            for thing in rng.sample(lone, min(2, len(lone))):
                turns.append((questions.ask(rng, "colour", held_out, k=thing.kind), thing.colour, "colour"))
        if turns:
            return Episode(one_picture(0), [pixels], turns)


def single(rng, level, vocabulary, held_out=False):
    """One frame of a film, with questions about it and about what it doesn't show."""
    plan = film.plan(rng.getrandbits(60), rng.uniform(12, 30), vocabulary)
    shot = rng.choice(plan.shots)
    shot.items = [dataclasses.replace(i, motion="still") for i in shot.items]
    asked = questions.of_shot(rng, shot, held_out)
    asked = rng.sample(asked, min(4, len(asked))) + [questions.absent_of_shots(rng, [shot], vocabulary, held_out)] * (rng.random() < 0.6)
    rng.shuffle(asked)
    width, height = rng.choice(((480, 270), (400, 300), (512, 288), (320, 320)))
    pixels = spoil(rng, square(film.frame(plan, (shot.t0 + shot.t1) / 2, width, height)), level)
    return Episode(one_picture(0), [pixels], [(q.text, q.answer, q.kind) for q in asked], rng.choice((1.0, 1.0, 0.5, 0.25)))


def cited(question, segments):
    """Answer with the tags of the segments that it rests on."""
    tags = [f"[{tag}]" for tag, t0, t1 in segments if any(t0 < b and a < t1 for a, b in question.spans)]
    return question.answer + ("" if not tags else " " + " ".join(tags[:3]))


def clip(rng, level, vocabulary, held_out=False, frames=None):
    """A stretch of a film as the working set shows it: segments with tags, times, pictures, subtitles; then questions."""
    n = frames or rng.randint(2, 8)
    plan = film.plan(rng.getrandbits(60), n * rng.uniform(6, 9), vocabulary)
    offset, number = rng.choice((0, rng.randint(0, 4 * 3600))), rng.randint(1, 400)
    for shot in plan.shots:
        shot.t0, shot.t1 = shot.t0 + offset, shot.t1 + offset
        for item in shot.items:
            item.when += offset
    for said in plan.subtitles:
        said.t0, said.t1 = said.t0 + offset, said.t1 + offset
    shots = plan.shots[:n]
    pieces, pictures, segments = [], [], []
    burnt = rng.random() < 0.3
    for shot in shots:
        tag = f"S{number}"
        number += rng.choice((1, 1, 1, rng.randint(2, 9)))
        segments.append((tag, shot.t0, shot.t1))
        text = f"\n[{tag}] {questions.clock(shot.t0)}–{questions.clock(shot.t1)}"
        changes = any(i.motion != "still" for i in shot.items)
        for part in ((0.15, 0.85) if changes else (0.5,)):
            t = shot.t0 + part * (shot.t1 - shot.t0)
            pictures.append(spoil(rng, square(film.frame(plan, t, 480, 270, burnt)), level))
            head, *rest = one_picture(len(pictures) - 1)
            pieces += [text + head] + rest
            text = ""
        said = next((s for s in plan.subtitles if s.t0 >= shot.t0 and s.t1 <= shot.t1), None)
        if said and not burnt:
            pieces.append(f'\nsubtitle: "{said.text}"')
    asked = questions.clear(questions.of_film(rng, plan, vocabulary, held_out, shots))
    asked = rng.sample(asked, min(4, len(asked)))
    if rng.random() < 0.4:
        asked.append(questions.absent_of_shots(rng, shots, vocabulary, held_out))
    turns = [(q.text, cited(q, segments), q.kind) for q in asked]
    return Episode(pieces + ["\n"], pictures, turns, rng.choice((1.0, 0.5, 0.25, 0.25, 0.1)))


def tiles(scene, rows, cols):
    """A page cut as idefics3 does: tiles row by row, then all of it as one."""
    whole = scene.image.resize((cols * picture.SIZE, rows * picture.SIZE), Image.LANCZOS)
    s = picture.SIZE
    cut = [np.asarray(whole.crop((c * s, r * s, (c + 1) * s, (r + 1) * s))) for r in range(rows) for c in range(cols)]
    return cut + [np.asarray(whole.resize((s, s), Image.LANCZOS))]


def page(rng, level, vocabulary, held_out=False):
    """A page of a paper with its tag, its pieces and its exact text."""
    plan = paper.plan(rng.getrandbits(60), 1, vocabulary)
    number = rng.randint(1, 300)
    shown = plan.pages[0]
    shown.number = number
    rows, cols = 4, 3
    pictures = tiles(paper.render(plan, shown, 768, 1024), rows, cols)
    tag = f"S{rng.randint(1, 400)}"
    pieces = [f"\n[{tag}] page {number}"]
    for r in range(rows):
        for c in range(cols):
            pieces += [f"{FAKE}<row_{r + 1}_col_{c + 1}>", ("picture", r * cols + c)]
        pieces.append("\n")
    pieces += ["\n" + FAKE + "<global-img>", ("picture", rows * cols), FAKE]
    if rng.random() < 0.8:
        pieces.append("\ntext: " + "\n".join(paper.text(shown)))
    asked = paper.of_page(rng, shown, held_out)
    asked = rng.sample(asked, min(5, len(asked)))
    turns = [(q.text, f"{q.answer} [{tag}]", q.kind) for q in asked]
    if rng.random() < 0.4:
        absent = paper.of_paper(rng, plan, vocabulary, held_out)[-1]
        turns.append((absent.text, absent.answer, absent.kind))
    return Episode(pieces + ["\n"], pictures, turns, rng.choice((1.0, 1.0, 0.8)))


def tokens(tokenizer, episode):
    """The episode as ids and pictures, in order: ("ids", [...], [learnt?...]) and ("picture", index)."""
    out = []

    def add(text, learnt=False):
        ids = tokenizer.encode(text)
        if out and out[-1][0] == "ids":
            out[-1][1].extend(ids)
            out[-1][2].extend([learnt] * len(ids))
        elif ids:
            out.append(("ids", ids, [learnt] * len(ids)))

    text = f"<|im_start|>System: {SYSTEM}{END}\nUser:"
    text += " " if not episode.pieces[0].startswith(FAKE) else ""
    for piece in episode.pieces:
        if isinstance(piece, str):
            text += piece
        else:
            add(text)
            text = ""
            out.append(piece)
    for n, (question, answer, _) in enumerate(episode.turns):
        add(("" if n == 0 else "\nUser: ") + text + question + END + "\nAssistant:")
        text = ""
        add(" " + answer + END, True)
    return out


def corpus(seed, vocabulary, n=1500):
    """Texts that the tokenizer is learnt from."""
    rng = random.Random(f"corpus {seed}")
    level = picture.LEVELS[0]
    out = [SYSTEM] * 20
    for _ in range(n):
        plan = film.plan(rng.getrandbits(60), 60, vocabulary)
        asked = questions.of_film(rng, plan, vocabulary) + [q for s in plan.shots for q in questions.of_shot(rng, s)]
        out += [q.text for q in rng.sample(asked, min(12, len(asked)))] + [" " + q.answer for q in rng.sample(asked, min(12, len(asked)))]
        out += [s.text for s in plan.subtitles] + [f"\n[S12] 00:41:10–00:41:18\nsubtitle: \"", " [S3]", "\n[S8] page 12", "\ntext: "]
        if rng.random() < 0.1:
            out += ["\n".join(paper.text(p)) for p in paper.plan(rng.getrandbits(60), 1, vocabulary).pages]
        out += [f" {words.invent(rng)} {words.invent(rng)} {words.invent(rng)}" for _ in range(8)]
    del level
    return out
