#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Films as they shouldn't be and are: every kind of clock, form and colour, made with the ffmpeg program, through `pagereel inspect` and
`pagereel frame`. What is painted into a frame (its time in milliseconds and its number, as bits) is held to the span that it is given.
usage: odd_films.py PROGRAM [--table]"""
import os
import struct
import sys
import unittest

import support

X264 = ["-c:v", "libx264", "-preset", "veryfast"]
BITS = 16


def clock(rate, seconds, more=""):
    """A source of 256 x 32 pixels: 16 columns show the bits of its time in ms above, those of its number below."""
    return f"color=black:s=256x32:r={rate}:d={seconds},format=gray,geq=lum='255*mod(floor(if(lt(Y,16),round(T*1000),N)/pow(2,15-floor(X/16)))" \
           f",2)'{more},format=yuv420p"


def painted(picture, turned=False):
    """(milliseconds, number). turned: the picture lies on its left side."""
    width, height, rows = picture
    assert (width, height) == ((32, 256) if turned else (256, 32)), (width, height)

    def bit(column, line):
        x, y = (line, 255 - column) if turned else (column, line)
        return rows[y][3 * x] > 127
    return tuple(sum(bit(16 * i + 8, line) << (BITS - 1 - i) for i in range(BITS)) for line in (8, 24))


class OddFilms(support.Files):
    @classmethod
    def setUpClass(cls):
        if not support.have_ffmpeg():
            raise unittest.SkipTest("no ffmpeg")
        super().setUpClass()

    # ---- times

    def clock_film(self, name, rate, seconds, *encoder, more=""):
        return self.ffmpeg("-f", "lavfi", "-i", clock(rate, seconds, more), *encoder, name)

    def check_times(self, path, *options, rate=None, offset=0, turned=False, looks=6):
        """Spans follow each other, and frames cut out at their beginning, middle and end show a time within them. Returns the units."""
        _, units = self.units(path, *options)
        frames = [unit for unit in units if unit["unit"] == "frame"]
        self.assertGreater(len(frames), 0)
        for a, b in zip(frames, frames[1:]):
            self.assertLessEqual(a["t1"], b["t0"] + 1e-6)
        for i in range(0, len(frames), max(1, len(frames) // looks)):
            t0, t1 = frames[i]["t0"], frames[i]["t1"]
            for at in (t0, (t0 + t1) / 2, t1 - 1e-6):
                ms, number = painted(self.frame(path, "--at", f"{at:.6f}"), turned)
                time = ms / 1000 - offset
                self.assertTrue(t0 - 0.001 <= time < t1 + 0.001, f"{path}: {time} is painted on what is shown from {t0} to {t1}")
                if rate:
                    self.assertEqual(number, round(ms / 1000 * rate))
        return frames

    def test_01_b_frames(self):
        """constant rate, B-frames (MP4, H.264, 25/s)"""
        path = self.clock_film("b.mp4", 25, 12, *X264, "-bf", "3", "-g", "100")
        self.assertEqual(len(self.check_times(path, rate=25)), 12)
        self.says("12 frames at 1/s; time and number painted on each are in its span")

    def test_02_ntsc(self):
        """29.97/s (Matroska)"""
        frames = self.check_times(self.clock_film("ntsc.mkv", "30000/1001", 12, *X264, "-bf", "2", "-g", "30"), rate=30000 / 1001)
        self.assertEqual(len(frames), 13)
        self.says("13 frames, the last at 12 s of 12.012; no drift")

    def test_03_slow(self):
        """1/s (MP4)"""
        self.assertEqual(len(self.check_times(self.clock_film("slow.mp4", 1, 12, *X264), "--fps", "4", rate=1)), 12)
        self.says("sampled at 4/s each of 12 frames comes once, with the second for which it stays")

    def test_04_fast(self):
        """120/s (MP4)"""
        self.assertEqual(len(self.check_times(self.clock_film("fast.mp4", 120, 3, *X264), "--fps", "10", rate=120)), 30)
        self.says("30 frames at 10/s, each 8.3 ms long")

    def test_05_variable(self):
        """variable rate (Matroska): two of three frames of the first half are missing"""
        path = self.clock_film("vfr.mkv", 30, 12, "-fps_mode", "vfr", *X264, more=",select='gte(t,6)+not(mod(n,3))'")
        frames = self.check_times(path, "--fps", "4")
        self.assertEqual(len(frames), 48)
        self.assertAlmostEqual(frames[4]["t1"] - frames[4]["t0"], 0.1, delta=0.002)
        self.assertAlmostEqual(frames[40]["t1"] - frames[40]["t0"], 1 / 30, delta=0.002)
        self.says("48 frames at 4/s; spans of 100 ms in the first half, of 33 ms in the second")

    def test_06_gaps(self):
        """gaps (WebM, VP9): five frames, then 1.8 s nothing"""
        path = self.clock_film("gaps.webm", 25, 20, "-fps_mode", "vfr", "-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime",
                               more=",select='lt(mod(n,50),5)'")
        self.check_times(path)
        self.says("what is on the screen in the gap is the last frame before it")

    def test_07_offset(self):
        """the clock starts at 5 s (MPEG-TS) and at 3600 s (Matroska)"""
        for name, offset in ("offset.ts", "5"), ("offset.mkv", "3600"):
            path = self.clock_film(name, 25, 12, *X264, "-output_ts_offset", offset)
            self.assertEqual(len(self.check_times(path, rate=25, looks=3)), 12)
            self.assertAlmostEqual(self.inspect("--frames", "1", path)["duration"], 12, delta=0.1)
        self.says("times count from the film's first frame; its length is 12 s")

    def test_08_edit_list(self):
        """edit list (MP4): begins 2.52 s behind a key frame"""
        self.clock_film("whole.mp4", 25, 8, *X264, "-bf", "2", "-g", "100")
        self.ffmpeg("-ss", "2.52", "-i", "whole.mp4", "-c", "copy", "edit.mp4")
        self.assertEqual(len(self.check_times(self.path("edit.mp4"), offset=2.52)), 6)
        self.says("6 frames; 0 s is what was 2.52 s in the whole")

    def test_09_rotation(self):
        """rotation by 90 degrees (MP4)"""
        self.clock_film("upright.mp4", 25, 6, *X264, "-g", "25")
        self.ffmpeg("-i", "upright.mp4", "-c", "copy", "-metadata:s:v", "rotate=90", "turned.mp4")
        frames = self.check_times(self.path("turned.mp4"), rate=25, turned=True)
        self.assertEqual(frames[0]["size"], [32, 256])
        self.says("32 x 256, upright, with its times")

    def test_10_jumps(self):
        """the clock jumps back (MPEG-TS): three recordings one behind the other"""
        with open(self.clock_film("part.ts", 25, 10, *X264, "-bf", "2"), "rb") as file:
            path = self.write("joined.ts", 3 * file.read())
        info, units = self.units(path)
        self.assertAlmostEqual(info["duration"], 30, delta=0.2)
        self.assertEqual(len(units), 30)
        for at in 3.5, 15, 25:
            self.assertAlmostEqual(painted(self.frame(path, "--at", str(at)))[0] / 1000, at % 10, delta=0.041)
        self.says("30 frames over 30 s; 25 s shows what the third recording has at 5 s")

    def test_11_missing(self):
        """stamps that are missing: raw H.264 has none, AVI only those of decoding, MPEG-PS some"""
        for name, encoder in (("raw.h264", [*X264, "-bf", "3"]), ("dts.avi", [*X264, "-bf", "3"]),
                              ("some.mpg", ["-c:v", "mpeg2video", "-bf", "2", "-q:v", "2"])):
            self.assertEqual(len(self.check_times(self.clock_film(name, 25, 8, *encoder), looks=4)), 8, name)
        self.says("8 frames of 8 s each, right to the frame")

    def test_12_no_length(self):
        """no length in the file: live Matroska, raw H.264, MP4 in fragments"""
        self.clock_film("length.mkv", 25, 12, *X264, "-bf", "2")
        for name, options in (("live.mkv", ["-live", "1"]), ("length.h264", []), ("parts.mp4", ["-movflags", "frag_keyframe+empty_moov"])):
            path = self.ffmpeg("-i", "length.mkv", "-c", "copy", *options, name)
            frames = self.check_times(path, "--frames", "4", looks=2)
            for frame, middle in zip(frames, (1.5, 4.5, 7.5, 10.5), strict=True):
                self.assertAlmostEqual(frame["t0"], middle, delta=0.1, msg=name)
        self.says("a budget of 4 frames is spread over the 12 s all the same")

    # ---- forms

    def colour(self, picture, x, y):
        width, height, rows = picture
        at = 3 * int(x * width)
        return rows[int(y * height)][at:at + 3]

    def expect(self, path, *colours, options=()):
        """colours: (x, y, (r, g, b)) in parts of the size. Returns (width, height)."""
        picture = self.frame(path, *options)
        for x, y, rgb in colours:
            got = self.colour(picture, x, y)
            self.assertTrue(all(abs(a - b) <= 12 for a, b in zip(got, rgb)), f"{path}: {tuple(got)} instead of {rgb}")
        return picture[:2]

    def solid(self, name, source, *encoder):
        return self.ffmpeg("-f", "lavfi", "-i", source, *encoder, name)

    def test_20_aspect(self):
        """sample aspect 2:1"""
        size = self.expect(self.solid("wide.mkv", "color=red:s=64x48:r=5:d=1,setsar=2/1", "-c:v", "mpeg4"), (0.5, 0.5, (254, 0, 0)))
        self.assertEqual(size, (128, 48))
        self.says("64 x 48 is shown 128 x 48")

    def test_21_interlaced(self):
        """interlaced: one field black, the other white"""
        path = self.solid("comb.mkv", "color=black:s=64x64:r=25:d=1,format=gray,geq=lum='255*mod(Y,2)',format=yuv420p,setfield=tff",
                          "-c:v", "mpeg2video", "-q:v", "1", "-flags", "+ildct+ilme", "-top", "1")
        _, _, rows = self.frame(path)
        self.assertLess(max(map(max, rows)) - min(map(min, rows)), 60)
        self.says("one field is shown, no comb")

    def test_22_deep(self):
        """10 bits a sample"""
        self.expect(self.solid("deep.mkv", "color=red:s=64x64:r=5:d=1,format=yuv420p10le", "-c:v", "ffv1"), (0.5, 0.5, (254, 0, 0)))
        self.says("its colours")

    def test_23_hdr(self):
        """HDR, tone-mapped: PQ and HLG"""
        for curve, luma, least, most in (("arib-std-b67", 64, 0, 8), ("arib-std-b67", 721, 165, 245), ("arib-std-b67", 940, 245, 255),
                                         ("smpte2084", 64, 0, 8), ("smpte2084", 509, 150, 235), ("smpte2084", 723, 245, 255)):
            path = self.solid("hdr.mkv", f"color=black:s=64x64:r=5:d=1,format=yuv420p10le,geq=lum={luma}:cb=512:cr=512", "-c:v", "libx265",
                              "-preset", "ultrafast", "-x265-params",
                              f"log-level=none:colorprim=bt2020:transfer={curve}:colormatrix=bt2020nc", "-color_trc", curve,
                              "-color_primaries", "bt2020", "-colorspace", "bt2020nc")
            grey = self.colour(self.frame(path), 0.5, 0.5)
            self.assertTrue(least <= min(grey) and max(grey) <= most, f"{curve} {luma}: {tuple(grey)}")
        self.says("black stays black, 100 cd/m² is light grey, 1000 cd/m² is white; HLG at 75 % likewise")

    def test_24_alpha(self):
        """alpha (QuickTime, PNG frames)"""
        self.expect(self.solid("half.mov", "color=red@0.5:s=64x48:r=5:d=1,format=rgba", "-c:v", "png"), (0.5, 0.5, (255, 127, 127)))
        self.says("half transparent red is pink: it lies over white")

    def test_25_palette(self):
        """palette (Matroska, PNG of 8 bits)"""
        path = self.ffmpeg("-f", "lavfi", "-i", "color=red:s=32x48:r=5:d=1", "-f", "lavfi", "-i", "color=blue:s=32x48:r=5:d=1", "-filter_complex",
                           "hstack,format=rgb24,split[a][b];[a]palettegen[p];[b][p]paletteuse", "-c:v", "png", "-pix_fmt", "pal8", "palette.mkv")
        self.expect(path, (0.25, 0.5, (254, 0, 0)), (0.75, 0.5, (0, 0, 254)))
        self.says("its colours")

    def test_26_odd_size(self):
        """33 x 17 pixels"""
        size = self.expect(self.solid("odd.mkv", "color=red:s=64x32:r=5:d=1,format=yuv444p,crop=33:17", "-c:v", "ffv1"), (0.95, 0.95, (254, 0, 0)))
        self.assertEqual(size, (33, 17))
        tiny = self.expect(self.solid("tiny.mov", "color=red:s=2x2:r=1:d=54", "-c:v", "png"), (0.5, 0.5, (254, 0, 0)))
        self.assertEqual(tiny, (2, 2))  # its packets lie as those of MPEG-TS do
        self.says("33 x 17, coloured to the edge")

    def test_27_resize(self):
        """the size changes in mid-stream (MPEG-TS)"""
        data = b""
        for colour, size in ("red", "64x48"), ("blue", "128x96"):
            with open(self.solid("part-of.ts", f"color={colour}:s={size}:r=25:d=2", "-c:v", "mpeg2video"), "rb") as file:
                data += file.read()
        _, units = self.units(self.write("change.ts", data), "--fps", "2")
        sizes = [unit["size"] for unit in units]
        self.assertEqual((sizes[0], sizes[-1]), ([64, 48], [128, 96]))
        self.expect(self.path("change.ts"), (0.5, 0.5, (0, 0, 254)), options=("--at", "3"))
        self.says("64 x 48 and then 128 x 96, red and then blue")

    # ---- streams

    def test_30_streams(self):
        """two video streams"""
        path = self.ffmpeg("-f", "lavfi", "-i", "color=red:s=64x48:r=5:d=1", "-f", "lavfi", "-i", "color=blue:s=64x48:r=5:d=1", "-map", "0",
                           "-map", "1", "-c:v", "mpeg4", "two.mkv")
        self.expect(path, (0.5, 0.5, (254, 0, 0)), options=("--stream", "0"))
        self.expect(path, (0.5, 0.5, (0, 0, 254)), options=("--stream", "1"))
        self.fails(2, "stream 7 is no video stream", "inspect", "--stream", "7", path)
        self.says("--stream chooses; `inspect` lists them; a number that isn't one is refused")

    def test_31_cover(self):
        """cover art: a song's (M4A) and a film's (MP4)"""
        self.solid("cover.png", "color=red:s=64x64", "-frames:v", "1")
        song = self.ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-i", "cover.png", "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v",
                           "attached_pic", "song.m4a")
        info = self.inspect(song)
        self.assertEqual((info["kind"], info["read"]["frames"]), ("audio", 0))
        film = self.ffmpeg("-i", "cover.png", "-f", "lavfi", "-i", "color=blue:s=64x48:r=5:d=2", "-map", "0", "-map", "1", "-c:v:0", "copy",
                           "-c:v:1", "libx264", "-disposition:v:0", "attached_pic", "covered.mp4")
        self.expect(film, (0.5, 0.5, (0, 0, 254)))
        self.assertEqual(self.inspect(film)["read"]["frames"], 2)
        self.says("is no frame: the song is audio, the film is the film")

    def test_32_sound_only(self):
        """sound alone (WAV, FLAC, Opus)"""
        for name in "a.wav", "a.flac", "a.opus":
            info = self.inspect("--sound", self.solid(name, "sine=d=2"))
            self.assertEqual((info["kind"], info["read"]["frames"], info["read"]["sounds"]), ("audio", 0, 2), name)
        self.says("kind audio, its length, its sound in blocks of a second; no frames")

    def test_33_stills(self):
        """stills (PNG, JPEG, WebP, BMP, TIFF, GIF)"""
        for ending in "png", "jpg", "webp", "bmp", "tiff", "gif":
            path = self.solid("still." + ending, "color=blue:s=40x30", "-frames:v", "1")
            info, units = self.units(path)
            self.assertEqual((info["kind"], len(units), info["duration"]), ("image", 1, None), ending)
            self.assertNotIn("t0", units[0])
            self.expect(path, (0.5, 0.5, (0, 0, 254)))
            self.assertEqual(info["streams"][0]["rate"], 0, ending)
        self.says("one picture without a time")

    def test_33_avif_and_heic(self):
        """AVIF: a photo, and one among a folder's pictures; HEIC there"""
        os.mkdir(self.path("photos"))
        path = self.solid("photos/1.avif", "color=blue:s=40x30", "-frames:v", "1", "-c:v", "libaom-av1", "-still-picture", "1", "-cpu-used", "8")
        info, units = self.units(path)
        self.assertEqual((info["kind"], len(units), info["duration"]), ("image", 1, None))
        self.expect(path, (0.5, 0.5, (0, 0, 254)))
        self.write("photos/2.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
        read = self.inspect(self.path("photos"))
        self.assertEqual((read["read"]["pages"], read["read"]["failed"]), (1, 1))
        self.assertIn("2.heic: is no picture that can be read", read["problems"][0])
        self.says("a picture without a time; HEIC is named as unread")

    def test_33_pages_of_a_picture(self):
        """a TIFF of two pages; an icon of two sizes"""
        with open(self.solid("page.tiff", "color=blue:s=16x16", "-frames:v", "1", "-compression_algo", "raw"), "rb") as file:
            page = file.read()
        at = struct.unpack("<I", page[4:8])[0]
        end = at + 2 + 12 * struct.unpack("<H", page[at:at + 2])[0]
        page += b"\0" * (len(page) & 1)
        path = self.write("pages.tiff", page[:end] + struct.pack("<I", len(page)) + page[end + 4:] + page[at:end + 4])
        self.assertEqual(self.units(path)[0]["problems"], ["it holds 2 pages, of which the first one is read; make a PDF of it to read all"])
        pictures = []
        for side in 16, 32:
            with open(self.solid("icon.png", f"color=red:s={side}x{side}", "-frames:v", "1"), "rb") as file:
                pictures.append((side, file.read()))
        head, body = struct.pack("<3H", 0, 1, 2), b""
        for side, png in pictures:
            head += struct.pack("<4B2H2I", side, side, 0, 0, 1, 32, len(png), 38 + len(body))
            body += png
        self.assertEqual(self.expect(self.write("two.ico", head + body), (0.5, 0.5, (254, 0, 0))), (32, 32))
        self.says("the pages that aren't read are named; the largest size")

    def test_33_turned_and_mirrored(self):
        """EXIF orientations 1 to 8 of a photo; films whose matrix mirrors, turns, or does both"""
        corners = {"top left": (0.2, 0.2), "top right": (0.8, 0.2), "bottom right": (0.8, 0.8), "bottom left": (0.2, 0.8)}
        # Where Exif 2.32 puts the stored picture's upper left corner, and its upper right one.
        shown = {1: ("top left", "top right"), 2: ("top right", "top left"), 3: ("bottom right", "bottom left"), 4: ("bottom left", "bottom right"),
                 5: ("top left", "bottom left"), 6: ("top right", "bottom right"), 7: ("bottom right", "top right"), 8: ("bottom left", "top left")}
        source = "color=white:s=64x32:r=5:d=1,drawbox=w=32:h=16:c=red:t=fill,drawbox=x=32:w=32:h=16:c=blue:t=fill"
        with open(self.solid("corners.jpg", source, "-frames:v", "1", "-q:v", "1", "-pix_fmt", "yuvj444p"), "rb") as file:
            photo = file.read()
        with open(self.solid("corners.mp4", source, "-c:v", "libx264", "-qp", "1", "-pix_fmt", "yuv444p"), "rb") as file:
            film = file.read()
        upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
        self.assertEqual(film.count(upright), 2)  # of the film, and of its track, which is the last
        a_track = film.rindex(upright)
        matrices = {1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1), 5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0)}
        for orientation, (red, blue) in shown.items():
            exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
            a, b, c, d = (value << 16 for value in matrices[orientation])
            matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
            for path in (self.write("turned.jpg", photo[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + photo[2:]),
                         self.write("mirrored.mp4", film[:a_track] + matrix + film[a_track + 36:])):
                size = self.expect(path, (*corners[red], (254, 0, 0)), (*corners[blue], (0, 0, 254)))
                self.assertEqual(size, (64, 32) if orientation < 5 else (32, 64), orientation)
        self.says("the corners stand where Exif has them, in all 8, of the photo and of the film")

    def test_34_animations(self):
        """animated GIF, APNG, WebP"""
        for name, encoder in ("moving.gif", []), ("moving.apng", []), ("moving.webp", ["-c:v", "libwebp_anim"]):
            info, units = self.units(self.solid(name, "testsrc=s=40x30:r=5:d=2", *encoder), "--fps", "5")
            self.assertEqual((info["kind"], len(units)), ("video", 10), name)
            for i, unit in enumerate(units):
                self.assertAlmostEqual(unit["t0"], i / 5, delta=1e-3)
        self.says("10 frames of 200 ms, each at its time")

    def test_35_sampling(self):
        """--scenes, --keys, --from and --to"""
        path = self.ffmpeg("-f", "lavfi", "-i", "color=red:s=64x48:r=10:d=4", "-f", "lavfi", "-i", "color=blue:s=64x48:r=10:d=6", "-filter_complex",
                           "concat=n=2", *X264, "-g", "20", "-sc_threshold", "0", "scenes.mp4")
        self.assertEqual([unit["t0"] for unit in self.units(path, "--scenes")[1]], [0, 4])
        self.assertEqual([unit["t0"] for unit in self.units(path, "--keys")[1]], [0, 2, 4, 6, 8])
        self.assertEqual([unit["t0"] for unit in self.units(path, "--from", "0:00:02.5", "--to", "5s")[1]], [2.5, 3.5, 4.5])
        self.says("the first frame of each scene (0 and 4 s), every key frame (each 2 s), and a part")


if __name__ == "__main__":
    support.main(sys.modules[__name__])
