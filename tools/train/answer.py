#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Second stage: connector and decoder learn to answer from what the encoder sees; later the encoder learns along.

Phases follow one another as held-out accuracy allows: `align` (tell all words and things of a picture), `single` (questions about
one picture), `ask` (clips and pages with tags, times, subtitles, dropped tokens: what `pagereel ask` shows), all with the encoder as it
is; `all` (the encoder learns along).

    answer.py STATE [--steps N]     begins from STATE/encoder.pt, goes on from STATE/answer.pt; SIGTERM saves and ends
"""

import argparse
import dataclasses
import pathlib
import random
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import encoder, keep, kernels, memory, model, muon, prompts, tokenizer  # noqa: E402
from world import picture, words  # noqa: E402

VOCABULARY = 1024
MAKERS = {"align": (prompts.align, 24), "single": (prompts.single, 16), "clip": (prompts.clip, 5), "page": (prompts.page, 4), "lookup": (prompts.lookup, 16)}
# Name, shares of episodes, held-out accuracy that ends it, share of all steps at which it ends all the same, whether the encoder learns
# along.
PHASES = [
    ("align", {"align": 0.4, "single": 0.3, "lookup": 0.3}, 0.6, 0.12, False),
    ("single", {"align": 0.2, "single": 0.4, "lookup": 0.2, "clip": 0.1, "page": 0.1}, 0.9, 0.4, False),
    ("ask", {"align": 0.25, "single": 0.3, "lookup": 0.2, "clip": 0.15, "page": 0.1}, 0.92, 2.0, False),
    ("all", {"align": 0.1, "single": 0.35, "lookup": 0.05, "clip": 0.35, "page": 0.15}, 2.0, 2.0, True),
]
WEIGHTS = (0.02, 0.2, 1.0)  # of what the prompt says, of questions, and of answers: to tell what will be asked teaches to find it
AGAIN = 6  # times that pictures are asked about while the encoder is fixed: looking at them costs more than answering


class Answerer(nn.Module):
    def __init__(self, vision, text):
        super().__init__()
        self.vision, self.connector, self.text = model.Vision(vision), model.Connector(vision, text), model.Text(text)

    def look(self, pictures):
        """Pictures [n, image, image, 3] in bytes to patches [n, patches, width]."""
        return self.vision(torch.from_numpy(np.stack(pictures)), quick=kernels.library() is not None)

    def see(self, episodes):
        """All pictures of episodes as visual tokens [n, tokens, width]; what was looked at before isn't looked at again."""
        shown = [e for e in episodes if e.pictures]
        if not shown:
            return torch.zeros(0, self.vision.shape.tokens, self.text.shape.width)
        fresh = [p for e in shown if e.seen is None for p in e.pictures]
        looked = iter(self.look(fresh).split([len(e.pictures) for e in shown if e.seen is None]) if fresh else [])
        x = torch.cat([next(looked) if e.seen is None else e.seen for e in shown])
        return self.connector(x.to(self.connector.fc.weight.dtype))


class Bank:
    """Episodes of a training. Without `net`, each is made anew; with it (its encoder stays as it is), those of BLOCK steps share
    their pictures, looked at once. Depends on the seed and the step's number alone."""

    BLOCK = 48

    def __init__(self, seed, vocabulary, net=None):
        self.seed, self.vocabulary, self.net, self.have = seed, vocabulary, net, {}

    def episodes(self, step, shares, level):
        rng = random.Random(f"{self.seed} answer {step}")
        what = rng.choices(list(shares), list(shares.values()))[0]
        maker, count = MAKERS[what]
        if self.net is None:
            return [maker(rng, level, self.vocabulary) for _ in range(count)]
        block, out = step // self.BLOCK, []
        self.have = {k: v for k, v in self.have.items() if k[0] == block}
        for _ in range(count):
            which = rng.randrange(max(count, round(self.BLOCK * count * shares[what] / AGAIN)))
            key = (block, what, which)
            if key not in self.have:
                episode = maker(random.Random(f"{self.seed} answer {key}"), level, self.vocabulary)
                with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                    episode.seen = self.net.look(episode.pictures) if episode.pictures else None
                self.have[key] = episode
            episode = self.have[key]
            out.append(dataclasses.replace(episode, turns=episode.again(rng) or episode.turns))
        return out


def showing(net, seen, pixels):
    """`show` of prompts.tokens for an episode whose pictures' visual tokens are `seen` [n, tokens, width]."""
    side = net.vision.shape.grid // net.vision.shape.shuffle

    def show(piece):
        if isinstance(piece, prompts.Shown):
            full = torch.from_numpy(~memory.blank(pixels[piece.picture], side))
            return [(None, seen[piece.picture][full])] if full.any() else []
        rows = seen[piece.pictures].float()
        values, origin = memory.compress(rows.detach().numpy(), piece.times, side)
        n = piece.tokens or memory.prefix(len(origin), piece.share)
        frames, cells = (torch.tensor(v) for v in zip(*origin[:n]))
        first = rows[frames, cells]
        values = torch.from_numpy(values[:n]) + (first - first.detach())  # what merging makes of them, learnt through the first of each
        return [(piece.times[origin[part[0]][0]][0], values[part]) for part in memory.pictures(origin[:n])]

    return show


def prepare(net, words_of, episodes):
    """Rows [b, n, width] padded at the end; [b, n]: ids of what comes next (-1: a picture, or nothing), how much each weighs, and which
    turn's answer it belongs to (-1: none)."""
    seen = net.see(episodes)
    base, sequences, told = 0, [], ([], [], [])
    for episode in episodes:
        parts, ids, weights, turn_of, turn = [], [], [], [], -1
        for part in prompts.tokens(words_of, episode, showing(net, seen[base:base + len(episode.pictures)], episode.pictures)):
            if isinstance(part, tuple):
                parts.append(net.text.embed(torch.tensor(part[1])))
                ids += part[1]
                for what in part[2]:
                    turn += what == 2 and not (turn_of and turn_of[-1] >= 0)
                    turn_of.append(turn if what == 2 else -1)
                    weights.append(WEIGHTS[what])
            else:
                parts.append(part.to(net.text.embed.weight.dtype))
                ids += [-1] * len(part)
                weights += [0.0] * len(part)
                turn_of += [-1] * len(part)
        base += len(episode.pictures)
        sequences.append(torch.cat(parts))
        for out, values, none in zip(told, (ids, weights, turn_of), (-1, 0.0, -1)):
            out.append(torch.tensor(values[1:] + [none]))
    pad = nn.utils.rnn.pad_sequence
    return pad(sequences, batch_first=True), pad(told[0], True, -1), pad(told[1], True, 0.0), pad(told[2], True, -1)


def predict(net, words_of, episodes, answers=False):
    """Logits [m, vocab] of what is to be learnt (`answers`: of answers alone), its ids and weights [m], and (episode, turn) of each."""
    rows, targets, weights, turns = prepare(net, words_of, episodes)
    states, _ = net.text(rows.bfloat16() if kernels.library() else rows)
    at = ((turns if answers else targets) >= 0).nonzero(as_tuple=True)
    return net.text.logits(states[at]), targets[at], weights[at], at[0], turns[at]


@torch.no_grad()
def evaluate(net, words_of, maker, count, level, vocabulary, n, keep_share=None):
    """Share of answers, by kind, in which every token would have been chosen: greedy decoding gives exactly these answers."""
    rng, right, asked = random.Random(f"held out {maker.__name__}"), {}, {}
    for _ in range(max(1, n // count)):
        episodes = [maker(rng, level, vocabulary, True) for _ in range(count)]
        if keep_share is not None:
            for episode in episodes:
                for piece in episode.pieces:
                    if isinstance(piece, prompts.Kept):
                        piece.share = keep_share
        with torch.autocast("cpu", torch.bfloat16):
            logits, ids, _, episode_of, turn_of = predict(net, words_of, episodes, True)
        hit = logits.argmax(1) == ids
        for e, episode in enumerate(episodes):
            for t, (_, _, kind) in enumerate(episode.turns):
                asked[kind] = asked.get(kind, 0) + 1
                right[kind] = right.get(kind, 0) + int(hit[(episode_of == e) & (turn_of == t)].all())
    return {"all": round(sum(right.values()) / sum(asked.values()), 4), **{k: [right[k], asked[k]] for k in sorted(asked)}}


def main(argv=None):
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("state")
    ask.add_argument("--steps", type=int, default=12000, help="the rate falls over the last fifth")
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--rate", type=float, default=1e-3)
    ask.add_argument("--words")
    ask.add_argument("--save-every", type=float, default=180, help="seconds")
    args = ask.parse_args(argv)
    torch.manual_seed(args.seed)
    state, stop, vocabulary = keep.State(args.state, "answer"), keep.Stop(), words.read(args.words)
    stored = keep.file(state.folder, "tokenizer.json")
    if not stored.exists():
        tokenizer.Tokenizer.learn(prompts.corpus(args.seed, vocabulary), VOCABULARY, vocabulary).save(stored)
    words_of = tokenizer.Tokenizer.load(stored)
    shapes = model.VisionShape(), model.TextShape(vocab=VOCABULARY)
    net = Answerer(*shapes)
    step, phase, saved = 0, 0, state.load()
    if not saved:
        begun = keep.State(args.state, "encoder").load()
        if not begun:
            raise SystemExit(f"answer: {state.folder} has no encoder.pt; train the encoder first (tools/train/run)")
        net.vision.load_state_dict({k[len("vision."):]: v for k, v in begun["average"].items() if k.startswith("vision.")})
    steps_of = muon.optimizers(net, args.rate, 0.02, 0.2)
    average = keep.Average(net)
    if saved:
        net.load_state_dict(saved["net"])
        for optimizer, was in zip(steps_of, saved["optimizers"] or []):
            optimizer.load_state_dict(was)
        average.weights, average.steps = saved["average"], saved["averaged"]
        step, phase = saved["step"], saved["phase"]

    def save():
        state.save(net=net.state_dict(), optimizers=[o.state_dict() for o in steps_of], average=average.weights,
                   averaged=average.steps, step=step, phase=phase)

    judge, level = Answerer(*shapes), picture.LEVELS[-1]
    state.log(event="start", step=step, phase=PHASES[phase][0], parameters=model.parameters(net.text) + model.parameters(net.connector))
    bank = Bank(args.seed, vocabulary, net)
    losses, began, saved_at, seen = [], time.monotonic(), time.monotonic(), 0
    while step < args.steps and not stop:
        name, shares, enough, latest, along = PHASES[phase]
        if along != (bank.net is None):
            bank = Bank(args.seed, vocabulary, None if along else net)
        episodes = bank.episodes(step, shares, picture.LEVELS[1 + step // Bank.BLOCK % 3] if phase == 0 else level)
        muon.set_rate(steps_of, keep.rate(step, args.rate, 100, args.steps))
        with torch.autocast("cpu", torch.bfloat16):
            logits, ids, weights, _, turn_of = predict(net, words_of, episodes)
            loss = encoder.entropy(logits, ids, weights / weights.sum())
        net.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for optimizer in steps_of:
            optimizer.step()
        average.update(net)
        step += 1
        with torch.no_grad():
            answers = turn_of >= 0
            losses.append(float(F.cross_entropy(logits[answers].float(), ids[answers])))
        seen += sum(len(e.pictures) for e in episodes)
        if step % 50 == 0:
            spent = time.monotonic() - began
            state.log(step=step, phase=name, loss=round(sum(losses) / len(losses), 4), pictures_per_second=round(seen / spent, 1))
            losses, began, seen = [], time.monotonic(), 0
        if step % 500 == 0:
            judge.load_state_dict(average.weights)
            figures = {m: evaluate(judge, words_of, *MAKERS[m], level, vocabulary, 4 * MAKERS[m][1]) for m in shares}
            state.log(event="held out", step=step, phase=name, **figures)
            if figures["align" if name == "align" else "single"]["all"] > enough or step >= latest * args.steps:
                phase += 1
                state.log(event="phase", step=step, phase=PHASES[phase][0])
            began = time.monotonic()
        if time.monotonic() - saved_at > args.save_every:
            save()
            saved_at = time.monotonic()
    save()
    state.log(event="stopped" if stop else "done", step=step)
    return step >= args.steps


if __name__ == "__main__":
    main()
