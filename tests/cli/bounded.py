#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Films of different lengths take the same memory, and time and disk in proportion; under a cap the disk stays below it at every moment;
a film that hardly changes takes hardly anything. usage: bounded.py PROGRAM [--minutes N] (the shortest film; the others are 6 and 24
times as long)"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = None
MINUTES = 1
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "vision")


class Bounded(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("ffmpeg"):
            print("skipped: the ffmpeg program makes the films of this test")
            raise unittest.SkipTest("no ffmpeg")
        cls.folder = tempfile.mkdtemp(prefix="pagereel-bounded-")
        cls.env = {"HOME": cls.folder, "PATH": os.environ["PATH"]}
        cls.films = {1: cls.make("1.mkv", "-f", "lavfi", "-i", "testsrc2=s=96x72:r=2", "-t", str(60 * MINUTES))}
        for times in (6, 24):
            name = cls.path("list")
            with open(name, "w", encoding="utf-8") as file:
                file.write(f"file '{cls.films[1]}'\n" * times)
            cls.films[times] = cls.make(f"{times}.mkv", "-f", "concat", "-safe", "0", "-i", name, copy=True)
        cls.still = cls.make("still.mkv", "-f", "lavfi", "-i", "testsrc=s=96x72:r=1/60", "-t", str(60 * 24 * MINUTES))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def make(cls, name, *args, copy=False):
        codec = ["-c", "copy"] if copy else ["-c:v", "mpeg4", "-q:v", "8"]
        subprocess.run(["ffmpeg", "-v", "error", *args, *codec, cls.path(name)], check=True, stdin=subprocess.DEVNULL)
        return cls.path(name)

    def add(self, film, *args, watch=None):
        """The entry, peak resident KiB, and seconds of computing."""
        library = tempfile.mkdtemp(dir=self.folder)
        adding = subprocess.Popen([PROGRAM, "add", "-l", library, "--mmproj", f"{GOLDEN}/idefics3.mmproj.f16.gguf", "--device",
                                   "cpu", "--threads", "1", "--json", *args, film], env=self.env, stdout=subprocess.PIPE)
        most = 0
        while watch and adding.poll() is None:
            sizes = 0
            for folder, _, names in os.walk(library + "/evidence"):
                for name in names:
                    try:
                        sizes += os.path.getsize(os.path.join(folder, name))
                    except FileNotFoundError:
                        pass
            most = max(most, sizes)
            time.sleep(0.005)
        out = adding.stdout.read()
        adding.stdout.close()
        usage = None
        if adding.returncode is None:
            _, adding.returncode, usage = os.wait4(adding.pid, 0)
        self.assertEqual(adding.returncode, 0)
        shutil.rmtree(library)
        return json.loads(out), usage.ru_maxrss if usage else 0, usage.ru_utime if usage else 0, most

    def test_lengths(self):
        results = {times: self.add(film) for times, film in self.films.items()}
        for times, (entry, memory, seconds, _) in results.items():
            print(f"{times * MINUTES} min: {entry['encoded']} frames, {entry['tokens']} tokens, {entry['bytes']} bytes, "
                  f"{memory} KiB, {seconds:.2f} s of computing")
        short, middle, long = (results[times] for times in (1, 6, 24))
        for result in (middle, long):
            self.assertLess(result[1], 1.05 * short[1])
        self.assertAlmostEqual(long[0]["encoded"], 4 * middle[0]["encoded"], delta=10)
        self.assertLess(long[0]["bytes"], 4.4 * middle[0]["bytes"])
        self.assertLess(long[2], 4 * 1.25 * middle[2])  # CPU time on a machine that others use, too

    def test_capped(self):
        free, _, _, _ = self.add(self.films[6])
        entry, _, _, most = self.add(self.films[24], "--disk", str(free["bytes"]), watch=True)
        self.assertTrue(entry["seen"])
        self.assertLessEqual(most, free["bytes"])
        print(f"disk: at most {most} of {free['bytes']} bytes")

    def test_still(self):
        entry, _, _, _ = self.add(self.still)
        self.assertLess(entry["tokens"], 24 * MINUTES * 9)
        print(f"{24 * MINUTES} min with a new picture each minute: {entry['encoded']} frames, {entry['tokens']} tokens")


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    if "--minutes" in sys.argv:
        at = sys.argv.index("--minutes")
        MINUTES = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    unittest.main(verbosity=2)
