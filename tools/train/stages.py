#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the stages of the training in order in this process; a finished stage ends at once. tools/train/run starts it."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from train import answer, encoder  # noqa: E402

if __name__ == "__main__":
    folder = sys.argv[1:2]
    if encoder.main(folder):
        answer.main(folder)
