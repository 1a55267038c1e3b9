#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Subtitles as pagereel reads them, beside what the ffmpeg program extracts: cue by cue, for every kind of text track that ffmpeg
writes, inside films and beside them.
usage: subtitles.py PROGRAM"""
import json
import re
import shutil
import struct
import subprocess
import sys
import unittest

import support

PROGRAM = None

SRT = """1
00:00:00,500 --> 00:00:02,000
<i>Hello</i>, <b>world</b>
second <font color="#ff0000">line</font>

2
00:00:01,500 --> 00:00:03,250
overlapping & <u>more</u>

3
00:00:04,000 --> 00:00:05,125
- Who (says) so?
- Me, 3 + 4

4
00:00:06,000 --> 00:00:07,000
{\\an8}Gr\u00fc\u00dfe \u2014 \u65e5\u672c\u8a9e \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \U0001f600

5
00:00:08,000 --> 00:00:08,040
\u266a short \u266a

6
00:00:09,000 --> 00:00:11,999
one
two
three
"""

ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Bold, Italic, Alignment
Style: Default,Arial,16,&Hffffff,0,0,2

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.00,Default,Anna,0,0,0,,{\\i1}Up{\\i0}, there\\NAnd here
Dialogue: 1,0:00:01.50,0:00:02.50,Default,,0,0,0,,{\\pos(10,20)\\k20}Ka{\\k30}ra{\\k10}oke
Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,a, b, c
"""


def picture_captions(shown):
    """A stream of PGS captions: a white block on 640 x 360, from and to each of these milliseconds."""
    def segment(kind, at, body):
        return b"PG" + struct.pack(">IIBH", at * 90, 0, kind, len(body)) + body

    row, out = b"\x00\xa0\x01\x00\x00", b""  # 32 pixels of colour 1
    window = struct.pack(">BBHHHH", 1, 0, 300, 300, 32, 16)
    for i, (begin, end) in enumerate(shown):
        out += segment(0x16, begin, struct.pack(">HHBHBBBBHBBHH", 640, 360, 0x10, 2 * i, 0x80, 0, 0, 1, 0, 0, 0, 300, 300))
        out += segment(0x17, begin, window) + segment(0x14, begin, b"\0\0\x01\xeb\x80\x80\xff")
        out += segment(0x15, begin, struct.pack(">HBBBHHH", 0, 0, 0xc0, 0, 16 * len(row) + 4, 32, 16) + 16 * row)
        out += segment(0x80, begin, b"")
        out += segment(0x16, end, struct.pack(">HHBHBBBB", 640, 360, 0x10, 2 * i + 1, 0, 0, 0, 0)) + segment(0x17, end, window)
        out += segment(0x80, end, b"")
    return out


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout.decode()


def seconds(text):
    h, m, s = text.replace(",", ".").split(":")
    return 3600 * int(h) + 60 * int(m) + float(s)


def cues_of_ffmpeg(path, stream):
    """(begin, end, lines) of each cue, by ffmpeg's own extraction to SRT, without its markup."""
    text, cues = run("ffmpeg", "-v", "error", "-i", path, "-map", f"0:{stream}", "-f", "srt", "-"), []
    for block in re.split(r"\n\n(?=\d+\n\d+:)", text.strip("\n")):
        lines = block.split("\n")
        begin, end = map(seconds, lines[1].split(" --> "))
        plain = [re.sub(r"<[^>]*>|\{\\[^}]*\}", "", line).strip() for line in lines[2:]]
        cues.append((begin, end, [line for line in plain if line]))
    return cues


class Subtitles(support.Films):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, text in ("in.srt", SRT), ("in.ass", ASS):
            cls.write(name, text)
        picture = ["-v", "error", "-f", "lavfi", "-i", "color=black:s=64x32:r=5:d=13"]
        run("ffmpeg", *picture, "-c:v", "mpeg4", cls.path("film.mkv"))
        run("ffmpeg", *picture, "-c:v", "libvpx", "-b:v", "50k", cls.path("film.webm"))

    def texts(self, path, *options):
        """The streams, and (stream, begin, end, lines) of each piece of text."""
        out = run(PROGRAM, "inspect", "--units", "--pixels", "0", "--frames", "1", *options, path)
        units = [json.loads(line) for line in out.splitlines()]
        return units[0], [(u["stream"], u["t0"], u["t1"], [line["text"].strip() for line in u["lines"]]) for u in units[1:]
                          if u["unit"] == "text"]

    def compare(self, path, stream, texts):
        theirs, ours = cues_of_ffmpeg(path, stream), [text[1:] for text in texts if text[0] == stream]
        self.assertGreaterEqual(len(theirs), 3, path)
        self.assertEqual([lines for _, _, lines in ours], [lines for _, _, lines in theirs], path)
        for (begin, end, _), (their_begin, their_end, _) in zip(ours, theirs):
            self.assertAlmostEqual(begin, their_begin, delta=0.0011, msg=path)
            self.assertAlmostEqual(end, their_end, delta=0.0011, msg=path)

    def test_inside(self):
        """Every text codec in every container that takes it, from both sources."""
        for source in "in.srt", "in.ass":
            for name, film, codec in (("a.mkv", "film.mkv", "srt"), ("b.mkv", "film.mkv", "ass"), ("c.mkv", "film.mkv", "webvtt"),
                                      ("d.mkv", "film.mkv", "text"), ("e.webm", "film.webm", "webvtt"), ("f.mp4", "film.mkv", "mov_text"),
                                      ("g.mov", "film.mkv", "mov_text"), ("h.mkv", "film.mkv", "ssa")):
                made = self.path(source[3:] + name)
                run("ffmpeg", "-v", "error", "-i", self.path(film), "-i", self.path(source), "-map", "0", "-map", "1", "-c:v", "copy",
                    "-c:s", codec, made)
                with self.subTest(source=source, name=name, codec=codec):
                    self.compare(made, 1, self.texts(made)[1])

    def test_fragments(self):
        """MP4 in fragments doesn't say how long words stay: until the next ones, or none, come. (ffmpeg gives them no length.)"""
        made = self.path("fragments.mp4")
        run("ffmpeg", "-v", "error", "-i", self.path("film.mkv"), "-i", self.path("in.srt"), "-map", "0", "-map", "1", "-c:v", "copy", "-c:s",
            "mov_text", "-movflags", "frag_keyframe+empty_moov", made)
        run("ffmpeg", "-v", "error", "-i", self.path("film.mkv"), "-i", self.path("in.srt"), "-map", "0", "-map", "1", "-c:v", "copy", "-c:s",
            "mov_text", self.path("whole.mp4"))
        info, texts = self.texts(made)
        whole = self.texts(self.path("whole.mp4"))[1]
        for i, (text, same) in enumerate(zip(texts, whole, strict=True)):
            self.assertEqual(text[3], same[3])
            self.assertAlmostEqual(text[1] + info["start"], same[1], delta=0.0011)
            ends = [same[2]] + [other[1] for other in whole[i + 1:i + 2]]
            self.assertTrue(any(abs(text[2] + info["start"] - end) < 0.0011 for end in ends), text)

    def test_tracks_apart(self):
        """Three languages, a late start of the film, and the choice of one."""
        made = self.path("three.mkv")
        run("ffmpeg", "-v", "error", "-i", self.path("film.mkv"), "-i", self.path("in.srt"), "-i", self.path("in.ass"), "-i",
            self.path("in.srt"), "-map", "0", "-map", "1", "-map", "2", "-map", "3", "-c:v", "copy", "-c:s:0", "srt", "-c:s:1", "ass",
            "-c:s:2", "webvtt", "-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=ger", "-metadata:s:s:2", "language=jpn",
            made)
        info, texts = self.texts(made)
        self.assertEqual([s["language"] for s in info["streams"]], ["", "eng", "ger", "jpn"])
        for stream in 1, 2, 3:
            self.compare(made, stream, texts)
        for language, stream in ("de", 2), ("deu", 2), ("ja", 3), ("en-GB", 1):
            self.assertEqual({text[0] for text in self.texts(made, "--language", language)[1]}, {stream})

    def test_beside(self):
        """Side files of each kind, whose language stands in their name."""
        shutil.copy(self.path("film.mkv"), self.path("side.mkv"))
        names = {"side.srt": ("in.srt", "srt"), "side.en.vtt": ("in.srt", "webvtt"), "side.de.ass": ("in.srt", "ass"),
                 "side.pt-BR.forced.srt": ("in.ass", "srt"), "side.ja.ssa": ("in.ass", "ass")}
        for name, (source, codec) in names.items():
            run("ffmpeg", "-v", "error", "-i", self.path(source), "-c:s", codec, "-f", codec, self.path(name))
        info, texts = self.texts(self.path("side.mkv"))
        files = {s["file"]: (s["number"], s["language"]) for s in info["streams"] if "file" in s}
        self.assertEqual({name: language for name, (_, language) in files.items()},
                         {"side.srt": "", "side.en.vtt": "en", "side.de.ass": "de", "side.pt-BR.forced.srt": "pt-BR", "side.ja.ssa": "ja"})
        for name, (number, _) in files.items():
            self.compare(self.path(name), 0, [(0,) + text[1:] for text in texts if text[0] == number])

    def test_braces(self):
        """What looks like markup and is text."""
        with open(self.path("braces.srt"), "w", encoding="utf-8") as file:
            file.write("1\n00:00:01,000 --> 00:00:02,000\nIf {x} then y\n\n")
        for codec in "srt", "webvtt", "mov_text":
            made = self.path(codec + (".mp4" if codec == "mov_text" else ".mkv"))
            run("ffmpeg", "-v", "error", "-i", self.path("film.mkv"), "-i", self.path("braces.srt"), "-map", "0", "-map", "1", "-c:v", "copy",
                "-c:s", codec, made)
            self.assertEqual(self.texts(made)[1], [(1, 1, 2, ["If {x} then y"])], codec)

    def test_pictures(self):
        """Captions that are pictures are named as present and unread, beside others that are read. The DVD's stay for ever, by what
        their track says: the film doesn't."""
        with open(self.path("captions.sup"), "wb") as file:
            file.write(picture_captions([(1000, 2500), (3000, 5000)]))
        film, made = ["-v", "error", "-i", self.path("film.mkv"), "-i", self.path("captions.sup")], self.path("pictures.mkv")
        run("ffmpeg", *film, "-i", self.path("in.srt"), "-map", "0", "-map", "1", "-map", "1", "-map", "2", "-c:v", "copy", "-c:s:0", "copy",
            "-c:s:1", "dvdsub", "-c:s:2", "srt", "-metadata:s:s:1", "language=ger", made)
        info, texts = self.texts(made)
        self.assertEqual([(s["kind"], s["codec"], s["language"], s["chosen"]) for s in info["streams"][1:]],
                         [("picture text", "hdmv_pgs_subtitle", "", False), ("picture text", "dvd_subtitle", "ger", False),
                          ("text", "subrip", "", True)])
        self.assertEqual(info["problems"], ["its subtitles are pictures, which are not read"])
        self.assertEqual(info["duration"], 13)
        self.compare(made, 3, texts)
        self.assertIn("  stream 2  picture text, dvd_subtitle, language ger\n", run(PROGRAM, "inspect", made))
        run("ffmpeg", *film, "-c:v", "mpeg2video", "-c:s", "dvbsub", self.path("pictures.ts"))
        info, texts = self.texts(self.path("pictures.ts"))
        self.assertEqual((info["streams"][1]["kind"], info["streams"][1]["codec"], texts), ("picture text", "dvb_subtitle", []))

    def test_closed_captions(self):
        """Captions beside the pictures (A/53) are named as present and unread, where they have words."""
        run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=2", "-c:v", "mpeg2video", self.path("plain.m2v"))
        with open(self.path("plain.m2v"), "rb") as file:
            plain = file.read()
        for triple, words in (b"\xfc\xc8\x49", True), (b"\xfc\x80\x80", False):
            captions = b"\0\0\1\xb2GA94\3\x41\xff" + triple + b"\xff"
            with open(self.path("captions.m2v"), "wb") as file:
                file.write(plain.replace(b"\0\0\1\1", captions + b"\0\0\1\1"))  # before each picture's first slice
            for name, codec in (("cc.ts", "mpeg2video"), ("cc.mpg", "mpeg2video"), ("cc.mkv", "mpeg2video"), ("cc.mp4", "libx264")):
                run("ffmpeg", "-v", "error", "-y", "-i", self.path("captions.m2v"), "-c:v", codec, self.path(name))
                problems = json.loads(run(PROGRAM, "inspect", "--json", self.path(name)))["problems"]
                self.assertEqual(problems, ["it has closed captions beside its pictures (CEA-608 or 708), which are not read"] if words else [], name)

    def test_unread(self):
        """TTML is named as present and unread."""
        run("ffmpeg", "-v", "error", "-i", self.path("film.mkv"), "-i", self.path("in.srt"), "-map", "0", "-map", "1", "-c:v", "copy",
            "-c:s", "ttml", self.path("ttml.mp4"))
        info, texts = self.texts(self.path("ttml.mp4"))
        self.assertEqual((info["streams"][1]["kind"], info["streams"][1]["codec"], info["streams"][1]["chosen"]), ("text", "stpp", False))
        self.assertEqual((texts, info["problems"]), ([], ["some of its subtitles are of a kind that isn't read"]))


if __name__ == "__main__":
    PROGRAM = sys.argv[1]
    unittest.main(argv=sys.argv[:1])
