# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of tools/train: the tokenizer (python3 alone), and model, episodes and export where torch, numpy, Pillow and gguf are there."""

import contextlib
import io
import pathlib
import random
import re
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from train import tokenizer

try:
    import torch
    import numpy as np
    from train import answer, ask, encoder, keep, kernels, memory, model, muon, pool, prompts, windows
    from world import film, fonts, picture, questions, words
    fonts.faces()
    missing = None
except (ImportError, FileNotFoundError) as error:
    missing = f"skipped: the training needs python3-torch, python3-numpy, python3-pil and fonts ({error})"
    print(missing)
try:
    import gguf
except ImportError:
    gguf = None


class Tokenizers(unittest.TestCase):
    texts = ["What does the sign say? HARBOR 123", "the sign the sign the house", " harbor [S12]", "[S12] 00:41:10–00:41:18\n"] * 3

    def setUp(self):
        self.words = tokenizer.Tokenizer.learn(self.texts, 340)

    def test_text_comes_back(self):
        for text in self.texts + ["naïve  blanks \n\n\ttabs 日本", "", "'s don't I'll"]:
            self.assertEqual(self.words.decode(self.words.encode(text)), text)

    def test_words_and_numbers_keep_their_blank(self):
        shown = [p.replace("Ġ", " ").replace("Ċ", "\n") for p in tokenizer.pieces("A sign: 120 7-19% don't\n x_y")]
        self.assertEqual(shown, ["A", " sign", ":", " 120", " 7", "-", "19", "%", " don", "'t", "\n", " x", "_", "y"])

    def test_special_tokens_are_one_token(self):
        ids = self.words.encode("<|im_start|>User: the<end_of_utterance>")
        self.assertEqual((ids[0], ids[-1]), (self.words.ids["<|im_start|>"], self.words.ids["<end_of_utterance>"]))

    def test_it_has_the_size_that_was_asked_for_and_learns_what_is_common(self):
        self.assertEqual(len(self.words.tokens), 340)
        self.assertEqual(len(set(self.words.tokens)), 340)
        self.assertEqual(len(self.words.encode(" the sign")), 2)

    def test_words_that_are_shown_are_one_token_in_each_case(self):
        words_of = tokenizer.Tokenizer.learn(self.texts, 340, ["harbor", "harvest", "star"])
        for word in ("harbor", "Harbor", "HARBOR", "harvest", "Star"):
            self.assertEqual(len(words_of.encode(f" {word}")), 1)
            self.assertEqual(words_of.encode(f" the {word}?")[-2], words_of.encode(f" {word}")[0])
        for number in ("0", "7", "00", "09", "41", "120", "999", "1800", "2020"):
            self.assertEqual(words_of.token(number), words_of.encode(f"> {number}\n")[-2])
        self.assertEqual([words_of.token(number, "") is None for number in ("07", "41", "120")], [False, False, True])
        self.assertGreater(len(words_of.encode(" harbinger")), 2)
        for text in self.texts + [" harbinger HARVESTER star.Star"]:
            self.assertEqual(words_of.decode(words_of.encode(text)), text)
        self.assertEqual(len(words_of.tokens) % 64, 0)

    def test_it_can_be_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            self.words.save(pathlib.Path(folder) / "t.json")
            again = tokenizer.Tokenizer.load(pathlib.Path(folder) / "t.json")
        self.assertEqual(again.encode(self.texts[0]), self.words.encode(self.texts[0]))


def tiny():
    return model.VisionShape(width=64, layers=6, heads=2, feed=128), model.TextShape(vocab=400, width=64, layers=2, heads=2, kv_heads=2, feed=96)


@unittest.skipIf(missing, missing)
class Models(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(1)

    def test_a_pixel_shuffled_token_is_its_square_of_patches(self):
        x = torch.arange(16.0).view(1, 16, 1)
        self.assertEqual(model.pixel_shuffle(x, 4, 2)[0].tolist(), [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]])

    def test_patches_are_the_convolution(self):
        net = model.Vision(tiny()[0])
        net.layers, net.norm, x = torch.nn.ModuleList(), torch.nn.Identity(), torch.randn(2, 3, 256, 256)
        want = net.patch(x).flatten(2).transpose(1, 2) + net.position
        self.assertLess(float((net(x) - want).abs().max()), 1e-4)

    def test_a_cache_changes_nothing_and_nothing_sees_what_comes_later(self):
        net, rows = model.Text(tiny()[1]), torch.randn(1, 12, 64)
        whole, _ = net(rows)
        first, cache = net(rows[:, :7])
        rest, _ = net(rows[:, 7:], cache)
        self.assertLess(float((torch.cat([first, rest], 1) - whole).abs().max()), 1e-5)

    def test_muon_makes_all_singular_values_alike(self):
        for shape in ((3, 32, 32), (1, 64, 16), (1, 16, 64)):
            values = torch.linalg.svdvals(muon.orthogonal(torch.randn(shape)).float())
            self.assertGreater(float(values.min()), 0.3)
            self.assertLess(float(values.max()), 1.4)

    def test_every_weight_has_one_optimizer(self):
        net = answer.Answerer(*tiny())
        of = muon.optimizers(net, 1e-3, vision_share=0.2)
        held = [[id(p) for g in o.param_groups for p in g["params"]] for o in of]
        self.assertEqual(sorted(held[0] + held[1]), sorted(id(p) for p in net.parameters()))
        self.assertIn(id(net.vision.layers[0].qkv.weight), held[0])
        self.assertIn(id(net.text.embed.weight), held[1])
        muon.set_rate(of, 1e-3)
        rates = {id(p): g["lr"] for o in of for g in o.param_groups for p in g["params"]}
        self.assertAlmostEqual(rates[id(net.vision.position)], 2e-4)
        self.assertAlmostEqual(rates[id(net.connector.fc.weight)], 1e-3)

    def test_embeddings_keep_their_length(self):
        net = answer.Answerer(*tiny()).text
        for optimizer in muon.optimizers(net, 1e-3, 0.1):
            for group in optimizer.param_groups:
                embeds = any(p is net.embed.weight for p in group["params"])
                self.assertEqual(group["weight_decay"], 0.0 if embeds or group["params"][0].dim() < 2 else 0.1)

    def test_optimizers_keep_their_own_rates_when_they_go_on(self):
        net = answer.Answerer(*tiny()).text
        net(torch.randn(1, 4, net.shape.width))[0].sum().backward()
        first, then = muon.optimizers(net, 1e-3, 0.1), muon.optimizers(net, 5e-4, 0.2)
        for optimizer in first:
            optimizer.step()
        muon.load(then, [o.state_dict() for o in first])
        for was, now in zip(first, then):
            self.assertEqual(len(was.state), len(now.state))
            self.assertTrue({g["weight_decay"] for g in now.param_groups} <= {0.0, 0.2})

    def test_the_encoder_learns_one_batch(self):
        net = encoder.Reader(tiny()[0], len(words.read()), 64)
        x, truth = windows.Windows(1, words.read()).batch(0, 0, 0, 128, 8)
        optimizer, seen = torch.optim.AdamW(net.parameters(), 3e-3), []
        for _ in range(25):
            with torch.autocast("cpu", torch.bfloat16):
                loss, _ = encoder.losses(net, x, truth, (3, 8))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen.append(float(loss))
        self.assertLess(seen[-1], 0.7 * seen[0])

    def test_windows_say_what_they_show(self):
        scene = picture.Scene(random.Random(1), 256, 256, "white")
        scene.draw.rectangle((0, 0, 256, 256), fill=(250, 250, 250))
        scene.text(20, 20, "Ab 7", fonts.faces()[0], 40, (0, 0, 0))
        scene.shape("star", "red", (128, 128, 224, 224), (200, 0, 0))
        sheet = windows.Sheet(scene, {"ab": 1})
        _, truth = sheet.window(random.Random(1), 256, whole=True)
        found = [picture.LETTERS[i] for row in truth["centre"].reshape(16, 16, 2, 4).transpose(0, 2, 1, 3).reshape(32, 64) for i in row if i]
        self.assertEqual(found, ["a", "b", "7"])
        self.assertEqual([picture.LETTERS[i] for i in sheet.spell[1] if i], ["7"])
        self.assertEqual(sheet.named.tolist(), [[1, 0, 0, 0, 0, 0], [2, 8, 0, 0, 0, 0]])
        self.assertEqual(picture.KINDS[truth["kind"][11, 11] - 1], "star")
        self.assertEqual(picture.COLOURS[truth["colour"][11, 11]], "red")
        self.assertEqual(picture.COLOURS[truth["colour"][0, 15]], "white")
        for seed in range(20):  # wherever a window lies: letters where ink is, words whole or not asked for
            pixels, truth = sheet.window(random.Random(seed), 128, whole=False)
            for r, c, slot in zip(*truth["centre"].nonzero()):
                y, x = r * 16 + slot // 4 * 8, c * 16 + slot % 4 * 4
                self.assertTrue((pixels[max(0, y - 16):y + 24, max(0, x - 10):x + 14] < 100).any())
            seen = {picture.LETTERS[i] for i in truth["centre"].flatten()} - {" "}
            self.assertEqual(0 in truth["word"], {"a", "b"} <= seen)

    def test_windows_depend_on_the_step_alone(self):
        one, two = windows.Windows(1, words.read()), windows.Windows(1, words.read())
        one.batch(3, 2, 2, 128, 8)
        for key, value in one.batch(40, 3, 3, 128, 4)[1].items():
            self.assertTrue((value == two.batch(40, 3, 3, 128, 4)[1][key]).all(), key)

    @unittest.skipUnless(not missing and kernels.library(), "skipped: no C compiler for the kernels")
    def test_kernels_compute_what_pytorch_computes(self):
        layer = model.VisionLayer(model.VisionShape())
        for p in layer.parameters():
            torch.nn.init.normal_(p, std=0.08 if p.dim() > 1 else 0.3)
        x, g = torch.randn(2, 64, 256).bfloat16(), torch.randn(2, 64, 256).bfloat16()

        def grads(given):
            layer.zero_grad()
            given.requires_grad_()
            y = layer(given)
            y.backward(g.to(y.dtype))
            return [y.detach(), given.grad] + [p.grad.clone() for p in layer.parameters()]

        for want, have in zip(grads(x.float()), grads(x.clone())):
            self.assertLess(float((want - have.float()).norm() / want.norm()), 0.015)
        text, rows = model.Text(model.TextShape(layers=2)), torch.randn(2, 40, 256).bfloat16()
        for p in text.parameters():
            torch.nn.init.normal_(p, 1 if p.dim() == 1 else 0, 0.06)
        g = torch.randn(2, 40, 256)

        def text_grads(given):
            text.zero_grad()
            given.requires_grad_()
            y, _ = text(given)
            (y.float() * g).sum().backward()
            return [y.detach(), given.grad] + [p.grad.clone() for p in text.parameters() if p.grad is not None]

        for want, have in zip(text_grads(rows.float()), text_grads(rows.clone())):
            self.assertLess(float((want - have.float()).norm() / want.norm()), 0.03)
        logits, wanted, weight = torch.randn(70, 51).bfloat16(), torch.randint(0, 51, (70,)), torch.rand(70)
        logits.requires_grad_()
        loss = encoder.entropy(logits, wanted, weight)
        loss.backward()
        plain = logits.detach().float().requires_grad_()
        want = encoder.entropy(plain, wanted, weight)
        want.backward()
        self.assertAlmostEqual(float(loss), float(want), delta=2e-3 * float(want))
        self.assertLess(float((logits.grad.float() - plain.grad).norm() / plain.grad.norm()), 0.01)

    def test_a_window_is_seen_as_its_part_of_the_picture(self):
        net, x = model.Vision(tiny()[0]), torch.randint(0, 255, (1, 256, 256, 3), dtype=torch.uint8)
        net.layers = torch.nn.ModuleList()
        whole, part = net(x).view(16, 16, -1), net(x[:, 48:176, 128:], corner=(3, 8)).view(8, 8, -1)
        self.assertLess(float((whole[3:11, 8:] - part).abs().max()), 1e-4)

    def small_pool(self):
        make = torch.Generator().manual_seed(1)
        return pool.Pool(1, words.read(), lambda pictures: torch.randn(len(pictures), 64, 64, generator=make),
                         lambda rows: [("", "")] * len(rows), 8, 24, 16)

    def test_answers_alone_are_learnt_and_told_apart(self):
        words_of = tokenizer.Tokenizer.learn(Tokenizers.texts, 400)
        net, here = answer.Answerer(*tiny()), self.small_pool()
        for make in (prompts.single, prompts.clip, prompts.page, prompts.lookup, prompts.both):
            episode = make(random.Random(3), here)
            made = answer.prepare(net, words_of, [episode])
            for n, each in enumerate(episode.turns):
                self.assertEqual(words_of.decode(made.ids[made.turns == n].tolist()), " " + each.answer + tokenizer.END)
            self.assertEqual(int(made.turns.max()), len(episode.turns) - 1)
            self.assertTrue((made.weights[made.turns >= 0] == 1).all())
            self.assertTrue((made.weights[made.ids < 0] == 0).all())

    def test_answers_stand_in_what_is_shown(self):
        here = self.small_pool()
        for seed in range(20):
            episode = prompts.lookup(random.Random(seed), here)
            told = " ".join(p for p in episode.pieces if isinstance(p, str)).lower().replace("\n> ", " ")
            for each in episode.turns:
                said = each.answer.split(" [")[0].lower()
                self.assertEqual(said != "not found.", bool(each.entries))
                self.assertTrue(not each.entries or all(w in told for w in said.split()), (each, told))

    def test_every_position_knows_its_heading(self):
        words_of = tokenizer.Tokenizer.learn(prompts.corpus(1, words.read(), 5), 900, words.read())
        prompt, rows = prompts.Prompt(), torch.zeros(2, 4)
        prompt.entry("film.mp4, 01:02:03–01:02:09", [(3725, rows, [("", "")] * 2)], ["it is seven"])
        prompt.entry("page 12", (), ["The mill weighs 5 kilos."])
        parts = prompts.tokens(words_of, prompts.Episode(prompt.pieces, [prompts.Turn("What does the mill weigh?", "5 kilos [S2]", "fact", (2,))]))
        stream = [i for part in parts for i in (part[1] if isinstance(part, tuple) else [-1] * len(part.values))]
        found = {at: [words_of.decode([stream[k]]).strip() if k >= 0 else "" for k in there] for at, there in answer.headings(words_of, parts)}
        self.assertEqual({tuple(found[at]) for at, i in enumerate(stream) if i == -1}, {("1", "62", "05")})
        self.assertEqual(found[stream.index(words_of.token("Frame", "")) - 1], ["1", "02", "03"])
        self.assertEqual(found[stream.index(words_of.token("5"))], ["2", "12", ""])

    def test_answers_are_looked_for_where_question_and_answer_meet(self):
        words_of, prompt = tokenizer.Tokenizer.learn(prompts.corpus(1, words.read(), 5), 900, words.read()), prompts.Prompt()
        words_of.set_nouns(words.read())
        prompt.entry("page 1", (), ["The harbor weighs 5 kilos.", "There are 70 people in the castle."])
        turns = [prompts.Turn("What does the harbor weigh?", "5 kilos [S1]", "fact", (1,)),
                 prompts.Turn("How many people are in the castle?", "70 [S1]", "fact", (1,))]
        parts = prompts.tokens(words_of, prompts.Episode(prompt.pieces, turns))
        stream = [words_of.decode([i]).strip() for i in parts[0][1]]
        found, links = ([(at, [stream[k] for k in there]) for at, there in each] for each in answer.sources(words_of, prompts.Episode(prompt.pieces, turns), parts))
        self.assertEqual([(stream[at + 1], there) for at, there in found][:1] + [found[-2][1], found[-1][1]], [("5", ["5"]), ["castle"], ["castle"]])
        self.assertEqual([stream[at + 1] for at, _ in found[-2:]], ["70", "1"])
        self.assertEqual([(stream[at], there) for at, there in links], [("5", ["harbor"]), ("castle", ["70"])])

    def test_a_pool_is_renewed_a_few_at_a_time(self):
        here = self.small_pool()
        before = list(here.pictures), list(here.segments), list(here.leaves)
        for _ in range(8):
            here.renew()
        for old, now in zip(before, (here.pictures, here.segments, here.leaves)):
            self.assertEqual(len(old), len(now))
            self.assertFalse(old[0] is now[0])
        for segment in here.segments:
            shown = segment.pictures(100, len(segment.values))
            self.assertEqual(sum(len(rows) for _, rows, _ in shown), len(segment.values))
            self.assertEqual(shown[0][0], 100)

    def test_a_montage_shows_its_pictures_one_after_the_other(self):
        here = self.small_pool()
        made = here.montage(random.Random(2), 3)
        self.assertEqual(len(made.values), len(made.told))
        self.assertEqual([(s.t0, s.t1) for s in made.shots], made.times)
        self.assertEqual([s.t1 for s in made.shots[:-1]], [s.t0 for s in made.shots[1:]])
        shown = made.pictures(100, len(made.values))
        self.assertEqual([second for second, _, _ in shown], [100 + t0 for t0, _ in made.times])
        kept = {tuple(row) for p in here.pictures for row in p.kept.tolist()}
        self.assertTrue(all(tuple(row) in kept for row in made.values.tolist()))

    def test_what_no_token_tells_is_not_asked_for(self):
        def asked(kind, text, answer=""):
            return prompts.readable(questions.Question(kind, text, answer, []), {"harbor", "70"})

        self.assertTrue(asked("when", "When is HARBOR shown?"))
        self.assertFalse(asked("when", "When is CASTLE shown?"))
        self.assertTrue(asked("sign", "What does the sign near the red cup say?", "70"))
        self.assertFalse(asked("after", "Which word follows HARBOR?", "castle"))
        self.assertTrue(asked("colour", "Which colour has the cup?", "red"))

    def test_recall_is_judged_among_all_excerpts_of_a_step(self):
        words_of, net, here = tokenizer.Tokenizer.learn(Tokenizers.texts, 400), answer.Answerer(*tiny()), self.small_pool()
        episodes = [prompts.clip(random.Random(seed), here, n=4) for seed in range(4)]
        loss, share = answer.recall(net, words_of, episodes)
        self.assertGreater(float(loss.detach()), 0)
        self.assertTrue(0 <= share <= 1)

    def test_prompts_are_what_the_program_writes(self):
        source = (ROOT / "engine/ask_prompt.c").read_text(encoding="utf-8")
        literal = re.search(r"ask_instructions\[\] =\n(.*?);\n", source, re.S).group(1)
        self.assertEqual("".join(re.findall(r'"(.*?)"', literal)), prompts.SYSTEM)
        documented = (ROOT / "docs/PROMPTS.md").read_text(encoding="utf-8")
        self.assertIn(prompts.SYSTEM, documented)
        self.assertIn(questions.NOT_SHOWN, documented)
        entry = r"\[S\d+\] \d\d:\d\d:\d\d–\d\d:\d\d:\d\d\n(Frame from \d+:\d\d:<fake_token_around_image><global-img>PICTURE" \
            r"<fake_token_around_image>\n)+(> [^\n]*\n)*\n"
        asked = r"Question: [^\n]*<end_of_utterance>\nAssistant: [^\n]*<end_of_utterance>(\nUser: )?"
        begun = re.escape(f"<|im_start|>System: {prompts.SYSTEM}<end_of_utterance>\nUser: ")
        here = self.small_pool()
        for seed in range(3):
            text = self.written(prompts.clip(random.Random(seed), here, n=3))
            self.assertRegex(text, rf"\A{begun}(Overview:\n({entry})+)?Excerpts:\n({entry})+({asked})+\Z")
            page = self.written(prompts.page(random.Random(seed), here))
            self.assertRegex(page, rf"\A{begun}Excerpts:\n(\[S\d+\] (page \d+|outline)\n(<fake_token_around_image><global-img>PICTURE"
                                   rf"<fake_token_around_image>\n)?(> [^\n]*\n)*\n)+({asked})+\Z")

    def written(self, episode):
        """The text of an episode, with PICTURE for visual tokens."""
        words_of = tokenizer.Tokenizer.learn(Tokenizers.texts, 400)
        return "".join(words_of.decode(p[1]) if isinstance(p, tuple) else "PICTURE" for p in prompts.tokens(words_of, episode))

    def test_memory_keeps_of_a_film_what_changes(self):
        rows = torch.randn(6, 64, 256).numpy()
        rows[1:4] = rows[0]
        rows[2, 9] = -rows[2, 9]
        values, origin = memory.compress(rows, [(t, t + 1) for t in range(6)], 8)
        self.assertLessEqual(len(origin), 6 * 16)
        self.assertEqual({cell for frame, cell in origin if frame in (1, 3)}, set())
        self.assertLessEqual({cell for frame, cell in origin if frame == 2}, {9})
        self.assertEqual({frame for frame, _ in origin}, {0, 4, 5} | {frame for frame, _ in origin if frame == 2})
        whole, everything = memory.compress(rows, [(t, t + 1) for t in range(6)], 8, keep=1.0)
        self.assertEqual(len(everything), 6 * 64)
        for value, (frame, cell) in zip(whole, everything):
            self.assertEqual(value.tolist(), rows[frame, cell].tolist())
        shown = memory.pictures(origin)
        self.assertEqual(sorted(i for part in shown for i in part), list(range(len(origin))))
        self.assertTrue(all(len(part) >= memory.FEWEST for part in shown[:-1]))

    def test_films_are_cut_where_shots_end(self):
        shots = [film.Shot(t, t + 5.5, "card", "red", (0, 0, 0)) for t in (0, 5.5, 11, 16.5, 22, 27.5)]
        shots[1].items = [film.Item("star", "red", "middle", 0.2, (0, 0, 0), "moves left")]
        steps = memory.steps(shots)
        self.assertEqual([t for t, _ in steps], [0, 6, 7, 8, 9, 10, 11, 17, 22, 28])
        self.assertEqual([[t for t, _ in s] for s in memory.segments(steps)], [[0, 6, 7, 8, 9, 10], [11, 17, 22, 28]])

    def test_blank_cells_are_flat_and_so_are_their_neighbours(self):
        pixels = np.zeros((256, 256, 3), np.uint8)
        pixels[40, 40] = 255  # in cell (1, 1)
        self.assertEqual(sorted((~memory.blank(pixels, 8)).nonzero()[0].tolist()), [1, 8, 9, 10, 17])

    def test_what_the_program_says_is_judged(self):
        when = questions.Question("when", "When is A shown?", "00:01:00", [[59.4, 66.0]])
        self.assertTrue(ask.same("00:00:59", when))
        self.assertFalse(ask.same("00:01:02", when))
        self.assertFalse(ask.same("1 [S1", when))
        self.assertFalse(ask.same("greens", questions.Question("colour", "", "green", [1])))

        def found(**place):
            return {"citations": [{"named_by_answer": True, **place}, {"named_by_answer": False, "page": 7, "t0": 0, "t1": 99}]}

        self.assertTrue(ask.cites(found(t0=60, t1=70), when))
        self.assertFalse(ask.cites(found(t0=66, t1=70), when))
        self.assertTrue(ask.cites(found(page=3), questions.Question("cell", "", "4", [3])))
        self.assertFalse(ask.cites(found(page=7), questions.Question("cell", "", "4", [3])))
        self.assertFalse(ask.cites({"citations": []}, when))

    def test_a_checkpoint_is_whole_or_not_there(self):
        with tempfile.TemporaryDirectory() as folder:
            state = keep.State(folder, "s")
            self.assertIsNone(state.load())
            state.save(step=3, net={"a": torch.ones(2)})
            self.assertEqual(state.load()["step"], 3)
            self.assertEqual([p.name for p in pathlib.Path(folder).iterdir()], ["s.pt"])

    def test_small_checkpoints_can_be_gone_on_from(self):
        with tempfile.TemporaryDirectory() as folder:
            here, there = pathlib.Path(folder) / "here", pathlib.Path(folder) / "there"
            weights = {"a": torch.randn(3, 4)}
            keep.State(here, "s").save(step=7, level=2, averaged=5, net=weights, average=weights, optimizers=[{}])
            with contextlib.redirect_stdout(io.StringIO()):
                keep.shrink(here, there)
            found = keep.State(there, "s").load()
        self.assertEqual((found["step"], found["level"], found["optimizers"]), (7, 2, None))
        self.assertEqual(found["net"]["a"].dtype, torch.float32)
        self.assertLess(float((found["net"]["a"] - weights["a"]).abs().max()), 2e-3)

    def test_a_small_checkpoint_holds_the_encoder_once(self):
        with tempfile.TemporaryDirectory() as folder:
            here, there = pathlib.Path(folder) / "here", pathlib.Path(folder) / "there"
            eyes, heads, text = {"vision.a": torch.randn(3)}, {"heads.b": torch.randn(2)}, {"text.c": torch.randn(4)}
            for stage, weights in (("encoder", {**eyes, **heads}), ("answer", {**eyes, **text})):
                keep.State(here, stage).save(step=1, net=weights, average=weights, optimizers=[])
            with contextlib.redirect_stdout(io.StringIO()):
                keep.shrink(here, there)
            self.assertEqual(list(torch.load(there / "answer.pt", weights_only=True)["average"]), ["text.c"])
            found = keep.State(there, "answer").load()["average"]
            self.assertEqual(set(found), {"vision.a", "text.c"})
            self.assertTrue(torch.equal(found["vision.a"], eyes["vision.a"].half().float()))

    @unittest.skipUnless(gguf, "skipped: no Python package gguf")
    def test_exported_files_hold_the_weights(self):
        from train import export
        vision, text = tiny()
        words_of = tokenizer.Tokenizer.learn(Tokenizers.texts, 400)
        net = answer.Answerer(vision, text)
        with tempfile.TemporaryDirectory() as folder:
            one, two = pathlib.Path(folder) / "t.gguf", pathlib.Path(folder) / "v.gguf"
            export.write_text(one, net.text, words_of, "t", "f32")
            export.write_vision(two, net.vision, net.connector, "t", "q8_0", text.width)
            tensors = {t.name: t for t in gguf.GGUFReader(one).tensors}
            self.assertTrue((tensors["blk.1.attn_k.weight"].data == net.text.layers[1].k.weight.detach().numpy()).all())
            self.assertEqual(len(tensors), 2 + 9 * text.layers)
            tensors = {t.name: t for t in gguf.GGUFReader(two).tensors}
            self.assertEqual(tensors["v.patch_embd.weight"].shape.tolist(), [16, 16, 3, 64])
            back = gguf.quants.dequantize(tensors["v.blk.5.attn_v.weight"].data, gguf.GGMLQuantizationType.Q8_0)
            self.assertLess(abs(back - net.vision.layers[5].qkv.weight[128:].detach().numpy()).max(), 0.002)


if __name__ == "__main__":
    unittest.main()
