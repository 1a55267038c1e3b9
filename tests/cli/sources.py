#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""inspect, sheet, frame and ask on real files, made here: what they print, what they write, how they refuse.
usage: sources.py PROGRAM RANDOM_MODEL"""
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib

import support
from support import read_png

RANDOM_MODEL = None


def rc4(key, data):
    state, j, out = list(range(256)), 0, bytearray()
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) & 255
        state[i], state[j] = state[j], state[i]
    i = j = 0
    for byte in data:
        i = (i + 1) & 255
        j = (j + state[i]) & 255
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) & 255])
    return bytes(out)


def encrypted_pdf(password, words):
    """A page with `words`, encrypted as PDF 1.4 does it: ISO 32000-1, 7.6, revision 2, keys of 40 bits."""
    filler = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
    user, number = (password.encode() + filler)[:32], bytes(16)
    owner = rc4(hashlib.md5((b"owner" + filler)[:32]).digest()[:5], user)
    key = hashlib.md5(user + owner + struct.pack("<i", -4) + number).digest()[:5]
    content = rc4(hashlib.md5(key + bytes((4, 0, 0, 0, 0))).digest()[:10], f"BT /F 12 Tf 20 100 Td ({words}) Tj ET".encode())
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
               b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
               b"<</Length %d>>stream\n%s\nendstream" % (len(content), content), b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
               b"<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>" % (owner.hex().encode(), rc4(key, filler).hex().encode())]
    out, places = b"%PDF-1.4\n", []
    for i, thing in enumerate(objects):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (i + 1, thing)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 7\n0000000000 65535 f \n%strailer\n<</Root 1 0 R/Size 7/Encrypt 6 0 R/ID[<%s><%s>]>>\nstartxref\n%d\n%%%%EOF\n" % (
        table, number.hex().encode(), number.hex().encode(), len(out))


class Sources(support.Files):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.write("pumps.txt", "The pump is started with the red lever.\n\fIts valve closes at nine bar.\n\fNothing here.\n")
        cls.film = cls.path("film.mp4")
        if shutil.which("ffmpeg"):  # 10 s: red, then blue from 5 s on
            cls.ffmpeg("-f", "lavfi", "-i", "color=red:s=320x180:r=10:d=5", "-f", "lavfi", "-i", "color=blue:s=320x180:r=10:d=5",
                       "-filter_complex", "concat=n=2", "-c:v", "libx264", "film.mp4")

    def need_film(self):
        if not os.path.exists(self.film):
            self.skipTest("the ffmpeg program makes the film of this test")

    # ---- inspect

    def test_inspect_film(self):
        self.need_film()
        self.assertIn(b"film.mp4: video (mov,mp4,m4a,3gp,3g2,mj2), 0:00:10.000", self.ok("inspect", self.film))
        info = json.loads(self.ok("inspect", "--read", "--json", self.film))
        self.assertEqual(info["duration"], 10)
        self.assertEqual((info["streams"][0]["codec"], info["streams"][0]["width"]), ("h264", 320))
        self.assertEqual((info["read"]["frames"], info["read"]["passed"], info["read"]["cuts"]), (10, 2, 2))

    def test_inspect_reads_the_beginning_alone(self):
        """A page that can't be read is found by who reads all; what it begins with is always tried."""
        page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>"
        path = os.path.join(self.folder, "two.pdf")
        with open(path, "wb") as file:
            file.write(support.pdf("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2>>", page, page))
        self.assertNotIn("read", json.loads(self.ok("inspect", "--json", path)))
        self.assertNotIn(b"  read  ", self.ok("inspect", path))
        self.assertEqual(json.loads(self.ok("inspect", "--json", "--read", path))["read"]["pages"], 2)
        with open(path, "wb") as file:  # the head of a PNG, and nothing of its pixels
            file.write(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08\x08\x02\0\0\0\x4b\x6d\x29\xdc\0\0\0\x0cIDATxxxxxxxxxxxx\0\0\0\0"
                       b"\0\0\0\0IEND\xaeB`\x82")
        self.assertIn("not one frame of it can be decoded", " ".join(json.loads(self.ok("inspect", "--json", path))["problems"]))

    def test_units_of_film(self):
        self.need_film()
        lines = [json.loads(line) for line in self.ok("inspect", "--units", "--fps", "2", "--from", "3", "--to", "6",
                                                      self.film).splitlines()]
        self.assertEqual(lines[0]["kind"], "video")
        self.assertEqual([line["t0"] for line in lines[1:]], [3, 3.5, 4, 4.5, 5, 5.5])
        self.assertEqual([line["cut"] for line in lines[1:]], [True, False, False, False, True, False])

    def test_standard_input(self):
        self.need_film()
        raw = subprocess.run(["ffmpeg", "-v", "error", "-i", self.film, "-c", "copy", "-f", "matroska", "-"],
                             check=True, stdout=subprocess.PIPE).stdout
        done = self.pagereel("inspect", "--read", "--json", "-", input=raw)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["read"]["frames"], 10)

    def test_sound(self):
        """Streams with their language, and how loud each second is: two of silence, three of a tone at half of full scale."""
        self.need_film()
        tone = "aevalsrc=if(gte(t\\,2)\\,0.5*sin(2*PI*1000*t)\\,0):s=44100:d=5"
        path = self.ffmpeg("-f", "lavfi", "-i", "color=black:s=64x64:r=5:d=5", "-f", "lavfi", "-i", tone, "-f", "lavfi", "-i", "sine=d=5", "-map", "0",
                           "-map", "1", "-map", "2", "-c:v", "mpeg4", "-c:a", "flac", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1",
                           "language=ger", "tone.mkv")
        info, units = self.units("--sound", path)
        self.assertEqual([(s["kind"], s["language"]) for s in info["streams"]], [("video", ""), ("audio", "eng"), ("audio", "ger")])
        blocks = [unit for unit in units if unit["unit"] == "sound"]
        self.assertEqual([(block["t0"], block["samples"], block["stream"]) for block in blocks[:4]], [(i, 16000, 1) for i in range(4)])
        self.assertTrue(all(block["loudness_db"] is None or block["loudness_db"] < -80 for block in blocks[:2]))
        for block in blocks[2:]:
            self.assertAlmostEqual(block["loudness_db"], -9.03, delta=0.2)
        self.assertRegex(self.ok("inspect", "--sound", path).decode(), r"  read  5\.0 s of sound, -11\.\d dB on the mean, the loudest second -9\.\d dB at "
                                                                       r"0:00:0[2-4]\.000\n")

    def test_chapters(self):
        """Title and chapters, in Matroska and MP4."""
        self.need_film()
        marks = [("Who they are", 0, 4), ("Gr\u00fc\u00dfe", 4, 10)]
        self.write("meta.txt", ";FFMETADATA1\ntitle=A film\n" + "".join(
            f"[CHAPTER]\nTIMEBASE=1/1\nSTART={t0}\nEND={t1}\ntitle={title}\n" for title, t0, t1 in marks))
        for name in "chapters.mkv", "chapters.mp4":
            info = json.loads(self.ok("inspect", "--json", self.ffmpeg("-i", "film.mp4", "-i", "meta.txt", "-map", "0", "-map_metadata", "1", "-c", "copy", name)))
            self.assertEqual((info["title"], [(mark["title"], mark["t0"], mark["t1"]) for mark in info["marks"]]), ("A film", marks), name)

    def test_cut_film(self):
        """A film that breaks off says where, and what it doesn't show isn't counted as seen."""
        self.need_film()
        path, whole = os.path.join(self.folder, "cut.mkv"), os.path.join(self.folder, "whole.mkv")
        subprocess.run(["ffmpeg", "-v", "error", "-i", self.film, "-c:v", "mpeg4", "-g", "5", whole], check=True)
        with open(whole, "rb") as file:
            data = file.read()
        with open(path, "wb") as file:
            file.write(data[:len(data) * 6 // 10])
        self.assertFalse(json.loads(self.ok("inspect", "--json", whole))["partial"])
        info = json.loads(self.ok("inspect", "--read", "--json", path))
        self.assertTrue(info["partial"])
        self.assertTrue(2 < info["duration"] < 9)
        self.assertRegex(info["problems"][0], r"^it breaks off at 0:00:0[2-8]\.\d* of 0:00:10\.\d*; what is there is read$")
        self.assertEqual(info["read"]["frames"], int(info["duration"]) + (info["duration"] % 1 > 0))
        self.assertIn(b"  problem: it breaks off", self.ok("inspect", path))
        added = self.ok("add", "--library", os.path.join(self.folder, "cut library"), path)
        self.assertIn(b"  1 part could not be read; pagereel inspect --read says what", added)

    def test_cut_document(self):
        path = os.path.join(self.folder, "cut.pdf")
        with open(path, "wb") as file:
            file.write(encrypted_pdf("", "The valve is blue.")[:-30])
        info = json.loads(self.ok("inspect", "--read", "--json", path))
        self.assertTrue(info["partial"])
        self.assertEqual(info["problems"], ["it breaks off; the pages that are there are read"])

    def test_units_of_text(self):
        lines = [json.loads(line) for line in self.ok("inspect", "--units", "--pages", "2-3", self.text).splitlines()]
        self.assertEqual([line["page"] for line in lines[1:]], [2, 3])
        self.assertEqual(lines[1]["lines"][0]["text"], "Its valve closes at nine bar.")

    def test_refusals(self):
        self.fails(1, "/nonexistent", "inspect", "/nonexistent")
        self.fails(2, "is no time", "inspect", "--from", "soon", self.text)
        self.fails(2, "is no range of pages", "inspect", "--pages", "x", self.text)
        self.fails(2, "no file to write", "sheet", self.text)
        self.fails(1, "holds no pictures", "sheet", self.text, "-o", os.path.join(self.folder, "no.png"))
        self.assertFalse(os.path.exists(os.path.join(self.folder, "no.png")))

    def test_password(self):
        path = os.path.join(self.folder, "secret.pdf")
        with open(path, "wb") as file:
            file.write(encrypted_pdf("open", "The valve is blue."))
        lines = [json.loads(line) for line in self.ok("inspect", "--units", "--password", "open", path).splitlines()]
        self.assertEqual([line["text"] for line in lines[1]["lines"]], ["The valve is blue."])
        self.fails(1, "is encrypted; give its password with --password", "inspect", path)
        for wrong in "shut", "\u00e4":
            self.fails(1, "the password is wrong", "inspect", "--password", wrong, path)

    # ---- pictures

    def test_frame(self):
        self.need_film()
        out = os.path.join(self.folder, "frame.png")
        for at, colour in (("4.95", 0), ("0:05.05", 2)):
            self.ok("frame", self.film, "--at", at, "-o", out)
            width, height, rows = read_png(out)
            self.assertEqual((width, height), (320, 180))
            self.assertEqual(max(range(3), key=lambda c: rows[90][300 + c]), colour)
        self.ok("frame", self.film, "--at", "1", "--box", "10,20,110,70", "-o", out)
        self.assertEqual(read_png(out)[:2], (100, 50))
        self.fails(1, "no picture at 11", "frame", self.film, "--at", "11", "-o", out)
        self.fails(2, "is no box", "frame", self.film, "--box", "1,2,3", "-o", out)

    def test_sheet(self):
        self.need_film()
        out = os.path.join(self.folder, "sheet.png")
        self.ok("sheet", self.film, "--frames", "6", "-o", out)
        width, height, rows = read_png(out)
        self.assertEqual(width, 6 * 248 + 8)
        pictures = [rows[100][3 * (8 + 248 * i + 120):][:3] for i in range(6)]
        self.assertEqual([max(range(3), key=lambda c: p[c]) for p in pictures], [0, 0, 0, 2, 2, 2])

    def test_sheet_of_many(self):
        """Of 120 pages those are drawn that stand on the sheet: spread over the whole, or over --pages."""
        path, out = self.path("grey.cbz"), self.path("sheet.png")
        with zipfile.ZipFile(path, "w") as file:
            for i in range(120):
                file.writestr(f"{i}.png", support.png(4, 4, 8, 0, zlib.compress(4 * (b"\0" + 4 * bytes([2 * i])))))
        for options, pages in ((["--frames", "6"], range(0, 120, 20)), (["--frames", "5", "--pages", "11-20"], range(10, 20, 2)),
                               (["--frames", "5", "--pages", "31-"], range(30, 120, 18)), (["--frames", "4", "--pages", "9-11"], range(8, 11))):
            self.ok("sheet", path, *options, "-o", out)
            _, _, rows = read_png(out)
            shown = [rows[150][3 * (8 + 248 * i + 120)] for i in range(len(pages))]
            self.assertEqual(shown, [2 * page for page in pages])

    # ---- ask

    def test_ask(self):
        model = os.path.join(self.folder, "random.gguf")
        subprocess.run([RANDOM_MODEL, model, "--layers", "2", "--dim", "64", "--heads", "4", "--kv", "2", "--ffn", "128",
                        "--vocab", "400", "--ctx", "4096", "--type", "f32"], check=True, stdout=subprocess.DEVNULL)
        ask = ["ask", "-m", model, "--device", "ref", "--raw", "-n", "4", "--json"]
        answer = json.loads(self.ok(*ask, self.text, "When does the valve close?"))
        self.assertEqual(answer["coverage"]["pages"], 3)
        self.assertEqual([c["page"] for c in answer["citations"]], [2])
        self.assertEqual(answer["citations"][0]["quote"], "Its valve closes at nine bar.")
        answer = json.loads(self.ok(*ask, self.text, "giraffe?"))
        self.assertTrue(answer["answer"].startswith("Not found"))
        self.assertEqual(answer["citations"], [])


if __name__ == "__main__":
    RANDOM_MODEL = sys.argv.pop(2)
    support.main(sys.modules[__name__])
