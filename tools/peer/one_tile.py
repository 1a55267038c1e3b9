#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The same GGUF pair in pagereel and in llama.cpp: greedy answers to prompts with one picture of exactly one tile.

usage: PAGEREEL_PEER=FOLDER one_tile.py PROGRAM MODEL MMPROJ [--cases 200] [--device cpu] [--seed S]
needs: what tools/world needs, node, and in FOLDER `npm install @fugood/llama.node @fugood/node-llama-linux-x64`

Pictures are drawn by tools/world at the encoder's own size, so that neither side cuts or resizes. The prompt is a raw one, the same on
both sides, in the words of SmolVLM's format; what is put around a picture of one tile differs: pagereel, as transformers, shows the whole
picture alone (<global-img>), llama.cpp the only tile (<row_1_col_1>) and then the whole, which is the same picture again. Prints both prompts'
lengths of the first case, each difference, and the share of equal answers; status 1 under 98 %.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from world import film, picture, questions, words  # noqa: E402

LONGEST = 24  # tokens of an answer


def cases(args, folder):
    """Pictures with a question each."""
    vocabulary, rng = words.read(), random.Random(f"one tile {args.seed}")
    for number in range(args.cases):
        while True:
            plan = film.plan(rng.getrandbits(60), 20, vocabulary)
            shot = rng.choice(plan.shots)
            asked = questions.of_shot(rng, shot, True)
            if asked:
                break
        path = pathlib.Path(folder) / f"{number}.png"
        scene = film.frame(plan, (shot.t0 + shot.t1) / 2, 480, 270)
        scene.image.resize((picture.SIZE, picture.SIZE)).save(path)
        yield str(path), rng.choice(asked).text


def ours(args, path, question):
    command = [args.program, "run", "-m", args.model, "--mmproj", args.mmproj, "--device", args.device, "--raw", "--image", path,
               "-p", f"<|im_start|>User:<image>{question}<end_of_utterance>\nAssistant:", "-n", str(LONGEST), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    answer = json.loads(done.stdout)
    prompt = answer["prompt_tokens"]
    n = sum(t["image_tokens"] if isinstance(t, dict) else 1 for t in prompt)
    return "".join(t["text"] for t in answer["tokens"]), n


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("mmproj")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", default="1")
    args = parser.parse_args()
    if "PAGEREEL_PEER" not in os.environ:
        raise SystemExit("PAGEREEL_PEER must name a folder with @fugood/llama.node")
    same = 0
    with tempfile.TemporaryDirectory() as folder:
        peer = subprocess.Popen(["node", HERE / "one_tile.mjs", args.model, args.mmproj], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
        for number, (path, question) in enumerate(cases(args, folder)):
            prompt = f"<|im_start|>User:<__media__>{question}<end_of_utterance>\nAssistant:"
            peer.stdin.write(json.dumps({"picture": path, "prompt": prompt, "n": LONGEST}) + "\n")
            peer.stdin.flush()
            mine, length = ours(args, path, question)
            line = next((x for x in iter(peer.stdout.readline, "") if x.startswith('{"text"')), "")  # among its log
            if not line:
                raise SystemExit("the peer ended; run node tools/peer/one_tile.mjs by hand to see why")
            theirs = json.loads(line)
            if number == 0:
                print(f"prompt tokens: {length} here, {theirs['tokens']} there")
            equal = mine.strip() == theirs["text"].strip()
            same += equal
            if not equal:
                print(f"{question!r}: {mine!r} here, {theirs['text']!r} there")
        peer.stdin.close()
        peer.wait()
    print(f"{same} of {args.cases} answers are equal: {same / args.cases:.1%}")
    return 0 if same >= 0.98 * args.cases else 1


if __name__ == "__main__":
    sys.exit(main())
