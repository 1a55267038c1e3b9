# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of commands over files share: running the program, making films, reading the PNGs that it writes, and a table of what was
shown."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

PROGRAM = None


def read_png(path):
    """(width, height, rows of RGB bytes) of an 8-bit RGB PNG."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", data[at + 8:at + 18])
            assert (depth, colour) == (8, 2)
        if kind == b"IDAT":
            body += data[at + 8:at + 8 + size]
        at += 12 + size
    raw, rows, last = zlib.decompress(body), [], bytes(3 * width)
    for y in range(height):
        kind, line = raw[y * (3 * width + 1)], bytearray(raw[y * (3 * width + 1) + 1:(y + 1) * (3 * width + 1)])
        for x in range(3 * width):
            left = line[x - 3] if x >= 3 else 0
            up, corner = last[x], last[x - 3] if x >= 3 else 0
            paeth = min((abs(up - corner), 0, left), (abs(left - corner), 1, up), (abs(left + up - 2 * corner), 2, corner))[2]
            line[x] = (line[x] + (0, left, up, (left + up) // 2, paeth)[kind]) & 255
        rows.append(bytes(line))
        last = line
    return width, height, rows


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, data):
    """A PNG of these deflated data."""
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)) + \
        png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def pdf(*objects):
    """Object 1 is the catalog. There is no table of them: poppler looks for them."""
    body = b"".join(b"%d 0 obj\n%s\nendobj\n" % (i + 1, thing.encode()) for i, thing in enumerate(objects))
    return b"%PDF-1.4\n" + body + b"trailer\n<</Root 1 0 R/Size %d>>\n%%%%EOF\n" % (len(objects) + 1)


def stream(text):
    return f"<</Length {len(text)}>>stream\n{text}\nendstream"


def have_ffmpeg():
    if shutil.which("ffmpeg"):
        return True
    print("skipped: the ffmpeg program makes the films of this test")
    return False


def random_model(program, path, *more):
    """A small language model with random weights. `more`: options of tools/random_model, of which the last ones count."""
    subprocess.run([program, path, "--layers", "2", "--dim", "64", "--heads", "4", "--kv", "2", "--ffn", "128", "--vocab", "400", "--ctx", "4096",
                    "--type", "f32", *more], check=True, stdout=subprocess.DEVNULL)
    return path


def environment(home):
    """What a program sees of ours: where it looks for its files, and what sanitizers are told."""
    return {"HOME": home, "PATH": os.environ["PATH"]} | {key: value for key, value in os.environ.items() if "SAN_OPTIONS" in key}


class Folder(unittest.TestCase):
    """A folder of its own, which is the home of what runs in `env`."""
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix=f"pagereel-{cls.__name__.lower()}-")
        cls.env = environment(cls.folder)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def write(cls, name, data):
        with open(cls.path(name), "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        return cls.path(name)

    @classmethod
    def ffmpeg(cls, *args):
        """Runs ffmpeg in the folder; the last word is the file that it writes."""
        subprocess.run(["ffmpeg", "-v", "error", "-y", *args], check=True, cwd=cls.folder, stdin=subprocess.DEVNULL)
        return cls.path(args[-1])


class Films(Folder):
    """The same, skipped where nothing can make films."""
    @classmethod
    def setUpClass(cls):
        if not have_ffmpeg():
            raise unittest.SkipTest("no ffmpeg")
        super().setUpClass()


class Files(Folder):
    """A folder of files that the program reads. `shown` collects rows for the table."""
    shown = []

    def pagereel(self, *args, timeout=120, **keys):
        return subprocess.run([PROGRAM, *args], env=self.env, timeout=timeout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keys)

    def ok(self, *args, **keys):
        done = self.pagereel(*args, **keys)
        self.assertEqual((done.returncode, done.stderr), (0, b""), args)
        return done.stdout

    def fails(self, status, message, *args, **keys):
        """It ends with this status, and says so in one line, which is returned."""
        done = self.pagereel(*args, **keys)
        error = done.stderr.decode()
        self.assertEqual(done.returncode, status, error)
        self.assertEqual(error.count("\n"), 1, error)
        self.assertIn(message, error)
        return error.strip()

    def inspect(self, *args, **keys):
        return json.loads(self.ok("inspect", "--read", "--json", *args, **keys))

    def units(self, *args, **keys):
        """The description of a file, and its units."""
        lines = [json.loads(line) for line in self.ok("inspect", "--units", *args, **keys).splitlines()]
        return lines[0], lines[1:]

    def frame(self, path, *args):
        """(width, height, rows) of the picture that `pagereel frame` cuts out."""
        self.ok("frame", path, *args, "-o", self.path("frame.png"))
        return read_png(self.path("frame.png"))

    def says(self, result):
        self.shown.append((self.shortDescription(), result))


def main(module):
    """usage: TEST PROGRAM [--table]: with --table what was shown is printed as a table."""
    global PROGRAM
    PROGRAM = os.path.abspath(sys.argv[1])
    table = "--table" in sys.argv
    result = unittest.main(module, argv=[sys.argv[0]] + [word for word in sys.argv[2:] if word != "--table"], exit=False).result
    if table:
        print("| what | shown |\n|---|---|\n" + "\n".join(f"| {what} | {shown} |" for what, shown in Files.shown))
    sys.exit(not result.wasSuccessful())
