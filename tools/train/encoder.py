#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""First stage: the encoder learns to read and to name what it sees from dense labels of every patch.

Letters are asked for in the middle of the encoder (which letter has its centre here, which covers this point), whole words at
its end: each patch of a word spells all of it, so that any visual token that memory keeps still holds the word. Kinds, colours
and amounts of objects are asked for at the end, too. The heads are thrown away afterwards.

    encoder.py STATE [--steps N]     goes on from STATE/encoder.pt; SIGTERM saves and ends
"""

import argparse
import pathlib
import random
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import keep, model, muon  # noqa: E402
from world import picture, words  # noqa: E402

MIDDLE = 4  # letters are asked for behind this layer
BATCH = 32
LETTERS, SPELL = len(picture.LETTERS), picture.SPELL


class Heads(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.middle = nn.LayerNorm(width)
        self.centre, self.cover = nn.Linear(width, 8 * LETTERS), nn.Linear(width, 4 * LETTERS)
        self.spell = nn.Linear(width, SPELL * LETTERS)
        self.kind = nn.Linear(width, 1 + len(picture.KINDS))
        self.colour, self.amount = nn.Linear(width, len(picture.COLOURS)), nn.Linear(width, picture.AMOUNTS)
        self.place = nn.Linear(width, 2 * picture.GRID)  # row and column: tokens that memory keeps must know where they were


class Reader(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.vision, self.heads = model.Vision(shape), Heads(shape.width)


def batch(make, level, vocabulary, n):
    """Pictures [n, 3, image, image] in -1..1 and their labels, stacked; words of all pictures in one list."""
    pictures, stacks, spells, base = [], {}, [], 0
    for _ in range(n):
        pixels, scene = picture.tile(make, level, vocabulary)
        truth = picture.labels(scene)
        spells.append(truth.pop("spell"))
        truth["word"] = np.where(truth["word"] >= 0, truth["word"] + base, -1)
        base += len(spells[-1])
        pictures.append(pixels)
        for key, value in truth.items():
            stacks.setdefault(key, []).append(value)
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    out = {key: torch.from_numpy(np.stack(value)) for key, value in stacks.items()}
    out["spell"] = torch.from_numpy(np.concatenate(spells))
    g = picture.GRID  # points of `cover` by patch, like the slots of `centre`
    out["cover"] = out["cover"].view(n, g, 2, g, 2).permute(0, 1, 3, 2, 4).reshape(n, g, g, 4)
    return x, out


def balanced(logits, target):
    """Cross-entropy in which what is there weighs as much as what isn't (class 0)."""
    loss = F.cross_entropy(logits.float(), target, reduction="none")
    there = target > 0
    return (loss * there).sum() / there.sum().clamp(min=1) + (loss * ~there).sum() / (~there).sum().clamp(min=1)


def spelt(heads, x, truth):
    """Logits [m, SPELL, letters] and letters [m, SPELL] of the patches that lie in words."""
    word = truth["word"].flatten()
    at = (word >= 0).nonzero()[:, 0]
    return heads.spell(x.flatten(0, 1)[at]).view(-1, SPELL, LETTERS), truth["spell"][word[at]]


def losses(net, x, truth):
    last, middle = net.vision(x, MIDDLE)
    heads, middle = net.heads, net.heads.middle(middle)
    letters, spell = spelt(heads, last, truth)
    amount = truth["amount"].flatten()
    measured = (amount > 0).nonzero()[:, 0]
    out = {
        "centre": balanced(heads.centre(middle).view(-1, LETTERS), truth["centre"].flatten()),
        "cover": balanced(heads.cover(middle).view(-1, LETTERS), truth["cover"].flatten()),
        "spell": F.cross_entropy(letters.float().flatten(0, 1), spell.flatten()) if len(spell) else last.sum() * 0,
        "kind": balanced(heads.kind(last).flatten(0, 1), truth["kind"].flatten()),
        "colour": F.cross_entropy(heads.colour(last).float().flatten(0, 1), truth["colour"].flatten()),
        "amount": F.cross_entropy(heads.amount(last.flatten(0, 1)[measured]).float(), amount[measured]) if len(measured) else last.sum() * 0,
    }
    g = picture.GRID
    place = heads.place(last).float().view(-1, g, g, 2, g)
    rows = torch.arange(g)[:, None].expand(len(place), g, g)
    out["place"] = F.cross_entropy(place[..., 0, :].flatten(0, 2), rows.flatten()) + \
        F.cross_entropy(place[..., 1, :].flatten(0, 2), rows.transpose(1, 2).flatten())
    weight = {"centre": 1.0, "cover": 0.5, "spell": 2.0, "kind": 0.5, "colour": 0.5, "amount": 0.3, "place": 0.1}
    return sum(weight[k] * v for k, v in out.items()), out


@torch.no_grad()
def evaluate(net, level, vocabulary, n=192):
    """Shares of held-out truth that are got right: letters, whole words (at their middle patch), kinds, colours, amounts."""
    right, asked = {}, {}

    def count(name, hits):
        right[name], asked[name] = right.get(name, 0) + int(hits.sum()), asked.get(name, 0) + hits.numel()

    make = random.Random(f"held out {level}")
    for _ in range(n // BATCH):
        x, truth = batch(make, picture.LEVELS[level], vocabulary, BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            last, middle = net.vision(x, MIDDLE)
            middle = net.heads.middle(middle)
            there = truth["centre"].flatten() > 0
            count("letter", (net.heads.centre(middle).view(-1, LETTERS).argmax(1) == truth["centre"].flatten())[there])
            letters, spell = spelt(net.heads, last, truth)
            word = truth["word"].flatten()
            word = word[word >= 0]
            same = (letters.argmax(2) == spell).all(1)
            count("spelt", same)  # by any of its patches
            middles = [int((word == w).nonzero()[:, 0].median()) for w in word.unique()]
            count("word", same[middles])
            thing = truth["kind"] > 0
            count("kind", (net.heads.kind(last).argmax(2).view_as(thing) == truth["kind"])[thing])
            count("colour", (net.heads.colour(last).argmax(2).view_as(thing) == truth["colour"])[thing])
            sized = truth["amount"] > 0
            count("amount", ((net.heads.amount(last).argmax(2).view_as(thing) - truth["amount"]).abs() <= 1)[sized])
    return {k: round(right[k] / max(1, asked[k]), 4) for k in right}


def main(argv=None):
    """True when the stage is done, False when it was stopped."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("state")
    ask.add_argument("--steps", type=int, default=15000, help="of 32 pictures; the rate falls over the last fifth")
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--rate", type=float, default=1e-3)
    ask.add_argument("--words", help="another word list")
    ask.add_argument("--save-every", type=float, default=180, help="seconds")
    args = ask.parse_args(argv)
    torch.manual_seed(args.seed)
    state, stop, vocabulary = keep.State(args.state, "encoder"), keep.Stop(), words.read(args.words)
    shape = model.VisionShape()
    net = Reader(shape)
    steps_of = muon.optimizers(net, args.rate)
    average = keep.Average(net)
    step, level = 0, 0
    saved = state.load()
    if saved:
        net.load_state_dict(saved["net"])
        for optimizer, was in zip(steps_of, saved["optimizers"]):
            optimizer.load_state_dict(was)
        average.weights, average.steps = saved["average"], saved["averaged"]
        step, level = saved["step"], saved["level"]

    def save():
        state.save(net=net.state_dict(), optimizers=[o.state_dict() for o in steps_of], average=average.weights, averaged=average.steps,
                   step=step, level=level)

    judge, sums, began, saved_at = Reader(shape), {}, time.monotonic(), time.monotonic()
    state.log(event="start", step=step, level=level, parameters=model.parameters(net.vision), seed=args.seed)
    while step < args.steps and not stop:
        # A step's pictures depend on the seed and its number alone: going on later gives what going on at once would have.
        make = random.Random(f"{args.seed} {step}")
        now = level if make.random() < 0.8 else make.randint(0, level)
        x, truth = batch(make, picture.LEVELS[now], vocabulary, BATCH)
        muon.set_rate(steps_of, keep.rate(step, args.rate, 100, args.steps))
        with torch.autocast("cpu", torch.bfloat16):
            loss, parts = losses(net, x, truth)
        net.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for optimizer in steps_of:
            optimizer.step()
        average.update(net)
        step += 1
        for key, value in parts.items():
            sums[key] = sums.get(key, 0.0) + float(value.detach())
        if step % 50 == 0:
            spent = time.monotonic() - began
            state.log(step=step, level=level, pictures=step * BATCH, per_second=round(50 * BATCH / spent, 1),
                      **{k: round(v / 50, 4) for k, v in sums.items()})
            sums, began = {}, time.monotonic()
        if step % 500 == 0:
            judge.load_state_dict(average.weights)
            figures = evaluate(judge, level, vocabulary)
            state.log(event="held out", step=step, level=level, pictures=step * BATCH, **figures)
            if figures["word"] > 0.85 and level + 1 < len(picture.LEVELS):
                level += 1
                state.log(event="level", step=step, level=level)
            began = time.monotonic()
        if time.monotonic() - saved_at > args.save_every:
            save()
            saved_at = time.monotonic()
    save()
    state.log(event="stopped" if stop else "done", step=step, level=level)
    return step >= args.steps


if __name__ == "__main__":
    main()
