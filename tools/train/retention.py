#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What memory keeps of films, asked of a trained encoder: films of the world are added by the program itself with everything kept, and with
less; each word, number and thing that a visual token tells (its kind and colour; encoder.py, Names) when everything is kept, is looked for
among the kept tokens of its place and time.

    retention.py PROGRAM [STATE] [--minutes N] [--keep 0.25 0.1] [--least 0.9]

Without STATE the committed checkpoint is taken. Ends with status 1 when less than --least of what was told is told yet at the first of --keep.
"""

import argparse
import collections
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import encoder, export, keep, memory, model, windows  # noqa: E402
from world import film, picture, words  # noqa: E402

SIDE = picture.GRID // 2  # cells of a picture in a row
FILMS = {"shots of 4 to 14 s": {}, "shots of 1 to 3 s": {"shortest": 1.0, "longest": 3.0}}
RECORD, SETUP, SEGMENT = struct.Struct("<IIQQQQQQQ"), 2, 3  # docs/FORMATS.md
HEAD = struct.Struct("<qq dd II ii IIII HH I ffff QQ HH hh QQ")
TOKEN = np.dtype([("t0", "<i8"), ("t1", "<i8"), ("y0", "<u2"), ("x0", "<u2"), ("y1", "<u2"), ("x1", "<u2"), ("dy", "<i2"), ("dx", "<i2"),
                  ("n", "<u2"), ("radius", "<u2")])


def read_log(path):
    """Visual tokens of a log that one encoder alone has written: places and rows [n, width] in float32."""
    data, at, tokens, rows = path.read_bytes(), 64, [], []
    while at + RECORD.size <= len(data):
        _, kind, size, *_ = RECORD.unpack_from(data, at)
        body = at + RECORD.size
        head = HEAD.unpack_from(data, body) if kind == SEGMENT else None
        if head and head[8]:
            n, wide = head[8], head[19]
            rows.append(np.frombuffer(data, "<f2", n * wide // 2, body + HEAD.size).reshape(n, -1).astype(np.float32))
            tokens.append(np.frombuffer(data, TOKEN, n, body + HEAD.size + (n * wide + 63) // 64 * 64))
        at += size
    return np.concatenate(tokens), np.concatenate(rows)


class Told:
    """What the visual tokens of a log tell, by their places."""

    def __init__(self, path, net):
        self.tokens, rows = read_log(path)
        with torch.no_grad():
            x = torch.from_numpy(rows)
            self.word = net.names.word(x).argmax(1).numpy()
            self.digits = net.names.digits(x).view(len(x), picture.SLOTS, -1).argmax(2).numpy()
            self.kind, self.colour = (head(x).argmax(1).numpy() for head in (net.names.kind, net.names.colour))

    def at(self, t, box, slack):
        """The tokens that stand at t for a place that the box (in cells) reaches into."""
        k, now = self.tokens, t * 1e6
        share = (now - k["t0"]) / np.maximum(1, k["t1"] - k["t0"])
        y0, x0, y1, x1 = (k[a] + share * k[b] for a, b in (("y0", "dy"), ("x0", "dx"), ("y1", "dy"), ("x1", "dx")))
        return (k["t0"] <= now) & (now < k["t1"]) & (x0 < box[2] + slack) & (x1 > box[0] - slack) & (y0 < box[3] + slack) & (y1 > box[1] - slack)

    def tells(self, t, box, wanted, slack):
        some = self.at(t, box, slack)
        if "kind" in wanted:
            return bool((some & (self.kind == wanted["kind"]) & (self.colour == wanted["colour"])).any())
        right = self.word == wanted["word"]
        return bool((some & right & ((self.digits == wanted["digits"]).all(1) | (wanted["digits"][0] == 0))).any())


def in_cells(box, scene):
    return [v / scene.size[k % 2] * SIDE for k, v in enumerate(box)]


def shown(plan, names):
    """What a film shows at each second that is looked at: {(shot, which): (what it is, what has to be told, [(second, box)])}."""
    out = {}
    for n, shot in enumerate(plan.shots):
        for t in range(math.ceil(shot.t0 - memory.LATE), math.ceil(shot.t1 - memory.LATE)):
            scene = film.frame(plan, t + memory.LATE, 640, 360, False)
            for k, word in enumerate(scene.words):
                number, *digits = windows.named(word.text, names)
                box = np.array(word.letters)
                if number:
                    place = in_cells((*box[:, :2].min(0), *box[:, 2:].max(0)), scene)
                    wanted = {"word": number, "digits": digits}
                    out.setdefault((n, "word", k), ("numbers" if digits[0] else "words", wanted, []))[2].append((t, place))
            for k, thing in enumerate(scene.objects):
                moves = thing.kind != "bar" and k < len(shot.items) and shot.items[k].motion != "still"
                wanted = {"kind": 1 + picture.KINDS.index(thing.kind), "colour": picture.COLOURS.index(thing.colour)}
                name = "things that move, come or go" if moves else "things that stand still"
                out.setdefault((n, "thing", k), (name, wanted, []))[2].append((t, in_cells(thing.box, scene)))
    return list(out.values())


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("program")
    ask.add_argument("state", nargs="?", default=keep.COMMITTED)
    ask.add_argument("--minutes", type=float, default=10, help="of each film")
    ask.add_argument("--keep", type=float, nargs="+", default=[0.25, 0.1])
    ask.add_argument("--least", type=float, default=0.9)
    ask.add_argument("--seed", default="retention")
    args = ask.parse_args()
    vocabulary = words.read(None)
    net = encoder.Reader(model.VisionShape(), len(vocabulary))
    saved = keep.State(args.state, "encoder").load()
    net.load_state_dict(saved["average"])
    net.eval()
    names, bad = {w: 1 + i for i, w in enumerate(vocabulary)}, False
    print(f"encoder of {saved['step']} steps, films of {args.minutes:g} min\n")
    print("| film | what | shown | told, all kept | " + " | ".join(f"of these, {100 * k:g} % kept" for k in args.keep) + " |")
    print("|---" * (4 + len(args.keep)) + "|")
    for title, times in FILMS.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            mmproj, path = folder / "mmproj.gguf", folder / "film.mp4"
            export.write_vision(mmproj, net.vision, net.connector, "retention", "f16", net.names.word.in_features)
            plan = film.plan(f"{args.seed} {title}", args.minutes * 60, vocabulary, **times)
            film.write(plan, path)
            told = []
            for share in (1.0, *args.keep):
                library = folder / f"library-{share}"
                subprocess.run([args.program, "add", "-l", library, "--mmproj", mmproj, "--device", "cpu", "--keep", str(share), path],
                               check=True, stdout=subprocess.DEVNULL)
                told.append(Told(next((library / "evidence").glob("*.log")), net))
            sums = collections.defaultdict(lambda: [0] * (2 + len(args.keep)))
            for what, wanted, places in shown(plan, names):
                row = sums[what]
                row[0] += 1
                if any(told[0].tells(t, box, wanted, 0) for t, box in places):
                    row[1] += 1
                    for k in range(len(args.keep)):
                        row[2 + k] += any(told[1 + k].tells(t, box, wanted, 0.5) for t, box in places)
            for what, row in sorted(sums.items()):
                kept = (f"{v} ({100 * v / max(1, row[1]):.1f} %)" for v in row[2:])
                print(f"| {title} | {what} | {row[0]} | {row[1]} | " + " | ".join(kept) + " |")
                bad |= row[1] > 0 and row[2] < args.least * row[1]
            tokens = [len(t.tokens) for t in told]
            print(f"| {title} | visual tokens | | {tokens[0]} | " + " | ".join(f"{n} ({100 * n / tokens[0]:.1f} %)" for n in tokens[1:]) + " |", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main())
