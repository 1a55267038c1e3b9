#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The reading pass over 600 pages: its memory doesn't grow, its notes have spans, are found by questions as a model's words, and are condensed.
usage: reading.py PROGRAM RANDOM_MODEL [MODEL [PAGES]]: with the real MODEL instead of a random one"""
import json
import statistics
import subprocess
import sys
import unittest

import support

PROGRAM = MODEL = None
PAGES = 600
WORDS = "pump valve lever whistle train kitchen table bell bridge river engine boiler captain window garden ladder".split()


def page(i):
    lines = [f"The {WORDS[(i * k) % 16]} of room {i} stands beside the {WORDS[(i + k * k) % 16]} number {i * k}." for k in range(1, 16)]
    return f"Chapter {i}\n" + "\n".join(lines)


class Reading(support.Folder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = MODEL
        if not MODEL.endswith(".gguf"):
            cls.model = support.random_model(MODEL, cls.path("random.gguf"))
        cls.book = cls.write("book.txt", "\f".join(page(i) for i in range(1, PAGES + 1)))

    def lines(self, *args):
        done = subprocess.run([PROGRAM, *args], env=self.env, capture_output=True, timeout=3600)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def test_reading(self):
        args = ["-m", self.model, "--device", "cpu", "--chat-format", "chatml", "--json", self.book]
        reading = subprocess.Popen([PROGRAM, "read", "-n", "12", *args], env=self.env, stdout=subprocess.PIPE)
        resident = []
        for i in range(1, PAGES + 1):
            note = json.loads(reading.stdout.readline())
            self.assertEqual((note["page"], note["fresh"]), (i, True))
            with open(f"/proc/{reading.pid}/status") as status:
                kib = dict(line.split(":") for line in status.read().splitlines())
            resident.append(int(kib["RssAnon"].split()[0]) / 1024)
        self.assertEqual(reading.wait(timeout=60), 0)
        tenth = PAGES // 10  # medians: planned passes of other shapes come and go
        early, late = statistics.median(resident[:tenth]), statistics.median(resident[-tenth:])
        print(f"{PAGES} pages: {early:.1f} MiB of its own in the first tenth, {late:.1f} in the last, {max(resident):.1f} at the most",
              file=sys.stderr)
        self.assertLess(late, 1.05 * early + 1)
        reading.stdout.close()
        notes = [line for line in self.lines("show", "--json", self.book) if line.get("segment") == "note"]
        self.assertEqual([(n["page"], n["label"].startswith("notes by ")) for n in notes], [(i, True) for i in range(1, PAGES + 1)])
        answer = self.lines("ask", "-n", "8", *args, "What is this book about?")[0]
        told = [c for c in answer["citations"] if c["note"]]
        self.assertTrue(told)
        self.assertTrue(all(c["quote"] is None for c in told))
        again = self.lines("read", "-n", "12", "--summary", *args)
        self.assertFalse(any(n["fresh"] for n in again[:-1]))
        self.assertIn("summary", again[-1])


if __name__ == "__main__":
    PROGRAM, MODEL = sys.argv[1:3]
    if len(sys.argv) > 3:
        MODEL = sys.argv[3]
    if len(sys.argv) > 4:
        PAGES = int(sys.argv[4])
    unittest.main(argv=sys.argv[:1])
