#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bench needle and bench time over small random models: what is asked, kept and gone on with; figures from answers that are known.
usage: needle.py PROGRAM RANDOM_MODEL"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.dom.minidom

import support

PROGRAM = RANDOM_MODEL = None
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "vision")
SEES = ["-m", f"{GOLDEN}/idefics3.f16.gguf", "--mmproj", f"{GOLDEN}/idefics3.mmproj.f16.gguf", "--device", "cpu"]


class Needle(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pagereel-needle-")
        self.env = support.environment(self.folder)
        self.out = os.path.join(self.folder, "out")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_(self, *args, status=0):
        done = subprocess.run([PROGRAM, *args], env=self.env, timeout=280, cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout if status == 0 else done.stderr

    def lines(self, folder=None):
        with open(os.path.join(folder or self.out, "results.jsonl")) as file:
            return file.read().splitlines()

    def test_all_ways_are_asked_and_kept(self):
        rows = json.loads(self.run_("bench", "needle", *SEES, "--quick", "--lengths", "60s,8p", "-o", self.out, "--json"))
        self.assertEqual([(r["medium"], r.get("seconds", r.get("pages"))) for r in rows], [("film", 60), ("document", 8)])
        for row in rows:
            for way in ("memory", "uniform", "last", "given"):
                self.assertEqual(row[way]["asked"], 5)
                self.assertGreater(row[way]["tokens"], 50)
            # One frame or page is less than what fits the budget; of 8 pages all do, and each has its share.
            if row["medium"] == "document":
                self.assertGreater(row["given"]["tokens"], row["uniform"]["tokens"] / 8)
            self.assertLess(row["given"]["tokens"], row["uniform"]["tokens"])
        lines = self.lines()
        self.assertEqual(len(lines), 1 + 40)
        asked = [json.loads(line) for line in lines[1:]]
        self.assertEqual(len({a["key"] for a in asked}), 40)
        self.assertTrue(all(a["question"] and a["wanted"] for a in asked))
        # Every way asks the same: what differs is the evidence.
        for depth in ("0.000", "0.250", "0.500", "0.750", "1.000"):
            self.assertEqual(len({a["question"] for a in asked if a["key"].startswith(f"film 60 depth {depth}")}), 1)
        self.assertEqual(sorted(os.listdir(self.out)), ["documents.svg", "films.svg", "needle.json", "results.jsonl"])
        for name in ("films.svg", "documents.svg"):
            xml.dom.minidom.parse(os.path.join(self.out, name))
        with open(os.path.join(self.out, "needle.json")) as file:
            self.assertEqual(len(json.load(file)["cells"]), 40)
        # Nothing is asked again, and a line that was cut off is.
        with open(os.path.join(self.out, "results.jsonl"), "w") as file:
            file.write("\n".join(lines)[:-30])
        self.run_("bench", "needle", *SEES, "--quick", "--lengths", "60s,8p", "-o", self.out)
        again = self.lines()
        self.assertEqual(again[:40], lines[:40])
        self.assertEqual(json.loads(again[40])["key"], json.loads(lines[40])["key"])

    def test_figures(self):
        """Answers that are known: what comes out can be worked out by hand."""
        self.run_("bench", "needle", *SEES, "--quick", "--lengths", "60s", "-o", self.out)
        lines = self.lines()
        with open(os.path.join(self.out, "results.jsonl"), "w") as file:
            file.write(lines[0] + "\n")
            for line in lines[1:]:
                key = json.loads(line)["key"]
                right = " given " in key or " memory " in key and "depth 0.000" not in key
                cited = " memory " in key and "depth 0.5" in key
                line = line.replace('"right":0', f'"right":{int(right)}').replace('"cited":0', f'"cited":{int(cited)}')
                file.write(line + "\n")
        text = self.run_("bench", "needle", *SEES, "--quick", "--lengths", "60s", "-o", self.out)
        row = text.splitlines()[1].split()
        self.assertEqual(row[4:], ["80.0%", "0.0%", "0.0%", "100.0%", "80.0%", "25.0%", "5"])
        with open(os.path.join(self.out, "needle.json")) as file:
            self.assertEqual(json.load(file)["rows"][0]["share"], 0.8)
        with open(os.path.join(self.out, "films.svg")) as file:
            self.assertIn(">100</text>", file.read())

    def test_interrupted(self):
        command = [PROGRAM, "bench", "needle", *SEES, "--lengths", "8m", "--needles", "1", "-o", self.out]
        run = subprocess.Popen(command, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until = time.monotonic() + 100
        while time.monotonic() < until and (not os.path.exists(f"{self.out}/results.jsonl") or len(self.lines()) < 6):
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=250)
        self.assertEqual(run.returncode, 130)
        before = self.lines()
        self.assertGreaterEqual(len(before), 6)
        self.assertEqual(os.listdir(self.out), ["results.jsonl"])  # nothing lies about
        self.run_(*command[1:])
        after = self.lines()
        self.assertEqual(after[:len(before)], before)
        self.assertIn("kept.svg", os.listdir(self.out))
        self.assertIn("depth 0.500 keep 0.050 budget 1536 memory 1", "\n".join(after))

    def test_time(self):
        rows = json.loads(self.run_("bench", "time", *SEES, "--quick", "--lengths", "60s", "-o", self.out, "--json"))
        self.assertEqual(sorted(set(rows[0]) & {"memory", "uniform", "last", "given"}), ["given", "memory"])
        self.assertIn("right_within_a_step", rows[0]["memory"])
        self.assertEqual(json.loads(self.lines()[1])["wanted"].count(":"), 2)
        self.assertIn("other settings", self.run_("bench", "needle", *SEES, "-o", self.out, status=2))

    def test_a_model_that_sees_nothing(self):
        model = os.path.join(self.folder, "text.gguf")
        subprocess.run([RANDOM_MODEL, model, "--layers", "1", "--dim", "64", "--heads", "4", "--kv", "2", "--ffn", "64", "--vocab", "400",
                        "--ctx", "4096", "--type", "f32"], check=True, stdout=subprocess.DEVNULL)
        rows = json.loads(self.run_("bench", "needle", "-m", model, "--device", "cpu", "--quick", "--lengths", "1m,8p", "-o", self.out, "--json"))
        self.assertEqual([r["medium"] for r in rows], ["document"])
        self.assertFalse([line for line in self.lines()[1:] if "value of" in line])  # nothing that must be seen
        self.assertIn("vision", self.run_("bench", "time", "-m", model, "--quick", status=1))

    def test_a_file_is_the_hay(self):
        paper = os.path.join(os.path.dirname(GOLDEN), "..", "..", "models", "samples", "paper.pdf")
        rows = json.loads(self.run_("bench", "needle", *SEES, "--quick", "--lengths", "1m,8p", "--haystack", paper, "-o", self.out, "--json"))
        self.assertEqual([(r["medium"], r["pages"]) for r in rows], [("document", 8)])  # a document makes no film
        self.assertIn("paper.pdf", self.lines()[0])
        self.assertIn("other settings", self.run_("bench", "needle", *SEES, "--quick", "-o", self.out, status=2))
        other = os.path.join(self.folder, "other")
        self.assertIn("nothing.mp4", self.run_("bench", "needle", *SEES, "--haystack", "nothing.mp4", "-o", other, status=1))
        self.assertIn("nothing to measure", self.run_("bench", "needle", *SEES, "--haystack", paper, "--lengths", "1m", "-o", other, status=1))

    def test_refusals(self):
        for lengths in ("1x", "m", "10", "1m,,2m", "5s", "0p", "1.5p", "-1m", "1e99h"):
            self.assertIn("lengths", self.run_("bench", "needle", *SEES, "--lengths", lengths, status=2))
        self.assertIn("/proc/nothing", self.run_("bench", "needle", *SEES, "--quick", "-o", "/proc/nothing", status=1))


if __name__ == "__main__":
    PROGRAM, RANDOM_MODEL = map(os.path.abspath, sys.argv[1:3])
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
