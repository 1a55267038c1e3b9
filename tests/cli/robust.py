#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole program against damaged models, too little memory, lost devices and signals: the documented status, exactly one line
on standard error that names the file and says what to do, nothing left behind. usage: robust.py PAGEREEL RANDOM_MODEL"""
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest

import support

PROGRAM = RANDOM_MODEL = None
SANITIZED = False
SMALL = "--layers 2 --dim 64 --heads 4 --kv 2 --ffn 96 --vocab 280 --ctx 256 --type f16".split()
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
TEXT, ARRAY = 8, 9


class Gguf:
    """A file in pieces that can be changed and put together again: keys {name: (kind, bytes)}, tensors [[name, ne, type,
    offset]], data."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.raw = file.read()
        self.at = 4
        self.version, n_tensors, n_keys = self.take("IQQ")
        self.keys, self.tensors = {}, []
        for _ in range(n_keys):
            name = self.text()
            kind = self.take("I")[0]
            start = self.at
            self.skip_value(kind)
            self.keys[name] = (kind, self.raw[start:self.at])
        self.infos_at = self.at
        for _ in range(n_tensors):
            name = self.text()
            ne = self.take("%dQ" % self.take("I")[0])
            self.tensors.append([name, list(ne), *self.take("IQ")])
        self.header_end = self.at
        self.data_at = (self.at + 31) // 32 * 32
        self.data = self.raw[self.data_at:]

    def take(self, format):
        values = struct.unpack_from("<" + format, self.raw, self.at)
        self.at += struct.calcsize("<" + format)
        return values

    def text(self):
        n = self.take("Q")[0]
        self.at += n
        return self.raw[self.at - n:self.at].decode()

    def skip_value(self, kind):
        if kind == TEXT:
            self.text()
        elif kind == ARRAY:
            kind, n = self.take("IQ")
            for _ in range(n):
                self.skip_value(kind)
        else:
            self.at += SIZES[kind]

    def set(self, name, kind, value):
        if kind == TEXT:
            value = struct.pack("<Q", len(value)) + value.encode()
        self.keys[name] = (kind, value)

    def set_u32(self, name, value):
        self.set(name, 4, struct.pack("<I", value))

    def tensor(self, name):
        return next(t for t in self.tensors if t[0] == name)

    def bytes(self, n_tensors=None, n_keys=None):
        def text(s):
            return struct.pack("<Q", len(s)) + s.encode()
        out = b"GGUF" + struct.pack("<IQQ", self.version, len(self.tensors) if n_tensors is None else n_tensors,
                                    len(self.keys) if n_keys is None else n_keys)
        for name, (kind, value) in self.keys.items():
            out += text(name) + struct.pack("<I", kind) + value
        for name, ne, type, offset in self.tensors:
            out += text(name) + struct.pack("<I%dQIQ" % len(ne), len(ne), *ne, type, offset)
        return out + bytes(-len(out) % 32) + self.data


class Robust(support.Folder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.good = os.path.join(cls.folder, "good.gguf")
        subprocess.run([RANDOM_MODEL, cls.good, *SMALL], check=True, stdout=subprocess.DEVNULL)
        cls.model = os.path.join(cls.folder, "model.gguf")

    def setUp(self):
        self.home = os.path.join(self.folder, "home")
        os.makedirs(self.home)
        self.env = {"HOME": self.home, "TMPDIR": self.home, "PATH": os.environ["PATH"], "MESA_SHADER_CACHE_DISABLE": "true"}
        for key in os.environ:
            if "SAN_OPTIONS" in key or key.startswith(("VK_", "LD_")):
                self.env[key] = os.environ[key]

    def tearDown(self):
        try:
            self.nothing_left()
        finally:
            shutil.rmtree(self.home)

    def nothing_left(self):
        """No file but the cache of pipelines, which is there to stay."""
        left = [os.path.join(folder, name) for folder, _, names in os.walk(self.home) for name in names]
        self.assertEqual([path for path in left if "/.cache/pagereel/" not in path], [])

    def command(self, *args, device="cpu", model=None):
        return [PROGRAM, "run", "-m", model or self.model, "--device", device, "--raw", *args]

    def run_it(self, *args, device="cpu", model=None, n="2", **kw):
        return subprocess.run(self.command("-p", "ab", "-n", n, *args, device=device, model=model), env=self.env, cwd=self.home,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **kw)

    def check_line(self, done, *parts, status=1):
        """One line that names what is wrong and, after a semicolon, what to do."""
        error = done.stderr.decode()
        self.assertEqual(done.returncode, status, error)
        self.assertTrue(error.startswith("pagereel: ") and error.endswith("\n") and error.count("\n") == 1, error)
        self.assertIn(";", error)
        for part in parts:
            self.assertIn(part, error)
        self.assertEqual(done.stdout, b"")

    def fails(self, data, *parts, status=1):
        """The program refuses a model of these bytes, naming its file."""
        with open(self.model, "wb") as file:
            file.write(data)
        self.check_line(self.run_it(), self.model, *parts, status=status)

    def survives(self, data):
        """It works, or is refused as it should be. Returns whether it was refused."""
        with open(self.model, "wb") as file:
            file.write(data)
        done = self.run_it()
        if done.returncode == 0:
            return False
        self.check_line(done, self.model)
        return True

    # ---- files

    def test_good_model_runs(self):
        done = self.run_it(model=self.good)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_no_model(self):
        for path, why in ((os.path.join(self.folder, "absent.gguf"), "No such file"), (self.folder, "is a folder"),
                          ("/dev/null", "not an ordinary file")):
            self.check_line(self.run_it(model=path), path, why)

    def test_not_a_model(self):
        self.fails(b"", "is empty")
        self.fails(b"Hello, world\n" * 100, "not a GGUF file")
        self.fails(b"<!DOCTYPE html><html>", "web page")
        self.fails(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull")
        self.fails(random.Random(1).randbytes(5000), "not a GGUF file")

    def test_truncated(self):
        good = Gguf(self.good)
        points = [1, 4, 6, 8, 15, 23, 24, 25, 40, good.infos_at - 1, good.infos_at, good.infos_at + 9, good.header_end - 1,
                  good.data_at, good.data_at + 1, good.data_at + len(good.data) // 2, len(good.raw) - 64]
        for n in points:
            with self.subTest(bytes=n):
                self.fails(good.raw[:n])

    def test_bits_flipped(self):
        good, pick, refused = Gguf(self.good), random.Random(2), 0
        n = 60 if SANITIZED else 300
        for _ in range(n):
            at, bit = pick.randrange(good.data_at), pick.randrange(8)
            raw = bytearray(good.raw)
            raw[at] ^= 1 << bit
            with self.subTest(at=at, bit=bit):
                refused += self.survives(raw)
        self.assertGreater(refused, n // 10)

    def test_bits_of_numbers_flipped(self):
        """The hyper-parameters, which sizes are computed from: every high bit, one by one."""
        pick = random.Random(3)
        for name in [key for key in Gguf(self.good).keys if key.startswith("llama.")]:
            for bit in pick.sample(range(32), 4 if SANITIZED else 12):
                model = Gguf(self.good)
                kind, value = model.keys[name]
                model.set(name, kind, struct.pack("<I", struct.unpack("<I", value)[0] ^ 1 << bit))
                with self.subTest(key=name, bit=bit):
                    self.survives(model.bytes())

    def test_random_weights_bits(self):
        """NaN and infinity in the weights give some answer."""
        good = Gguf(self.good)
        raw = bytearray(good.raw)
        raw[good.data_at:good.data_at + 4000] = b"\xff\x7e" * 1000 + b"\x00\x7c" * 1000
        with open(self.model, "wb") as file:
            file.write(raw)
        self.assertEqual(self.run_it().returncode, 0)

    def test_lies(self):
        good = Gguf(self.good)
        self.fails(good.bytes(n_tensors=1 << 62), "tensors")
        self.fails(good.bytes(n_keys=1 << 40), "keys")
        self.fails(good.bytes(n_tensors=len(good.tensors) + 1))
        for name, ne in (("blk.0.attn_q.weight", [1 << 40, 1 << 40]), ("blk.1.ffn_up.weight", [64, 1 << 33]),
                         ("token_embd.weight", [0, 280])):
            model = Gguf(self.good)
            model.tensor(name)[1] = ne
            self.fails(model.bytes(), name)
        model = Gguf(self.good)
        model.tensor("output_norm.weight")[3] = 1 << 40
        self.fails(model.bytes(), "output_norm.weight")
        model = Gguf(self.good)
        model.set_u32("general.alignment", 3)
        self.fails(model.bytes(), "general.alignment")

    def test_missing_tensors(self):
        for name in [t[0] for t in Gguf(self.good).tensors]:
            model = Gguf(self.good)
            model.tensors.remove(model.tensor(name))
            with self.subTest(tensor=name):
                self.fails(model.bytes(), '"%s" is missing' % name)

    def test_layers_differ(self):
        """What would be left out in silence: a bias of one layer, layers behind those that block_count tells of."""
        qwen2 = self.model + ".qwen2"
        subprocess.run([RANDOM_MODEL, qwen2, *SMALL, "--arch", "qwen2"], check=True, stdout=subprocess.DEVNULL)
        for name in "blk.1.attn_q.bias", "blk.0.attn_v.bias":
            model = Gguf(qwen2)
            model.tensors.remove(model.tensor(name))
            self.fails(model.bytes(), "layer 1 has other tensors than layer 0")
        model = Gguf(self.good)
        model.set_u32("llama.block_count", 1)
        self.fails(model.bytes(), "blk.1.", "is no part of a llama model with 1 layers")

    def test_wrong_shapes(self):
        for name in [t[0] for t in Gguf(self.good).tensors]:
            model = Gguf(self.good)
            tensor = model.tensor(name)
            tensor[1][0] //= 2
            with self.subTest(tensor=name):
                self.fails(model.bytes(), name)

    def test_missing_keys(self):
        optional = {"general.name", "llama.attention.head_count_kv", "llama.attention.key_length", "llama.rope.dimension_count",
                    "llama.attention.value_length", "llama.rope.freq_base", "llama.vocab_size", "tokenizer.ggml.token_type",
                    "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_bos_token",
                    "tokenizer.ggml.pre"}
        for name in Gguf(self.good).keys:
            model = Gguf(self.good)
            del model.keys[name]
            with self.subTest(key=name):
                if name in optional:
                    self.survives(model.bytes())
                else:
                    self.fails(model.bytes(), "no tokenizer" if name == "tokenizer.ggml.model" else name)

    def test_unknown_words(self):
        for key, value in (("general.architecture", "quantumllama"), ("tokenizer.ggml.model", "abacus"),
                           ("tokenizer.ggml.pre", "no-such-splitter"), ("llama.rope.scaling.type", "longrope")):
            model = Gguf(self.good)
            model.set(key, TEXT, value)
            if key == "general.architecture":
                for name in [k for k in model.keys if k.startswith("llama.")]:
                    model.keys["quantumllama" + name[5:]] = model.keys.pop(name)
            with self.subTest(key=key):
                self.fails(model.bytes(), value)
        model = Gguf(self.good)
        model.set("general.architecture", TEXT, "clip")
        self.fails(model.bytes(), "mmproj")
        model = Gguf(self.good)
        model.tensor("blk.1.ffn_down.weight")[2] = 19
        self.fails(model.bytes(), "blk.1.ffn_down.weight", "IQ1_S")

    def test_tokenizer(self):
        model = Gguf(self.good)
        del model.keys["tokenizer.ggml.merges"]
        self.fails(model.bytes(), "tokenizer.ggml.merges")
        model = Gguf(self.good)
        model.set_u32("tokenizer.ggml.eos_token_id", 280)
        self.fails(model.bytes(), "tokenizer.ggml.eos_token_id")
        model = Gguf(self.good)
        model.set("tokenizer.ggml.tokens", ARRAY, struct.pack("<IQ", TEXT, 0))
        self.fails(model.bytes(), "tokenizer.ggml.tokens")
        model = Gguf(self.good)
        model.set("tokenizer.ggml.token_type", ARRAY, struct.pack("<IQ7i", 5, 7, *range(7)))
        self.fails(model.bytes(), "tokenizer.ggml.token_type")

    def test_split(self):
        base = os.path.join(self.folder, "split.gguf")
        parts = [base[:-5] + "-%05d-of-00003.gguf" % i for i in (1, 2, 3)]
        subprocess.run([RANDOM_MODEL, base, *SMALL, "--split", "3"], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(self.run_it(model=parts[0]).stdout, self.run_it(model=self.good).stdout)
        self.check_line(self.run_it(model=parts[1]), parts[1], "give the first part")
        os.rename(parts[1], parts[1] + ".away")
        self.check_line(self.run_it(model=parts[0]), parts[1], "part 2 of 3 is missing")
        shutil.copy(parts[2], parts[1])
        self.check_line(self.run_it(model=parts[0]), parts[1], "says that it is part 3 of 3")

    # ---- memory, devices, signals

    def has_vulkan(self):
        return b"vulkan:0" in subprocess.run([PROGRAM, "devices"], env=self.env, stdout=subprocess.PIPE).stdout

    def test_device_memory(self):
        self.check_line(self.run_it("--gpu-memory", "1000", model=self.good), "cpu", "1000")

    def test_vulkan_memory(self):
        """What doesn't fit stays on the CPU, and one line says so."""
        if not self.has_vulkan():
            self.skipTest("no Vulkan device")
        done = self.run_it("--gpu-memory", "300K", device="vulkan", model=self.good)
        error = done.stderr.decode()
        self.assertEqual(done.returncode, 0, error)
        self.assertRegex(error, r"\Apagereel: [01] of 2 layers on vulkan:0, the rest on cpu.*\n\Z")
        self.assertEqual(done.stdout, self.run_it(model=self.good).stdout)

    def test_host_memory(self):
        if SANITIZED:
            self.skipTest("sanitizers reserve address space without end")
        limit = 1 << 30
        done = self.run_it("--ctx", "16777216", model=self.good,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        self.check_line(done, "memory")

    def test_device_lost(self):
        devices = ["ref", "cpu"] + (["vulkan"] if self.has_vulkan() else [])
        for device in devices:
            for runs in (1, 3):
                with self.subTest(device=device, runs=runs):
                    done = self.run_it("--lose-device-after", str(runs), device=device, model=self.good, n="10")
                    error = done.stderr.decode()
                    self.assertEqual(done.returncode, 1, error)
                    self.assertTrue(error.startswith("pagereel: ") and error.count("\n") == 1, error)
                    self.assertIn("lost", error)

    def test_unknown_device(self):
        done = self.run_it(device="vulkan:77", model=self.good)
        self.check_line(done, "vulkan:77", status=done.returncode)
        self.assertIn(done.returncode, (1, 2))

    def interrupt(self, number, *args):
        process = subprocess.Popen(self.command("-p", "ab", "-n", "1000000", *args, model=self.good), env=self.env, cwd=self.home,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(len(process.stdout.read(1)), 1)  # it is writing
        process.send_signal(number)
        error = process.communicate(timeout=60)[1].decode()
        self.assertEqual((process.returncode, error), (128 + number, "pagereel: interrupted\n"))

    def test_interrupted(self):
        window = ["--window", "64", "--sinks", "4"]  # it would go on for long
        self.interrupt(signal.SIGINT, *window)
        self.interrupt(signal.SIGTERM, *window)
        self.interrupt(signal.SIGINT, "--save-session", os.path.join(self.home, "session"), *window)

    def test_context_ends(self):
        done = self.run_it("--ctx", "32", model=self.good, n="1000")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_output_full(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(self.command("-p", "ab", "-n", "2", model=self.good), env=self.env, cwd=self.home, stdout=full,
                                  stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count(b"\n"), 1)

    def test_reader_leaves(self):
        process = subprocess.Popen(self.command("-p", "ab", "-n", "100000", "--window", "64", model=self.good), env=self.env,
                                   cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(1)
        process.stdout.close()
        with process.stderr:
            self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.wait(timeout=60), -signal.SIGPIPE)

    def test_interrupted_while_it_reads(self):
        process = subprocess.Popen(self.command("--window", "64", device="ref", model=self.good), env=self.env, cwd=self.home,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"abcd " * 200000)  # for minutes
        process.stdin.close()
        process.stdin = None
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out, error), (128 + signal.SIGINT, b"", b"pagereel: interrupted\n"))

    def test_sessions(self):
        path = os.path.join(self.folder, "session")
        done = self.run_it("--save-session", path, model=self.good)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        with open(path, "rb") as file:
            saved = file.read()
        cases = [saved[:n] for n in (0, 3, 20, len(saved) // 2, len(saved) - 1)] + [random.Random(4).randbytes(1000)]
        for data in cases:
            with open(path, "wb") as file:
                file.write(data)
            with self.subTest(bytes=len(data)):
                self.check_line(self.run_it("--load-session", path, model=self.good), path)
        self.check_line(self.run_it("--load-session", path + ".absent", model=self.good), path + ".absent")


if __name__ == "__main__":
    PROGRAM, RANDOM_MODEL = (os.path.abspath(path) for path in sys.argv[1:3])
    del sys.argv[1:3]
    with open(PROGRAM, "rb") as program:
        SANITIZED = b"__asan_init" in program.read()
    unittest.main(verbosity=2)
