# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of tools/world: films, papers and pictures agree with the truth beside them. Skipped without Pillow and numpy."""

import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
try:
    import numpy as np
    from world import film, fonts, paper, picture, questions, words
    fonts.faces()
except (ImportError, FileNotFoundError) as missing:
    print(f"skipped: tools/world needs python3-numpy, python3-pil and fonts ({missing})")
    sys.exit(77)


class Pictures(unittest.TestCase):
    def test_the_same_seed_gives_the_same_picture(self):
        one, two = (picture.tile(random.Random(5), picture.LEVELS[3], words.read())[0] for _ in range(2))
        self.assertTrue((one == two).all())

    def test_boxes_of_letters_hold_their_ink(self):
        scene = picture.Scene(random.Random(1), 256, 256, "white")
        scene.draw.rectangle((0, 0, 256, 256), fill=(250, 250, 250))
        scene.text(20, 20, "Ab 7", fonts.faces()[0], 40, (0, 0, 0))
        # And nothing of it lies outside.
        dark = np.asarray(scene.image)[:100, :, 1] < 128
        for word in scene.words:
            for x0, y0, x1, y1 in word.letters:
                self.assertTrue(dark[round(y0):round(y1) + 1, round(x0):round(x1) + 1].any())
                dark[max(0, round(y0) - 1):round(y1) + 2, max(0, round(x0) - 1):round(x1) + 2] = False
        self.assertFalse(dark.any())

    def test_every_kind_can_be_drawn_inside_its_box(self):
        for kind in words.KINDS:
            scene = picture.Scene(random.Random(1), 100, 100, "white")
            scene.draw.rectangle((0, 0, 100, 100), fill=(255, 255, 255))
            scene.shape(kind, "blue", (20, 20, 80, 80), (20, 60, 200))
            ink = np.asarray(scene.image).min(2) < 200
            self.assertGreater(ink[20:81, 20:81].sum(), 300, kind)
            ink[19:82, 19:82] = False
            self.assertFalse(ink.any(), kind)

    def test_colours_are_told_apart(self):
        rng = random.Random(2)
        centres = {name: np.array(rgb) for name, (rgb, _) in words.COLOURS.items()}
        for name in centres:
            for _ in range(200):
                rgb = np.array(picture.shade(rng, name))
                nearest = min(centres, key=lambda other: abs(centres[other] - rgb).sum())
                self.assertEqual(nearest, name)


class Films(unittest.TestCase):
    def test_questions_are_answered_by_the_film(self):
        plan = film.plan("a", 300, words.read())
        self.assertEqual(plan.shots[-1].t1, 300)
        for one, two in zip(plan.shots, plan.shots[1:]):
            self.assertEqual(one.t1, two.t0)
            self.assertGreaterEqual(one.t1 - one.t0, 3.99)
        asked = questions.of_film(random.Random(1), plan, words.read())
        self.assertGreater(len(asked), 40)
        for q in asked:
            if q.answer == questions.NOT_SHOWN:
                self.assertEqual(q.spans, [])
            elif q.kind == "sign":
                shot = plan.shot((q.spans[0][0] + q.spans[0][1]) / 2)
                self.assertIn(q.answer, [s.text.lower() for s in shot.signs])
                self.assertTrue(any(i.kind in q.text and i.colour in q.text for i in shot.items))
            elif q.kind == "when":
                h, m, s = map(int, q.answer.split(":"))
                self.assertEqual(h * 3600 + m * 60 + s, int(q.spans[0][0]))

    def test_what_was_never_shown_is_not_in_the_film(self):
        plan = film.plan("b", 120, words.read())
        shown = {i.kind for s in plan.shots for i in s.items} | {s.text.lower() for shot in plan.shots for s in shot.signs}
        for seed in range(50):
            q = questions.absent_of_shots(random.Random(seed), plan.shots, words.read())
            if q.kind in ("absent colour", "absent where"):
                self.assertFalse([k for k in shown if f" {k}" in q.text.lower() and k in words.KINDS])

    def test_tests_ask_in_other_wordings(self):
        for kind in questions.WORDINGS:
            ours = {questions.ask(random.Random(i), kind, False, k="cup", c="red", w="A", l="b", h="age", r="oat", list="x").lower().rstrip("?.") for i in range(200)}
            held = {questions.ask(random.Random(i), kind, True, k="cup", c="red", w="A", l="b", h="age", r="oat", list="x").lower().rstrip("?.") for i in range(200)}
            self.assertFalse(ours & held, kind)
            said, new = (" ".join(w for i, w in enumerate(questions.wordings(kind)) if (i % questions.HELD == questions.HELD - 1) == held)
                         for held in (False, True))
            self.assertEqual({w.strip("?.,") for w in new.split()} - {w.strip("?.,") for w in said.split()}, set(), kind)

    @unittest.skipUnless(shutil.which("ffmpeg"), "skipped: no ffmpeg")
    def test_a_film_is_written_with_its_truth(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "f.mp4"
            plan = film.plan("c", 8, words.read())
            film.write(plan, path, fps=2, width=160, height=90)
            self.assertEqual(json.loads(path.with_suffix(".json").read_text())["seconds"], 8)
            pixels = subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-ss", "1", "-i", str(path), "-frames:v", "1", "-f", "rawvideo",
                                     "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
            shown = np.frombuffer(pixels, np.uint8).reshape(90, 160, 3).astype(int)
            drawn = np.asarray(film.frame(plan, 1.25, 160, 90, False).image).astype(int)
            self.assertLess(abs(shown - drawn).mean(), 8)


class Papers(unittest.TestCase):
    def test_the_file_holds_the_text_of_the_plan(self):
        plan = paper.plan("d", 3, words.read())
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "p.pdf"
            paper.write(plan, path)
            self.assertEqual(len(json.loads(path.with_suffix(".json").read_text())["pages"]), 3)
            if not shutil.which("pdftotext"):
                self.skipTest("skipped: no pdftotext")
            told = " ".join(subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True, text=True).stdout.split())
            for page in plan.pages:
                for block in page.blocks:
                    for line in block.lines if block.kind == "text" else [block.title]:
                        self.assertIn(line, told)

    def test_a_page_drawn_as_pixels_has_the_words_of_its_plan(self):
        plan = paper.plan("e", 2, words.read())
        scene = paper.render(plan, plan.pages[0], 768, 1024)
        drawn = " ".join(w.text for w in scene.words)
        for block in plan.pages[0].blocks:
            for line in block.lines:
                self.assertIn(line, drawn)
        for q in paper.of_paper(random.Random(1), plan, words.read()):
            if q.kind in ("cell", "bar"):
                self.assertIn(q.answer, drawn.split())


if __name__ == "__main__":
    unittest.main()
