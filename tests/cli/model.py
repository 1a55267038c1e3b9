#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The program over a small model of random weights: what the commands promise about tokens, sessions, damaged files and
interruption. usage: model.py PROGRAM RANDOM_MODEL"""
import json
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

import support

PROGRAM = RANDOM_MODEL = None
SHAPE = "--layers 2 --dim 64 --heads 2 --kv 1 --ffn 128 --vocab 512 --ctx 2048 --words".split()


class Model(support.Folder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = cls.make("small.gguf", "--chat")

    @classmethod
    def make(cls, name, *options):
        path = os.path.join(cls.folder, name)
        subprocess.run([RANDOM_MODEL, path, *SHAPE, *options], check=True, stdout=subprocess.DEVNULL, env=cls.env)
        return path

    def pagereel(self, *args, input=b"", model=None):
        env = dict(self.env)
        env["PAGEREEL_MODEL"] = model or self.model
        return subprocess.run([PROGRAM, *args], input=input, env=env, timeout=120, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)

    def ok(self, *args, **kw):
        done = self.pagereel(*args, **kw)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout

    def json(self, *args, **kw):
        return json.loads(self.ok(*args, "--json", **kw))

    def fails(self, status, *words, args, **kw):
        done = self.pagereel(*args, **kw)
        error = done.stderr.decode()
        self.assertEqual(done.returncode, status, error)
        self.assertTrue(error.startswith("pagereel: ") and error.count("\n") == 1, error)
        for word in words:
            self.assertIn(word, error)

    def test_json_of_a_raw_prompt(self):
        out = self.json("run", "--raw", "-p", "Hello wörld", "-n", "8", "--logprobs", "5")
        self.assertEqual([t["id"] for t in self.json("tokenize", "Hello wörld")["tokens"]],
                         out["prompt_tokens"])
        self.assertEqual((len(out["tokens"]), out["stop"]), (8, "length"))
        for token in out["tokens"]:
            logprobs = [t["logprob"] for t in token["top"]]
            self.assertEqual(len(logprobs), 5)
            self.assertEqual(logprobs, sorted(logprobs, reverse=True))
            self.assertLess(sum(map(math.exp, logprobs)), 1.0001)
            self.assertEqual(token["id"], token["top"][0]["id"])  # temperature 0 takes the best

    def test_all_logprobs_sum_to_one(self):
        out = self.json("run", "--raw", "-p", "a", "-n", "1", "--logprobs", "512")
        self.assertEqual(len(out["tokens"][0]["top"]), 512)
        self.assertAlmostEqual(sum(math.exp(t["logprob"]) for t in out["tokens"][0]["top"]), 1, places=4)

    def test_text_is_that_of_the_json(self):
        args = ["run", "-p", "hello", "-n", "12"]
        text = "".join(token["text"] for token in self.json(*args)["tokens"])
        self.assertEqual(self.ok(*args).decode(errors="replace").rstrip("\n"), text.rstrip("\n"))

    def test_the_same_every_time(self):
        args = ["run", "-p", "hello", "-n", "16"]
        self.assertEqual(self.ok(*args), self.ok(*args))
        drawn = [*args, "--temp", "1", "--seed", "3"]
        self.assertEqual(self.ok(*drawn), self.ok(*drawn))
        self.assertNotEqual(self.ok(*drawn), self.ok(*args, "--temp", "1", "--seed", "4"))

    def test_prompt_from_standard_input(self):
        args = ["run", "-n", "4"]
        self.assertEqual(self.json(*args, "-p", "hello"), self.json(*args, input=b"hello\n"))
        self.assertNotEqual(self.json(*args, "-p", "hello")["prompt_tokens"],
                            self.json(*args, "--raw", "-p", "hello")["prompt_tokens"])

    def test_devices_agree(self):
        model = self.make("f16.gguf", "--type", "f16")  # with quantised weights cpu rounds activations too

        def best(device):
            out = self.json("run", "--raw", "-p", "hello", "-n", "1", "--logprobs", "20", "--device", device,
                            "--cache-type", "f32", model=model)
            return {t["id"]: t["logprob"] for t in out["tokens"][0]["top"]}
        ref, cpu = best("ref"), best("cpu")
        common = ref.keys() & cpu.keys()
        self.assertGreater(len(common), 15)
        for token in common:
            self.assertAlmostEqual(ref[token], cpu[token], delta=0.03)

    def test_stop(self):
        words = self.ok("run", "--raw", "-p", "hello", "-n", "16").decode(errors="replace")
        word = words.split()[3]
        out = self.json("run", "--raw", "-p", "hello", "-n", "16", "--stop", word)
        self.assertEqual(out["stop"], "string")
        self.assertNotIn(word, "".join(token["text"] for token in out["tokens"]))

    def test_session(self):
        path = os.path.join(self.folder, "session")
        whole = self.json("run", "--raw", "-p", "one two three", "-n", "6", "--cache-type", "f32")
        self.ok("run", "--raw", "-p", "one two", "-n", "0", "--cache-type", "f32", "--save-session", path)
        rest = self.json("run", "--raw", "-p", " three", "-n", "6", "--cache-type", "f32", "--load-session", path)
        self.assertEqual([t["id"] for t in rest["tokens"]], [t["id"] for t in whole["tokens"]])
        other = self.make("other.gguf", "--seed", "9")
        self.fails(2, path, args=["run", "--raw", "-p", "x", "--cache-type", "f32", "--load-session", path], model=other)
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) // 2)
        self.fails(1, path, args=["run", "--raw", "-p", "x", "--cache-type", "f32", "--load-session", path])
        self.assertEqual([f for f in os.listdir(self.folder) if f.startswith("session")], ["session"])

    def test_bos_before_a_chat(self):
        """A template that writes no bos leaves it to the tokenizer, if that wants one."""
        key = b"tokenizer.ggml.add_bos_token" + bytes([7, 0, 0, 0])
        wants = os.path.join(self.folder, "wants-bos.gguf")
        with open(self.model, "rb") as file:
            data = file.read()
        self.assertEqual(data.count(key + b"\0"), 1)
        with open(wants, "wb") as file:
            file.write(data.replace(key + b"\0", key + b"\1"))
        chat = ["run", "-p", "hi", "-n", "1", "--chat-format"]
        plain = self.json(*chat, "llava-1.5")["prompt_tokens"]
        with_bos = self.json(*chat, "llava-1.5", model=wants)["prompt_tokens"]
        self.assertEqual(with_bos[1:], plain)
        self.assertNotEqual(with_bos[0], plain[0])

    def test_context(self):
        out = self.json("run", "--raw", "-p", "a", "--ctx", "32")
        self.assertEqual(out["stop"], "context")
        self.assertLessEqual(len(out["prompt_tokens"]) + len(out["tokens"]), 33)
        self.fails(1, "32", args=["run", "--raw", "-p", "long " * 100, "--ctx", "32"])

    def test_base_model_needs_raw(self):
        base = self.make("base.gguf")
        self.fails(1, base, "--raw", args=["run", "-p", "hi"], model=base)
        self.ok("run", "--raw", "-p", "hi", "-n", "1", model=base)

    def test_damaged_files(self):
        def variant(name, change):
            with open(self.model, "rb") as file:
                data = bytearray(file.read())
            path = os.path.join(self.folder, name)
            with open(path, "wb") as file:
                file.write(change(data))
            return path

        def replace(data, old, new):
            self.assertEqual(data.count(old), 1)
            self.assertEqual(len(old), len(new))
            return data.replace(old, new)

        run = ["run", "--raw", "-p", "a", "-n", "1"]
        for words, name, change in [
                ([], "cut.gguf", lambda d: d[:len(d) * 2 // 3]),
                ([], "head.gguf", lambda d: d[:100]),
                ([], "empty.gguf", lambda d: b""),
                ([], "text.gguf", lambda d: b"This is not a model.\n" * 100),
                (["output_norm"], "missing.gguf", lambda d: replace(d, b"output_norm.weight", b"output_nurm.weight")),
                (["zlama"], "arch.gguf", lambda d: replace(d, b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0zlama")),
        ]:
            path = variant(name, change)
            with self.subTest(name):
                self.fails(1, path, *words, args=run, model=path)
        self.fails(1, "nowhere.gguf", args=run, model="nowhere.gguf")
        self.fails(1, self.folder, args=run, model=self.folder)

    def test_lost_device(self):
        self.fails(1, "lost", args=["run", "--raw", "-p", "a", "-n", "9", "--lose-device-after", "2"])

    def test_not_enough_memory(self):
        self.fails(1, "fit", args=["run", "--raw", "-p", "a", "-n", "1", "--gpu-memory", "4K"])

    def test_interrupt(self):
        program = subprocess.Popen([PROGRAM, "run", "-m", self.model, "--raw", "-p", "a", "--window", "64", "--device", "ref"],
                                   env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        program.stdout.read(20)
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=60)
        self.assertEqual((program.returncode, err), (130, b"pagereel: interrupted\n"))

    def test_bench(self):
        out = self.json("bench", "llm", "--runs", "1")
        for key in ("prefill_tok_s", "decode_tok_s", "weight_bytes", "cache_bytes"):
            self.assertGreater(out[key], 0)
        text = b"some words that are read, again and again. " * 40
        whole = self.json("bench", "ppl", input=text)
        self.assertTrue(1 < whole["perplexity"] < 1e4)
        with tempfile.NamedTemporaryFile() as file:
            sliding = self.json("bench", "ppl", "--window", "64", "--sinks", "4", "-o", file.name, input=text)
            self.assertEqual(file.read(6), b"\x93NUMPY")
            file.seek(128)  # behind the header
            logprobs = struct.unpack(f"<{sliding['n_scored']}f", file.read())
        self.assertAlmostEqual(math.exp(-sum(logprobs) / len(logprobs)), sliding["perplexity"], 3)
        self.assertEqual(sliding["n_tokens"], whole["n_tokens"])
        self.assertTrue(1 < sliding["perplexity"] < 1e4)

    def test_devices(self):
        devices = self.json("devices")["devices"]
        self.assertIn("cpu", [d["id"] for d in devices])
        self.assertEqual(devices[-1]["id"], "ref")
        for d in devices:
            for feature in d["features"]:
                self.assertTrue(feature["name"] and (feature["why"] or feature["used"]), feature)


if __name__ == "__main__":
    RANDOM_MODEL = os.path.abspath(sys.argv.pop())
    PROGRAM = os.path.abspath(sys.argv.pop())
    unittest.main(verbosity=2)
