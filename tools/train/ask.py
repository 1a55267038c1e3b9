#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures a model through the program itself: draws pictures, films and papers from seeds that training never uses, has `pagereel ask`
answer in wordings that it never asks in, and counts answers, citations and what is wrongly found or not found.

    ask.py MODEL.gguf [--what single clip page] [-n 40] [--seed test] [--device cpu]     prints a line of JSON for each kind of medium
"""

import argparse
import json
import math
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import film, paper, questions, words  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
LATE = 0.1  # seconds of a film that the frame at a second shows behind it


def single(rng, folder, vocabulary):
    """A picture file and questions about it."""
    plan = film.plan(rng.getrandbits(60), 20, vocabulary)
    shot = rng.choice(plan.shots)
    for item in shot.items:
        item.motion = "still"
    path = folder / "picture.png"
    film.frame(plan, (shot.t0 + shot.t1) / 2, 640, 360, False).image.save(path)
    asked = questions.of_shot(rng, shot, True) + [questions.absent_of_shots(rng, [shot], vocabulary, True)]
    for q in asked:
        q.spans = [1] if q.spans else []
    return path, asked


def clip(rng, folder, vocabulary):
    """A film of a minute and questions about all of it."""
    plan = film.plan(rng.getrandbits(60), 60, vocabulary)
    path = folder / "film.mp4"
    film.write(plan, path)
    asked = questions.clear(questions.of_film(rng, plan, vocabulary, True))
    for q in asked:
        if q.kind == "when":
            q.answer = questions.clock(math.ceil(q.spans[0][0] - LATE))
    return path, asked


def page(rng, folder, vocabulary):
    """A paper of one page and questions that its text answers."""
    plan = paper.plan(rng.getrandbits(60), 1, vocabulary)
    path = folder / "paper.pdf"
    paper.write(plan, path)
    return path, [q for q in paper.of_paper(rng, plan, vocabulary, True) if q.kind != "colour"]


def same(said, question):
    """Whether an answer is right: the same words; of times, at most one sampling step away."""
    if question.kind == "when" and re.fullmatch(r"\d\d:\d\d:\d\d", said):
        seconds = [sum(int(part) * 60 ** k for k, part in enumerate(reversed(t.split(":")))) for t in (said, question.answer)]
        return abs(seconds[0] - seconds[1]) <= 1
    return said.lower() == question.answer.lower()


def cites(found, question):
    """Whether what the answer names is where the question's answer is."""
    named = [c for c in found["citations"] if c["named_by_answer"]]
    if "page" in (named[0] if named else {}):
        return any(c["page"] in question.spans for c in named)
    return any(c["t0"] < t1 and t0 < c["t1"] for c in named for t0, t1 in question.spans)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("model", type=pathlib.Path)
    ask.add_argument("--what", nargs="+", default=["single", "clip", "page"], choices=("single", "clip", "page"))
    ask.add_argument("-n", type=int, default=40, help="pictures, films, papers")
    ask.add_argument("--each", type=int, default=3, help="questions about each")
    ask.add_argument("--seed", default="test")
    ask.add_argument("--words", help="another word list")
    ask.add_argument("--device", default="cpu")
    ask.add_argument("--program", default=str(ROOT / "build/cli/pagereel"))
    ask.add_argument("--show", action="store_true", help="print every question with what was said")
    args = ask.parse_args()
    vocabulary = words.read(args.words)
    for what in args.what:
        rng, kinds, sums = random.Random(f"{args.seed} {what}"), {}, {"asked": 0, "right": 0, "cited": 0, "citable": 0, "absent": 0, "not found": 0, "false alarms": 0}
        for _ in range(args.n):
            with tempfile.TemporaryDirectory() as folder:
                path, asked = globals()[what](rng, pathlib.Path(folder), vocabulary)
                for q in rng.sample(asked, min(args.each, len(asked))):
                    run = subprocess.run([args.program, "ask", "--json", "-m", str(args.model), "-d", args.device, "-n", "48", str(path), q.text],
                                         capture_output=True, text=True, env={**os.environ, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder})
                    if run.returncode:
                        raise SystemExit(run.stderr)
                    found = json.loads(run.stdout)
                    said = re.sub(r"( \[S\d+\])+$", "", " " + found["answer"].strip()).strip()
                    right, absent = same(said, q), q.answer == questions.NOT_SHOWN
                    counted = kinds.setdefault(q.kind, [0, 0])
                    counted[0] += right
                    counted[1] += 1
                    sums["asked"] += 1
                    sums["right"] += right
                    sums["absent"] += absent
                    sums["not found"] += absent and right
                    sums["false alarms"] += not absent and said == questions.NOT_SHOWN
                    sums["citable"] += right and not absent
                    sums["cited"] += right and not absent and cites(found, q)
                    if args.show:
                        print(f"{'+' if right else '-'} {q.text} | {q.answer} | {found['answer'].strip()}", flush=True)
        print(json.dumps({"what": what, **sums, "kinds": kinds}), flush=True)


if __name__ == "__main__":
    main()
