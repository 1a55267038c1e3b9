# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes films and papers of the world with their truth and questions:

    python3 tools/world film OUT.mp4 --seed 7 --minutes 30 [--burn]
    python3 tools/world paper OUT.pdf --seed 7 --pages 20
    python3 tools/world sheet OUT.png --seed 7 --level 3          training pictures, to look at

`--words FILE` takes another word list; `--held-out` asks in the wordings that training never uses.
"""

import argparse
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import film, paper, picture, questions, words  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="world", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("film", "paper", "sheet"))
    parser.add_argument("out")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--words")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--level", type=int, default=0, choices=range(len(picture.LEVELS)))
    parser.add_argument("--burn", action="store_true", help="subtitles in the picture instead of a text track")
    parser.add_argument("--held-out", action="store_true")
    args = parser.parse_args()
    vocabulary, rng = words.read(args.words), random.Random(f"questions {args.seed}")
    if args.what == "film":
        plan = film.plan(args.seed, args.minutes * 60, vocabulary)
        film.write(plan, args.out, [questions.plain(q) for q in questions.of_film(rng, plan, vocabulary, args.held_out)], burn_subtitles=args.burn)
    elif args.what == "paper":
        plan = paper.plan(args.seed, args.pages, vocabulary)
        paper.write(plan, args.out, [questions.plain(q) for q in paper.of_paper(rng, plan, vocabulary, args.held_out)])
    else:
        sheet = picture.Image.new("RGB", (picture.SIZE * 6, picture.SIZE * 4))
        for n in range(24):
            pixels, _ = picture.tile(rng, picture.LEVELS[args.level], vocabulary)
            sheet.paste(picture.Image.fromarray(pixels), (picture.SIZE * (n % 6), picture.SIZE * (n // 6)))
        sheet.save(args.out)


if __name__ == "__main__":
    main()
