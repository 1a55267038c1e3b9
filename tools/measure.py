#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a model answers rightly about worlds that it has never seen, through the program itself: pictures, clips, pages of tools/world, drawn
from seeds and asked in wordings that training never uses.

usage: measure.py PROGRAM MODEL OUT [--questions N] [--seed S] [--device cpu,vulkan] [--keep 0.25] [--card models/README.md]

Groups: `picture` (one shot of a film, as a PNG), `shot` (the same, as a film of four seconds), `clip` (16 seconds: 16 frames), `page` (a page with charts
and tables). Each group gets N questions of what is shown (200), and a quarter as many about what isn't. OUT gets answers.jsonl (a line an answer;
what is there isn't asked again), figures.json and figures.md; --card puts the table between the marks <!-- figures --> of a model card.
With several devices the share of equal answers is told, too. Needs what tools/world needs.
"""

import argparse
import dataclasses
import json
import pathlib
import random
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import demo  # noqa: E402
from world import film, paper, questions, words  # noqa: E402

GROUPS = ("picture", "shot", "clip", "page")
READING = {"sign", "only sign", "card", "clock", "score"}
CHARTS = {"bar", "largest bar", "smallest bar", "slice", "largest slice", "cell"}
MARK = "<!-- figures -->"


def still_shot(rng, vocabulary):
    """A shot in which nothing moves, as a film of its own."""
    plan = film.plan(rng.getrandbits(60), 20, vocabulary)
    shot = rng.choice(plan.shots)
    shot.items = [dataclasses.replace(i, motion="still") for i in shot.items]
    shot.t0, shot.t1 = 0.0, 4.0
    return film.Film(plan.seed, 4.0, [shot], [])


def make(group, seed, folder, vocabulary):
    """Draws one world; returns its file and its questions: those that can be answered, and one that can't."""
    rng = random.Random(f"measure {group} {seed}")
    path = pathlib.Path(folder) / f"{group}-{seed}.{'png' if group == 'picture' else 'pdf' if group == 'page' else 'mp4'}"
    if group == "page":
        plan = paper.plan(f"measure {seed}", 1, vocabulary)
        asked = questions.clear(paper.of_page(rng, plan.pages[0], True, True))
        asked = [q for q in asked if q.kind in CHARTS]
        told = str(dataclasses.asdict(plan)).lower()
        word = rng.choice([w for w in vocabulary if w not in told])
        kind = rng.choice(("bar", "slice"))
        absent = questions.Question("absent " + kind, questions.ask(rng, kind, True, l=word), questions.NOT_SHOWN, [])
        paper.write(plan, path)
    else:
        plan = film.plan(f"measure {seed}", 16, vocabulary) if group == "clip" else still_shot(rng, vocabulary)
        if group == "clip":
            asked = questions.clear([q for q in questions.of_film(rng, plan, vocabulary, True) if not q.kind.startswith("absent")])
        else:
            asked = questions.of_shot(rng, plan.shots[0], True)
        absent = questions.absent_of_shots(rng, plan.shots, vocabulary, True)
        if group == "picture":
            film.frame(plan, 2.0, 480, 270).image.save(path)
            for question in asked:
                question.spans = [1]  # a picture is a source of one page
        else:
            film.write(plan, path)
        path.with_suffix(".json").unlink(missing_ok=True)
    rng.shuffle(asked)
    return path, [questions.plain(q) for q in asked[:4]], questions.plain(absent)


def ask(args, device, path, question, library):
    command = [args.program, "ask", "-m", args.model, "--device", device, "--library", str(library), "--keep", str(args.keep), "--json",
               str(path), question["text"]]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", timeout=600)
    if done.returncode:
        raise SystemExit(f"measure: status {done.returncode} of {' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


def measure_world(args, group, seed, vocabulary, done, out):
    """Asks all questions of one world on all devices, but those that were asked before."""
    with tempfile.TemporaryDirectory() as folder:
        path, asked, absent = make(group, seed, folder, vocabulary)
        for number, question in enumerate(asked + ([absent] if seed % 2 else [])):
            for device in args.device.split(","):
                key = f"{group} {seed} {number} {device}"
                if key in done:
                    continue
                answer = ask(args, device, path, question, pathlib.Path(folder) / device)
                right, _ = demo.is_right(question, answer["answer"], answer["found"])
                line = {"key": key, "group": group, "device": device, "kind": question["kind"], "right": right, "found": answer["found"],
                        "cited": demo.is_cited(question, path, answer["citations"]), "question": question["text"],
                        "wanted": question["answer"], "answer": answer["answer"], "tokens": answer["coverage"]["prompt_tokens"]}
                done[key] = line
                out.write(json.dumps(line) + "\n")
                out.flush()


def share(lines, what="right"):
    return {"n": len(lines), "share": round(sum(bool(line[what]) for line in lines) / len(lines), 4) if lines else None}


def figures(lines, devices):
    """What the answers of the first device come to, and how far the others agree."""
    first = [line for line in lines if line["device"] == devices[0]]
    shown = [line for line in first if not line["kind"].startswith("absent")]
    out = {group: share([line for line in shown if line["group"] == group]) for group in GROUPS}
    out["reading a word or number"] = share([line for line in shown if line["group"] in ("picture", "shot") and line["kind"] in READING])
    out["not shown"] = share([line for line in first if line["kind"].startswith("absent")])
    out["false alarms"] = share([{**line, "lost": not line["found"]} for line in shown], "lost")
    out["citation right"] = share([line for line in shown if line["right"]], "cited")
    for device in devices[1:]:
        other = {line["key"].rsplit(" ", 1)[0]: line["answer"] for line in lines if line["device"] == device}
        both = [{"same": other[line["key"].rsplit(" ", 1)[0]] == line["answer"]} for line in first if line["key"].rsplit(" ", 1)[0] in other]
        out[f"{devices[0]} and {device} agree"] = share(both, "same")
    kinds = {kind: share([line for line in first if line["kind"] == kind]) for kind in sorted({line["kind"] for line in first})}
    return out, kinds


def table(out, kinds, args):
    rows = [f"Model `{pathlib.Path(args.model).name}`, seed {args.seed}, {args.keep:.0%} of a film's tokens kept, by `tools/measure.py`:", "",
            "| what | questions | |", "|---|---|---|"]
    rows += [f"| {name} | {v['n']} | {v['share']:.1%} |" for name, v in out.items() if v["n"]]
    rows += ["", "By kind of question: " + ", ".join(f"{kind} {v['share']:.0%} of {v['n']}" for kind, v in kinds.items() if v["n"]) + "."]
    return "\n".join(rows)


def put_into_card(path, text):
    card = pathlib.Path(path).read_text(encoding="utf-8")
    parts = card.split(MARK)
    if len(parts) != 3:
        raise SystemExit(f"measure: {path} needs the mark {MARK} twice, around the table")
    pathlib.Path(path).write_text(f"{parts[0]}{MARK}\n{text}\n{MARK}{parts[2]}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=900000, help="of the first world; training draws from 60 random bits")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", type=float, default=0.25)
    parser.add_argument("--words")
    parser.add_argument("--card")
    args = parser.parse_args()
    folder, vocabulary, done = pathlib.Path(args.out), words.read(args.words), {}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "answers.jsonl"
    if path.exists():
        done = {line["key"]: line for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    devices = args.device.split(",")
    with open(path, "a", encoding="utf-8") as out:
        for group in GROUPS:
            seed = args.seed
            while sum(x["group"] == group and x["device"] == devices[-1] and not x["kind"].startswith("absent") for x in done.values()) < args.questions:
                measure_world(args, group, seed, vocabulary, done, out)
                seed += 1
                print(f"\r{group}: {sum(x['group'] == group for x in done.values())} answers ", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
    result, kinds = figures(list(done.values()), devices)
    (folder / "figures.json").write_text(json.dumps({"figures": result, "kinds": kinds}, indent=1) + "\n", encoding="utf-8")
    text = table(result, kinds, args)
    (folder / "figures.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    if args.card:
        put_into_card(args.card, text)


if __name__ == "__main__":
    main()
