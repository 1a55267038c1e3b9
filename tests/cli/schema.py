#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands print with --json is what docs/output.schema.json says, in every state that they tell of.
usage: schema.py PROGRAM RANDOM_MODEL"""
import copy
import json
import os
import shutil
import subprocess
import sys
import unittest

import support

try:
    import jsonschema
except ImportError:
    print("skipped: the Python package jsonschema isn't installed (python3-jsonschema)")
    sys.exit(77)

PROGRAM = RANDOM_MODEL = None
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
GOLDEN = os.path.join(ROOT, "tests", "golden", "vision")
with open(os.path.join(ROOT, "docs", "output.schema.json")) as file:
    SCHEMA = json.load(file)


def validator(command):
    return jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{command}"})


class Schema(support.Folder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.blind = ["-m", support.random_model(RANDOM_MODEL, cls.path("random.gguf")), "--device", "cpu"]
        cls.seeing = ["-m", f"{GOLDEN}/qwen3vl.f16.gguf", "--mmproj", f"{GOLDEN}/qwen3vl.mmproj.f16.gguf", "--device", "cpu"]
        cls.text = cls.write("pump.txt", "The pump has a red \"lever\".\fIts valve closes at nine bar.\f\x1b[31m\xc2\x9b")
        cls.film = cls.path("film.mkv")
        subtitles = cls.write("s.srt", "1\n00:00:01,000 --> 00:00:03,000\nthe valve is open\n\n2\n00:00:30,000 --> 00:00:34,500\nthe whistle blows\n")
        if shutil.which("ffmpeg"):
            subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=80x60:r=5:d=40", "-i", subtitles, "-c:s", "srt", cls.film],
                           check=True)

    def lines(self, command, *args, **kwargs):
        done = subprocess.run([PROGRAM, command, "--json", *args], env=self.env, timeout=120, capture_output=True, **kwargs)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
        for line in lines:
            errors = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator(command).iter_errors(line)]
            self.assertEqual(errors, [], f"{command}: {line}")
        return lines

    def test_it_is_a_schema(self):
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def test_without_pictures(self):
        self.lines("plan", self.text)
        self.assertEqual(len(self.lines("add", self.text)), 1)
        self.lines("add", self.text)
        for more in [], ["-v"]:
            self.assertTrue(self.lines("ask", *self.blind, "-n", "2", *more, self.text, "When does the valve close?")[0]["citations"])
        self.assertIsNotNone(self.lines("ask", *self.blind, "-n", "2", self.text, "giraffe?")[0]["why"])
        self.assertEqual(len(self.lines("chat", *self.blind, "-n", "2", self.text, input=b"valve?\nlever?\n")), 2)
        self.assertEqual(len(self.lines("read", *self.blind, "--chat-format", "chatml", "-n", "4", "--summary", self.text)), 4)
        shown = self.lines("show", self.text)
        self.assertEqual({line.get("segment") for line in shown}, {"page", "note", None})
        self.assertTrue(all(line["label"].startswith("notes by ") for line in shown if line.get("segment") == "note"))
        self.assertEqual(self.lines("list")[0]["file"], "here")

    def test_with_pictures(self):
        if not os.path.exists(self.film):
            self.skipTest("no ffmpeg")
        self.assertGreater(self.lines("plan", *self.seeing, self.film)[0]["tokens"], 0)
        self.assertGreater(self.lines("add", *self.seeing, self.film)[0]["encoded"], 0)
        answer = self.lines("ask", *self.seeing, "--raw", "-n", "2", "--look", "1", self.film, self.text, "When is the valve open?")[0]
        self.assertTrue(any("look" in c for c in answer["citations"]))
        silent = self.path("silent.mkv")
        subprocess.run(["ffmpeg", "-v", "error", "-i", self.film, "-sn", "-c", "copy", silent], check=True)
        seen = self.lines("ask", *self.seeing, "--raw", "-n", "2", silent, "What is shown?")[0]
        self.assertTrue(any("box" in c and c["quote"] is None for c in seen["citations"]))
        self.assertIn("a second, 25 % kept", answer["coverage"]["density"])
        self.assertLessEqual(answer["coverage"]["segments_shown"], answer["coverage"]["segments"])
        self.lines("read", *self.seeing, "--raw", "-n", "4", self.film)
        self.assertEqual({line.get("segment") for line in self.lines("show", self.film)}, {"frames", "text", "note", None})

    def test_gone_and_damaged(self):
        library = ["--library", self.path("other")]
        gone = self.path("gone.txt")
        shutil.copy(self.text, gone)
        self.lines("add", *library, gone)
        with open(gone, "a") as out:
            out.write("x")
        self.assertEqual(self.lines("list", *library)[0]["file"], "changed")
        os.remove(gone)
        self.assertEqual(self.lines("list", *library)[0]["file"], "gone")
        self.assertTrue(self.lines("ask", *self.blind, *library, "-n", "2", gone, "Where is the lever?")[0]["notes"])
        log = [os.path.join(folder, name) for folder, _, names in os.walk(library[1]) for name in names if name.endswith(".log")][0]
        with open(log, "r+b") as file:
            data = file.read()
            file.seek(data.index(b"nine bar"))
            file.write(b"NINE BAR")
        self.assertTrue(any(line.get("damaged") for line in self.lines("show", *library, gone)))

    def test_the_schema_is_strict(self):
        """Each member that is named has its type, and no other is let through."""
        answer = self.lines("ask", *self.blind, "-n", "2", self.text, "When does the valve close?")[0]
        for change in ({"extra": 1}, {"found": "yes"}, {"coverage": {}}, {"citations": [{**answer["citations"][0], "tag": "9"}]}):
            self.assertFalse(validator("ask").is_valid({**copy.deepcopy(answer), **change}), change)
        for key in answer:
            self.assertFalse(validator("ask").is_valid({k: v for k, v in answer.items() if k != key}), key)


if __name__ == "__main__":
    PROGRAM, RANDOM_MODEL = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
