#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""First stage: the encoder learns to read and to name what it sees from dense labels of every patch.

Letters are asked for in the middle of the encoder (which letter has its centre here, which covers this point), then which of its
word's letters each is, and whole words at its end: each patch of a word spells all of it, so that any visual token that memory keeps still holds the word. Kinds, colours
and amounts of objects are asked for at the end, too. The heads are thrown away afterwards.

Visual tokens themselves, connector and all, are asked for the words, numbers, things and colours in their cells: what answers are looked up
in. The table that names them becomes the decoder's embeddings of these words.

    encoder.py STATE [--steps N]     goes on from STATE/encoder.pt; SIGTERM saves and ends
    encoder.py STATE --measure       what it reads and names so far
"""

import argparse
import pathlib
import random
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import keep, kernels, model, muon, windows  # noqa: E402
from world import picture, words  # noqa: E402

MIDDLE = (4, 6)  # letters are asked for behind the first of these layers, their places in their words behind the second
BATCH = 16  # whole pictures in a step, or as many patches in windows of half the side
HALF = [0.9, 0.8, 0.6, 0.4, 0.25]  # share of steps over windows of half the side, by level
LATEST = [0.0, 0.3, 0.4, 0.56, 0.75]  # share of all steps at which a level begins even if the one before it isn't learnt
ALONE = 200  # steps in which heads that come later learn alone: what they don't know yet would spoil what the encoder knows
LETTERS, SPELL = len(picture.LETTERS), picture.SPELL


class Heads(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.middle = nn.LayerNorm(width)
        self.centre, self.cover = nn.Linear(width, 8 * LETTERS), nn.Linear(width, 4 * LETTERS)
        self.count, self.index = nn.LayerNorm(width), nn.Linear(width, 8 * (SPELL + 1))
        self.spell = nn.Linear(width, SPELL * LETTERS)
        self.kind = nn.Linear(width, 1 + len(picture.KINDS))
        self.colour, self.amount = nn.Linear(width, len(picture.COLOURS)), nn.Linear(width, picture.AMOUNTS)
        self.place = nn.Linear(width, 2 * picture.GRID)  # row and column: tokens that memory keeps must know where they were


class Names(nn.Module):
    """What is asked of visual tokens: the word in the cell (0 none or of no list, then the list, then a number), the characters of a number, the
    thing, its colour (or the background's), and where the cell lies."""

    def __init__(self, width, n_words):
        super().__init__()
        self.word = nn.Linear(width, n_words + 2)
        self.digits = nn.Linear(width, picture.SLOTS * len(picture.DIGITS))
        self.kind, self.colour = nn.Linear(width, 1 + len(picture.KINDS)), nn.Linear(width, len(picture.COLOURS))
        self.place = nn.Linear(width, picture.GRID)


class Reader(nn.Module):
    def __init__(self, shape, n_words, width=256):
        super().__init__()
        self.vision, self.heads = model.Vision(shape), Heads(shape.width)
        self.connector, self.names = model.Connector(shape, model.TextShape(width=width)), Names(width, n_words)


@torch.no_grad()
def begin_names(net, vocabulary):
    """Begins the connector as the mean of its patches, and what is asked behind it as what the patches' heads know already: a word scores as
    its letters do."""
    width, heads, names = net.vision.shape.width, net.heads, net.names
    net.connector.fc.weight.copy_(torch.cat([0.25 * torch.eye(width)] * net.vision.shape.shuffle ** 2, 1))
    letters = heads.spell.weight.view(SPELL, LETTERS, width)
    letters, bias = letters - letters.mean(1, keepdim=True), heads.spell.bias.view(SPELL, LETTERS)
    for n, word in enumerate(vocabulary, 1):
        at = [picture.INDEX.get(c, 0) for c in word[:SPELL].ljust(SPELL)]
        names.word.weight[n] = sum(letters[k, i] for k, i in enumerate(at))
        names.word.bias[n] = sum(bias[k, i] - bias[k].mean() for k, i in enumerate(at))
    for ours, theirs in ((names.kind, heads.kind), (names.colour, heads.colour)):
        ours.weight.copy_(theirs.weight)
        ours.bias.copy_(theirs.bias)


def entropy(logits, wanted, weight):
    """Sum over rows of weight * cross-entropy."""
    if logits.dtype == torch.bfloat16 and kernels.library():
        return kernels.Loss.apply(logits, wanted, weight)
    return (F.cross_entropy(logits.float(), wanted, reduction="none") * weight).sum()


def balanced(logits, wanted, there=None):
    """Cross-entropy in which what is `there` (by default: not class 0) weighs as much as what isn't."""
    there = (wanted > 0 if there is None else there).float()
    return entropy(logits, wanted, there / there.sum().clamp(min=1) + (1 - there) / (1 - there).sum().clamp(min=1))


def mean(logits, wanted):
    return entropy(logits, wanted, torch.full((len(wanted),), 1 / max(1, len(wanted))))


def spelt(heads, x, truth):
    """Logits [m, SPELL, letters] and letters [m, SPELL] of the patches that lie in words."""
    word = truth["word"].flatten()
    at = (word >= 0).nonzero()[:, 0]
    return heads.spell(x.flatten(0, 1)[at]).view(-1, SPELL, LETTERS), truth["spell"][word[at]]


def cells(values):
    """[b, g, g] to [b * (g/2)^2, 4]: the patches of each visual token."""
    b, g, _ = values.shape
    return values.view(b, g // 2, 2, g // 2, 2).permute(0, 1, 3, 2, 4).reshape(-1, 4)


def in_cells(truth):
    """What visual tokens have to tell: the word that reaches into each (-1 none, -2 unclear), its name and characters, thing and colour."""
    word, kind = cells(truth["word"]), cells(truth["kind"])
    one = word.max(1).values
    other = torch.where(word >= 0, word, one[:, None]).min(1).values
    letters = cells(truth["cover"].amax(3)).amax(1) > 0
    one = torch.where((other != one) | (one < 0) & letters, -2, one)
    named = truth["named"][one.clamp(min=0)] * (one >= 0)[:, None]
    at = kind.max(1)
    return one, named[:, 0], named[:, 1:], at.values, cells(truth["colour"]).gather(1, at.indices[:, None])[:, 0]


def named_losses(net, last, truth, corner):
    """Losses over visual tokens."""
    tokens = net.connector.of(last, truth["word"].shape[1])
    x, names = tokens.flatten(0, 1), net.names
    word, name, digits, kind, colour = in_cells(truth)
    clear, number = (word != -2).nonzero()[:, 0], (digits[:, 0] > 0).nonzero()[:, 0]
    b, n = len(tokens), truth["word"].shape[1] // 2
    row = ((corner[0] + 2 * torch.arange(n)) // 2)[None, :, None].expand(b, n, n).flatten()
    col = ((corner[1] + 2 * torch.arange(n)) // 2)[None, None].expand(b, n, n).flatten()
    return {
        "names": balanced(names.word(x[clear]), name[clear]),
        "digits": mean(names.digits(x[number]).view(-1, len(picture.DIGITS)), digits[number].flatten()),
        "things": balanced(names.kind(x), kind),
        "colours": balanced(names.colour(x), colour, kind > 0),
        "places": mean(names.place(x).view(-1, picture.GRID // 2), torch.stack([row, col], 1).flatten()),
        "even": x.float().mean(0).square().sum(),  # what all tokens have in common tells nothing
    }


NAMED = {"names": 1.5, "digits": 3.0, "things": 0.7, "colours": 0.7, "places": 0.2, "even": 0.01}  # weights of losses


def losses(net, x, truth, corner=(0, 0), alone=False):
    """The weighted sum and the parts. `alone`: only what is asked of visual tokens learns, behind the encoder as it is."""
    if alone:
        with torch.no_grad():
            last = net.vision(x, None, corner, True)
        out = named_losses(net, last, truth, corner)
        return sum(NAMED[k] * v for k, v in out.items()), out
    last, middle, later = net.vision(x, MIDDLE, corner, True)
    heads, middle = net.heads, model.norm(net.heads.middle, middle)
    index = truth["index"].flatten()
    counted = (index > 0).nonzero()[:, 0]
    letters, spell = spelt(heads, last, truth)
    amount = truth["amount"].flatten()
    measured = (amount > 0).nonzero()[:, 0]
    b, (rows, cols), g = len(x), truth["word"].shape[1:], picture.GRID
    place = heads.place(last).view(-1, 2, g)
    row = (corner[0] + torch.arange(rows))[None, :, None].expand(b, rows, cols).flatten()
    col = (corner[1] + torch.arange(cols))[None, None].expand(b, rows, cols).flatten()
    out = {
        "centre": balanced(heads.centre(middle).view(-1, LETTERS), truth["centre"].flatten()),
        "cover": balanced(heads.cover(middle).view(-1, LETTERS), truth["cover"].flatten()),
        "index": mean(heads.index(model.norm(heads.count, later)).view(-1, SPELL + 1)[counted], index[counted]),
        "spell": balanced(letters.flatten(0, 1), spell.flatten()),
        "kind": balanced(heads.kind(last).flatten(0, 1), truth["kind"].flatten()),
        "colour": balanced(heads.colour(last).flatten(0, 1), truth["colour"].flatten(), truth["kind"].flatten() > 0),
        "amount": mean(heads.amount(last.flatten(0, 1)[measured]), amount[measured]),
        "place": mean(place.flatten(0, 1), torch.stack([row, col], 1).flatten()),
        **named_losses(net, last, truth, corner),
    }
    # Words come last and need the most. Kinds and colours are rare: with weights of 0.3 they learnt common ones alone.
    weight = {"centre": 0.7, "cover": 0.3, "index": 1.0, "spell": 1.5, "kind": 0.5, "colour": 0.4, "amount": 0.2, "place": 0.1, **NAMED}
    return sum(weight[k] * v for k, v in out.items()), out


@torch.no_grad()
def evaluate(net, level, vocabulary, n=192):
    """Shares of held-out truth that are got right: letters, whole words (at their middle patch), kinds, colours, amounts."""
    right, asked = {}, {}

    def count(name, hits):
        right[name], asked[name] = right.get(name, 0) + int(hits.sum()), asked.get(name, 0) + hits.numel()

    held = windows.Windows(f"held out {level}", vocabulary, block=1)
    for step in range(n // BATCH):
        x, truth = held.batch(step, level, level, picture.SIZE, BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            last, middle, later = net.vision(x, MIDDLE, quick=True)
            middle = model.norm(net.heads.middle, middle)
            index = truth["index"].flatten()
            place = net.heads.index(model.norm(net.heads.count, later)).view(-1, SPELL + 1).argmax(1)
            count("index", (place == index)[index > 0])
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
            tokens = net.connector(last).flatten(0, 1)
            word, name, digits, kind, colour = in_cells(truth)
            there = name > 0
            told = (net.names.word(tokens).argmax(1) == name) & ((net.names.digits(tokens).view(*digits.shape, -1).argmax(2) == digits).all(1) | (digits[:, 0] == 0))
            count("named", told[there])  # by any of its visual tokens
            for what, some in (("named word", there & (digits[:, 0] == 0)), ("named number", digits[:, 0] > 0)):
                middles = [int((some & (word == w)).nonzero()[:, 0].median()) for w in word[some].unique()]
                count(what, told[middles])
            count("no name", net.names.word(tokens).argmax(1)[word == -1] == 0)
            count("thing", (net.names.kind(tokens).argmax(1) == kind)[kind > 0])
            count("thing's colour", (net.names.colour(tokens).argmax(1) == colour)[kind > 0])
            sized = truth["amount"] > 0
            count("amount", ((net.heads.amount(last).argmax(2).view_as(thing) - truth["amount"]).abs() <= 1)[sized])
    return {k: round(right[k] / max(1, asked[k]), 4) for k in right}


def main(argv=None):
    """True when the stage is done, False when it was stopped."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("state")
    ask.add_argument("--steps", type=int, default=15700, help="of 16 pictures")
    ask.add_argument("--falling", type=int, default=1750, help="steps over which the rate falls to nothing at the end")
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--rate", type=float, default=1e-3)
    ask.add_argument("--words", help="another word list")
    ask.add_argument("--measure", action="store_true", help="print what is got right of held-out pictures of each level, and end")
    ask.add_argument("--save-every", type=float, default=180, help="seconds")
    args = ask.parse_args(argv)
    torch.manual_seed(args.seed)
    state, stop, vocabulary = keep.State(args.state, "encoder"), keep.Stop(), words.read(args.words)
    shape = model.VisionShape()
    net = Reader(shape, len(vocabulary))
    steps_of = muon.optimizers(net, args.rate)
    average = keep.Average(net)
    step, level = 0, 0
    saved = state.load()
    if saved:
        missing = net.load_state_dict(saved["net"], strict=False).missing_keys
        if missing and shape.width == 256:
            begin_names(net, vocabulary)
        average = keep.Average(net)
        average.weights.update(saved["average"])
        average.steps, step, level = 0 if missing else saved["averaged"], saved["step"], saved["level"]
        for optimizer, was in zip(steps_of, saved["optimizers"] or [] if not missing else []):
            optimizer.load_state_dict(was)
    fresh = step if not saved or not saved["optimizers"] else step - 1000  # optimizers that know nothing yet begin slowly,
    if saved and missing:  # and the encoder waits for heads that do
        fresh = step + ALONE

    def save():
        state.save(net=net.state_dict(), optimizers=[o.state_dict() for o in steps_of], average=average.weights, averaged=average.steps,
                   step=step, level=level)

    if args.measure:
        net.load_state_dict(average.weights)
        for each in range(len(picture.LEVELS)):
            state.log(event="measured", step=step, level=each, **evaluate(net, each, vocabulary, 384))
        return False
    made = windows.Windows(args.seed, vocabulary)
    judge, sums, began, saved_at = Reader(shape, len(vocabulary)), {}, time.monotonic(), time.monotonic()
    state.log(event="start", step=step, level=level, parameters=model.parameters(net.vision), seed=args.seed)
    learnt = False
    while step < args.steps and not stop:
        if level + 1 < len(picture.LEVELS) and (learnt or step >= LATEST[level + 1] * args.steps):
            level, learnt = level + 1, False
            state.log(event="level", step=step, level=level)
        make = random.Random(f"{args.seed} {step} where")
        # Windows of half the side hold as many letters for each patch, and cost a fifth less; whole pictures come up now and then.
        half = make.random() < HALF[level]
        x, truth = made.batch(step, level, level, picture.SIZE // (1 + half), BATCH * (4 if half else 1))
        corner = (make.randint(0, picture.GRID // 2), make.randint(0, picture.GRID // 2)) if half else (0, 0)
        muon.set_rate(steps_of, keep.rate(step, args.rate, 100, args.steps, args.falling / args.steps) * min(1.0, (step - fresh + 1) / 60) if step >= fresh else 2 * args.rate)
        with torch.autocast("cpu", torch.bfloat16):
            loss, parts = losses(net, x, truth, corner, step < fresh)
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
            state.log(step=step, level=level, pictures=step * BATCH, processor=round(time.process_time()), per_second=round(50 * BATCH / spent, 1),
                      **{k: round(v / 50, 4) for k, v in sums.items()})
            sums, began = {}, time.monotonic()
        if step % 500 == 0:
            judge.load_state_dict(average.weights)
            figures = evaluate(judge, level, vocabulary)
            state.log(event="held out", step=step, level=level, pictures=step * BATCH, **figures)
            learnt = figures["word"] > 0.85
            began = time.monotonic()
        if time.monotonic() - saved_at > args.save_every:
            save()
            saved_at = time.monotonic()
    save()
    state.log(event="stopped" if stop else "done", step=step, level=level)
    return step >= args.steps


if __name__ == "__main__":
    main()
