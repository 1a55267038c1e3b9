#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and streams that are damaged, that lie or that are made to do harm, through `pagereel inspect`: one clear line or what can be read,
in bounded time and memory, never a crash. Thousands more are in tests/ingest (hostile, cut).
usage: hostile.py PROGRAM [--table]"""
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib

import support
from support import pdf, png, stream

MOST_SECONDS, MOST_MIB = 90, 2200  # the worker may take 2 GiB


def packed_zeros(n):
    """So many zero bytes, deflated."""
    packer, block, out = zlib.compressobj(9), bytes(1 << 20), []
    for left in range(n, 0, -len(block)):
        out.append(packer.compress(block[:min(left, len(block))]))
    return b"".join(out) + packer.flush()


CATALOG, PAGES = "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>"
PAGE = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 4 0 R>>"


class Hostile(support.Files):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(support.PROGRAM, "rb") as program:
            cls.sanitized = b"__asan_init" in program.read()
        os.chmod(cls.folder, 0o755)  # one test is another user

    def need_ffmpeg(self):
        if not support.have_ffmpeg():
            self.skipTest("the ffmpeg program makes the films of this test")

    def look(self, path, *options, stdin=subprocess.DEVNULL, command="inspect", **keys):
        """(exit status, output, error, seconds, MiB of the larger process). Whatever a file is, it ends well or with one line that names it."""
        options = ("--read", *options) if command == "inspect" else options
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            begin = time.monotonic()
            process = subprocess.Popen([support.PROGRAM, command, *options, path], env=self.env, stdin=stdin, stdout=out, stderr=err, **keys)
            while (done := os.wait4(process.pid, os.WNOHANG))[0] == 0:
                if time.monotonic() - begin > MOST_SECONDS:
                    process.kill()
                    process.wait()
                    self.fail(f"{path}: not done after {MOST_SECONDS} s")
                time.sleep(0.01)
            seconds, mib = time.monotonic() - begin, done[2].ru_maxrss / 1024
            process.returncode = os.waitstatus_to_exitcode(done[1])
            out.seek(0)
            err.seek(0)
            output, error = out.read().decode(), err.read().decode()
        self.assertIn(process.returncode, (0, 1), error)
        if process.returncode == 1:
            self.assertEqual(error.count("\n"), 1, error)
            self.assertIn(path, error)
        if not self.sanitized:
            self.assertLess(mib, MOST_MIB)
        return process.returncode, output, error.strip(), seconds, mib

    def refused(self, words, path, *options, **keys):
        """It ends with 1 and a line that has these words; for the table."""
        status, output, error, seconds, mib = self.look(path, *options, **keys)
        self.assertEqual(status, 1, output)
        self.assertIn(words, error)
        self.says(f"“{error.removeprefix('pagereel: ').replace(self.folder + '/', '')}” ({seconds:.1f} s, {mib:.0f} MiB at most)")

    def read(self, path, *options, **keys):
        """It is read: what `inspect --json` says; for the table."""
        status, output, error, seconds, mib = self.look(path, "--json", *options, **keys)
        self.assertEqual((status, error), (0, ""))
        info = json.loads(output)
        units = ", ".join(f"{n} {what}" for what, n in info["read"].items() if n and what not in ("passed", "cuts"))
        problems = "".join(f"; “{problem}”" for problem in info["problems"])
        self.says(f"read: {info['kind']}, {units or 'nothing'}{problems} ({seconds:.1f} s, {mib:.0f} MiB at most)")
        return info

    # ---- damaged

    def damaged(self, name, damage, rounds=24):
        """Copies of a file, each damaged: how many are read, read in part, refused."""
        with open(self.path(name), "rb") as file:
            whole = file.read()
        pick, counts, most = random.Random(len(whole)), {"read": 0, "read in part": 0, "refused": 0}, 0
        for i in range(rounds):
            status, output, _, seconds, _ = self.look(self.write("damaged-" + name, damage(whole, pick, i)), "--json")
            info = json.loads(output) if status == 0 else {}
            part = info.get("partial") or info.get("problems") or (info and (info["read"]["failed"] or info["read"]["partial"]))
            counts["refused" if status else "read in part" if part else "read"] += 1
            most = max(most, seconds)
        return ", ".join(f"{n} {what}" for what, n in counts.items() if n) + f" (at most {most:.1f} s)"

    def films_and_documents(self):
        self.need_ffmpeg()
        for name, encoder in (("a.mp4", ["-c:v", "libx264", "-preset", "ultrafast", "-g", "5"]), ("a.mkv", ["-c:v", "mpeg4"]),
                              ("a.ts", ["-c:v", "mpeg2video"]), ("a.gif", []), ("a.jpg", ["-frames:v", "1"])):
            self.ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=2", *encoder, name)
        font = "/Resources<</Font<</F <</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
        self.write("a.pdf", pdf(CATALOG, PAGES, PAGE.replace("/Contents", font + "/Contents"), stream("BT /F 9 Tf 9 50 Td (words) Tj ET")))
        return "a.mp4", "a.mkv", "a.ts", "a.gif", "a.jpg", "a.pdf"

    def test_01_truncated(self):
        """truncated at 24 places: MP4, Matroska, MPEG-TS, GIF, JPEG, PDF"""
        def cut(whole, pick, i):
            return whole[:1 if i == 0 else len(whole) - i if i < 4 else pick.randrange(1, len(whole))]
        self.says("; ".join(f"{name[2:]}: {self.damaged(name, cut)}" for name in self.films_and_documents()))

    def test_02_flipped(self):
        """bits flipped, 24 times each: the same"""
        def flip(whole, pick, i):
            out = bytearray(whole)
            for _ in range(8 if i % 2 else len(whole) // 50 + 1):
                out[pick.randrange(min(512, len(out)) if i % 4 < 2 else len(out))] ^= 1 << pick.randrange(8)
            return bytes(out)
        self.says("; ".join(f"{name[2:]}: {self.damaged(name, flip)}" for name in self.films_and_documents()))

    # ---- no files, or not what they are called

    def test_10_empty(self):
        """an empty file"""
        self.refused("is empty", self.write("empty.mkv", ""))

    def test_11_wrong_name(self):
        """a picture called .pdf"""
        self.assertEqual(self.read(self.write("picture.pdf", b"P6\n2 2\n255\n\1\2\3\4\5\6\7\1\2\3\4\5"))["kind"], "image")

    def test_12_words_as_film(self):
        """words called .mp4"""
        self.assertEqual(self.read(self.write("words.mp4", "only words\n"))["kind"], "text")

    def test_13_noise(self):
        """random bytes called .mp4"""
        self.refused("", self.write("noise.mp4", random.Random(3).randbytes(5000)))

    def test_14_folder(self):
        """a folder without pictures"""
        os.mkdir(self.path("folder"))
        self.refused("holds no pictures", self.path("folder"))

    def test_15_pipe(self):
        """a named pipe"""
        os.mkfifo(self.path("pipe.mp4"))
        self.refused("a pipe or a device", self.path("pipe.mp4"))

    def test_16_device(self):
        """/dev/zero"""
        self.refused("a pipe or a device", "/dev/zero")

    def test_17_unreadable(self):
        """a file without the right to read it"""
        path, keys = self.write("secret.pdf", "%PDF-1.4"), {}
        os.chmod(path, 0)
        if os.geteuid() == 0:
            keys = {"user": 65534}
            if subprocess.run([support.PROGRAM, "version"], user=65534, stdout=subprocess.DEVNULL, check=False).returncode:
                self.skipTest("another user can't run the program here")
        self.refused("Permission denied", path, **keys)

    def test_18_missing(self):
        """a file that isn't there"""
        self.refused("No such file", self.path("missing.pdf"))

    # ---- sizes

    def test_20_huge_picture(self):
        """a PNG of 60,000 x 60,000 pixels in 440 kB"""
        self.refused_or_failed(self.write("huge.png", png(60000, 60000, 1, 0, packed_zeros(60000 * 7501))), "larger than 268 million pixels")

    def refused_or_failed(self, path, words):
        """It opens, and its only picture is refused."""
        status, output, error, seconds, mib = self.look(path)
        lines = [line for line in (output + error).splitlines() if "problem: " in line or "pagereel: " in line]
        self.assertIn(words, "".join(lines))
        line = lines[0].strip().removeprefix("pagereel: ").removeprefix("problem: ").replace(self.folder + "/", "")
        self.says(f"“{line}” ({seconds:.1f} s, {mib:.0f} MiB at most)")

    def test_21_lying_picture(self):
        """a PNG that says it has 2,147,483,647 x 2,147,483,647 pixels"""
        self.refused_or_failed(self.write("lying.png", png(0x7fffffff, 0x7fffffff, 8, 2, b"\x78\x9c\x63\0\0")), "")

    def test_22_wide_frame(self):
        """a film of 60,000 x 16 pixels"""
        self.need_ffmpeg()
        self.assertEqual(self.read(self.ffmpeg("-f", "lavfi", "-i", "color=red:s=60000x16:r=1:d=2", "-c:v", "ffv1", "wide.mkv"))["read"]["frames"], 2)

    def test_23_high_picture(self):
        """a picture of 1 x 65,535"""
        self.assertEqual(self.read(self.write("high.pgm", b"P5\n1 65535\n255\n" + bytes(65535)))["kind"], "image")

    def test_24_large_page(self):
        """a page of 1,000,000,000 x 1,000,000,000 points"""
        page = PAGE.replace("[0 0 100 100]", "[0 0 1000000000 1000000000]")
        self.read(self.write("large.pdf", pdf(CATALOG, PAGES, page, stream("0 0 9 9 re f"))))

    def test_25_small_page(self):
        """a page of 0.1 x 1,000,000,000 points, and one of 0 x 0"""
        for box in "0 0 0.1 1000000000", "0 0 0 0":
            self.look(self.write("small.pdf", pdf(CATALOG, PAGES, PAGE.replace("0 0 100 100", box), stream(""))))
        self.read(self.path("small.pdf"))

    # ---- bombs

    def test_30_zip_bomb(self):
        """a CBZ of 0.5 MB whose picture unpacks to 512 MiB, and one that is sound"""
        with zipfile.ZipFile(self.path("bomb.cbz"), "w", zipfile.ZIP_DEFLATED) as out:
            with out.open("a.png", "w") as entry:
                for _ in range(512):
                    entry.write(bytes(1 << 20))
            out.writestr("b.png", png(2, 2, 8, 0, zlib.compress(b"\0\1\2\0\3\4")))
        info = self.read(self.path("bomb.cbz"))
        self.assertEqual((info["read"]["pages"], info["read"]["failed"]), (1, 1))

    def test_31_many_entries(self):
        """a CBZ of 120,000 entries"""
        with zipfile.ZipFile(self.path("many.cbz"), "w") as out:
            for i in range(120000):
                out.writestr(f"{i}.png", b"")
        self.assertTrue(self.read(self.path("many.cbz"), "--pages", "1-3")["problems"])

    def test_32_archive_in_archive(self):
        """archives in archives, ten deep"""
        data = b"end"
        for i in range(10):
            with zipfile.ZipFile(self.path("deep.zip"), "w") as out:
                out.writestr(f"{i}.zip", data)
            with open(self.path("deep.zip"), "rb") as file:
                data = file.read()
        self.refused("holds no pictures", self.path("deep.zip"))

    def test_33_deep_pdf(self):
        """a PDF with 200,000 open brackets on a page, and in the document"""
        for name, page, content in (("deep.pdf", PAGE, stream("[" * 200000)), ("deeper.pdf", PAGE[:-2] + "/A " + "<<" * 200000, stream(""))):
            self.look(self.write(name, pdf(CATALOG, PAGES, page, content)))
        self.read(self.path("deep.pdf"))

    def test_34_cyclic_outline(self):
        """an outline that is its own child and neighbour"""
        info = self.read(self.write("cycle.pdf", pdf(CATALOG.replace("/Pages", "/Outlines 5 0 R/Pages"), PAGES, PAGE, stream(""),
                                                     "<</Type/Outlines/First 6 0 R/Last 6 0 R/Count 1>>",
                                                     "<</Title(again)/Parent 5 0 R/Next 6 0 R/First 6 0 R/Last 6 0 R/Count 1>>")))
        self.assertEqual(info["pages"], 1)

    def test_35_cyclic_pages(self):
        """a page tree that holds itself, and one of 2,000,000,000 pages"""
        self.look(self.write("pages.pdf", pdf(CATALOG, "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>")))
        info = self.read(self.write("count.pdf", pdf(CATALOG, PAGES.replace("Count 1", "Count 2000000000"), PAGE, stream(""))))
        self.assertEqual(info["problems"], ["not one page of it can be found; it is damaged"])

    def test_36_hanging_page(self):
        """a PDF that hangs poppler: page 1 draws 10^12 forms; page 2 is sound"""
        if self.sanitized:
            self.skipTest("it takes 20 s without sanitizers")
        forms = [f"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X {8 + i} 0 R>>>>/Length 60>>stream\n" + 10 * "/X Do " +
                 "\nendstream" for i in range(12)]
        first = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 5 0 R/Resources<</XObject<</X 7 0 R>>>>>>"
        path = self.write("hang.pdf", pdf(CATALOG, "<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2>>", first, PAGE.replace("4 0 R", "6 0 R"),
                                          stream("/X Do"), stream("0 0 50 50 re f"), *forms))
        info = self.read(path)
        self.assertEqual((info["read"]["pages"], info["read"]["failed"]), (1, 1))

    # ---- playlists, and the network

    def test_40_network(self):
        """playlists, documents and pictures that name a server: it is never asked"""
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
            hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}.ts\n#EXT-X-ENDLIST\n"
            concat, mpd = f"ffconcat version 1.0\nfile {url}.mp4\n", f"<?xml version='1.0'?><MPD><BaseURL>{url}.mp4</BaseURL></MPD>"
            link = f"<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A<</S/URI/URI({url})>>>>"
            files = {"list.m3u8": hls, "hidden.mp4": "\0" + hls, "list.ffconcat": concat, "list.mkv": concat + "\1", "list.mpd": mpd,
                     "list.sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video {server.getsockname()[1]} RTP/AVP 96\n",
                     "picture.md": f"# A\n\n![b]({url}.png)\n", "link.pdf": pdf(CATALOG, PAGES, PAGE[:-2] + f"/Annots[{link}]>>", stream("")),
                     "a.svg": f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{url}.png'/></svg>"}
            for name, data in files.items():
                self.look(self.write(name, data))
            server.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                server.accept()
        self.says(f"{', '.join(files)}: text stays text, the rest is refused or read without it; no connection")

    def test_41_other_files(self):
        """HLS and ffconcat that name other files or themselves, behind bytes that make them look like no text"""
        secret = self.write("secret.ts", "only words\n")
        for name, data in (("self.mp4", f"#EXTM3U\n#EXTINF:10,\n{self.path('self.mp4')}\n\0"), ("other.mp4", f"#EXTM3U\n#EXTINF:10,\n{secret}\n\0"),
                           ("self.mkv", f"ffconcat version 1.0\nfile {self.path('self.mkv')}\n\0")):
            self.assertEqual(self.look(self.write(name, data))[0], 1)
        self.refused("", self.path("self.mkv"))

    # ---- streams

    def piped(self, words, command, *options):
        with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE) as source:
            try:
                self.refused(words, "-", *options, stdin=source.stdout)
            finally:
                source.stdout.close()
                source.terminate()

    def test_50_yes(self):
        """`yes` on standard input"""
        self.piped("standard input", "exec yes")

    def test_51_zeros(self):
        """/dev/zero on standard input"""
        self.piped("standard input", "exec cat /dev/zero")

    def test_52_nothing(self):
        """nothing on standard input"""
        self.piped("standard input", "exec true")

    # ---- the worker

    def test_60_crash(self):
        """the decoder crashes in the middle of a film"""
        self.need_ffmpeg()
        path = self.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=120", "-c:v", "libx264", "-preset", "ultrafast", "long.mp4")
        env = {**self.env, "ASAN_OPTIONS": self.env.get("ASAN_OPTIONS", "") + ":handle_segv=0"}
        with subprocess.Popen([support.PROGRAM, "inspect", "--units", "--fps", "25", path], env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            for _ in range(30):
                process.stdout.readline()
            with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGSEGV)
            _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertRegex(error.decode(), r"the decoder crashed \(Segmentation fault\) at 0:0\d:\d\d\.\d{3}")
        self.says(f"“{error.decode().strip().removeprefix('problem: ').replace(self.folder + '/', '')}”; what was read before is printed")


if __name__ == "__main__":
    support.main(sys.modules[__name__])
