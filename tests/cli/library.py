#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""add, list, show, rm, plan, and ask over what they keep: known again, gone on with, killed, full, damaged.
usage: library.py PROGRAM RANDOM_MODEL"""
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import support

PROGRAM = RANDOM_MODEL = None
SUBTITLES = """1
00:00:01,000 --> 00:00:03,500
We open the valve slowly.

2
00:00:05,250 --> 00:00:07,125
The tomato story ends.

3
00:00:08,000 --> 00:00:08,003
\u65e5\u672c\u306e\u9996\u90fd\u306f\u6771\u4eac\u3067\u3059
"""


class Library(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pagereel-library-")
        self.env = support.environment(self.folder)
        self.text = self.write("pumps.txt", "The pump is started with the red lever.\n\fIts valve closes at nine bar.\n\f")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, age=100):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.utime(path, (time.time() - age,) * 2)
        return path

    def film(self, chapters=False):
        if not shutil.which("ffmpeg"):
            self.skipTest("the ffmpeg program makes the film of this test")
        self.write("film.srt", SUBTITLES)
        meta = self.write("meta", ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=4000\ntitle=Introducing wombats\n")
        film = self.path("film.mkv")
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=red:s=64x48:r=5:d=10", "-i", meta,
                        "-map_metadata", "1", "-c:v", "libx264", film], check=True)
        return film

    def pagereel(self, *args, **kwargs):
        return subprocess.run([PROGRAM, *args], env=self.env, timeout=120, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **kwargs)

    def ok(self, *args):
        done = self.pagereel(*args)
        self.assertEqual((done.returncode, done.stderr), (0, b""), done.stderr)
        return done.stdout.decode()

    def json(self, *args):
        return [json.loads(line) for line in self.ok(args[0], "--json", *args[1:]).splitlines()]

    def fails(self, status, message, *args, **kwargs):
        done = self.pagereel(*args, **kwargs)
        error = done.stderr.decode()
        self.assertEqual((done.returncode, error.count("\n"), done.stdout), (status, 1, b""), error)
        self.assertIn(message, error)

    def ask(self, *args):
        model = self.path("random.gguf")
        if not os.path.exists(model):
            subprocess.run([RANDOM_MODEL, model, "--layers", "2", "--dim", "64", "--heads", "4", "--kv", "2", "--ffn", "128",
                            "--vocab", "400", "--ctx", "4096", "--type", "f32"], check=True, stdout=subprocess.DEVNULL)
        return self.json("ask", "-m", model, "--device", "ref", "--raw", "-n", "2", *args)[0]

    # ---- what is kept

    def test_add(self):
        self.assertEqual([e["fresh"] for e in self.json("add", self.text)], [True])
        entry, = self.json("add", self.text)
        self.assertEqual((entry["fresh"], entry["complete"], entry["pages"], entry["segments"]), (False, True, 2, 2))
        self.assertTrue(os.path.exists(self.path(".local/share/pagereel/evidence/" + entry["id"] + ".log")))
        copy = self.path("copy.txt")
        shutil.copy(self.text, copy)
        self.assertEqual(self.json("add", copy)[0]["file"], "renamed")
        self.assertEqual(len(self.json("list")), 1)
        segments = self.json("show", entry["id"][:8])
        self.assertEqual([s["page"] for s in segments[:-1]], [1, 2])
        self.assertEqual(segments[1]["text"], "Its valve closes at nine bar.")
        self.ok("rm", self.text)
        self.assertEqual(self.json("list"), [])
        self.fails(1, "isn't in the library", "show", self.text)
        self.fails(1, "isn't in the library", "rm", entry["id"])

    def test_library_folder(self):
        self.ok("add", "--library", self.path("other"), self.text)
        self.assertEqual(self.json("list"), [])
        self.assertEqual(len(self.json("list", "-l", self.path("other"))), 1)
        self.fails(1, "can't be made", "list", "--library", self.text + "/x")

    def test_film(self):
        film = self.film()
        entry, = self.json("add", film)
        self.assertEqual((entry["kind"], entry["duration"], entry["complete"]), ("video", 10, True))
        segments = self.json("show", film)
        self.assertEqual([s["segment"] for s in segments[:-1]], ["outline", "text"])
        self.assertEqual((segments[1]["t0"], segments[1]["t1"], segments[1]["lines"]), (1, 8.003, 3))
        answer = self.ask(film, "\u9996\u90fd?")
        self.assertEqual(answer["citations"][0]["quote"], "\u65e5\u672c\u306e\u9996\u90fd\u306f\u6771\u4eac\u3067\u3059")
        self.assertEqual((answer["citations"][0]["shown_t0"], answer["citations"][0]["shown_t1"]), (1, 8.003))
        self.assertGreater(answer["citations"][0]["t0"], 1)  # its own cue
        answer = self.ask(film, self.text, "Which wombats has the valve?")
        self.assertEqual([(os.path.basename(c["source"]), c.get("page"), c.get("shown_t1")) for c in answer["citations"]],
                         [("film.mkv", None, 4), ("film.mkv", None, 8.003), ("pumps.txt", 2, None)])
        self.assertEqual((answer["coverage"]["films"], answer["coverage"]["pages"]), (1, 2))
        self.assertEqual(self.ask("--from", "9", film, "valve")["citations"], [])
        self.assertEqual(self.ask("--pages", "1", self.text, "valve")["citations"], [])
        self.assertEqual([c["page"] for c in self.ask("--pages", "2-", self.text, "valve")["citations"]], [2])

    def test_subtitles_beside(self):
        """Subtitles that are added or changed later are read, those that went away stay in the library."""
        film = self.film()
        os.rename(self.path("film.srt"), self.path("other"))
        self.json("add", film)
        self.assertEqual(self.ask(film, "tomato")["citations"], [])
        os.rename(self.path("other"), self.path("film.en.srt"))
        self.assertEqual(len(self.ask(film, "tomato")["citations"]), 1)
        self.write("film.en.srt", SUBTITLES.replace("tomato", "potato"))
        self.assertEqual(self.ask(film, "tomato")["citations"], [])
        self.assertEqual(len(self.ask(film, "potato")["citations"]), 1)
        os.remove(self.path("film.en.srt"))
        self.assertEqual(self.json("add", film)[0]["fresh"], False)
        self.assertEqual(len(self.ask(film, "potato")["citations"]), 1)

    def test_plan(self):
        plan, = self.json("plan", self.text)
        self.assertEqual((plan["kind"], plan["tokens"]), ("text", 0))
        self.assertEqual(self.json("list"), [])
        plan, = self.json("plan", self.film())
        self.assertEqual((plan["duration"], plan["units"]), (10, 1))

    # ---- asking

    def test_ask(self):
        answer = self.ask(self.text, "When does the valve close?")
        self.assertEqual([(c["page"], c["quote"]) for c in answer["citations"]], [(2, "Its valve closes at nine bar.")])
        self.assertTrue(self.ask(self.text, "giraffe?")["answer"].startswith("Not found"))
        self.assertEqual(self.ask("lever")["citations"][0]["page"], 1)  # the whole library
        self.ok("rm", self.text)
        self.fails(1, "library is empty", "ask", "-m", self.path("random.gguf"), "--device", "ref", "lever")

    def test_moved_changed_deleted(self):
        self.ok("add", self.text)
        moved = self.path("moved.txt")
        os.rename(self.text, moved)
        self.assertEqual(self.ask(moved, "lever")["notes"], [])
        answer = self.ask(self.text, "lever")
        self.assertEqual(answer["citations"][0]["page"], 1)
        self.assertIn("isn't there any more", answer["notes"][0])
        self.write("moved.txt", "The green handle starts it.")
        self.assertEqual([e["file"] for e in self.json("list")], ["changed"])
        answer = self.ask(moved, "lever handle")
        self.assertIn("has changed", answer["notes"][0])
        self.assertEqual([c["quote"] for c in answer["citations"]], ["The green handle starts it."])
        os.remove(moved)
        self.assertEqual(sorted(e["file"] for e in self.json("list")), ["gone", "gone"])
        self.assertEqual(len(self.ask(moved, "handle")["citations"]), 1)
        self.fails(1, "can't be opened", "add", self.path("never.txt"))

    # ---- what goes wrong

    def book(self, pages):
        return self.write("book.txt", "".join(f"Page {i} tells of wombat{i}.\n\f" for i in range(1, pages + 1)))

    def test_kill(self):
        """Killed over and over, add gets to the end; nothing is there twice."""
        book, killed = self.book(6000), 0
        for i in range(12):
            child = subprocess.Popen([PROGRAM, "add", book], env=self.env, stdout=subprocess.DEVNULL)
            time.sleep(random.uniform(0, 0.03 * (i + 1)))
            child.send_signal(random.choice((signal.SIGKILL, signal.SIGINT)))
            killed += child.wait() != 0
        self.ok("add", book)
        self.assertGreater(killed, 0)
        segments = self.json("show", book)
        self.assertEqual([s["page"] for s in segments[:-1]], list(range(1, 6001)))
        self.assertEqual(segments[-1]["damaged"], 0)
        self.assertEqual([c["page"] for c in self.ask(book, "wombat4321")["citations"]], [4321])

    def test_two_at_once(self):
        book = self.book(3000)
        children = [subprocess.Popen([PROGRAM, "add", book], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                    for _ in range(4)]
        for error, status in [(child.communicate()[1].decode(), child.returncode) for child in children]:
            if status:
                self.assertIn("another pagereel is adding it", error)
        self.ok("add", book)
        self.assertEqual(len(self.json("show", book)), 3001)

    def test_full_disk(self):
        book = self.book(6000)
        self.fails(1, "File too large", "add", book,
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000)))
        self.ok("add", book)
        self.assertEqual(len(self.json("show", book)), 6001)

    def test_disk_cap(self):
        self.fails(1, "--disk", "add", "--disk", "10K", self.book(1000))
        self.ok("add", "--disk", "10K", self.text)

    def test_damage(self):
        self.ok("add", self.text)
        entry, = self.json("list")
        log = self.path(".local/share/pagereel/evidence/" + entry["id"] + ".log")
        with open(log, "r+b") as file:
            at = file.read().index(b"nine bar")
            file.seek(at)
            file.write(b"FIVE")
        self.assertEqual(self.json("show", self.text)[-1]["damaged"], 1)
        answer = self.ask(self.text, "pump valve")
        self.assertEqual([c["page"] for c in answer["citations"]], [1])
        self.assertEqual(answer["coverage"]["damaged"], 1)
        with open(log, "r+b") as file:
            file.seek(200)
            file.write(b"x" * 64)
        self.ok("add", self.text)
        self.assertEqual([c["page"] for c in self.ask(self.text, "pump valve")["citations"]], [1, 2])

    def test_rebuilt(self):
        self.ok("add", self.text)
        for name in ("catalogue.db", "text.db"):
            os.remove(self.path(".local/share/pagereel/" + name))
        self.assertEqual(self.ask("lever")["citations"][0]["page"], 1)
        self.assertEqual(self.json("add", self.text)[0]["fresh"], False)


if __name__ == "__main__":
    PROGRAM, RANDOM_MODEL = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
