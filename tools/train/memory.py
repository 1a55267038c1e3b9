# SPDX-License-Identifier: GPL-2.0-or-later
"""What the program's memory keeps of a film and of a picture, by the program's own code (memory/compress.c), so that training shows
the tokens that `ask` shows. Compiled at first use ($CC or cc)."""

import ctypes
import functools
import math
import os
import pathlib
import subprocess
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ["memory/compress.c", "memory/farthest.c", "memory/sketch.c", "base/mem.c", "compute/type.c"]
LEAST_STEPS = 4  # of a segment, before a cut ends it (engine/add_visual.c)
FEWEST = 10  # tokens that a picture has before another start time begins the next one (engine/ask_visual.c)
LATE = 0.1  # seconds of the film that a frame shows behind its time: films have 5 frames a second, drawn at their middles


class Token(ctypes.Structure):  # struct evidence_token
    _fields_ = [("t0", ctypes.c_int64), ("t1", ctypes.c_int64), ("y0", ctypes.c_uint16), ("x0", ctypes.c_uint16), ("y1", ctypes.c_uint16),
                ("x1", ctypes.c_uint16), ("dy", ctypes.c_int16), ("dx", ctypes.c_int16), ("n", ctypes.c_uint16), ("radius", ctypes.c_uint16)]


class Options(ctypes.Structure):  # struct compress_options
    _fields_ = [(name, ctypes.c_float) for name in ("keep", "detail", "link", "anchor", "own")] + \
        [(name, ctypes.c_int32) for name in ("life", "move", "least")] + [("same", ctypes.c_float), ("step", ctypes.c_int64)]


class Compressed(ctypes.Structure):  # struct compressed
    _fields_ = [("n", ctypes.c_uint32), ("n_raw", ctypes.c_uint32), ("n_frames", ctypes.c_uint32), ("t0", ctypes.c_int64), ("t1", ctypes.c_int64),
                ("rows", ctypes.POINTER(ctypes.c_float)), ("tokens", ctypes.POINTER(Token)), ("mean", ctypes.POINTER(ctypes.c_float))]


@functools.lru_cache(maxsize=None)
def library():
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder, "memory.so")
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O3", "-march=native", "-shared", "-fPIC", f"-I{ROOT}", f"-I{ROOT}/include",
                        *(str(ROOT / s) for s in SOURCES), "-o", str(made), "-lm"], check=True)
        found = ctypes.CDLL(str(made))
    found.memory_compress_default.restype = Options
    found.memory_compressor_create.restype = ctypes.c_void_p
    return found


def compress(rows, times, side, keep=0.25):
    """Rows [frames, side*side, d] in float32 that are shown in `times` (seconds): what is kept, in memory's order: values [n, d], and of
    each (frame, cell) that it began with."""
    lib, options = library(), library().memory_compress_default()
    options.keep, options.step = keep, 1000000
    rows = np.ascontiguousarray(rows, np.float32)
    maker = ctypes.c_void_p(lib.memory_compressor_create(ctypes.c_int32(rows.shape[2]), ctypes.c_uint16(side), ctypes.c_uint16(side), ctypes.byref(options)))
    for n, (t0, t1) in enumerate(times):
        lib.memory_compressor_frame(maker, ctypes.c_void_p(rows[n].ctypes.data), ctypes.c_int64(round(t0 * 1e6)), ctypes.c_int64(round(t1 * 1e6)))
    out = Compressed()
    lib.memory_compressor_close(maker, ctypes.byref(out))
    lib.memory_compressor_destroy(maker)
    values = np.ctypeslib.as_array(out.rows, (out.n, rows.shape[2])).copy()
    frames = {round(t0 * 1e6): n for n, (t0, _) in enumerate(times)}
    origin = [(frames[out.tokens[i].t0], out.tokens[i].y0 * side + out.tokens[i].x0) for i in range(out.n)]
    lib.memory_compressed_finish(ctypes.byref(out))
    return values, origin


def pictures(origin):
    """The tokens that are shown (numbers into `origin`) in the order of time and place, cut as `ask` cuts them into pictures."""
    order, out = sorted(range(len(origin)), key=lambda i: origin[i]), []
    for i in order:
        if not out or origin[i][0] != origin[out[-1][-1]][0] and len(out[-1]) >= FEWEST:
            out.append([])
        out[-1].append(i)
    return out


def prefix(n, share):
    """How many of n tokens a budget of that share takes: 8, and as many times 16 as fit."""
    return n if share >= 1 else min(n, max(8, 8 + 16 * int((share * n - 8) // 16)))


def steps(shots):
    """Frames of these shots that show something new, looked at once a second: [(second, shot)]."""
    out = []
    for shot in shots:
        first, end = math.ceil(shot.t0 - LATE), math.ceil(shot.t1 - LATE)
        moves = any(i.motion.startswith("moves") or i.motion in ("grows", "shrinks") for i in shot.items)
        events = {math.ceil(i.when - LATE) for i in shot.items if i.motion in ("appears", "leaves")}
        out += [(t, shot) for t in range(first, end) if t == first or moves or t in events]
    return out


def segments(steps_of):
    """Steps in runs of LEAST_STEPS or more that end where a shot ends."""
    out = []
    for step in steps_of:
        if not out or len(out[-1]) >= LEAST_STEPS and step[1] is not out[-1][-1][1]:
            out.append([])
        out[-1].append(step)
    return out


def blank(pixels, side):
    """Cells of a picture [s, s, 3] that show nothing, as vision/blank.c tells them: [side*side] of bool."""
    s = pixels.shape[0] // side
    cells = pixels.reshape(side, s, side, s, 3)
    flat = ((cells.max((1, 3)).astype(int) - cells.min((1, 3))) <= 2).all(2)
    out, padded = flat.copy(), np.pad(flat, 1, constant_values=True)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        out &= padded[dy:dy + side, dx:dx + side]
    return out.reshape(-1)
