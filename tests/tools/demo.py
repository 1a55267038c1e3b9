# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/demo.py over a stand-in for pagereel that knows the truth, and sometimes doesn't tell it: the demo must notice."""
import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"

STAND_IN = '''
import json, os, pathlib, sys
args = [a for a in sys.argv[2:] if not a.startswith("--")]
as_json, mode = "--json" in sys.argv, os.environ["MODE"]
if as_json:
    args.remove(sys.argv[sys.argv.index("--save-evidence") + 1])
*sources, text = args
for source in sources:
    truth = json.loads(pathlib.Path(source).with_suffix(".json").read_text())
    for q in truth["questions"]:
        if q["text"] != text:
            continue
        found = q["answer"] != "Not found."
        answer = q["answer"] + " [S2]" if found else q["answer"]
        span = q["spans"][0] if found else 1
        if mode == q["kind"]:
            answer, found = ("horse [S2]", True) if q["kind"] != "fact" else ("Not found.", False)
        if mode == "late" and q["kind"] == "when":
            answer = "0:59:59 [S2]"
        if mode == "different" and as_json:
            answer = "else " + answer
        place = {"page": span} if isinstance(span, int) else {"t0": span[0], "t1": span[1]}
        if mode == "elsewhere":
            place = {"page": 999}
        named = mode != "uncited"
        if as_json:
            print(json.dumps({"answer": answer, "found": found, "citations": [
                {"source": sources[0], "page": 77, "named_by_answer": False}, {"source": source, "named_by_answer": named, **place}]}))
        else:
            print(answer)
        sys.exit(0)
sys.exit(3)
'''


class Demo(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        self.program = self.path / "pagereel"
        self.program.write_text(f"#!{sys.executable}\n" + STAND_IN)
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        ask = lambda kind, text, answer, *spans: {"kind": kind, "text": text, "answer": answer, "spans": list(spans)}
        self.write("film", [ask("sign", f"What is near the {c} fish?", w, [10 * i, 10 * i + 8]) for i, (c, w) in enumerate((("red", "lamp"), ("blue", "oak")))]
                   + [ask("sign", "What is near the flash?", "never", [90, 91]), ask("when", "When is lamp shown?", "00:00:00", [0, 8]),
                      ask("subtitle", "What is said at oak?", "the oak is here.", [10, 18])])
        self.write("paper", [ask("fact", "How long is the oak?", "7 meters", 3), ask("bar", "What is the value of oak?", "12", 4),
                             ask("absent bar", "What is the value of zebra?", "Not found.")])

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, questions):
        (self.path / f"{name}.json").write_text(json.dumps({"seed": "x", "questions": questions}))

    def run_(self, mode):
        return subprocess.run([sys.executable, TOOLS / "demo.py", self.program, self.path / "film.mp4", self.path / "paper.pdf", self.path / "e"],
                              env={**os.environ, "MODE": mode}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)

    def test_right(self):
        done = self.run_("right")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(done.stdout.endswith("6 of 6 answers are right, 5 of 5 name the right place\n"), done.stdout)
        self.assertNotIn("flash", done.stdout)  # too short to be seen

    def test_each_wrong_answer_is_noticed(self):
        for mode, right in (("sign", 5), ("subtitle", 5), ("when", 5), ("late", 5), ("fact", 5), ("bar", 5), ("absent bar", 5)):
            done = self.run_(mode)
            self.assertEqual(done.returncode, 1, mode)
            self.assertIn(f"{right} of 6 answers are right", done.stdout, mode)
            self.assertIn("WRONG", done.stdout)

    def test_places_are_checked(self):
        for mode in ("uncited", "elsewhere"):
            done = self.run_(mode)
            self.assertEqual(done.returncode, 1, mode)
            self.assertIn("6 of 6 answers are right, 0 of 5 name the right place", done.stdout)

    def test_what_is_shown_is_what_is_checked(self):
        done = self.run_("different")
        self.assertEqual(done.returncode, 1)
        self.assertIn("two different answers", done.stderr)

    def test_failures(self):
        self.program.write_text("#!/bin/sh\nexit 7\n")
        done = self.run_("right")
        self.assertEqual(done.returncode, 1)
        self.assertIn("status 7", done.stderr)
        self.write("paper", [])
        self.assertIn("no question for: a chart", self.run_("right").stderr)


if __name__ == "__main__":
    unittest.main()
