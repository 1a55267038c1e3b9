# SPDX-License-Identifier: GPL-2.0-or-later
"""What every training script needs to be stopped and to go on: checkpoints, a log of JSON lines, signals, averaged weights.

    keep.py STATE FOLDER     writes STATE's averaged weights as small files (f16, no optimizer) that a training can begin from
"""

import json
import os
import pathlib
import signal
import sys
import time

import torch

COMMITTED = pathlib.Path(__file__).resolve().parents[2] / "models/checkpoints"


class Stop:
    """Becomes true on SIGTERM or SIGINT; the script then ends behind the step that it is in."""

    def __init__(self):
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "asked", True))

    def __bool__(self):
        return self.asked


class State:
    """The folder of one training: <stage>.pt (the newest checkpoint), log.jsonl."""

    def __init__(self, folder, stage):
        self.folder, self.stage = pathlib.Path(folder), stage
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"{stage}.pt"

    def log(self, **figures):
        line = json.dumps({"stage": self.stage, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **figures})
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as out:
            out.write(line + "\n")
        print(line, flush=True)

    def save(self, **parts):
        """Whole or not at all: a crash while writing leaves the checkpoint before."""
        fresh = self.path.with_suffix(".new")
        torch.save(parts, fresh)
        os.replace(fresh, self.path)

    def load(self):
        """The newest checkpoint of the folder; without one that of the repository, whose `optimizers` is None; else None."""
        for path in (self.path, COMMITTED / f"{self.stage}.pt"):
            if path.exists():
                found = torch.load(path, map_location="cpu", weights_only=True)
                if "net" not in found:
                    if found.get("vision") == "encoder":  # shrink() left out what the encoder's own checkpoint has
                        seen = torch.load(path.with_name("encoder.pt"), map_location="cpu", weights_only=True)["average"]
                        found["average"].update({k: v for k, v in seen.items() if k.startswith("vision.")})
                    found["average"] = {k: v.float() for k, v in found["average"].items()}
                    found.update(net=found["average"], optimizers=None)
                return found
        return None


def file(folder, name):
    """A file of a state's folder, or that of the repository where the state has none yet."""
    path = pathlib.Path(folder) / name
    return path if path.exists() or not (COMMITTED / name).exists() else COMMITTED / name


def shrink(folder, to):
    """Writes the stages of a state folder without what only matters while training goes on, the tokenizer with them."""
    to, encoder = pathlib.Path(to), None
    to.mkdir(parents=True, exist_ok=True)
    for path in sorted(pathlib.Path(folder).glob("*.pt"), key=lambda p: p.stem != "encoder"):
        parts = {k: v for k, v in State(folder, path.stem).load().items() if k not in ("net", "optimizers")}
        parts["average"] = {k: v.half() for k, v in parts["average"].items()}
        eyes = {k: v for k, v in parts["average"].items() if k.startswith("vision.")}
        if path.stem == "encoder":
            encoder = eyes
        elif eyes and encoder and all(torch.equal(v, encoder[k]) for k, v in eyes.items()):
            parts["vision"] = "encoder"
            parts["average"] = {k: v for k, v in parts["average"].items() if k not in eyes}
        small = State(to, path.stem)
        small.save(**parts)
        print(f"{small.path}: step {parts['step']}, {small.path.stat().st_size} bytes")
    stored = pathlib.Path(folder) / "tokenizer.json"
    if stored.exists():
        (to / "tokenizer.json").write_bytes(stored.read_bytes())


class Average:
    """Moving average of weights: what gets evaluated and exported. The first steps weigh little."""

    def __init__(self, module, decay=0.99):
        self.decay, self.steps = decay, 0
        self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def update(self, module):
        self.steps += 1
        keep = min(self.decay, (self.steps + 1) / (self.steps + 10))
        ours, theirs = list(self.weights.values()), list(module.state_dict().values())
        torch._foreach_mul_(ours, keep)
        torch._foreach_add_(ours, theirs, alpha=1 - keep)


def rate(step, top, warm, end=None, tail=0.2):
    """Learning rate: a short rise, flat, and over the last `tail` of `end` steps down to nothing."""
    value = top * min(1.0, (step + 1) / warm)
    if end and step > end * (1 - tail):
        value *= max(0.02, (end - step) / (end * tail))
    return value


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: keep.py STATE FOLDER")
    shrink(*sys.argv[1:])
