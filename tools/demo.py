#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions of ./demo: asks pagereel about a film and a paper of tools/world, shows what it says, and compares that with the truth
that was written beside them.

usage: demo.py PROGRAM FILM PAPER EVIDENCE     (FILM.json and PAPER.json hold the truth; EVIDENCE is a folder to write to)

Ends with status 0 when every answer is right and names a place where it is shown, with 1 otherwise.
"""

import json
import pathlib
import random
import re
import shlex
import subprocess
import sys

STEP = 1.0  # seconds between the frames that are looked at
NOT_FOUND = "Not found."


def words(text):
    """The words of an answer, in lower case, without tags."""
    return re.findall(r"[a-z0-9:%-]+", re.sub(r"\[S\d+\]", " ", text).lower())


def says(answer, wanted):
    """Whether the wanted words stand in the answer behind each other."""
    have, want = words(answer), words(wanted)
    return bool(want) and any(have[i:i + len(want)] == want for i in range(len(have) - len(want) + 1))


def seconds(answer):
    """The first time that an answer says, or None."""
    found = re.search(r"\b(?:(\d+):)?(\d+):(\d\d)\b", re.sub(r"\[S\d+\]", " ", answer))
    return int(found[1] or 0) * 3600 + int(found[2]) * 60 + int(found[3]) if found else None


def is_right(question, answer, found):
    """Whether an answer is the truth, and one line on what that is."""
    if question["answer"] == NOT_FOUND:
        return not found, "that it isn't there"
    if question["kind"] == "when":
        t0, t1 = question["spans"][0]
        said = seconds(answer)
        return found and said is not None and t0 - STEP <= said < t1 + STEP, f"between {clock(t0)} and {clock(t1)}"
    return found and says(answer, question["answer"]), question["answer"]


def is_cited(question, source, citations):
    """Whether the answer names an excerpt that lies where the truth is."""
    for c in citations:
        if not c["named_by_answer"] or pathlib.Path(c["source"]).name != pathlib.Path(source).name:
            continue
        if "page" in c and c["page"] in question["spans"]:
            return True
        if "t0" in c and any(isinstance(s, list) and c["t0"] < s[1] and s[0] < c["t1"] for s in question["spans"]):
            return True
    return False


def clock(t):
    return f"{int(t) // 3600}:{int(t) // 60 % 60:02}:{int(t) % 60:02}"


def place(question):
    span = question["spans"][0]
    return f"{clock(span[0])} to {clock(span[1])}" if isinstance(span, list) else f"page {span}"


def choose(film, paper, truth, told):
    """Six questions: of the film, of the paper, of both at once, and one that has no answer. Others for other seeds. What is asked of both can
    only be in one of them: sentences stand in papers, subtitles in films."""
    rng, used = random.Random(truth["seed"]), []
    lasting = [q for q in truth["questions"] if all(b - a >= 4 for a, b in q["spans"])]

    def one(questions, *kinds):
        for kind in kinds:
            some = [q for q in questions if q["kind"].startswith(kind) and q not in used]
            if some:
                used.append(rng.choice(some))
                return used[-1]
        return None

    chosen = [
        ("a word on a sign, somewhere in the film", one(lasting, "sign", "after"), film, [film]),
        ("a moment of the film", one(lasting, "when"), film, [film]),
        ("a chart of the paper", one(told["questions"], "bar", "slice"), paper, [paper]),
        ("film and paper together: a sentence", one(told["questions"], "fact"), paper, [film, paper]),
        ("film and paper together: what is said", one(lasting, "subtitle", "before"), film, [film, paper]),
        ("what the paper doesn't show", one(told["questions"], "absent"), None, [paper]),
    ]
    if not chosen[-1][1]:
        chosen[-1] = ("what the film doesn't show", one(truth["questions"], "absent"), None, [film])
    for what, question, _, _ in chosen:
        if not question:
            raise SystemExit(f"demo: the truth files have no question for: {what}")
    return chosen


def run(command):
    """Runs pagereel and returns what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
    if done.returncode:
        print(done.stderr, file=sys.stderr, end="")
        raise SystemExit(f"demo: this failed with status {done.returncode}: {shlex.join(command)}")
    return done.stdout


def ask(program, question, sources, evidence):
    """Shows an answer as pagereel prints it, and returns the same as it is for programs."""
    command = [program, "ask", *sources, question["text"]]
    print(f"$ {shlex.join(command)}", flush=True)
    shown = run(command)
    print(shown.rstrip(), flush=True)
    answer = json.loads(run([*command, "--json", "--save-evidence", str(evidence)]))
    if not shown.lstrip().startswith(answer["answer"].strip()):
        raise SystemExit("demo: the same question got two different answers")
    return answer


def main(program, film, paper, evidence):
    truth, told = (json.loads(pathlib.Path(p).with_suffix(".json").read_text(encoding="utf-8")) for p in (film, paper))
    pathlib.Path(evidence).mkdir(parents=True, exist_ok=True)
    right = cited = wanted = 0
    chosen = choose(film, paper, truth, told)
    for number, (what, question, source, sources) in enumerate(chosen, 1):
        print(f"\n== {number} of {len(chosen)}: {what}", flush=True)
        answer = ask(program, question, sources, pathlib.Path(evidence) / str(number))
        good, truly = is_right(question, answer["answer"], answer["found"])
        named = source is None or is_cited(question, source, answer["citations"])
        right, cited, wanted = right + good, cited + (source is not None and named), wanted + (source is not None)
        where = f", shown at {place(question)}" if source else ""
        print(f"-> {'right' if good and named else 'right, but the place it names is wrong' if good else 'WRONG'}: "
              f"the truth is {truly}{where}", flush=True)
    print(f"\n{right} of {len(chosen)} answers are right, {cited} of {wanted} name the right place")
    return 0 if right == len(chosen) and cited == wanted else 1


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    sys.exit(main(*sys.argv[1:]))
