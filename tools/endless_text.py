#!/usr/bin/env python3
"""endless_text.py OUT [--bytes N]: a long English text out of what Debian 12 packages carry, for `pagereel bench ppl`.

It is the Debian Policy Manual (package debian-policy, GPL-2+) and then the topics of Python's language reference (package
libpython3.11-stdlib, PSF licence), in this order, cut at a line. The text itself isn't part of pagereel.
"""
import argparse
import gzip
import runpy
import sys

POLICY = "/usr/share/doc/debian-policy/policy.txt.gz"
TOPICS = "/usr/lib/python3.11/pydoc_data/topics.py"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--bytes", type=int, default=815_000, help="at most so many (815000: about 200,000 tokens)")
    args = parser.parse_args()
    try:
        with gzip.open(POLICY, "rt", encoding="utf-8") as f:
            parts = [f.read()]
        topics = runpy.run_path(TOPICS)["topics"]
    except OSError as e:
        sys.exit(f"{e.filename}: {e.strerror}; apt-get install debian-policy libpython3.11-stdlib")
    parts += [topics[name] for name in sorted(topics)]
    text = "\n\n".join(part.strip() for part in parts).encode()
    end = text.rfind(b"\n", 0, args.bytes)
    with open(args.out, "wb") as f:
        f.write(text[: end + 1])


if __name__ == "__main__":
    main()
