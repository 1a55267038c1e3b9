#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Films of 10 minutes, 1 hour and 4 hours: add and ask take the same memory of the host and of the device, also under a limit by the system
that is just enough for the shortest; time and disk grow in proportion; under a cap the disk stays below it at every moment; 12 hours of a
new picture every 10 seconds, and of one that hardly changes, take hardly anything.
usage: bounded.py PROGRAM RANDOM_MODEL [--minutes N] (of the shortest film; the others are 6 and 24 times as long)"""
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import unittest

import support

PROGRAM = RANDOM_MODEL = None
MINUTES = 10
LENGTHS = (1, 6, 24)
MIB = 1 << 20
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "vision")
MMPROJ = f"{GOLDEN}/idefics3.mmproj.f16.gguf"


class Bounded(support.Films):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.films = {1: cls.make("1.mkv", "-f", "lavfi", "-i", "testsrc2=s=96x72:r=2", "-t", str(60 * MINUTES))}
        for times in LENGTHS[1:]:
            name = cls.path("list")
            with open(name, "w", encoding="utf-8") as file:
                file.write(f"file '{cls.films[1]}'\n" * times)
            cls.films[times] = cls.make(f"{times}.mkv", "-f", "concat", "-safe", "0", "-i", name, copy=True)
        # Weights that are more than what a pass of so small a model takes besides, as those of real ones are.
        cls.model = support.random_model(RANDOM_MODEL, cls.path("random.gguf"), "--vocab", "100000", "--ctx", "8192", "--type", "q8_0")

    @classmethod
    def make(cls, name, *args, copy=False):
        codec = ["-c", "copy"] if copy else ["-c:v", "mpeg4", "-q:v", "8"]
        subprocess.run(["ffmpeg", "-v", "error", *args, *codec, cls.path(name)], check=True, stdin=subprocess.DEVNULL)
        return cls.path(name)

    def run_it(self, *args, limit=0, may_fail=False):
        """The last object that it prints, peak resident KiB, and seconds of computing."""
        def set_limit():
            if limit:
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        process = subprocess.Popen([PROGRAM, *args], env=self.env, stdout=subprocess.PIPE, preexec_fn=set_limit,
                                   stderr=subprocess.DEVNULL if may_fail else None)
        out = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode and may_fail:
            return None
        self.assertEqual(process.returncode, 0, args)
        return json.loads(out.splitlines()[-1]), usage.ru_maxrss, usage.ru_utime

    def add(self, film, library, *more, device="cpu", **kwargs):
        return self.run_it("add", "-l", library, "--mmproj", MMPROJ, "--device", device, "--threads", "1", "--json", *more,
                           film, **kwargs)

    def ask(self, film, library, device="cpu", **kwargs):
        return self.run_it("ask", "-l", library, "-m", self.model, "--mmproj", MMPROJ, "--device", device, "--threads", "1",
                           "--budget", "1500", "--raw", "-n", "4", "--json", film, "What is seen at the end?", **kwargs)

    def library(self, times):
        """With the film of that length in it."""
        library = self.path(f"library-{times}")
        if not os.path.exists(library):
            self.add(self.films[times], library)
        return library

    def same(self, what, values, unit, share=1):
        print(f"{what}: " + ", ".join(f"{v / share:.1f}" for v in values) + f" {unit}")
        self.assertLess(max(values[1:]), 1.05 * values[0], what)

    # ---- films of different lengths

    def test_adding(self):
        def result(times):
            library = self.path("measured")
            entry, memory, seconds = self.add(self.films[times], library)
            shutil.rmtree(library)
            return entry, memory, seconds
        results = {times: result(times) for times in LENGTHS}
        for times, (entry, memory, seconds) in results.items():
            print(f"{times * MINUTES} min: {entry['encoded']} frames, {entry['tokens']} tokens, {entry['bytes']} bytes, "
                  f"{memory} KiB, {entry['device_bytes']} bytes of the device, {seconds:.2f} s of computing")
        self.same("add, resident", [results[times][1] for times in LENGTHS], "MiB", 1024)
        self.same("add, device", [results[times][0]["device_bytes"] for times in LENGTHS], "MiB", MIB)
        short, middle, long = (results[times] for times in LENGTHS)
        self.assertAlmostEqual(long[0]["encoded"], 4 * middle[0]["encoded"], delta=10)
        self.assertLess(long[0]["bytes"], 4.4 * middle[0]["bytes"])
        # Computing time on a machine that others use, too: the least of some.
        times_of = {times: [results[times][2]] for times in LENGTHS}
        hours = {times: times * MINUTES / 60 for times in LENGTHS}
        for _ in range(4):
            cost = {times: (min(times_of[times]) - min(times_of[1])) / (hours[times] - hours[1]) for times in LENGTHS[1:]}
            if cost[24] <= 1.1 * cost[6]:
                break
            for times in LENGTHS:
                times_of[times].append(result(times)[2])
        print(f"computing for an hour more: {cost[6]:.2f} s in the first one, {cost[24]:.2f} s on average in four")
        self.assertLess(cost[24], 1.1 * cost[6])

    def test_asking(self):
        for device in ("cpu", "vulkan"):
            if device == "vulkan" and self.ask(self.films[1], self.library(1), "vulkan", may_fail=True) is None:
                print("skipped: no Vulkan device")
                continue
            first = [self.ask(self.films[times], self.library(times), device) for times in LENGTHS]  # makes shallow keys
            later = [self.ask(self.films[times], self.library(times), device) for times in LENGTHS]
            self.assertEqual(first[2][0]["coverage"]["segments"], 4 * first[1][0]["coverage"]["segments"] - 3)
            for what, runs in (("first question", first if device == "cpu" else later), ("later one", later)):
                self.same(f"ask on {device}, {what}, resident", [memory for _, memory, _ in runs], "MiB", 1024)
                self.same(f"ask on {device}, {what}, device", [answer["coverage"]["device_bytes"] for answer, _, _ in runs],
                          "MiB", MIB)

    def test_under_a_limit(self):
        """What limits of address space do to films of any length is the same."""
        library = self.path("limited")
        enough = None
        for limit in range(64 * MIB, 4096 * MIB, 32 * MIB):
            done = self.add(self.films[1], library, limit=limit, may_fail=True)
            if done and self.ask(self.films[1], library, limit=limit, may_fail=True):
                enough = limit
                break
        self.assertIsNotNone(enough)
        print(f"a limit of {enough >> 20} MiB of address space is enough for {MINUTES} minutes")
        for times in LENGTHS[1:]:
            entry, _, _ = self.add(self.films[times], library, limit=int(1.05 * enough))
            self.assertTrue(entry["seen"])
            self.ask(self.films[times], library, limit=int(1.05 * enough))

    # ---- caps

    def test_capped(self):
        free, _, _ = self.add(self.films[1], self.path("free"))
        library, most = self.path("capped"), 0
        adding = subprocess.Popen([PROGRAM, "add", "-l", library, "--mmproj", MMPROJ, "--device", "cpu", "--threads", "1",
                                   "--json", "--disk", str(free["bytes"]), self.films[6]], env=self.env,
                                  stdout=subprocess.PIPE)
        while adding.poll() is None:
            sizes = 0
            for folder, _, names in os.walk(library + "/evidence"):
                for name in names:
                    try:
                        sizes += os.path.getsize(os.path.join(folder, name))
                    except FileNotFoundError:
                        pass
            most = max(most, sizes)
            time.sleep(0.005)
        entry = json.loads(adding.stdout.read())
        adding.stdout.close()
        self.assertEqual(adding.returncode, 0)
        self.assertTrue(entry["seen"])
        self.assertLessEqual(most, free["bytes"])
        print(f"disk: at most {most} of {free['bytes']} bytes")

    # ---- twelve hours

    def test_twelve_hours(self):
        """A new picture every 10 seconds, and one every hour: memory is that of 10 minutes, a cap of tokens holds."""
        seldom = self.make("seldom.mkv", "-f", "lavfi", "-i", "testsrc2=s=96x72:r=1/10", "-t", str(12 * 3600))
        _, short, _ = self.add(self.films[1], self.path("short"))
        entry, memory, seconds = self.add(seldom, self.path("seldom"))
        print(f"12 h, a picture every 10 s: {entry['encoded']} frames, {entry['tokens']} tokens, {entry['bytes']} bytes, "
              f"{memory} KiB ({short} KiB of 10 min), {seconds:.1f} s of computing")
        self.assertLess(memory, 1.05 * short)
        self.assertTrue(entry["seen"] and entry["encoded"] >= 12 * 360 - 10)
        capped, memory, _ = self.add(seldom, self.path("capped-12"), "--cap", "1000")
        print(f"--cap 1000: {capped['tokens']} tokens in {capped['segments']} segments, {capped['bytes']} bytes, {memory} KiB")
        self.assertTrue(500 < capped["tokens"] <= 1000 and capped["seen"])
        self.assertLess(memory, 1.05 * short)
        still = self.make("still.mkv", "-f", "lavfi", "-i", "testsrc=s=96x72:r=1/3600", "-t", str(12 * 3600))
        entry, memory, _ = self.add(still, self.path("still"))
        print(f"12 h, a picture every hour: {entry['encoded']} frames, {entry['tokens']} tokens, {memory} KiB")
        self.assertLess(entry["encoded"], 100)
        self.assertLess(memory, 1.05 * short)


if __name__ == "__main__":
    PROGRAM, RANDOM_MODEL = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
    if "--minutes" in sys.argv:
        at = sys.argv.index("--minutes")
        MINUTES = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    unittest.main(verbosity=2)
