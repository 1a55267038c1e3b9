#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A question to a library of a thousand hours, made up by write_hours: all but the model's own prefill and decode takes under a second of
the processor (other programs of the machine don't count), and finds the one sentence that answers it.
usage: hours.py PROGRAM WRITE_HOURS RANDOM_MODEL [--hours N] [--library FOLDER: made there if it isn't yet, and kept]"""
import json
import os
import resource
import subprocess
import sys
import time
import unittest

import support

PROGRAM = WRITE_HOURS = RANDOM_MODEL = LIBRARY = None
HOURS = 20
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "vision")
MMPROJ = f"{GOLDEN}/idefics3.mmproj.f16.gguf"
OWN = ("adding", "recall", "choosing")


class Hours(support.Folder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.library = os.path.abspath(LIBRARY) if LIBRARY else os.path.join(cls.folder, "library")
        cls.model = (cls.library if LIBRARY else cls.folder) + "-model.gguf"
        if not os.path.exists(cls.library):  # the heads of a model of 135M parameters, on rows of the small encoder
            support.random_model(RANDOM_MODEL, cls.model, "--heads", "9", "--kv", "3", "--head-dim", "64", "--ctx", "8192", "--type", "q8_0")
            done = subprocess.run([WRITE_HOURS, cls.library, str(HOURS), cls.model, MMPROJ], env=cls.env, check=True,
                                  stdout=subprocess.PIPE)
            print(f"{HOURS} hours: logs of {int(done.stdout) / 1e6:.0f} MB")

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        if not LIBRARY:
            os.remove(cls.model)

    def ask(self, question):
        start = time.monotonic()
        process = subprocess.Popen([PROGRAM, "ask", "-l", self.library, "-m", self.model, "--mmproj", MMPROJ, "--device", "cpu",
                                    "--threads", "1", "--raw", "-n", "2", "--json", question], env=self.env,
                                   stdout=subprocess.PIPE)
        out = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        answer = json.loads(out)
        own = sum(answer["ms"][what] for what in OWN)
        parts = ", ".join(f"{what} {answer['ms'][what]:.0f}" for what in OWN)
        print(f"{question:44} {own:6.0f} ms ({parts}), processor {answer['ms']['processor']:.0f}; whole program "
              f"{time.monotonic() - start:.2f} s, {usage.ru_maxrss >> 10} MiB")
        return answer, answer["ms"]["processor"]

    def forget(self):
        """Takes the library out of the system's memory."""
        subprocess.run(["sync", "-f", self.library], check=True)
        for folder, _, names in os.walk(self.library):
            for name in names:
                fd = os.open(os.path.join(folder, name), os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)

    def test_questions(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        self.forget()
        print("cold: ", end="")
        self.ask("When does the zeppelin land?")
        times = []
        for question in ("When does the zeppelin land?", "What is w3000 to w40?", "Where is the w77, the w902 and w2001?",
                         "What is this about?"):
            answer, processor = min((self.ask(question) for _ in range(3)), key=lambda run: run[1])
            times.append(processor)
            self.assertEqual(answer["coverage"]["sources"], HOURS)
            self.assertEqual(answer["coverage"]["segments"], 450 * HOURS)
            if "zeppelin" in question:
                cited = [c for c in answer["citations"] if "zeppelin" in (c["quote"] or "")]
                self.assertEqual({os.path.basename(c["source"]) for c in cited}, {f"hour {(HOURS + 1) // 2:04d}.mkv"})
                self.assertIn(1800 + 4 * 37, [c["t0"] for c in cited])
        self.assertLess(max(times), 1000)


if __name__ == "__main__":
    PROGRAM, WRITE_HOURS, RANDOM_MODEL = (os.path.abspath(sys.argv.pop(1)) for _ in range(3))
    for name in ("--hours", "--library"):
        if name in sys.argv:
            at = sys.argv.index(name)
            value = sys.argv[at + 1]
            HOURS, LIBRARY = (int(value), LIBRARY) if name == "--hours" else (HOURS, value)
            del sys.argv[at:at + 2]
    unittest.main(verbosity=2)
