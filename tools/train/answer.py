#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Second stage: connector and decoder learn to answer from what the encoder sees; later the encoder learns along.

Phases follow one another as held-out accuracy allows: `align` (tell all words and things of a picture; encoder fixed), `single`
(questions about one picture), `ask` (clips and pages with tags, times, subtitles, dropped tokens: what `pagereel ask` shows).

    answer.py STATE [--steps N]     begins from STATE/encoder.pt, goes on from STATE/answer.pt; SIGTERM saves and ends
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
from train import keep, model, muon, prompts, tokenizer  # noqa: E402
from world import picture, words  # noqa: E402

VOCABULARY = 2048
SAME = 0.95  # cosine from which a token says what the one before it said
MAKERS = {"align": (prompts.align, 24), "single": (prompts.single, 24), "clip": (prompts.clip, 6), "page": (prompts.page, 3)}
PHASES = [  # name, shares of episodes, held-out accuracy that ends it
    ("align", {"align": 1.0}, 0.6),
    ("single", {"align": 0.3, "single": 0.7}, 0.9),
    ("ask", {"align": 0.1, "single": 0.3, "clip": 0.4, "page": 0.2}, 2.0),
]


class Answerer(nn.Module):
    def __init__(self, vision, text):
        super().__init__()
        self.vision, self.connector, self.text = model.Vision(vision), model.Connector(vision, text), model.Text(text)

    def see(self, pictures, fixed):
        """[n, 3, image, image] to visual tokens [n, tokens, width]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not fixed):
            x = self.vision(pictures)
        return self.connector(x.to(self.connector.fc.weight.dtype))


@torch.no_grad()
def farthest(rows, n):
    """Indices of n rows, each as unlike those before it as can be (memory's order), sorted by place."""
    unit = F.normalize(rows.float(), dim=1)
    chosen = [int((unit @ unit.mean(0)).argmin())]
    near = unit @ unit[chosen[0]]
    while len(chosen) < n:
        chosen.append(int(near.argmin()))
        near = torch.maximum(near, unit @ unit[chosen[-1]])
    return torch.tensor(sorted(chosen))


def pixels(pictures):
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def prepare(net, words_of, episodes, fixed):
    """Rows [b, n, width] padded at the end, ids of what comes next [b, n] (-1: not learnt), and which turn each belongs to."""
    seen = net.see(pixels([p for e in episodes for p in e.pictures]), fixed)
    base, sequences, targets, turns, picture_tokens = 0, [], [], [], net.vision.shape.tokens
    for episode in episodes:
        parts, ids_at, learnt, turn_of, turn = [], [], [], [], 0
        for part in prompts.tokens(words_of, episode):
            if not isinstance(part, prompts.Shown):
                parts.append(net.text.embed(torch.tensor(part[1])))
                ids_at += part[1]
                for flag in part[2]:
                    turn += bool(flag and not (learnt and learnt[-1]))
                    learnt.append(flag)
                    turn_of.append(turn - 1 if flag else -1)
            else:
                rows = seen[base + part.picture]
                if part.before >= 0:  # memory merges what stays along time
                    changed = F.cosine_similarity(rows, seen[base + part.before], dim=1).detach() < SAME
                    rows = rows[changed] if changed.any() else rows[:1]
                if part.keep < 1:
                    rows = rows[farthest(rows, min(len(rows), max(1, round(picture_tokens * part.keep))))]
                parts.append(rows.to(net.text.embed.weight.dtype))
                ids_at += [-1] * len(rows)
                learnt += [False] * len(rows)
                turn_of += [-1] * len(rows)
        base += len(episode.pictures)
        sequences.append(torch.cat(parts))
        targets.append(torch.tensor([i if flag else -1 for i, flag in zip(ids_at[1:], learnt[1:])] + [-1]))
        turns.append(torch.tensor(turn_of[1:] + [-1]))
    rows = nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    return rows, nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-1), \
        nn.utils.rnn.pad_sequence(turns, batch_first=True, padding_value=-1)


def predict(net, words_of, episodes, fixed):
    """Logits [m, vocab] of what is to be learnt, its ids [m], and (episode, turn) of each."""
    rows, targets, turns = prepare(net, words_of, episodes, fixed)
    states, _ = net.text(rows)
    at = (targets >= 0).nonzero(as_tuple=True)
    return net.text.logits(states[at]), targets[at], at[0], turns[at]


@torch.no_grad()
def evaluate(net, words_of, maker, count, level, vocabulary, n, keep_share=None):
    """Share of answers, by kind, in which every token would have been chosen: greedy decoding gives exactly these answers."""
    rng, right, asked = random.Random(f"held out {maker.__name__}"), {}, {}
    for _ in range(max(1, n // count)):
        episodes = [maker(rng, level, vocabulary, True) for _ in range(count)]
        if keep_share is not None:
            for episode in episodes:
                for piece in episode.pieces:
                    if isinstance(piece, prompts.Shown):
                        piece.keep = keep_share
        with torch.autocast("cpu", torch.bfloat16):
            logits, ids, episode_of, turn_of = predict(net, words_of, episodes, True)
        hit = logits.argmax(1) == ids
        for e, episode in enumerate(episodes):
            for t, (_, _, kind) in enumerate(episode.turns):
                asked[kind] = asked.get(kind, 0) + 1
                right[kind] = right.get(kind, 0) + int(hit[(episode_of == e) & (turn_of == t)].all())
    return {"all": round(sum(right.values()) / sum(asked.values()), 4), **{k: [right[k], asked[k]] for k in sorted(asked)}}


def main(argv=None):
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("state")
    ask.add_argument("--steps", type=int, default=20000, help="the rate falls over the last fifth")
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--rate", type=float, default=1e-3)
    ask.add_argument("--words")
    ask.add_argument("--save-every", type=float, default=180, help="seconds")
    args = ask.parse_args(argv)
    torch.manual_seed(args.seed)
    state, stop, vocabulary = keep.State(args.state, "answer"), keep.Stop(), words.read(args.words)
    stored = state.folder / "tokenizer.json"
    if not stored.exists():
        tokenizer.Tokenizer.learn(prompts.corpus(args.seed, vocabulary), VOCABULARY).save(stored)
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
    losses, began, saved_at, seen = [], time.monotonic(), time.monotonic(), 0
    while step < args.steps and not stop:
        rng = random.Random(f"{args.seed} answer {step}")
        name, shares, enough = PHASES[phase]
        what = rng.choices(list(shares), list(shares.values()))[0]
        maker, count = MAKERS[what]
        episodes = [maker(rng, level if phase else picture.LEVELS[rng.randint(1, 3)], vocabulary) for _ in range(count)]
        muon.set_rate(steps_of, keep.rate(step, args.rate, 100, args.steps))
        with torch.autocast("cpu", torch.bfloat16):
            logits, ids, _, _ = predict(net, words_of, episodes, phase == 0)
        loss = F.cross_entropy(logits.float(), ids)
        net.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for optimizer in steps_of:
            optimizer.step()
        average.update(net)
        step += 1
        losses.append(float(loss.detach()))
        seen += sum(len(e.pictures) for e in episodes)
        if step % 50 == 0:
            spent = time.monotonic() - began
            state.log(step=step, phase=name, loss=round(sum(losses) / len(losses), 4), pictures_per_second=round(seen / spent, 1))
            losses, began, seen = [], time.monotonic(), 0
        if step % 1000 == 0:
            judge.load_state_dict(average.weights)
            figures = {m: evaluate(judge, words_of, *MAKERS[m], level, vocabulary, 96) for m in shares}
            state.log(event="held out", step=step, phase=name, **figures)
            if figures["single" if "single" in figures else "align"]["all"] > enough:
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
