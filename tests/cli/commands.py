#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands over an engine that does as the prompt says (scripted_engine.c): arguments, settings and where they come from,
JSON, exit codes, interruption, what reaches a terminal. usage: commands.py PROGRAM"""
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import support

PROGRAM = None


class Commands(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="pagereel-cli-")
        self.env = support.environment(self.home)

    def tearDown(self):
        shutil.rmtree(self.home)

    def pagereel(self, *args, input=b"", env=None):
        return subprocess.run([PROGRAM, *args], input=input, env={**self.env, **(env or {})}, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ok(self, *args, **kw):
        done = self.pagereel(*args, **kw)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout

    def fails(self, status, message, *args, **kw):
        """Ends with `status` and exactly one line on standard error, which holds `message`."""
        done = self.pagereel(*args, **kw)
        error = done.stderr.decode()
        self.assertEqual(done.returncode, status, error)
        self.assertTrue(error.startswith("pagereel: ") and error.endswith("\n") and error.count("\n") == 1, error)
        self.assertIn(message, error)
        return done.stdout

    def write_config(self, text, folder=".config"):
        path = os.path.join(self.home, folder, "pagereel")
        os.makedirs(path)
        with open(os.path.join(path, "config"), "w", encoding="utf-8") as file:
            file.write(text)

    # ---- run

    def test_prompt_and_input(self):
        self.assertEqual(self.ok("run", "-m", "x", "-p", "hi"), b"hi\n")
        self.assertEqual(self.ok("run", "-mx", "--prompt=hi"), b"hi\n")
        self.assertEqual(self.ok("run", "-m", "x", input=b"hi\n\n"), b"hi\n")
        self.assertEqual(self.ok("run", "-m", "x", "--raw", input=b"hi\n\n"), b"hi\n\n")
        self.assertEqual(self.ok("run", "-m", "x", "-s", "Be brief", "-p", "hi"), b"(Be brief)hi\n")
        self.assertEqual(self.ok("run", "-m", "x", "--raw", input=b"a\0b"), b"a\0b\n")

    def test_pictures(self):
        def said(*args):
            return self.ok("run", "-m", "m.gguf", *args).decode().strip()
        self.assertEqual(said("-p", "what <image> is"), "what <image> is")
        self.assertEqual(said("-i", "a.png", "-p", "what is it"), "[image a.png]what is it")
        self.assertEqual(said("-i", "a.png", "--image", "b.png", "-p", "one <image> two <image>."),
                         "one [image a.png] two [image b.png].")
        self.assertEqual(said("--image", "a.png", "--image", "b.png", "--video", "c.mkv", "--pdf", "d.pdf", "-p", "<video><image>x"),
                         "[image b.png][pages d.pdf][video c.mkv][image a.png]x")
        failed = self.pagereel("run", "-m", "m.gguf", "-i", "a.png", "-p", "<image> <image>")
        self.assertEqual(failed.returncode, 2)
        self.assertIn(b"--image was given 1 times", failed.stderr)

    def test_json(self):
        out = json.loads(self.ok("run", "-m", "x", "-p", "hi", "--json", "--logprobs", "3"))
        self.assertEqual(out["prompt_tokens"], [104, 105])
        self.assertEqual(out["stop"], "length")
        top = out["tokens"][0]["top"]
        self.assertEqual(out["tokens"], [{"id": 2, "text": "hi", "top": top}, {"id": 0, "text": "", "top": top}])
        self.assertEqual([t["id"] for t in top], [7, 8, 9])
        for t, value in zip(top, (-0.1, -2.3456789)):
            self.assertEqual(struct.pack("f", t["logprob"]), struct.pack("f", value))
        self.assertIsNone(top[2]["logprob"])
        self.assertEqual(json.loads(self.ok("run", "-m", "x", "-p", "hi", "--json"))["tokens"][0]["top"], [])
        unfinished = json.loads(self.ok("run", "-m", "x", "-p", "unfinished", "--json", "--logprobs", "1"))["tokens"]
        self.assertEqual([(t["id"], t["text"], len(t["top"])) for t in unfinished], [(3, "caf\ufffd", 1)])  # no token of its own
        self.assertEqual(self.ok("run", "-m", "x", "-p", "unfinished"), "caf\ufffd\n".encode())

    def test_json_of_broken_text(self):
        out = json.loads(self.ok("run", "-m", "x", "-p", "broken", "--json"))
        text = "".join(token["text"] for token in out["tokens"])
        self.assertEqual(text, "a\033[31mred\033]0;title\007b\ufffd\"\\\ufffd\ufffd1mc\r\x07")

    def test_placement_is_said_when_split(self):
        done = self.pagereel("run", "-m", "x", "-p", "hi", "--gpu-memory", "1M")
        self.assertEqual(done.stderr, b"pagereel: 1 of 2 layers on vulkan:0, the rest on cpu\n")
        self.assertIn(b"2 of 2 layers", self.pagereel("run", "-v", "-m", "x", "-p", "hi").stderr)

    def test_failures(self):
        self.assertEqual(self.fails(1, "the device is lost; use another --device", "run", "-m", "x", "-p", "fail"), b"so far\n")
        self.fails(1, "missing.gguf: can't be opened", "run", "-m", "missing.gguf", "-p", "hi")
        self.fails(2, "no model; give --model FILE", "run", "-p", "hi")
        self.fails(1, "s: can't be written", "run", "-m", "x", "-p", "hi", "--save-session", "s")
        self.fails(2, "s: was made with another model", "run", "-m", "x", "-p", "hi", "--load-session", "s")
        self.fails(2, "--system needs the chat format", "run", "-m", "x", "--raw", "-s", "a", "-p", "hi")

    def test_the_model_that_comes_along(self):
        there = {"SCRIPTED_DEFAULT_MODEL": "little.gguf"}
        done = self.pagereel("run", "-p", "settings", env=there)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"little.gguf", done.stdout)
        self.assertIn(b"no model was given; taking the small one that comes along", done.stderr)
        self.assertNotIn(b"little.gguf", self.ok("run", "-m", "x", "-p", "settings", env=there))
        self.assertNotIn(b"little.gguf", self.ok("run", "-p", "settings", env={**there, "PAGEREEL_MODEL": "y"}))
        self.fails(2, "no model", "tokenize", "x", env=there)

    # ---- where settings come from

    def settings(self, *args, **kw):
        words = self.ok("run", "-p", "settings", *args, **kw).decode().strip()
        return dict(word.split("=", 1) for word in words.split(" "))

    def test_precedence(self):
        self.assertEqual(self.settings("-m", "x"),
                         {"model": "x", "device": "auto", "ctx": "0", "cache": "f16", "temp": "0", "n": "-1", "stop": ""})
        self.write_config("# mine\nmodel = ~/c.gguf\ndevice = ref\nctx = 10\ntemp = 0.5\n")
        got = self.settings()
        self.assertEqual((got["model"], got["device"], got["ctx"]), (self.home + "/c.gguf", "ref", "10"))
        env = {"PAGEREEL_MODEL": "e.gguf", "PAGEREEL_DEVICE": "vulkan:3"}
        got = self.settings(env=env)
        self.assertEqual((got["model"], got["device"], got["ctx"]), ("e.gguf", "vulkan:3", "10"))
        got = self.settings("-m", "f.gguf", "--device", "cpu", "--ctx=20", "-n", "-1", env=env)
        self.assertEqual((got["model"], got["device"], got["ctx"], got["temp"]), ("f.gguf", "cpu", "20", "0.5"))
        self.assertEqual(self.settings("--ctx", "1", "--ctx", "2")["ctx"], "2")
        self.assertEqual(self.settings(env={"PAGEREEL_MODEL": ""})["model"], self.home + "/c.gguf")

    def test_config_folder(self):
        self.write_config("model = sub/x.gguf\n", "xdg")
        env = {"XDG_CONFIG_HOME": self.home + "/xdg"}
        self.assertEqual(self.settings(env=env)["model"], self.home + "/xdg/pagereel/sub/x.gguf")
        self.fails(2, "no model", "run", "-p", "hi", env={"XDG_CONFIG_HOME": "xdg"})

    def test_wrong_config_and_environment(self):
        self.write_config("model = x\nctx = lots\n")
        self.fails(2, "config:2: ctx takes a whole number", "run", "-p", "hi")
        self.assertIn(b"usage", self.ok("run", "--help"))
        self.assertIn(b"pagereel", self.ok("version"))
        shutil.rmtree(self.home + "/.config")
        self.fails(2, "PAGEREEL_DEVICE: device takes auto|cpu|vulkan[:N]|ref, not 'gpu'", "run", "-p", "hi",
                   env={"PAGEREEL_DEVICE": "gpu"})

    # ---- usage

    def test_wrong_usage(self):
        for message, args in [
                ("no command", []),
                ("there is no command 'rnu'; did you mean 'run'?", ["rnu"]),
                ("there is no command 'xyzzy'; see", ["xyzzy"]),
                ("there is no command 'bench'; did you mean 'bench llm'?", ["bench"]),
                ("there is no command 'bench lm'; did you mean 'bench llm'?", ["bench", "lm"]),
                ("there is no option --cache-typ; did you mean --cache-type?", ["run", "--cache-typ", "f16"]),
                ("there is no option --zzz", ["run", "--zzz=1"]),
                ("there is no option -z", ["run", "-z"]),
                ("-v takes no value, but it has 'm'", ["run", "-vm", "x"]),
                ("--temp isn't an option of 'devices'", ["devices", "--temp", "1"]),
                ("--ctx needs a value: TOKENS", ["run", "--ctx"]),
                ("--ctx: ctx takes a whole number from 0", ["run", "--ctx", "-5"]),
                ("--json: json takes yes or no", ["run", "--json=perhaps"]),
                ("'run' takes no words, not hello", ["run", "-m", "x", "hello"]),
                ("'tokenize' takes [TEXT], not b", ["tokenize", "-m", "x", "a", "b"]),
                ("there is no option --" + "a" * 60, ["run", "--" + "a" * 100000]),
                ("no model", ["tokenize", "x"]),
                ("there is no command 'nope'", ["help", "nope"]),
        ]:
            with self.subTest(args=args[:2]):
                self.fails(2, message, *args)
        self.assertNotIn(b"\033", self.pagereel("run", "--\033[31m").stderr)
        self.assertNotIn(b"\033", self.pagereel("\033[31m").stderr)

    def test_help(self):
        for args in ["--help"], ["-h"], ["help"]:
            self.assertIn(b"usage: pagereel COMMAND", self.ok(*args))
        overview = self.ok("--help").decode()
        for command in re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", overview, re.M):
            text = self.ok(*command.split(), "--help").decode()
            self.assertIn(f"usage: pagereel {command} [OPTIONS]", text)
            self.assertEqual(text, self.ok("help", *command.split()).decode())
            for line in text.split("\n"):
                self.assertLessEqual(len(line), 80, line)
        self.assertIn("[f32|f16|q8_0; default f16]", 
                      " ".join(self.ok("run", "-m", "x", "--help").decode().split()))
        self.assertRegex(self.ok("--version").decode(), r"^pagereel [0-9.]+\n(gcc|clang) ")

    def test_man_pages(self):
        man = shutil.which("man")
        pages = [[]] + [line.split() for line in
                        re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", self.ok("--help").decode(), re.M)]
        for words in pages:
            page = self.ok("--man", *words)
            self.assertTrue(page.startswith(b".TH PAGEREEL"))
            self.assertIn(b".SH NAME\npagereel", page)
            if man:
                done = subprocess.run([man, "--warnings", "-Tutf8", "-Z", "-l", "-"], input=page, timeout=60,
                                      env={**self.env, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.assertEqual((done.returncode, done.stderr), (0, b""), words)
        if not man:
            self.skipTest("the program man is not installed: pages were made, but not rendered")

    # ---- the other commands

    def test_tokenize(self):
        self.assertEqual(self.ok("tokenize", "-m", "x", "ab"), b"     97  a\n     98  b\n")
        self.assertEqual(self.ok("tokenize", "-m", "x", "--special", "a"), b"    353  a\n")
        self.assertEqual(self.ok("tokenize", "-m", "x", input=b"\n\\\x1b\xff\0"),
                         b"     10  \\n\n     92  \\\\\n     27  \\x1b\n    255  \\xff\n      0  \\x00\n")
        out = json.loads(self.ok("tokenize", "-m", "x", "--json", input=b"a\xff"))
        self.assertEqual(out, {"tokens": [{"id": 97, "text": "a"}, {"id": 255, "text": "\ufffd"}]})
        self.assertEqual(json.loads(self.ok("tokenize", "-m", "x", "--json", "")), {"tokens": []})
        self.assertEqual(self.ok("tokenize", "-m", "x", "--", "-v"), b"     45  -\n    118  v\n")

    def test_devices(self):
        text = self.ok("devices").decode()
        self.assertIn("cpu", text)
        self.assertIn("    used      fast", text)
        self.assertIn("    not used  slow path: there is a fast one", text)
        devices = json.loads(self.ok("devices", "--json"))["devices"]
        self.assertEqual([d["id"] for d in devices], ["cpu", "ref"])
        self.assertEqual(devices[0]["memory"], 1 << 32)
        self.assertEqual(devices[0]["features"][0], {"name": 'fast "path"', "used": True, "why": ""})

    def test_bench(self):
        out = json.loads(self.ok("bench", "llm", "-m", "x", "--runs", "3", "--json"))
        self.assertEqual((out["prefill_tok_s"], out["decode_tok_s"], out["runs"]), (100.5, 10.25, 3))
        self.assertIn(b"10.2 tokens/s   50.0 % of 20.0 GB/s", self.ok("bench", "llm", "-m", "x"))
        out = json.loads(self.ok("bench", "ppl", "-m", "x", "--json", input=b"hello"))
        self.assertEqual((out["n_tokens"], out["perplexity"], len(out["curve"])), (5, 3, 2))
        path = self.home + "/text"
        with open(path, "w") as file:
            file.write("hello")
        self.assertIn(b"perplexity           3.0000 over 4 of 5 tokens", self.ok("bench", "ppl", "-m", "x", "--text", path))
        self.fails(1, "nowhere: can't be opened", "bench", "ppl", "-m", "x", "--text", "nowhere")

    # ---- the world outside

    def start(self, *args, **kw):
        return subprocess.Popen([PROGRAM, *args], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def test_embed(self):
        path = os.path.join(self.home, "x.npy")
        self.ok("embed", "--mmproj", "m.gguf", "a.png", "-o", path)
        with open(path, "rb") as f:
            data = f.read()
        self.assertEqual(data[:8], b"\x93NUMPY\x01\x00")
        size = struct.unpack("<H", data[8:10])[0]
        self.assertEqual((10 + size) % 64, 0)
        self.assertIn(b"'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", data[10:10 + size])
        self.assertEqual(struct.unpack("<6f", data[10 + size:]), (1, 2, 3, 4, 5, 6))
        told = json.loads(self.ok("embed", "--mmproj", "m.gguf", "a.png", "--json"))
        self.assertEqual((told["tokens"], told["width"], told["positions"]), (2, 3, None))
        self.assertEqual(told["runs"], [{"first": 0, "image_tokens": 2, "grid": [1, 2], "frames": 1}])
        self.assertEqual(self.pagereel("embed", "a.png").returncode, 2)
        self.assertEqual(self.pagereel("embed", "a.png", "-o", "/nowhere/x.npy").returncode, 1)
        self.assertEqual(self.pagereel("embed", "fail", "--json").returncode, 1)

    def test_bench_vision(self):
        self.assertIn(b"17 crops, 1088 tokens", self.ok("bench", "vision", "--mmproj", "m.gguf"))
        told = json.loads(self.ok("bench", "vision", "--mmproj", "m.gguf", "--json", "--runs", "3"))
        self.assertEqual((told["tokens"], told["runs"], told["encode_s"]), (1088, 3, 2.0))

    def test_interrupt(self):
        for number in signal.SIGINT, signal.SIGTERM:
            program = self.start("run", "-m", "x", "-p", "forever", stdin=subprocess.DEVNULL)
            self.assertEqual(program.stdout.read(7), b"on and ")
            program.send_signal(number)
            out, err = program.communicate(timeout=30)
            self.assertEqual((program.returncode, err), (128 + number, b"pagereel: interrupted\n"))
            self.assertTrue((b"on and " + out).endswith(b"on and \n"), out[-30:])

    def test_interrupt_while_waiting_for_input(self):
        program = self.start("tokenize", "-m", "x", stdin=subprocess.PIPE)
        deadline = time.time() + 30
        while time.time() < deadline:  # until it sleeps in read()
            with open(f"/proc/{program.pid}/wchan") as file, open(f"/proc/{program.pid}/stat") as stat:
                if "pipe" in file.read() or stat.read().split(")")[1].split()[0] == "S":
                    break
            time.sleep(0.01)
        time.sleep(0.2)
        program.send_signal(signal.SIGINT)
        program.wait(timeout=30)
        out, err = program.stdout.read(), program.stderr.read()
        for pipe in program.stdin, program.stdout, program.stderr:
            pipe.close()
        self.assertEqual((program.returncode, out, err), (130, b"", b"pagereel: interrupted\n"))

    def test_closed_pipe_is_quiet(self):
        program = self.start("run", "-m", "x", "-p", "forever", stdin=subprocess.DEVNULL)
        program.stdout.read(7)
        program.stdout.close()
        err = program.stderr.read()
        program.stderr.close()
        self.assertEqual((program.wait(timeout=30), err), (-signal.SIGPIPE, b""))

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "wb") as full:
            for args in ["run", "-m", "x", "-p", "hi"], ["run", "-m", "x", "-p", "hi", "--json"], ["--help"], ["devices"]:
                done = subprocess.run([PROGRAM, *args], env=self.env, stdout=full, stderr=subprocess.PIPE, timeout=60)
                self.assertEqual(done.returncode, 1)
                self.assertIn(b"standard output can't be written: No space left on device", done.stderr)

    def on_terminal(self, *args):
        master, slave = pty.openpty()
        program = subprocess.Popen([PROGRAM, *args], env=self.env, stdin=slave, stdout=slave, stderr=subprocess.PIPE)
        os.close(slave)
        out = b""
        while True:
            try:
                block = os.read(master, 4096)
            except OSError:  # EIO: the program closed its end
                break
            if not block:
                break
            out += block
        err = program.stderr.read()
        program.stderr.close()
        os.close(master)
        return program.wait(timeout=30), out.replace(b"\r\n", b"\n"), err

    def test_terminal_gets_no_control_characters(self):
        self.assertEqual(self.on_terminal("run", "-m", "x", "-p", "broken"), (0, b'aredb\xff"\\c\n', b""))
        self.assertNotIn(b"\033", self.on_terminal("devices")[1])

    def test_terminal_is_no_input(self):
        status, _, err = self.on_terminal("run", "-m", "x")
        self.assertEqual((status, err), (2, b"pagereel: no prompt; give --prompt TEXT, or the text on standard input\n"))


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
