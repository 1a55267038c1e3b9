#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Second stage: the decoder learns to answer from what the encoder sees. Encoder and connector stay as they are; words, things and colours
begin with the embeddings by which the first stage has told them in visual tokens.

    answer.py STATE [--steps N]     begins from STATE/encoder.pt, goes on from STATE/answer.pt; SIGTERM saves and ends
    answer.py STATE --measure       what it answers right so far
"""

import argparse
import dataclasses
import pathlib
import random
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import encoder, keep, kernels, model, muon, pool, prompts, tokenizer  # noqa: E402
from world import picture, words  # noqa: E402

VOCABULARY = 900  # tokens besides the words that the world prints
TOGETHER = 4000  # tokens of a step, about
# Shares of episodes, and the step at which they end: what is short comes first.
PHASES = [
    ({"lookup": 0.5, "single": 0.5}, 700),
    ({"lookup": 0.25, "single": 0.35, "clip": 0.25, "page": 0.15}, 2400),
    ({"lookup": 0.1, "single": 0.25, "clip": 0.45, "page": 0.1, "both": 0.1}, 1 << 30),
]
WEIGHTS = {prompts.PART: 0.02, prompts.QUESTION: 0.1, prompts.ANSWER: 1.0}
FOUND = {"when", "sign", "subtitle", "colour", "where", "motion", "count"}  # kinds whose excerpt shows what the question names
RECALL = 0.2  # weight of finding excerpts by the first layer's keys, as the program's recall does
POINTER, POINTING = 3, 0.5  # the layer whose heads are told where answers stand, and the weight of that
UNDER, STANDING = 0.2, 48  # weight of heads looking at the heading of their excerpt, and positions of an episode that are asked for it
LINKING = 0.3  # weight of a head looking from what is asked for at what the question names
NAMING = 0.3  # weight of visual tokens telling in front of that layer, as embeddings do, what they tell
ROWS, QUERIES = 96, 16  # of an excerpt, whose best key is its score (engine/ask_rate.c), and of a question


class Answerer(nn.Module):
    def __init__(self, vision, text):
        super().__init__()
        self.vision, self.connector, self.text = model.Vision(vision), model.Connector(vision, text), model.Text(text)

    @torch.no_grad()
    def teller(self, names, encoder_connector, vocabulary):
        """A function for pool.Pool: what visual tokens tell, by the first stage's table `names` [state of encoder.Names]."""
        table = encoder.Names(self.text.shape.width, len(vocabulary))
        table.load_state_dict(names)
        scale = float(self.connector.fc.weight.norm() / encoder_connector["fc.weight"].norm())

        @torch.no_grad()
        def tell(values):
            x = values.float() / scale
            words_at, kinds = table.word(x).argmax(1).tolist(), table.kind(x).argmax(1).tolist()
            digits = table.digits(x).view(len(x), picture.SLOTS, -1).argmax(2).tolist()
            listed = ["", *vocabulary]
            return [("".join(picture.DIGITS[d] for d in slots).strip() if w == len(listed) else listed[w], picture.KINDS[k - 1] if k else "")
                    for w, k, slots in zip(words_at, kinds, digits)]

        return tell

    @torch.no_grad()
    def look(self, pictures):
        """Pictures [SIZE, SIZE, 3] in bytes to visual tokens [n, tokens, width]."""
        out = []
        for at in range(0, len(pictures), 16):
            pixels = torch.stack([torch.from_numpy(p.copy()) for p in pictures[at:at + 16]])
            with torch.autocast("cpu", torch.bfloat16):
                out.append(self.connector(self.vision(pixels, quick=kernels.library() is not None)).float())
        return torch.cat(out)


@torch.no_grad()
def begin(net, words_of, names, vocabulary, vision):
    """Encoder and connector as the first stage left them, with visual tokens as long as twice an embedding, and the embeddings of what it
    tells. `names`: its table."""
    net.vision.load_state_dict(vision["vision"])
    net.connector.load_state_dict(vision["connector"])
    sample = pool.Pool(0, vocabulary, net.look, lambda rows: (), 32, 1, 1)
    embed = net.text.embed.weight
    length = embed[:, 1:].norm(dim=1).mean()
    net.connector.fc.weight *= 1.5 * length / torch.cat([p.rows.float().norm(dim=1) for p in sample.pictures]).mean()

    forms = F.normalize(torch.randn(4, embed.shape[1] - 1), dim=1)  # what tells HARBOR from harbor is the same for all words

    def put(table, listed):
        table = F.normalize((table - table.mean(0))[:, 1:], dim=1)
        for row, word in zip(table, listed):
            for form, cased in zip(forms, (word + "s", word.upper(), word.capitalize(), word)):
                ids = words_of.encode(" " + cased)
                if len(ids) == 1:
                    embed[ids[0], 1:] = F.normalize(row + 0.4 * form, dim=0) * length

    # Numbers are the sum of their characters, as the first stage tells them one by one, and each something of its own: text tells them apart, too.
    numbers = sorted({*tokenizer.NUMBERS, *tokenizer.SHORT})
    characters = names["digits.weight"].view(picture.SLOTS, len(picture.DIGITS), -1)
    characters = characters - characters.mean(1, keepdim=True)
    table = torch.stack([sum(characters[k, picture.DIGITS.index(c)] for k, c in enumerate(n.ljust(picture.SLOTS))) for n in numbers])
    table = F.normalize(table - table.mean(0), dim=1) + 0.5 * F.normalize(torch.randn(table.shape), dim=1)
    for row, n in zip(table[:, 1:], numbers):
        for form, written in zip(forms, (n, " " + n)):
            ids = words_of.encode(written)
            if len(ids) == 1:
                embed[ids[0], 1:] = F.normalize(F.normalize(row, dim=0) + 0.2 * form, dim=0) * length
    put(names["word.weight"][1:-1], vocabulary)
    put(names["kind.weight"][1:], picture.KINDS)
    put(names["colour.weight"], picture.COLOURS)


def tokenizer_of(folder, seed, vocabulary):
    """The tokenizer of a state folder (or of the repository); learnt and stored if there is none."""
    stored = keep.file(folder, "tokenizer.json")
    if not stored.exists():
        shown = vocabulary + words.KINDS + list(words.COLOURS)
        tokenizer.Tokenizer.learn(prompts.corpus(seed, vocabulary), VOCABULARY, shown).save(stored)
    return tokenizer.Tokenizer.load(stored)


def batch(rng, here, what, held_out=False, longest=12):
    """Episodes of one step, of about the same length."""
    def asking(make):
        while not (episode := make()).turns:  # of what was drawn nothing may be fit to ask
            pass
        return episode

    def some(per, make):
        return [asking(make) for _ in range(max(2, round(TOGETHER / per)))]
    if what == "single":
        return some(300, lambda: prompts.single(rng, here, held_out))
    if what == "clip":
        n = rng.choice([n for n in (1, 1, 1, 2, 2, 2, 3, 3, 4, 6, 8) if n <= longest])
        return some(n * 150 + 450, lambda: prompts.clip(rng, here, held_out, n))
    if what == "both":
        return some(2000, lambda: prompts.both(rng, here, held_out))
    n, seen = rng.choice((1, 1, 2, 3)), 0 if what == "lookup" else rng.choice((0, 2, 6, 12))
    if what == "lookup":
        return some(n * 250 + 350, lambda: prompts.lookup(rng, here, held_out, n))
    return some((n + seen) * 75 + n * 220 + 350, lambda: prompts.page(rng, here, held_out, n, seen))


@dataclasses.dataclass
class Prepared:
    rows: torch.Tensor  # [b, n, width], padded at the end
    ids: torch.Tensor  # [b, n] of what comes next; -1: a picture, or nothing
    weights: torch.Tensor
    turns: torch.Tensor  # which turn's answer it belongs to; -1: none
    sources: list  # (episode, [(position, positions that it should look at)...])
    links: list  # the same, of an earlier layer
    told: list  # (episode, position, id): visual tokens and the word, number or thing that each tells
    under: list  # (episode, [(position, (tag, first, second))...]) of `headings`


def prepare(net, words_of, episodes):
    sequences, told, found, links, named, under = [], ([], [], []), [], [], [], []
    for e, episode in enumerate(episodes):
        parts, ids, weights, turns = [], [], [], []
        pieces = prompts.tokens(words_of, episode)
        for to, own in zip((found, links), sources(words_of, episode, pieces)):
            to += [(e, own)] if own else []
        own = headings(words_of, pieces)
        under += [(e, random.Random(len(own)).sample(own, min(STANDING, len(own))))] if own else []
        for part in pieces:
            if isinstance(part, tuple):
                parts.append(part[1])
                ids += part[1]
                weights += [WEIGHTS[what] for what, _ in part[2]]
                turns += [number if what == prompts.ANSWER else -1 for what, number in part[2]]
            else:
                n = len(part.values)
                for k, names in enumerate(part.told):
                    name = next((token for name in names if (token := words_of.token(name)) is not None), None)
                    if name is not None:
                        named.append((e, len(ids) + k, name))
                parts.append(part.values.to(net.text.embed.weight.dtype))
                ids += [-1] * n
                weights += [0.0] * n
                turns += [-1] * n
        sequences.append(parts)
        for out, values, none in zip(told, (ids, weights, turns), (-1, 0.0, -1)):
            out.append(torch.tensor(values[1:] + [none]))
    texts = [part for parts in sequences for part in parts if isinstance(part, list)]
    rows = net.text.embed(torch.tensor([i for text in texts for i in text]))  # in one look-up, whose gradient is as large as the table
    embedded = iter(rows.split([len(text) for text in texts]))
    sequences = [torch.cat([next(embedded) if isinstance(part, list) else part for part in parts]) for parts in sequences]
    pad = nn.utils.rnn.pad_sequence
    return Prepared(pad(sequences, batch_first=True), pad(told[0], True, -1), pad(told[1], True, 0.0), pad(told[2], True, -1), found, links, named, under)


def predict(net, words_of, episodes, answers=False):
    """Logits [m, vocab] of what is to be learnt (`answers`: of answers alone), its ids and weights [m], and (episode, turn) of each."""
    made = prepare(net, words_of, episodes)
    middle = dict.fromkeys((model.HEADING, model.LINK, POINTER))
    states, _ = net.text(made.rows.bfloat16() if kernels.library() else made.rows, before=middle)
    at = ((made.turns if answers else made.ids) >= 0).nonzero(as_tuple=True)
    helped = pointing(net, POINTER, net.text.shape.heads, made.sources, middle[POINTER])
    if helped and made.told:
        e, where, ids = torch.tensor(random.Random(len(made.told)).sample(made.told, min(400, len(made.told)))).T
        named = encoder.entropy(net.text.logits(net.text.norm(middle[POINTER][e, where])), ids, torch.full((len(ids),), 1 / len(ids)))
        helped = helped[0] + NAMING / POINTING * named, helped[1]
    if helped and made.links:
        helped = helped[0] + LINKING / POINTING * pointing(net, model.LINK, model.LINKED, made.links, middle[model.LINK])[0], helped[1]
    if helped and made.under:
        helped = helped[0] + UNDER / POINTING * standing(net, made, middle[model.HEADING]), helped[1]
    return net.text.logits(states[at]), made.ids[at], made.weights[at], at[0], made.turns[at], helped


def sources(words_of, episode, parts):
    """Where each token of an answer is to be found: [(position that predicts it, [positions...])...], and how what stands there can know what
    it is asked for by: [(position, [positions...])...]. In text the token itself, where the answer stands nearest to a word of the question; among visual
    tokens those that tell the answer's word or number, or what the question names. Nothing is known of what comes later: of two that belong
    together the later one looks at the earlier one, and is what the answer looks at. Nothing for answers that stand nowhere."""
    stream, told, entry_of, turns, nouns = [], {}, {}, {}, set(words_of.nouns.values())
    for part in parts:
        if isinstance(part, tuple):
            for i, (what, number) in zip(part[1], part[2]):
                if what != prompts.PART:
                    turns.setdefault(number, ([], []))[what == prompts.ANSWER].append(len(stream))
                stream.append(words_of.lower(i) if what == prompts.PART else -1)
        else:
            for k in range(len(part.values)):
                if part.told and part.told[k] != ("", ""):
                    told[len(stream)] = part.told[k]
                    entry_of[len(stream)] = part.entry
                stream.append(-1)
    places = {}
    for at, i in enumerate(stream):
        places.setdefault(i, []).append(at)
    out, links = [], []

    def join(found, named):
        """What of both is to be looked at: each that has one of the other kind before it. `found` where there is nothing to join."""
        joined = [(at, [n for n in other if n < at]) for these, other in ((found, named), (named, found)) for at in these]
        joined = [(at, before) for at, before in joined if before]
        links.extend(joined)
        return [at for at, _ in joined] or found

    for number, turn in enumerate(episode.turns):
        if number not in turns or turn.answer == prompts.questions.NOT_SHOWN or turn.kind in ("count", "motion", "order"):
            continue
        said, asked = turn.answer.split(" [S")[0], set(turn.question.lower().strip("?.").replace(",", "").split())
        core = words_of.encode(" " + said)
        before = turns[number][1][0] - 1  # predicts the answer's first token
        seen = [at for at in told if entry_of[at] in turn.entries or not turn.entries]
        near = [at for i in words_of.encode(" " + turn.question) if words_of.lower(i) in nouns for at in places.get(words_of.lower(i), ())]
        starts = [at for at in places.get(core[0], ()) if stream[at:at + len(core)] == core]
        own = []  # (token of the answer, positions)
        if turn.kind == "page":
            own = [(0, near)] if near else []
        elif turn.kind == "card":
            found = []
            for j, i in enumerate(core):
                found, last = [at for at in seen if told[at][0] == words_of.decode([i]).strip()], found
                links += [(at, behind) for at in found if (behind := [n for n in last if n < at])]
                own += [(j, found)] if found else []
        elif turn.kind in ("when", "colour", "where"):
            found = [at for at in seen if told[at][turn.kind != "when"] in asked]
            own = [(j, found) for j in range(len(core))] if found else []
        elif turn.kind == "subtitle":
            if len(starts) == 1:
                found = [at for at in seen if told[at][0] in asked and at < starts[0]]
                links += [(starts[0], found)] if found else []
                own = [(j, [starts[0] + j]) for j in range(len(core))]
        elif found := [at for at in seen if told[at][turn.kind == "thing"] == said]:
            named = [at for at in seen if told[at][1] in asked] if turn.kind == "sign" else \
                [at for at in told if told[at][0] in asked] if turn.kind in ("after", "before") else []
            found = join(found, named)
            own = [(j, found) for j in range(len(core))]
        elif turn.kind.startswith(("largest", "smallest")):
            own = [(0, starts)] if len(starts) == 1 == len(core) else []
        elif near:
            starts = [(min((abs(at - n), n) for n in near), at) for at in starts]
            (far, named), at = min(starts) if starts else ((99, 0), 0)
            if far <= 16:
                own = [(0, join([at], [named]))] + [(j, [at + j]) for j in range(1, len(core))]
        if own and len(turn.entries) == 1:  # what the answer is told by also tells which excerpt it is in: answer, " [", "S", number, "]"
            own.append((len(core) + 2, own[0][1]))
        out += [(before + j, found) for j, found in own]
    return out, links


def headings(words_of, parts):
    """Where the heading of each position stands: [(position, (number of the tag, first, second))...], with the number of the page as first, or
    minutes and seconds of the picture or stretch; -1: none."""
    ids = []
    for part in parts:
        if isinstance(part, tuple):
            ids += [i if what == prompts.PART else -2 for i, (what, _) in zip(part[1], part[2])]
        else:
            ids += [-1] * len(part.values)
    mark, colon, page, frame = words_of.ids["S"], words_of.ids[":"], words_of.token("page"), words_of.token("Frame", "")
    out, tag, first, second, heading = [], -1, -1, -1, False

    def number(at):
        return at < len(ids) and ids[at] >= 0 and words_of.tokens[ids[at]].lstrip("Ġ").isdigit()

    for at, i in enumerate(ids):
        if i >= 0:
            if i == mark and number(at + 1):
                tag, first, second, heading = at + 1, -1, -1, True
            elif heading and "Ċ" in words_of.tokens[i]:
                heading = False
            elif heading and second < 0 and (i == page or i == colon and number(at - 1)) and number(at + 1):
                first, second = (at + 1, second) if first < 0 else (first, at + 1)
            elif i == frame and number(at + 2) and number(at + 4):
                first, second = at + 2, at + 4
        if i != -2 and tag >= 0:
            out.append((at, tuple(there if there < at else -1 for there in (tag, first, second))))
    return [(at, there) for at, there in out if there[0] >= 0]


def scores(net, number, states, at, heads):
    """What the first `heads` heads of layer `number` give all positions from positions `at`: [heads, len(at), n] logarithms, not normalised.
    `states` [n, width]: what goes into that layer."""
    layer, s, n = net.text.layers[number], net.text.shape, len(states)
    hd = s.width // s.heads
    cos, sin = model.rope_table(s, torch.arange(n))
    x = layer.attn_norm(states)
    k = model.rope(F.linear(x, layer.k.weight[:heads * hd]).view(-1, heads, hd).transpose(0, 1).float(), cos, sin)
    q = model.rope(F.linear(x[at], layer.q.weight[:heads * hd]).view(-1, heads, hd).transpose(0, 1).float(), cos[at], sin[at])
    return (torch.bmm(q, k.transpose(1, 2)) * hd ** -0.5).masked_fill(torch.arange(n)[None] > at[:, None], float("-inf"))


def standing(net, made, states):
    """How badly heads look at the numbers of their headings: minus the logarithm of what the head of each gives it. `states`: what goes into
    the layer of these heads."""
    losses = []
    for e, own in made.under:
        at, there = torch.tensor([p for p, _ in own]), torch.tensor([t for _, t in own])
        log = scores(net, model.HEADING, states[e], at, model.HEADED).log_softmax(2)
        log = log.gather(2, there.T.clamp(min=0)[:, :, None])[:, :, 0]
        losses.append(-log[there.T >= 0])
    return torch.cat(losses).mean()


def pointing(net, number, heads, sources_of, states):
    """How badly the first `heads` heads of layer `number` look at sources: minus the logarithm of what all of them give these, and that share.
    `states`: what goes into that layer."""
    if not sources_of:
        return None
    losses, shares = [], []
    for e, own in sources_of:
        of = scores(net, number, states[e], torch.tensor([p for p, _ in own]), heads)
        wanted = torch.full(of.shape[1:], float("-inf"))
        for row, (_, found) in enumerate(own):
            wanted[row, found] = 0.0
        log = torch.logsumexp(of + wanted, 2) - torch.logsumexp(of, 2)
        losses.append(-log.mean(0))
        shares.append(log.detach().exp().mean(0))
    return torch.cat(losses).mean(), float(torch.cat(shares).mean())


def recall(net, words_of, episodes):
    """How badly the first layer's keys find the excerpt of a question among all of a step: cross-entropy of its scores, and the share of
    questions for which it is the first; None if nothing was asked."""
    held, asked = {}, []
    for e, episode in enumerate(episodes):
        for piece in episode.pieces:
            if isinstance(piece, prompts.Rows):
                held.setdefault((e, piece.entry), []).append(piece.values)
        asked += [(e, t) for t in episode.turns if t.kind in FOUND and len(t.entries) == 1]
    keys = {key: n for n, key in enumerate(held)}
    asked = [(keys[(e, t.entries[0])], words_of.encode(t.question)[-QUERIES:]) for e, t in asked if (e, t.entries[0]) in keys][:32]
    if len(keys) < 2 or not asked:
        return None
    layer, s = net.text.layers[0], net.text.shape
    rows = [torch.cat([p.float() for p in parts])[:ROWS] for parts in held.values()]
    there = torch.tensor([[i < len(r) for i in range(ROWS)] for r in rows])
    rows = torch.stack([F.pad(r, (0, 0, 0, ROWS - len(r))) for r in rows])
    ids = torch.tensor([i + [-1] * (QUERIES - len(i)) for _, i in asked])

    def heads(linear, x):  # [heads, n, hd]
        return linear(layer.attn_norm(x)).view(-1, s.heads, s.width // s.heads).transpose(0, 1)

    q, k = heads(layer.q, net.text.embed(ids.clamp(min=0)).flatten(0, 1)), heads(layer.k, rows.flatten(0, 1))
    scores = torch.bmm(q, k.transpose(1, 2)).amax(0).float().view(len(asked), QUERIES, len(rows), ROWS)
    scores = scores.masked_fill((ids < 0)[:, :, None, None], -1e4).amax(1).masked_fill(~there, -1e4)
    scores = scores.amax(2).clamp(min=-100) / 8
    wanted = torch.tensor([n for n, _ in asked])
    return F.cross_entropy(scores, wanted), float((scores.argmax(1) == wanted).float().mean())


@torch.no_grad()
def evaluate(net, words_of, here, what, n, seed=""):
    """Share of answers, by kind, in which every token would have been chosen: greedy decoding gives exactly these answers. `found`: share of
    questions whose excerpt recall finds first."""
    rng, right, asked, found = random.Random(f"held out {what} {seed}"), {}, {}, []
    looked = []
    while sum(asked.values()) < n:
        episodes = batch(rng, here, what, True)
        with torch.autocast("cpu", torch.bfloat16):
            logits, ids, _, episode_of, turn_of, pointed = predict(net, words_of, episodes, True)
            looked += [pointed[1]] if pointed else []
            found += [r[1] for r in [recall(net, words_of, episodes)] if r]
        hit = logits.argmax(1) == ids
        for e, episode in enumerate(episodes):
            for t, each in enumerate(episode.turns):
                asked[each.kind] = asked.get(each.kind, 0) + 1
                right[each.kind] = right.get(each.kind, 0) + int(hit[(episode_of == e) & (turn_of == t)].all())
    out = {"all": round(sum(right.values()) / sum(asked.values()), 3), "found": round(sum(found) / max(1, len(found)), 3),
           "looked": round(sum(looked) / max(1, len(looked)), 3)}
    return {**out, **{k: [right[k], asked[k]] for k in sorted(asked)}}


def main(argv=None):
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("state")
    ask.add_argument("--steps", type=int, default=12000)
    ask.add_argument("--falling", type=float, default=0.3, help="share of the steps over which the rate falls to nothing")
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--rate", type=float, default=1e-3)
    ask.add_argument("--words")
    ask.add_argument("--measure", action="store_true", help="print what is answered right of held-out episodes of each kind, and end")
    ask.add_argument("--save-every", type=float, default=180, help="seconds")
    args = ask.parse_args(argv)
    torch.manual_seed(args.seed)
    state, stop, vocabulary = keep.State(args.state, "answer"), keep.Stop(), words.read(args.words)
    words_of = tokenizer_of(state.folder, args.seed, vocabulary)
    net = Answerer(model.VisionShape(), model.TextShape(vocab=len(words_of.tokens)))
    step, saved = 0, state.load()
    begun = keep.State(args.state, "encoder").load()
    if not begun or "names.word.weight" not in begun["average"]:
        raise SystemExit(f"answer: {state.folder} has no encoder.pt that tells words; train the encoder first (tools/train/run)")
    of = {part: {k[len(part) + 1:]: v for k, v in begun["average"].items() if k.startswith(part + ".")} for part in ("vision", "connector", "names")}
    if saved:
        net.load_state_dict(saved["net"])
    else:
        begin(net, words_of, of["names"], vocabulary, of)
    tell = net.teller(of["names"], of["connector"], vocabulary)
    words_of.set_nouns(vocabulary + words.KINDS)
    steps_of = muon.optimizers(net.text, args.rate, 0.1)
    average = keep.Average(net.text)
    fresh = 0
    if saved:
        muon.load(steps_of, saved["optimizers"] or [])
        average.weights.update({k[len("text."):]: v for k, v in saved["average"].items() if k.startswith("text.")})
        average.steps, step = saved["averaged"], saved["step"]
        fresh = 0 if saved["optimizers"] else step
    judge = Answerer(net.vision.shape, net.text.shape)
    judge.load_state_dict(net.state_dict())

    def save():
        state.save(net=net.state_dict(), optimizers=[o.state_dict() for o in steps_of], averaged=average.steps, step=step,
                   average={**net.state_dict(), **{f"text.{k}": v for k, v in average.weights.items()}})

    def measure(n, kinds):
        judge.text.load_state_dict(average.weights)
        state.log(event="held out", step=step, **{what: evaluate(judge, words_of, held, what, n) for what in kinds})

    held = pool.Pool("held out", vocabulary, net.look, tell, 96, 60, 32)
    if args.measure:
        measure(400, PHASES[-1][0])
        return False
    here = pool.Pool(f"{args.seed} {step}", vocabulary, net.look, tell)
    state.log(event="start", step=step, parameters=model.parameters(net.text), tokens=len(words_of.tokens))
    sums, began, saved_at = {}, time.monotonic(), time.monotonic()
    while step < args.steps and not stop:
        rng = random.Random(f"{args.seed} answer {step}")
        shares = next(shares for shares, until in PHASES if step < until)
        what = rng.choices(list(shares), list(shares.values()))[0]
        if step % 3 == 0:
            here.renew()
        episodes = batch(rng, here, what, longest=12 if shares is PHASES[-1][0] else 4)
        muon.set_rate(steps_of, keep.rate(step, args.rate, 100, args.steps, args.falling) * min(1.0, (step - fresh + 1) / 60))
        with torch.autocast("cpu", torch.bfloat16):
            logits, ids, weights, _, turn_of, pointed = predict(net, words_of, episodes)
            loss = encoder.entropy(logits, ids, weights / weights.sum())
            found = recall(net, words_of, episodes)
            whole = loss + (RECALL * found[0] if found else 0) + (POINTING * pointed[0] if pointed else 0)
        for optimizer in steps_of:
            optimizer.zero_grad(set_to_none=True)
        whole.backward()
        if not torch.isfinite(nn.utils.clip_grad_norm_(net.text.parameters(), 1.0)):
            raise SystemExit(f"answer: step {step}, {what}: the gradient isn't finite; the checkpoint is whole")
        for optimizer in steps_of:
            optimizer.step()
        average.update(net.text)
        step += 1
        with torch.no_grad():
            answers = turn_of >= 0
            sums.setdefault(what, []).append(float(F.cross_entropy(logits[answers].float(), ids[answers])))
            if found:
                sums.setdefault("found", []).append(found[1])
            if pointed:
                sums.setdefault(f"{what} looked", []).append(pointed[1])
        if step % 50 == 0:
            spent = time.monotonic() - began
            state.log(step=step, seconds=round(spent / 50, 2), **{k: round(sum(v) / len(v), 4) for k, v in sorted(sums.items())})
            sums, began = {}, time.monotonic()
        if step % 250 == 0:
            measure(100, shares)
            began = time.monotonic()
        if time.monotonic() - saved_at > args.save_every:
            save()
            saved_at = time.monotonic()
    save()
    state.log(event="stopped" if stop else "done", step=step)
    return step >= args.steps


if __name__ == "__main__":
    main()
