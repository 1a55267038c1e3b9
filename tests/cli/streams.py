#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What comes on standard input while it is made: films that flow, end early, stall. And what stands on a terminal while something is read.
usage: streams.py PROGRAM [--table]"""
import json
import os
import pty
import re
import subprocess
import sys
import time
import unittest
import zipfile

import support

SUBTITLES = "1\n00:00:00,500 --> 00:00:01,500\nfirst words\n\n2\n00:00:02,000 --> 00:00:03,250\n<i>second</i>\nline\n\n"


class Streams(support.Files):
    @classmethod
    def setUpClass(cls):
        if not support.have_ffmpeg():
            raise unittest.SkipTest("no ffmpeg")
        super().setUpClass()
        cls.write("in.srt", SUBTITLES)

    def piped(self, command, *options):
        """(exit status, lines of JSON, error, seconds) of `COMMAND | pagereel inspect --units OPTIONS -`."""
        begin = time.monotonic()
        with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, cwd=self.folder) as source:
            done = self.pagereel("inspect", "--units", *options, "-", stdin=source.stdout)
            source.stdout.close()
            source.terminate()
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode(), time.monotonic() - begin

    def test_01_live(self):
        """a film that flows at its own speed (ffmpeg -re): MPEG-TS, Matroska, WebM, MP4 in fragments"""
        for form, encoder in (("mpegts", "-c:v libx264 -preset ultrafast"), ("matroska", "-c:v libx264 -preset ultrafast"),
                              ("webm", "-c:v libvpx -deadline realtime -cpu-used 8"),
                              ("mp4", "-c:v libx264 -preset ultrafast -g 10 -movflags frag_keyframe+empty_moov")):
            status, lines, error, seconds = self.piped(f"ffmpeg -v error -re -f lavfi -i testsrc=s=64x48:r=10:d=4 {encoder} -f {form} -")
            self.assertEqual((status, error), (0, ""), form)
            self.assertEqual([line["unit"] for line in lines[1:]], 4 * ["frame"], form)
            self.assertTrue(all(abs(line["t0"] - i) < 0.15 for i, line in enumerate(lines[1:])), form)
            self.assertGreater(seconds, 2.5, form)
        self.says("4 frames of 4 s each, at their times, as they come")

    def test_02_words(self):
        """subtitles on standard input: Matroska, WebM, MP4 in fragments"""
        for form, video, text in (("matroska", "mpeg4", "srt"), ("webm", "libvpx", "webvtt"),
                                  ("mp4", "libx264 -movflags frag_keyframe+empty_moov", "mov_text")):
            status, lines, error, _ = self.piped(f"ffmpeg -v error -f lavfi -i testsrc=s=64x48:r=10:d=4 -i in.srt -c:v {video} -c:s {text} -f {form} -")
            self.assertEqual((status, error), (0, ""), form)
            texts = [(unit["t0"], unit["t1"], [line["text"] for line in unit["lines"]]) for unit in lines[1:] if unit["unit"] == "text"]
            self.assertEqual([words for _, _, words in texts], [["first words"], ["second", "line"]], form)
            self.assertAlmostEqual(texts[1][0], 2, delta=0.01)
            if form != "mp4":  # whose fragments don't say how long words stay
                self.assertAlmostEqual(texts[1][1], 3.25, delta=0.01)
            self.assertEqual(sum(unit["unit"] == "frame" for unit in lines[1:]), 4)
        self.says("come between the frames, with their times, as from a file")

    def test_03_language(self):
        """--language and --from on standard input"""
        command = "ffmpeg -v error -f lavfi -i testsrc=s=64x48:r=10:d=4 -i in.srt -c:v mpeg4 -c:s srt -metadata:s:s:0 language=ger -f matroska -"
        texts = {options: [unit["lines"][0]["text"] for unit in self.piped(command, *options)[1][1:] if unit["unit"] == "text"]
                 for options in (("--language", "en"), ("--language", "de"), ("--from", "1.8"))}
        self.assertEqual(list(texts.values()), [[], ["first words", "second"], ["second"]])
        self.says("choose as they do of a file")

    def test_04_ends_early(self):
        """a film that ends before its length: 60 % of a Matroska film of 10 s"""
        self.ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=10", "-c:v", "mpeg4", "-g", "5", "whole.mkv")
        size = os.path.getsize(self.path("whole.mkv")) * 6 // 10
        status, lines, error, _ = self.piped(f"head -c {size} whole.mkv")
        self.assertEqual(status, 0)
        self.assertRegex(error, r"^  problem: -: standard input breaks off at 0:00:0[3-8]\.\d* of 0:00:10\.\d*; what came is read\n$")
        self.assertTrue(3 < len(lines) < 10)
        read = json.loads(subprocess.run(["sh", "-c", f"head -c {size} whole.mkv | {support.PROGRAM} inspect --read --json -"], cwd=self.folder, env=self.env,
                                         check=True, stdout=subprocess.PIPE).stdout)["read"]
        self.assertEqual((read["failed"], read["frames"]), (1, len(lines) - 1))
        self.assertEqual(self.piped("cat whole.mkv")[2], "")
        self.says(f"{len(lines) - 1} frames, and “{error.strip().removeprefix('problem: ')}”")

    def test_05_stalls(self):
        """a film whose writer sleeps after 2 s"""
        self.ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=10", "-c:v", "mpeg2video", "-g", "5", "stall.ts")
        status, lines, error, seconds = self.piped("head -c 40000 stall.ts; exec sleep 60")
        self.assertEqual(status, 0, error)
        self.assertRegex(error, r"^  problem: -: standard input brought nothing, .* for 20 s at 0:00:0\d\.\d{3}; what came until then is read\n$")
        self.assertGreater(len(lines), 1)
        self.assertTrue(19 < seconds < 40, seconds)
        self.says(f"{len(lines) - 1} frames, and after 20 s “{error.strip().removeprefix('problem: ')}”")

    def test_06_add(self):
        """`pagereel add -`"""
        self.says("“" + self.fails(2, "standard input", "add", "-").removeprefix("pagereel: ") + "”")

    # ---- on a terminal

    def on_terminal(self, *args):
        """What stands on standard error, which is a terminal; standard output goes to a file."""
        master, slave = pty.openpty()
        with open(self.path("out"), "wb") as out, subprocess.Popen([support.PROGRAM, *args], env=self.env, stdin=subprocess.DEVNULL, stdout=out,
                                                                   stderr=slave) as process:
            os.close(slave)
            shown = b""
            while True:
                try:
                    data = os.read(master, 4096)
                except OSError:  # the program is gone
                    data = b""
                if not data:
                    break
                shown += data
        os.close(master)
        self.assertEqual(process.returncode, 0)
        with open(self.path("out"), "rb") as file:
            return shown.decode(), file.read()

    def test_10_progress(self):
        """how far and how long yet: inspect, sheet and add on a terminal, and in a pipe"""
        film = self.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=60", "-c:v", "libx264", "-preset", "ultrafast", "long.mp4")
        one, pages = self.ffmpeg("-i", film, "-frames:v", "1", "one.png"), self.path("many.cbz")
        with zipfile.ZipFile(pages, "w") as out:
            for i in range(400):
                out.write(one, f"{i}.png")
        for words in (["sheet", "--frames", "200", film, "-o", self.path("sheet.png")], ["add", "--library", self.path("library"), pages],
                      ["inspect", "--read", "--fps", "25", film]):
            shown, out = self.on_terminal(*words)
            said = re.search(r"(long\.mp4|many\.cbz): reading, \d+ %, \d+(\.\d)? (s|min) left", shown)
            self.assertTrue(said, words)
            self.assertTrue(shown.endswith("\r\x1b[K"), "the line is taken away at the end")
            self.assertNotIn(b"left", out)
            parts = [int(part) for part in re.findall(r"reading, (\d+) %", shown)]
            self.assertLess(parts[0], parts[-1])
        self.ok("inspect", "--read", film)  # nothing on standard error
        self.says(f"“{said[0]}”, taken away at the end; nothing of it in a pipe")


if __name__ == "__main__":
    support.main(sys.modules[__name__])
