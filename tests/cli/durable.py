#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a library holds of pictures lasts, whatever happens to the disk, the clock, the files and the models; and each is told in words, by add,
ask, list and show. (Killed processes: watch.py; every write refused once, and each the last: tests/engine/capped.c.)
usage: durable.py PROGRAM [--damages N]"""
import glob
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import support

PROGRAM = None
DAMAGES = 40
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "vision")


class Durable(support.Films):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.master = cls.make("master.mkv", "mandelbrot=s=96x72:r=10:end_scale=0.01", "30")
        cls.other = cls.make("other.mkv", "testsrc2=s=96x72:r=10", "20")

    @classmethod
    def make(cls, name, source, seconds):
        path = os.path.join(cls.folder, name)
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-t", seconds, "-c:v", "mpeg4", "-q:v", "3", path],
                       check=True, stdin=subprocess.DEVNULL)
        return path

    def setUp(self):
        self.library = tempfile.mkdtemp(dir=self.folder)
        self.film = os.path.join(tempfile.mkdtemp(dir=self.folder), "film.mkv")
        self.put(self.master)

    def put(self, content, age=100):
        shutil.copy(content, self.film)
        self.set_time(time.time() - age)

    def set_time(self, when):
        os.utime(self.film, (when, when))

    # ---- running it

    def run_it(self, command, *args, family="idefics3", before=(), **kwargs):
        sees = []
        if command in ("add", "ask"):
            sees = ["--mmproj", f"{GOLDEN}/{family}.mmproj.f16.gguf", "--device", "cpu", "--threads", "1"]
        if command == "add":
            sees += ["--keep", "1", "--fps", "4"]
        if command == "ask":
            sees += ["-m", f"{GOLDEN}/{family}.f16.gguf", "--raw", "-n", "2"]
        return subprocess.run([*before, PROGRAM, command, "-l", self.library, *sees, *args], env=self.env, timeout=300,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def ok(self, *args, **kwargs):
        done = self.run_it(*args, **kwargs)
        self.assertEqual((done.returncode, done.stderr), (0, b""), done.stderr)
        return done.stdout.decode()

    def json(self, command, *args, **kwargs):
        return [json.loads(line) for line in self.ok(command, "--json", *args, **kwargs).splitlines()]

    def fails(self, message, *args, **kwargs):
        done = self.run_it(*args, **kwargs)
        error = done.stderr.decode()
        self.assertEqual((done.returncode, error.count("\n")), (1, 1), error)
        self.assertIn(message, error)

    def ask(self, **kwargs):
        answer, = self.json("ask", self.film, "What is seen?", **kwargs)
        return answer

    def tokens(self):
        *segments, entry = self.json("show", self.film)
        return sum(s["tokens"] for s in segments if s["segment"] == "frames"), entry

    def check_whole(self, seconds=30):
        *segments, entry = self.json("show", self.film)
        segments = [s for s in segments if s["segment"] == "frames"]
        self.assertEqual((entry["damaged"], segments[0]["t0"]), (0, 0))
        for a, b in zip(segments, segments[1:]):
            self.assertEqual(a["t1"], b["t0"])
        self.assertAlmostEqual(segments[-1]["t1"], seconds, delta=0.2)
        self.assertEqual(sum(s["tokens"] for s in segments), entry["tokens"])

    # ---- files

    def test_moved(self):
        """Known by its bytes under any name; nothing is encoded again."""
        first, = self.json("add", self.film)
        self.assertGreater(first["encoded"], 0)
        old, self.film = self.film, self.film + "-moved"
        os.rename(old, self.film)
        again, = self.json("add", self.film)
        self.assertEqual((again["id"], again["encoded"], again["fresh"], again["file"]), (first["id"], 0, False, "renamed"))
        self.assertIn("was added before under another name", self.ok("add", shutil.copy(self.film, self.film + "-copy")))
        answer = self.ask()
        self.assertEqual((answer["notes"], answer["coverage"]["visual_tokens"] > 0), ([], True))

    def test_changed(self):
        """Its new content is another source; what the old one was stays."""
        first, = self.json("add", self.film)
        self.put(self.other, 50)
        self.assertIn("changed since", self.ok("list"))
        entry, = self.json("list")
        self.assertEqual(entry["file"], "changed")
        answer = self.ask()
        self.assertIn("has changed", answer["notes"][0])
        self.assertGreater(answer["coverage"]["visual_tokens"], 0)
        self.assertLessEqual(max(c["t1"] for c in answer["citations"]), 20.2)
        old, new = self.json("list")
        self.assertEqual((old["id"], old["tokens"]), (first["id"], first["tokens"]))
        self.assertNotEqual(new["id"], old["id"])
        self.assertEqual(self.json("show", old["id"][:12])[-1]["tokens"], first["tokens"])

    def test_deleted(self):
        first, = self.json("add", self.film)
        os.remove(self.film)
        answer = self.ask()
        self.assertIn("isn't there any more", answer["notes"][0])
        self.assertGreater(answer["coverage"]["visual_tokens"], 0)
        for command in (("list",), ("show", self.film), ("add", self.film)):
            self.assertIn("the file isn't there any more", self.ok(*command))
        self.assertEqual(self.tokens()[0], first["tokens"])
        # Another model can't look at it any more.
        self.fails("looked at by another model", "add", self.film, family="qwen2vl")
        answer = self.ask(family="qwen2vl")
        self.assertIn("looked at by another model", " ".join(answer["notes"]))
        self.assertEqual(answer["coverage"]["visual_tokens"], 0)

    def test_clock_set_back(self):
        """Times of files may lie in the future, or be those of other bytes: what could be wrong is hashed again."""
        self.set_time(time.time() + 7200)
        first, = self.json("add", self.film)
        again, = self.json("add", self.film)
        self.assertEqual((again["id"], again["encoded"]), (first["id"], 0))
        when = os.stat(self.film).st_mtime
        with open(self.film, "r+b") as file:  # the same size and time, other bytes
            file.seek(5000)
            file.write(b"other bytes")
        self.set_time(when)
        changed, = self.json("add", self.film)
        self.assertNotEqual(changed["id"], first["id"])
        self.assertEqual(len(self.json("list")), 2)
        # The same bytes with an older time than the library's are still the same source.
        shutil.copy(self.master, self.film)
        self.set_time(86400)
        again, = self.json("add", self.film)
        self.assertEqual((again["id"], again["encoded"]), (first["id"], 0))

    # ---- models

    def test_models(self):
        """Tokens of two models stay apart, and each finds its own again; so do those of a model whose weights have changed."""
        entries = {family: self.json("add", self.film, family=family)[0] for family in ("idefics3", "qwen2vl", "qwen2.5vl")}
        for family, entry in entries.items():
            again, = self.json("add", self.film, family=family)
            self.assertEqual((again["encoded"], again["tokens"], again["model"]), (0, entry["tokens"], entry["model"]))
            answer = self.ask(family=family)
            self.assertGreater(answer["coverage"]["visual_tokens"], 0)
        self.assertEqual(len({entry["model"] for entry in entries.values()}), 3)
        changed = os.path.join(self.library, "changed.gguf")
        with open(f"{GOLDEN}/idefics3.mmproj.f16.gguf", "rb") as file:
            data = bytearray(file.read())
        for i in range(len(data) * 4 // 5, len(data), 2):  # the low bits of trained weights
            data[i] ^= 1
        with open(changed, "wb") as file:
            file.write(data)
        sees = ["--mmproj", changed]
        self.assertGreater(self.json("add", self.film, *sees)[0]["encoded"], 0)
        self.assertEqual(self.json("add", self.film)[0]["encoded"], 0)  # the other one's are still there

    # ---- disks

    def test_disk_full(self):
        """A disk that is really full, while pictures are added: what there is stays, and more room lets it go on."""
        try:
            subprocess.run(["unshare", "-rm", "true"], check=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("no namespaces here to mount a small disk in")
        seen = False
        for size in (120, 180, 240, 400, 1000):  # KiB
            self.small = tempfile.mkdtemp(dir=self.folder)
            kept = os.path.join(self.folder, "kept")
            script = (f"mount -t tmpfs -o size={size}k none {self.small} && cp -r {self.library}/. {self.small}/ && "
                      f'"$0" "$@"; result=$?; rm -rf {kept}; cp -r {self.small} {kept}; exit $result')
            library, self.library = self.library, self.small
            done = self.run_it("add", "--json", self.film, before=["unshare", "-rm", "sh", "-c", script])
            self.library = library
            error = done.stderr.decode()
            if done.returncode:
                self.assertEqual((done.returncode, error.count("\n")), (1, 1), error)
                self.assertRegex(error, "No space left|disk is full")
            else:
                seen = True
            shutil.rmtree(self.library)
            os.rename(kept, self.library)
            for entry in self.json("list"):
                self.assertEqual(entry["damaged"], 0)
            if not seen and self.json("list"):
                self.run_it("show", self.film)
        self.assertTrue(seen)
        self.check_whole()
        self.assertEqual(self.json("add", self.film)[0]["encoded"], 0)

    def test_two_processes(self):
        """One adds, others ask, list and show meanwhile, and none is disturbed."""
        self.put(self.master)
        adding = subprocess.Popen([PROGRAM, "add", "-l", self.library, "--mmproj", f"{GOLDEN}/idefics3.mmproj.f16.gguf",
                                   "--device", "cpu", "--threads", "1", "--keep", "1", "--fps", "10", self.film], env=self.env,
                                  stdout=subprocess.DEVNULL)
        while adding.poll() is None and not glob.glob(os.path.join(self.library, "evidence", "*.log")):
            time.sleep(0.01)  # `ask` adds what is new, too: whoever comes first
        while adding.poll() is None:
            self.ok("list")
            done = self.run_it("ask", "--json", self.film, "What is seen?")
            if done.returncode:
                self.assertIn("another pagereel is adding it", done.stderr.decode())
            else:
                json.loads(done.stdout)
        self.assertEqual(adding.returncode, 0)
        self.check_whole()

    # ---- damage

    def test_damaged(self):
        """Bytes of a log are changed, cut off, or overwritten: whole segments are used, the rest is named, and add mends it."""
        whole, = self.json("add", self.film)
        log = os.path.join(self.library, "evidence", whole["id"] + ".log")
        with open(log, "rb") as file:
            good = file.read()
        generator = random.Random(11)
        noticed = 0
        for _ in range(DAMAGES):
            data = bytearray(good)
            at = generator.randrange(len(data))
            kind = generator.randrange(4)
            if kind == 0:
                data[at] ^= 1 << generator.randrange(8)
            elif kind == 1:
                del data[at:]
            elif kind == 2:
                data[at:at + 512] = bytes(512)[:len(data) - at]
            else:
                data[at:at + 4096] = generator.randbytes(4096)[:len(data) - at]
            with open(log, "wb") as file:
                file.write(data)
            for derived in (log.replace(".log", ".recall"), os.path.join(self.library, "keys")):
                if os.path.isdir(derived):
                    shutil.rmtree(derived)
                elif os.path.exists(derived):
                    os.remove(derived)
            shown = self.run_it("show", "--json", self.film)
            self.assertEqual(shown.returncode, 0, shown.stderr)
            *segments, entry = [json.loads(line) for line in shown.stdout.splitlines()]
            asked = self.run_it("ask", "--json", "-l", self.library, "What is seen?")  # the library as it is: nothing is added
            self.assertIn(asked.returncode, (0, 1), asked.stderr)
            if asked.returncode == 0:
                answer = json.loads(asked.stdout)
                self.assertLessEqual(answer["coverage"]["visual_tokens"], whole["tokens"])
                noticed += answer["coverage"]["damaged"] > 0
            if entry["damaged"]:
                self.assertIn("damaged", self.ok("show", self.film))
            # `add` reads all of it before it calls the film known, and looks at what was lost alone.
            mended, = self.json("add", self.film)
            self.assertEqual((mended["seen"], mended["damaged"], mended["tokens"]), (True, 0, whole["tokens"]))
            self.assertTrue(mended["fresh"] or not entry["damaged"])
            self.assertLessEqual(mended["encoded"], whole["encoded"])
            self.assertEqual(self.json("show", self.film)[-1]["damaged"], 0)
        self.assertGreater(noticed, 0)
        with open(log, "wb") as file:
            file.write(good)
        self.check_whole()


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    if "--damages" in sys.argv:
        at = sys.argv.index("--damages")
        DAMAGES = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    unittest.main(verbosity=2)
