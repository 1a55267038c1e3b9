#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""add with a model that sees: what is kept of films, pictures and pages, over the small random models of tests/golden/vision; killed,
capped, planned, shown.
usage: watch.py PROGRAM [--kills N]"""
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import support

PROGRAM = None
KILLS = 12
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "vision")


class Watch(support.Films):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.short = cls.film("short.mkv", "testsrc=s=80x60:r=10:d=7")
        cls.busy = cls.film("busy.mkv", "mandelbrot=s=96x72:r=10:end_scale=0.01", "-t", "60")
        cls.picture = os.path.join(cls.folder, "picture.png")
        cls.make("-f", "lavfi", "-i", "testsrc=s=100x70", "-frames:v", "1", cls.picture)

    @classmethod
    def make(cls, *args):
        subprocess.run(["ffmpeg", "-v", "error", *args], check=True, stdin=subprocess.DEVNULL)

    @classmethod
    def film(cls, name, source, *args):
        path = os.path.join(cls.folder, name)
        cls.make("-f", "lavfi", "-i", source, *args, "-c:v", "mpeg4", "-q:v", "3", path)
        return path

    def setUp(self):
        self.library = tempfile.mkdtemp(dir=self.folder)

    def command(self, command, *args, family="idefics3"):
        sees = ["--mmproj", f"{GOLDEN}/{family}.mmproj.f16.gguf", "--device", "cpu"] if command in ("add", "plan") else []
        return [PROGRAM, command, *(["-l", self.library] if command != "plan" else []), *sees, *args]

    def run_it(self, *args, **kwargs):
        return subprocess.run(self.command(*args, **kwargs), env=self.env, timeout=300, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)

    def json(self, command, *args, **kwargs):
        done = self.run_it(command, "--json", *args, **kwargs)
        self.assertEqual((done.returncode, done.stderr), (0, b""), done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def fails(self, status, message, *args, **kwargs):
        done = self.run_it(*args, **kwargs)
        self.assertEqual((done.returncode, done.stderr.count(b"\n")), (status, 1), done.stderr)
        self.assertIn(message, done.stderr.decode())

    def segments(self, source):
        *segments, entry = self.json("show", source)
        return [s for s in segments if s["segment"] in ("frames", "page") and s["tokens"]], entry

    def size(self):
        return sum(os.path.getsize(os.path.join(folder, f)) for folder, _, files in os.walk(self.library + "/evidence")
                   for f in files)

    def check_timeline(self, source, seconds):
        """The segments cover the film without a gap, and nothing twice."""
        segments, entry = self.segments(source)
        self.assertTrue(entry["seen"])
        self.assertEqual(entry["damaged"], 0)
        self.assertEqual(segments[0]["t0"], 0)
        for a, b in zip(segments, segments[1:]):
            self.assertEqual(a["t1"], b["t0"])
        self.assertAlmostEqual(segments[-1]["t1"], seconds, delta=0.2)
        return segments, entry

    # ---- what is kept

    def test_kept_and_known(self):
        for family in ("idefics3", "qwen2vl", "qwen2.5vl", "qwen3vl"):
            entry, = self.json("add", self.short, family=family)
            self.assertTrue(entry["fresh"] and entry["seen"] and entry["encoded"] > 0 and entry["tokens"] > 0)
            self.assertIn("25 % kept", entry["model"])
            again, = self.json("add", self.short, family=family)
            self.assertEqual((again["fresh"], again["encoded"], again["tokens"]), (False, 0, entry["tokens"]))
            self.check_timeline(self.short, 7)
        entry, = self.json("add", self.picture)
        segments, _ = self.segments(self.picture)
        self.assertEqual(sum(s["tokens"] for s in segments), entry["tokens"])

    def test_text_first(self):
        """A film that was added without a model is looked at later."""
        done = subprocess.run([PROGRAM, "add", "-l", self.library, "--json", self.short], env=self.env,
                              stdout=subprocess.PIPE, check=True)
        self.assertEqual(json.loads(done.stdout)["model"], "")
        self.assertGreater(self.json("add", self.short)[0]["encoded"], 0)

    def test_settings(self):
        few, = self.json("add", "--keep", "0.1", self.busy)
        many, = self.json("add", "--keep", "1", self.busy)
        self.assertGreater(many["tokens"], 3 * few["tokens"])
        self.assertEqual(many["tokens"], 60 * 9)
        again, = self.json("add", "--keep", "0.1", self.busy)
        self.assertEqual((again["encoded"], again["tokens"]), (0, few["tokens"]))
        self.json("add", "--fps", "4", self.busy)  # long enough to measure what thresholds mean for this encoder
        self.assertEqual(len(os.listdir(os.path.join(self.library, "calibration"))), 1)
        some, = self.json("add", "--frames", "5", "--keep", "1", self.busy)
        self.assertEqual(some["encoded"], 5)
        self.fails(2, "keep", "add", "--keep", "2", self.short)

    def test_refused(self):
        self.fails(1, "nothing-here", "add", "--mmproj", "nothing-here.gguf", self.short)
        self.fails(2, "doesn't belong to", "add", "-m", f"{GOLDEN}/qwen3vl.f16.gguf", self.short)

    # ---- caps

    def test_cap(self):
        entry, = self.json("add", "--keep", "1", "--cap", "300", self.busy)
        self.assertTrue(8 < entry["tokens"] <= 300)
        segments, _ = self.check_timeline(self.busy, 60)
        self.assertEqual(sum(s["tokens"] for s in segments), entry["tokens"])
        self.fails(1, "--cap", "add", "--fps", "2", "--cap", "4", self.busy)

    def test_disk(self):
        entry, = self.json("add", "--keep", "1", "--fps", "4", self.busy)
        full = self.size()
        self.json("add", self.picture)  # something else in the library
        subprocess.run([PROGRAM, "rm", "-l", self.library, self.busy], env=self.env, check=True)
        other, disk = self.size(), full * 2 // 3
        self.assertLess(other, disk // 3)
        adding = subprocess.Popen(self.command("add", "--keep", "1", "--fps", "4", "--disk", str(disk), self.busy),
                                  env=self.env, stdout=subprocess.DEVNULL)
        while adding.poll() is None:
            try:
                self.assertLessEqual(self.size(), disk)
            except FileNotFoundError:
                pass
            time.sleep(0.01)
        self.assertEqual(adding.returncode, 0)
        self.assertLessEqual(self.size(), disk)
        thin = [e for e in self.json("list") if e["path"] == self.busy][0]
        self.assertTrue(entry["tokens"] / 8 < thin["tokens"] < entry["tokens"] * 2 / 3, thin["tokens"])
        self.check_timeline(self.busy, 60)
        self.fails(1, "--disk", "add", "--keep", "1", "--fps", "3", "--disk", str(other + 1000), self.busy)

    def test_folder(self):
        """A folder is known by the figures of its files; bytes are read again only when those change."""
        pages = tempfile.mkdtemp(dir=self.folder)
        picture = os.path.join(pages, "1.png")
        shutil.copy(self.picture, picture)
        old = time.time() - 100
        os.utime(picture, (old, old))
        os.utime(pages, (old, old))
        first, = self.json("add", pages)
        self.assertGreater(first["encoded"], 0)
        with open(picture, "r+b") as file:  # other bytes under the same figures: seen only by reading them
            file.seek(-1, os.SEEK_END)
            file.write(b"x")
        os.utime(picture, (old, old))
        again, = self.json("add", pages)
        self.assertEqual((again["id"], again["encoded"]), (first["id"], 0))
        os.utime(picture, (old + 1, old + 1))
        changed, = self.json("add", pages)
        self.assertNotEqual(changed["id"], first["id"])

    # ---- shown

    def test_sheet(self):
        pages = os.path.join(self.folder, "pages")
        os.makedirs(pages, exist_ok=True)
        for i in range(3):
            shutil.copy(self.picture, os.path.join(pages, f"{i}.png"))
        for source in (self.busy, pages):
            sheet = os.path.join(self.folder, "sheet.png")
            self.json("add", source)
            *segments, entry = self.json("show", "--sheet", sheet, source)
            with open(sheet, "rb") as file:
                self.assertTrue(file.read().startswith(b"\x89PNG"))
            os.remove(sheet)
            self.assertEqual(entry["raw"], sum(s["raw"] for s in segments))
            self.assertTrue(entry["frames"] > 0 and entry["raw"] >= entry["tokens"])
        self.fails(1, "/no/folder", "show", "--sheet", "/no/folder/a.png", self.busy)

    # ---- planned

    def peak(self, command):
        """The object that it prints, and the most resident bytes of the program or one of its workers. (What the system says when a process has
        ended begins with this test's own memory, which it was forked from.)"""
        peak = 0
        with subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE) as process:
            while process.poll() is None:
                for pid in [process.pid, *self.read(f"/proc/{process.pid}/task/{process.pid}/children").split()]:
                    found = re.search(r"VmHWM:\s*(\d+)", self.read(f"/proc/{pid}/status"))
                    peak = max(peak, 1024 * int(found[1]) if found else 0)
                time.sleep(0.002)
            self.assertEqual(process.returncode, 0, command)
            return json.loads(process.stdout.read()), peak

    @staticmethod
    def read(path):
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except OSError:
            return ""  # it has ended

    def check_memory(self, planned, happened):
        """Never too little, and hardly too much."""
        with open(PROGRAM, "rb") as program:
            if b"__asan_init" in program.read():
                return  # a sanitizer keeps what was freed
        self.assertTrue(happened <= planned <= 1.1 * happened + (10 << 20), (planned, happened))

    def test_plan(self):
        long = self.film("long.mkv", "testsrc2=s=96x72:r=2", "-t", "600")
        for args, source in (([], self.busy), (["--keep", "1"], self.busy), (["--frames", "20"], self.busy),
                             ([], self.picture), ([], long)):
            plan, = self.json("plan", *args, source)
            start = time.monotonic()
            entry, memory = self.peak(self.command("add", "--json", *args, source))
            seconds = time.monotonic() - start
            print(f"planned {plan['encoded']} runs, {plan['tokens']} tokens, {plan['bytes']} bytes, {plan['memory'] >> 20} MiB, "
                  f"{plan['seconds']:.1f} s; it was {entry['encoded']}, {entry['tokens']}, {entry['bytes']}, {memory >> 20}, {seconds:.1f}")
            for planned, happened in ((plan["encoded"], entry["encoded"]), (plan["tokens"], entry["tokens"])):
                self.assertTrue(0.75 * happened - 1 <= planned <= 1.25 * happened + 1, (plan, entry, memory))
            self.check_memory(plan["memory"], memory)
            self.assertEqual((plan["ask_memory"], plan["device_memory"]), (0, 0))
            self.assertTrue(0 < plan["seconds"] < 120)  # others use this machine, too
        done = subprocess.run([PROGRAM, "plan", "--json", self.busy], env=self.env, stdout=subprocess.PIPE, check=True)
        self.assertEqual(json.loads(done.stdout)["encoded"], 0)

    def test_plan_of_asking(self):
        """What a question takes is told from the opened model, with pictures and without."""
        text = os.path.join(self.folder, "page.txt")
        with open(text, "w", encoding="utf-8") as file:
            file.writelines(f"On day {n} the red lever of pump {n % 7} was moved.\n" for n in range(4000))
        for family in ("idefics3", "qwen2vl"):
            model = ["-m", f"{GOLDEN}/{family}.f16.gguf", "--device", "cpu"]
            for source, more in ((self.busy, ["--mmproj", f"{GOLDEN}/{family}.mmproj.f16.gguf"]), (text, [])):
                plan, _ = self.peak([PROGRAM, "plan", "--json", *model, *more, source])
                entry, adding = self.peak([PROGRAM, "add", "-l", self.library, "--json", *model, *more, source])
                answer, asking = self.peak([PROGRAM, "ask", "-l", self.library, "--json", "-n", "16", *model, *more, source,
                                             "On which day was the red lever moved?"])
                print(f"{family}: planned {plan['memory'] >> 10} and {plan['ask_memory'] >> 10} KiB, it was {adding >> 10} and "
                      f"{asking >> 10} with a prompt of {answer['coverage']['prompt_tokens']} tokens")
                self.assertEqual(entry["encoded"] > 0, source == self.busy)
                self.check_memory(plan["memory"], adding)
                self.check_memory(plan["ask_memory"], asking)

    # ---- killed and stopped

    def test_killed(self):
        """Killed at random moments, it goes on each time and is whole in the end."""
        add = ["--keep", "0.5", "--fps", "8", self.busy]
        start = time.monotonic()
        whole, = self.json("add", *add)
        seconds = time.monotonic() - start
        segments, _ = self.check_timeline(self.busy, 60)
        shutil.rmtree(self.library)
        os.mkdir(self.library)
        generator = random.Random(5)
        killed = 0
        while killed < KILLS:
            adding = subprocess.Popen(self.command("add", "--json", *add), env=self.env, stdout=subprocess.PIPE)
            try:
                out, _ = adding.communicate(timeout=generator.uniform(0.05, 0.9) * seconds)
                if not json.loads(out)["fresh"] or generator.random() < 0.5:
                    shutil.rmtree(self.library)  # it was done in time: again from the start
                    os.mkdir(self.library)
            except subprocess.TimeoutExpired:
                adding.send_signal(signal.SIGKILL)
                adding.communicate()
                killed += 1
            done = subprocess.run([PROGRAM, "list", "-l", self.library, "--json"], env=self.env, check=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for line in done.stdout.splitlines():
                self.assertEqual(json.loads(line)["damaged"], 0)
        self.json("add", *add)
        _, entry = self.check_timeline(self.busy, 60)
        self.assertTrue(0.8 * whole["tokens"] < entry["tokens"] < 1.3 * whole["tokens"])

    def test_interrupted(self):
        adding = subprocess.Popen(self.command("add", "--keep", "1", "--fps", "10", self.busy), env=self.env,
                                  stderr=subprocess.PIPE)
        time.sleep(0.8)
        adding.send_signal(signal.SIGINT)
        _, error = adding.communicate()
        if adding.returncode != 0:
            self.assertEqual(adding.returncode, 130, error)
        self.json("add", "--keep", "1", "--fps", "10", self.busy)
        segments, entry = self.check_timeline(self.busy, 60)
        self.assertEqual(entry["tokens"], 600 * 9)

    def test_terminal(self):
        """On a terminal: how far it is and how long it takes yet; Ctrl-C leaves what was done, and the next one goes on from there."""
        add = ["--keep", "1", "--fps", "10", self.busy]
        whole, = self.json("add", *add)
        shutil.rmtree(self.library)
        os.mkdir(self.library)
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(PROGRAM, self.command("add", *add), self.env)
        shown = b""
        while not re.search(rb"busy\.mkv: looking at its pictures, [3-9]\d %, [\d.]+ (s|min) left", shown):
            shown += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        try:
            while piece := os.read(terminal, 4096):
                shown += piece
        except OSError:  # the other end is closed
            pass
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 130)
        self.assertIn(b"What was done stays; add it again to go on from there.", shown)
        self.assertTrue(shown.endswith(b"pagereel: interrupted\r\n"), shown[-100:])
        rest, = self.json("add", *add)
        print(f"interrupted on a terminal: {whole['encoded'] - rest['encoded']} of {whole['encoded']} frames needn't be looked at again")
        self.assertLess(rest["encoded"], 0.9 * whole["encoded"])
        _, entry = self.check_timeline(self.busy, 60)
        self.assertEqual(entry["tokens"], whole["tokens"])

    def test_damaged(self):
        """What lies before the damage isn't looked at again."""
        add = ["--keep", "1", "--fps", "5", self.busy]
        whole, = self.json("add", *add)
        log, = [os.path.join(self.library, "evidence", f) for f in os.listdir(self.library + "/evidence") if f.endswith(".log")]
        with open(log, "r+b") as file:
            data = file.read()
            at = [i for i in range(64, len(data), 64) if data[i:i + 8] == b"PRec\3\0\0\0"]
            self.assertGreater(len(at), 3)
            file.seek(at[-2] + 9)  # the head of the last segment but one
            file.write(b"\xff")
        mended, = self.json("add", *add)
        self.assertTrue(mended["fresh"] and mended["seen"])
        self.assertTrue(0 < mended["encoded"] < 0.75 * whole["encoded"], mended["encoded"])
        self.assertEqual(mended["tokens"], whole["tokens"])
        self.check_timeline(self.busy, 60)

    def test_two_at_once(self):
        """Two processes on one film: one adds, the other says so; both films of two processes are there."""
        commands = [self.command("add", "--keep", "1", "--fps", "5", film) for film in (self.busy, self.busy, self.short)]
        running = [subprocess.Popen(c, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for c in commands]
        results = [(p.communicate()[1].decode(), p.returncode) for p in running]
        self.assertEqual(results[2][1], 0, results[2])
        self.assertIn(0, (results[0][1], results[1][1]))
        for error, status in results[:2]:
            if status:
                self.assertIn("another pagereel is adding it", error)
        self.json("add", "--keep", "1", "--fps", "5", self.busy)
        self.check_timeline(self.busy, 60)
        self.check_timeline(self.short, 7)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    if "--kills" in sys.argv:
        at = sys.argv.index("--kills")
        KILLS = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    unittest.main(verbosity=2)
