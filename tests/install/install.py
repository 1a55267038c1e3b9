#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Installs a build into an empty folder and uses what is there: program, man pages, library with headers and pkg-config file
from C and C++. usage: install.py BUILD_FOLDER MESON..."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = MESON = None
USER = """
#include <pagereel/pagereel.h>
#include <stdio.h>
int main(void)
{
    struct pr_settings settings = pr_settings_default();
    struct pr_model *model;
    settings.model = "nowhere.gguf";
    if (pr_model_open(&settings, NULL, &model) >= 0)
        return 1;
    puts(pr_error_message());
    return 0;
}
"""


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="pagereel-install-")
        subprocess.run([*MESON, "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", cls.folder], check=True,
                       stdout=subprocess.DEVNULL)
        cls.files = [os.path.join(path, name) for path, _, names in os.walk(cls.folder) for name in names]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def find(self, end):
        found = [path for path in self.files if path.endswith(end)]
        self.assertEqual(len(found), 1, (end, found))
        return found[0]

    def test_program_and_man_pages(self):
        program = self.find("/bin/pagereel")
        overview = subprocess.run([program, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout
        commands = [line[2:15].strip() for line in overview.split("\n\n")[2].split("\n")]
        self.assertIn("bench llm", commands)
        self.find("/man1/pagereel.1")
        for command in commands:
            with open(self.find(f"/man1/pagereel-{command.replace(' ', '-')}.1")) as page:
                self.assertIn(f"pagereel\\-{command.replace(' ', chr(92) + '-')} \\- ", page.read())

    def test_schema(self):
        with open(self.find("/share/pagereel/output.schema.json")) as file:
            self.assertIn("ask", json.load(file)["$defs"])

    def test_the_worker_is_found(self):
        text = os.path.join(self.folder, "notes.txt")
        with open(text, "w") as file:
            file.write("One line of text.\n")
        for program in "", "-media", "-pdf":
            self.find("/pagereel-ingest" + program)
        done = subprocess.run([self.find("/bin/pagereel"), "inspect", "--json", text], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_library(self):
        header = os.path.dirname(os.path.dirname(self.find("/pagereel/pagereel.h")))
        library = os.path.dirname(self.find("/libpagereel.so"))
        with open(self.find("/pagereel.pc")) as file:
            self.assertIn("-lpagereel", file.read())
        source, program = (os.path.join(self.folder, name) for name in ("user.c", "user"))
        with open(source, "w") as file:
            file.write(USER)
        for compiler, language in ("cc", "c"), ("c++", "c++"):
            subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", "-I", header, "-x", language, source, "-x", "none", "-L",
                            library, "-lpagereel", "-o", program], check=True)
            done = subprocess.run([program], env={"LD_LIBRARY_PATH": library}, check=True, stdout=subprocess.PIPE, text=True)
            self.assertIn("nowhere.gguf", done.stdout)


if __name__ == "__main__":
    BUILD, *MESON = sys.argv[1:]
    del sys.argv[1:]
    unittest.main(verbosity=2)
