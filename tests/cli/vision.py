#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""run and embed on pictures, a film and pages that are made here, over the small random models of tests/golden/vision.
usage: vision.py PROGRAM"""
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import time
import unittest
import zlib

import support

PROGRAM = None
SANITIZED = False
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "vision")


FAMILIES = ("idefics3", "qwen2vl", "qwen2.5vl", "qwen3vl", "internvl")


def png(width, height, row, kind=2, depth=8, more=()):
    """A picture whose rows are all alike: RGB, or of another PNG kind, with more chunks."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)) +
            b"".join(chunk(*m) for m in more) + chunk(b"IDAT", zlib.compress((b"\0" + row) * height)) + chunk(b"IEND", b""))


def tensors_of(data):
    """Where the tensors of a GGUF file lie: name -> (type, first byte, bytes)."""
    at = 8
    def take(form):
        nonlocal at
        value, = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return value
    def text():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n:at].decode()
    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            kind, n = take("I"), take("Q")
            return [value(kind) for _ in range(n)]
        return take("BbHhIif?"[kind] if kind < 8 else {10: "Q", 11: "q", 12: "d"}[kind])
    n_tensors, n_keys = take("Q"), take("Q")
    for _ in range(n_keys):
        text()
        value(take("I"))
    infos = {}
    for _ in range(n_tensors):
        name, n_values = text(), 1
        for _ in range(take("I")):
            n_values *= take("Q")
        kind = take("I")
        infos[name] = (kind, take("Q"), n_values * (4 if kind == 0 else 2))
    start = (at + 31) // 32 * 32
    return {name: (kind, start + offset, size) for name, (kind, offset, size) in infos.items()}


class Vision(support.Folder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.picture = cls.write("a.png", png(100, 40, bytes(range(150)) * 2))
        cls.film = os.path.join(cls.folder, "film.mp4")
        if shutil.which("ffmpeg"):
            subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=80x60:r=10:d=5", cls.film], check=True)

    def pagereel(self, *args):
        return subprocess.run([PROGRAM, *args], env=self.env, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def prompt(self, family, *args):
        """The prompt's tokens as `run --json` has them."""
        done = self.pagereel("run", "-m", f"{GOLDEN}/{family}.f16.gguf", "--mmproj", f"{GOLDEN}/{family}.mmproj.f16.gguf",
                             "--device", "cpu", "--raw", "--json", "-n", "1", "-c", "8192", *args)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return json.loads(done.stdout)["prompt_tokens"]

    def runs(self, *args):
        return [t for t in self.prompt(*args) if isinstance(t, dict)]

    def refused(self, *args):
        done = self.pagereel(*args)
        self.assertIn(done.returncode, (1, 2))
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
        return done.stderr.decode()

    def test_pictures(self):
        tile = {"image_tokens": 9, "grid": [3, 3]}
        self.assertEqual(self.runs("idefics3", "-i", self.picture, "-p", "x"), [tile] * 9)
        self.assertEqual(self.runs("idefics3", "-i", self.picture, "-i", self.picture, "-p", "a <image> b <image>"), [tile] * 18)
        self.assertEqual(self.runs("idefics3", "-i", self.picture, "--image-tokens", "9", "-p", "x"), [tile])
        tokens = self.prompt("qwen2vl", "-i", self.picture, "-p", "a<image>b")
        run = [t for t in tokens if isinstance(t, dict)]
        self.assertEqual(len(run), 1)
        self.assertEqual(run[0]["image_tokens"], run[0]["grid"][0] * run[0]["grid"][1])
        self.assertEqual((tokens[0], tokens[-1]), (ord("a"), ord("b")))

    def test_film(self):
        if not os.path.exists(self.film):
            print("skipped: no ffmpeg here")
            self.skipTest("no ffmpeg")
        self.assertEqual(len(self.runs("idefics3", "--video", self.film, "-p", "x")), 5)  # one frame a second
        self.assertEqual(len(self.runs("idefics3", "--video", self.film, "--from", "2s", "-p", "x")), 3)
        self.assertEqual(len(self.runs("qwen3vl", "--video", self.film, "-p", "x")), 5)  # two a second, in pairs
        for family in ("qwen2vl", "qwen2.5vl"):
            run = self.runs(family, "--video", self.film, "-p", "x")
            self.assertEqual((len(run), run[0]["frames"]), (1, 5))
            self.assertEqual(run[0]["image_tokens"], 5 * run[0]["grid"][0] * run[0]["grid"][1])

    def test_embed(self):
        out = os.path.join(self.folder, "x.npy")
        done = self.pagereel("embed", "--mmproj", f"{GOLDEN}/qwen3vl.mmproj.f16.gguf", self.picture, "-o", out, "--json")
        told = json.loads(done.stdout)
        self.assertEqual(len(told["positions"]), told["tokens"])
        self.assertEqual(os.path.getsize(out) % 64, told["tokens"] * told["width"] * 4 % 64)

    def embedded(self, path, family="qwen2vl"):
        out = os.path.join(self.folder, "embedded.npy")
        done = self.pagereel("embed", "--mmproj", f"{GOLDEN}/{family}.mmproj.f16.gguf", "--device", "cpu", path, "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(out, "rb") as file:
            return file.read()

    def test_kinds_of_pictures(self):
        """Grey, palettes, 16 bits and transparency, which lies over white, look as the same picture in plain RGB."""
        grey = [(7 * x) % 256 for x in range(100)]
        alpha = [(0, 255, 90)[x % 3] for x in range(100)]
        over = [(g * a + 255 * (255 - a) + 127) // 255 for g, a in zip(grey, alpha)]
        flat = [self.embedded(self.write("flat.png", png(100, 60, bytes(v for g in row for v in (g, g, g))))) for row in (grey, over)]
        palette = (b"PLTE", bytes(v for g in range(256) for v in (g, g, g)))
        clear = (b"tRNS", bytes(90 if g in grey[::3] else 255 for g in range(256)))
        seen = [(g * 90 + 255 * 165 + 127) // 255 if g in grey[::3] else g for g in grey]
        kinds = {
            "grey": (flat[0], png(100, 60, bytes(grey), 0)),
            "grey of 16 bits": (flat[0], png(100, 60, bytes(v for g in grey for v in (g, g)), 0, 16)),
            "RGB of 16 bits": (flat[0], png(100, 60, bytes(v for g in grey for v in [g] * 6), 2, 16)),
            "palette": (flat[0], png(100, 60, bytes(grey), 3, 8, [palette])),
            "grey with alpha": (flat[1], png(100, 60, bytes(v for g, a in zip(grey, alpha) for v in (g, a)), 4)),
            "RGBA": (flat[1], png(100, 60, bytes(v for g, a in zip(grey, alpha) for v in (g, g, g, a)), 6)),
            "palette with alpha": (self.embedded(self.write("flat.png", png(100, 60, bytes(v for g in seen for v in (g, g, g))))),
                                   png(100, 60, bytes(grey), 3, 8, [palette, clear])),
        }
        for name, (want, data) in kinds.items():
            got = self.embedded(self.write("kind.png", data))
            if "16 bits" in name:  # rounded to the next of 255 or 256 steps
                n = (len(want) - 128) // 4
                x, y = (struct.unpack(f"<{n}f", rows[-4 * n:]) for rows in (got, want))
                self.assertLess(sum((a - b) ** 2 for a, b in zip(x, y)), 1e-4 * sum(b * b for b in y), name)
            else:
                self.assertTrue(got == want, name)

    def test_turned_photo(self):
        """A photo is shown as its EXIF orientation says, as transformers' load_image() turns it."""
        if not shutil.which("ffmpeg"):
            self.skipTest("no ffmpeg")
        upright = os.path.join(self.folder, "upright.jpg")
        subprocess.run(["ffmpeg", "-y", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=112x56", "-frames:v", "1", upright], check=True)
        with open(upright, "rb") as file:
            jpeg = file.read()
        turns = {1: "null", 2: "hflip", 3: "hflip,vflip", 4: "vflip", 5: "transpose=0", 6: "transpose=1", 7: "transpose=3", 8: "transpose=2"}
        for orientation, turn in turns.items():
            exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
            path = self.write("turned.jpg", jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
            plain = os.path.join(self.folder, "plain.png")
            subprocess.run(["ffmpeg", "-y", "-v", "error", "-i", upright, "-vf", turn, "-pix_fmt", "rgb24", plain], check=True)
            got, want = self.embedded(path), self.embedded(plain)
            n = (len(want) - 128) // 4
            x, y = (struct.unpack(f"<{n}f", rows[-4 * n:]) for rows in (got, want))
            self.assertEqual(len(got), len(want), orientation)
            self.assertLess(sum((a - b) ** 2 for a, b in zip(x, y)), 1e-3 * sum(b * b for b in y), orientation)

    def test_short_films(self):
        """One frame; an odd number for families that look at pairs; an animated GIF as a picture and as a film."""
        if not shutil.which("ffmpeg"):
            self.skipTest("no ffmpeg")
        one, gif = os.path.join(self.folder, "one.mkv"), os.path.join(self.folder, "moving.gif")
        for path, seconds in ((one, "0.1"), (gif, "3")):
            subprocess.run(["ffmpeg", "-y", "-v", "error", "-f", "lavfi", "-i", f"testsrc=s=80x60:r=10:d={seconds}", path], check=True)
        for family in FAMILIES:
            runs = self.runs(family, "--video", one, "-p", "x")
            self.assertEqual((len(runs), runs[0].get("frames", 1)), (1, 1), family)
        steps = {"idefics3": 3, "internvl": 3, "qwen3vl": 2}  # a run a frame or pair
        for family, n in steps.items():
            self.assertEqual(len(self.runs(family, "--video", self.film, "--frames", "3", "-p", "x")), n, family)
        for family in ("qwen2vl", "qwen2.5vl"):
            self.assertEqual(self.runs(family, "--video", self.film, "--frames", "3", "-p", "x")[0]["frames"], 2)
        self.assertEqual(len(self.runs("idefics3", "--video", gif, "-p", "x")), 3)
        self.assertEqual(len(self.runs("qwen2vl", "-i", gif, "-p", "x")), 1)
        self.assertNotIn("frames", self.runs("qwen2vl", "-i", gif, "-p", "x")[0])

    def peak(self, *args):
        """What `embed` says beforehand that it takes, and the most that it took (resident bytes), for other pictures beside it."""
        process = subprocess.Popen([PROGRAM, "embed", "--device", "cpu", "--verbose", "-o", os.path.join(self.folder, "peak.npy"), *args],
                                   env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        most = 0
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/status") as status:
                    most = max([most] + [int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:")])
            except OSError:
                pass
            time.sleep(0.002)
        said = process.stderr.read().decode()
        process.stderr.close()
        self.assertEqual(process.returncode, 0, said)
        return (int(re.search(r"at most (\d+) MiB", said).group(1)) << 20, most)

    @unittest.skipUnless(os.path.exists("/proc/self/status"), "skipped: no /proc")
    def test_memory_is_said_and_kept(self):
        if SANITIZED:
            self.skipTest("the sanitizers' own memory counts")
        page = self.write("page.png", png(4096, 4096, bytes(range(256)) * 48))
        film = os.path.join(self.folder, "thousand.avi")
        if shutil.which("ffmpeg"):
            subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=40", "-c:v", "mjpeg", film], check=True)
        for family in FAMILIES:
            mmproj = ("--mmproj", f"{GOLDEN}/{family}.mmproj.f16.gguf")
            _, least = self.peak(*mmproj, self.picture, "--image-tokens", "9")
            cases = [(page, "--image-tokens", "512")]
            if os.path.exists(film) and family in ("idefics3", "qwen3vl", "internvl"):
                cases.append((film, "--frames", "1000", "--image-tokens", "64"))
            for case in cases:
                said, most = self.peak(*mmproj, *case)
                took = most - least
                print(f"{family}: {' '.join(os.path.basename(w) for w in case)}: said {said >> 20} MiB, took {took >> 20} MiB")
                self.assertLessEqual(took, said)
                self.assertLess(said, 4 * took + (64 << 20))  # and not by saying too much

    def test_few_shot(self):
        """Any order of text, pictures, films and pages; tiny and black ones."""
        dot, dark = self.write("dot.png", png(1, 1, b"\xff\0\0")), self.write("dark.png", png(64, 48, bytes(192)))
        args = ["-i", dot, "-i", dark, "-i", self.picture]
        prompt = "Q: <image> A: red. Q: <image> A: black. Q: <image><video> A:"
        if os.path.exists(self.film):
            args += ["--video", self.film, "--frames", "2"]
        else:
            prompt = prompt.replace("<video>", "")
        for family in ("qwen2vl", "qwen3vl", "idefics3"):
            tokens = self.prompt(family, *args, "-p", prompt)
            places = [i for i, t in enumerate(tokens) if isinstance(t, dict)]
            self.assertGreaterEqual(len(places), 4 if os.path.exists(self.film) else 3)
            if family != "idefics3":  # a run a picture there
                self.assertGreater(places[1] - places[0], len(" A: red"))
                self.assertGreater(places[2] - places[1], len(" A: black"))
            self.assertLess(places[-1], len(tokens) - 1)  # " A:" stands behind them
        fewer = self.pagereel("run", "-m", f"{GOLDEN}/qwen2vl.f16.gguf", "--mmproj", f"{GOLDEN}/qwen2vl.mmproj.f16.gguf", "--raw",
                              "-i", dot, "-p", "<image> and <image>")
        self.assertEqual(fewer.returncode, 2)
        self.assertIn(b"2 times", fewer.stderr)

    def test_beside_others(self):
        """All pairs in one folder: each model finds its own mmproj, though other names end alike and other encoders fit, too."""
        for family in FAMILIES:
            told = json.loads(self.pagereel("embed", "-m", f"{GOLDEN}/{family}.f16.gguf", self.picture, "--json").stdout)
            own = json.loads(self.pagereel("embed", "--mmproj", f"{GOLDEN}/{family}.mmproj.f16.gguf", self.picture, "--json").stdout)
            self.assertEqual(told, own)
            model = ("run", "-m", f"{GOLDEN}/{family}.f16.gguf", "--raw", "-n", "1", "--json", "--logprobs", "3", "-i", self.picture, "-p", "x")
            self.assertEqual(self.pagereel(*model).stdout, self.pagereel(*model, "--mmproj", f"{GOLDEN}/{family}.mmproj.f16.gguf").stdout)
        self.assertIn("nowhere.gguf", self.refused("embed", "-m", f"{GOLDEN}/nowhere.gguf", self.picture, "--json"))

    def test_broken_off(self):
        """Half a picture is seen, and said to be half a picture."""
        noise = random.Random(1)
        whole = support.png(100, 40, 8, 2, zlib.compress(b"".join(b"\0" + noise.randbytes(300) for _ in range(40))))
        half = self.write("half.png", whole[:len(whole) * 2 // 3])
        for path, partial in ((self.write("whole.png", whole), False), (half, True)):
            done = self.pagereel("embed", "--mmproj", f"{GOLDEN}/qwen2vl.mmproj.f16.gguf", path, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual([r.get("partial", False) for r in json.loads(done.stdout)["runs"]], [partial])
            self.assertEqual(b"breaks off" in done.stderr, partial)
            done = self.pagereel("run", "-m", f"{GOLDEN}/qwen2vl.f16.gguf", "--raw", "-n", "1", "--json", "-i", self.picture, "-i", path, "-p", "x")
            runs = [t for t in json.loads(done.stdout)["prompt_tokens"] if isinstance(t, dict)]
            self.assertEqual([r.get("partial", False) for r in runs], [False, partial])
            self.assertEqual(b"breaks off" in done.stderr, partial)

    def test_what_isnt_there(self):
        """A name that a script left empty isn't no picture; pages that there aren't."""
        model = ("run", "-m", f"{GOLDEN}/qwen2vl.f16.gguf", "--mmproj", f"{GOLDEN}/qwen2vl.mmproj.f16.gguf", "--raw", "-p", "x")
        self.assertIn("the name of a file", self.refused(*model, "-i", ""))
        self.assertIn("the name of a file", self.refused(*model, "-i", self.picture, "-i", ""))
        paper = self.write("paper.pdf", support.pdf("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
                                                    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>"))
        self.assertIn("no page 7", self.refused(*model, "--pdf", paper, "--pages", "7"))
        self.assertIn("no page 7", self.refused(*model, "--pdf", paper, "--pages", "7-9"))

    def test_parts(self):
        """--box is a part, --at a moment."""
        self.assertEqual(self.runs("qwen2vl", "-i", self.picture, "--box", "0,0,50,40", "-p", "x"),
                         self.runs("qwen2vl", "-i", self.write("half.png", png(50, 40, bytes(range(150)))), "-p", "x"))
        model = ("run", "-m", f"{GOLDEN}/qwen2vl.f16.gguf", "--mmproj", f"{GOLDEN}/qwen2vl.mmproj.f16.gguf", "--raw", "-p", "x")
        self.assertIn("outside", self.refused(*model, "-i", self.picture, "--box", "200,200,300,300"))
        if os.path.exists(self.film):
            self.assertEqual(self.runs("qwen2vl", "--video", self.film, "--at", "2s", "-p", "x")[0].get("frames"), None)
            self.assertIn("--at", self.refused(*model, "--video", self.film, "--box", "0,0,10,10"))
            self.assertIn("film.mp4", self.refused(*model, "--video", self.film, "--at", "1:00:00"))

    def test_damaged_weights(self):
        """NaN and infinities anywhere in the weights: the file is named, nothing comes out."""
        bad = {0: (b"\x00\x00\xc0\x7f", b"\x00\x00\x80\xff"), 1: (b"\x00\x7e", b"\x00\x7c")}  # f32 and f16: NaN, infinity
        for family in FAMILIES:
            with open(f"{GOLDEN}/{family}.mmproj.f16.gguf", "rb") as file:
                whole = file.read()
            tensors = tensors_of(whole)
            ends = {"idefics3": ["v.post_ln.weight", "mm.model.fc.weight"], "internvl": ["v.class_embd", "mm.model.mlp.3.weight"]}
            names = ["v.patch_embd.weight", "v.blk.0.attn_out.weight", "v.blk.1.ffn_down.weight"]
            names += ends.get(family, ["v.post_ln.weight", "mm.2.weight"])
            for name in names + ["v.deepstack.1.fc2.weight"] * (family == "qwen3vl"):
                if name not in tensors:
                    self.assertIn("deepstack", name)
                    name = next(n for n in tensors if "deepstack" in n and n.endswith("fc2.weight"))
                kind, first, size = tensors[name]
                for value in bad[kind]:
                    data = bytearray(whole)
                    data[first:first + size] = value * (size // len(value))
                    broken = self.write("broken.gguf", data)
                    for device in ("ref", "cpu"):
                        done = self.pagereel("run", "-m", f"{GOLDEN}/{family}.f16.gguf", "--mmproj", broken, "--device", device, "--raw",
                                             "-n", "1", "-i", self.picture, "--image-tokens", "16", "-p", "x")
                        self.assertEqual((done.returncode, done.stdout, done.stderr.count(b"\n")), (1, b"", 1), (family, name, done.stderr))
                        self.assertIn(b"broken.gguf: visual tokens aren't finite", done.stderr)

    def test_damaged_files(self):
        """Files that are cut or changed somewhere: one line that names the file, or an answer; never a crash."""
        for family in FAMILIES:
            with open(f"{GOLDEN}/{family}.mmproj.f16.gguf", "rb") as file:
                whole = file.read()
            start = min(first for _, first, _ in tensors_of(whole).values())
            random = __import__("random").Random(family)
            broken = [(whole[:n], True) for n in (3, 20, start // 2, start - 1, start, len(whole) - 40)]
            broken += [(whole[:at] + bytes([random.randrange(256)]) + whole[at + 1:], False)
                       for at in (random.randrange(24, start) for _ in range(12))]
            for data, refused in broken:
                path = self.write("broken.gguf", data)
                done = self.pagereel("embed", "--mmproj", path, "--device", "cpu", "--image-tokens", "16", self.picture, "--json")
                self.assertIn(done.returncode, (1, 2) if refused else (0, 1, 2), done.stderr)
                if done.returncode:
                    self.assertEqual((done.stdout, done.stderr.count(b"\n")), (b"", 1), done.stderr)
                    self.assertIn(b"broken.gguf", done.stderr)

    def test_extreme_pictures(self):
        """One pixel, one row, all black; a picture that a family refuses; frames of two pixels."""
        pictures = {"dot": png(1, 1, b"\xff\0\0"), "row": png(40, 1, bytes(120)), "black": png(300, 200, bytes(900)),
                    "line": png(3000, 1, bytes(9000))}
        paths = {name: self.write(f"{name}.png", data) for name, data in pictures.items()}
        small = os.path.join(self.folder, "small.mkv")
        if os.path.exists(self.film):
            subprocess.run(["ffmpeg", "-y", "-v", "error", "-f", "lavfi", "-i", "color=black:s=2x2:r=4:d=2", "-c:v", "ffv1", small], check=True)
        for family in FAMILIES:
            model = ("run", "-m", f"{GOLDEN}/{family}.f16.gguf", "--mmproj", f"{GOLDEN}/{family}.mmproj.f16.gguf", "--device", "cpu",
                     "--raw", "-n", "2", "-c", "8192", "-p", "x")
            for name in ("dot", "row", "black"):
                done = self.pagereel(*model, "-i", paths[name])
                self.assertEqual(done.returncode, 0, done.stderr)
            if os.path.exists(small):
                self.assertEqual(self.pagereel(*model, "--video", small).returncode, 0)
            done = self.pagereel(*model, "-i", paths["line"])
            if family in ("idefics3", "internvl"):
                self.assertEqual(done.returncode, 0, done.stderr)
            else:
                self.assertEqual((done.returncode, b"line.png" in done.stderr), (2, True), done.stderr)

    def test_standard_input(self):
        """Files named - come from standard input, by a pipe or as a file, and are looked at as any other."""
        for family in ("idefics3", "qwen3vl"):
            model = ("run", "-m", f"{GOLDEN}/{family}.f16.gguf", "--mmproj", f"{GOLDEN}/{family}.mmproj.f16.gguf", "--device", "cpu", "--raw",
                     "--json", "-n", "2", "--logprobs", "3", "-c", "8192", "-v")
            for flag, path in (("-i", self.picture), ("--video", self.film)):
                if not os.path.exists(path):
                    continue
                with open(path, "rb") as file:
                    data = file.read()
                want = json.loads(self.pagereel(*model, flag, path, "-p", "x").stdout)
                for given in (data, path):
                    with open(path, "rb") as file:
                        more = {"input": given} if isinstance(given, bytes) else {"stdin": file}
                        done = subprocess.run([PROGRAM, *model, flag, "-", "-p", "x"], env=self.env, timeout=120, capture_output=True, **more)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    got = json.loads(done.stdout)
                    self.assertEqual([got[k] for k in ("prompt_tokens", "tokens")], [want[k] for k in ("prompt_tokens", "tokens")])
        for data, message in ((b"", b"standard input is empty"), (b"hello", b"standard input: there is no picture")):
            done = subprocess.run([PROGRAM, *model, "--video", "-", "-p", "x"], env=self.env, timeout=120, capture_output=True, input=data)
            self.assertEqual((done.returncode, message in done.stderr), (1, True), done.stderr)
        done = subprocess.run([PROGRAM, *model, "--video", "-"], env=self.env, timeout=120, capture_output=True, input=b"hello")
        self.assertEqual((done.returncode, b"--prompt" in done.stderr), (2, True), done.stderr)
        done = subprocess.run([PROGRAM, *model, "--video", "-", "-p", "x"], env={**self.env, "TMPDIR": "/nowhere"}, timeout=120,
                              capture_output=True, input=b"hello")
        self.assertEqual((done.returncode, b"/nowhere" in done.stderr), (1, True), done.stderr)

    def test_refusals(self):
        model, mmproj = f"{GOLDEN}/idefics3.f16.gguf", f"{GOLDEN}/idefics3.mmproj.f16.gguf"
        with open(mmproj, "rb") as file:
            data = file.read()
        cut = self.write("cut.gguf", data[:len(data) // 2])
        alone = shutil.copy(model, os.path.join(self.folder, "alone.gguf"))
        text = self.write("text.png", b"no picture at all")
        self.assertIn("cut.gguf", self.refused("run", "-m", model, "--mmproj", cut, "-i", self.picture, "-p", "x"))
        self.assertIn("not the vision part", self.refused("run", "-m", model, "--mmproj", model, "-i", self.picture, "-p", "x"))
        self.assertIn("is the vision part", self.refused("run", "-m", mmproj, "-p", "x"))
        self.assertIn("--mmproj", self.refused("embed", self.picture, "--json"))
        self.assertIn("text.png", self.refused("run", "-m", model, "--mmproj", mmproj, "--raw", "-i", text, "-p", "x"))
        os.rename(cut, os.path.join(self.folder, "unused"))
        self.assertIn("no mmproj file lies beside", self.refused("run", "-m", alone, "--raw", "-i", self.picture, "-p", "x"))
        self.assertIn("doesn't belong to", self.refused("run", "-m", model, "--mmproj", f"{GOLDEN}/qwen3vl.mmproj.f16.gguf",
                                                        "-i", self.picture, "-p", "x"))
        self.assertIn("marks like <img>", self.refused("run", "-m", model, "--mmproj", f"{GOLDEN}/internvl.mmproj.f16.gguf",
                                                       "-i", self.picture, "-p", "x"))


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    with open(PROGRAM, "rb") as program:
        SANITIZED = b"__asan_init" in program.read()
    unittest.main(verbosity=2)
