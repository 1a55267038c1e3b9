#!/usr/bin/env python3
"""ppl_curve.py OUT.svg NAME=FILE.json ...: perplexity and resident memory over a text, as `pagereel bench ppl --json` gave them.

Each NAME=FILE is one run; the runs share the axes. The upper picture has perplexity in a logarithmic scale (a point is the mean
of the tokens since the point before), the lower one resident memory. Colours work in light and dark pages.
"""
import json
import math
import sys

WIDTH, LEFT, RIGHT = 860, 70, 20
PANELS = (("perplexity", 30, 300), ("resident memory, MiB", 390, 130))  # title, top, height
COLOURS = ("#2a78d6", "#c2410c", "#3f8f29", "#8b3fb8")


def ticks(low, high, n=5):
    """Round values that cover low..high."""
    step = 10 ** math.floor(math.log10((high - low or 1) / n))
    step *= min((1, 2, 5, 10), key=lambda m: abs((high - low) / (m * step) - n))
    first = math.floor(low / step)
    values = [first * step]
    while values[-1] < high:
        values.append(values[-1] + step)
    return values


def log_ticks(low, high):
    values = [m * 10**e for e in range(int(math.floor(math.log10(low))), 7) for m in (1, 2, 5)]
    below = [v for v in values if v <= low][-1:]
    above = [v for v in values if v >= high][:1]
    return below + [v for v in values if low < v < high] + above


def number(v):
    return f"{v:,.0f}" if v >= 10 or v == int(v) else f"{v:g}"


class Panel:
    def __init__(self, title, top, height, x_ticks, y_ticks, log):
        self.top, self.height, self.title = top, height, title
        self.x_ticks, self.y_ticks, self.log = x_ticks, y_ticks, log

    def x(self, v):
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return LEFT + (v - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, v):
        f = math.log if self.log else float
        low, high = f(self.y_ticks[0]), f(self.y_ticks[-1])
        return self.top + self.height * (1 - (f(v) - low) / (high - low))

    def axes(self):
        out = [f'<text x="{LEFT}" y="{self.top - 10}" class="title">{self.title}</text>']
        for v in self.y_ticks:
            y = self.y(v)
            out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(v)}</text>')
        for v in self.x_ticks:
            out.append(f'<text x="{self.x(v):.1f}" y="{self.top + self.height + 18}" text-anchor="middle">{number(v)}</text>')
        return out

    def line(self, points, colour):
        path = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in points)
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'


def main():
    if len(sys.argv) < 3 or not all("=" in a for a in sys.argv[2:]):
        sys.exit(__doc__.splitlines()[0])
    runs = []
    for arg in sys.argv[2:]:
        name, path = arg.split("=", 1)
        with open(path) as f:
            runs.append((name, json.load(f)))
    x_ticks = ticks(0, max(r["n_tokens"] for _, r in runs))
    ppl = [p["perplexity"] for _, r in runs for p in r["curve"]]
    memory = [p["resident"] / 2**20 for _, r in runs for p in r["curve"]]
    top = Panel(*PANELS[0], x_ticks, log_ticks(min(ppl), max(ppl)), True)
    bottom = Panel(*PANELS[1], x_ticks, ticks(0, max(memory), 3), False)
    height = PANELS[1][1] + PANELS[1][2] + 40
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        "<style>text{font:12px sans-serif;fill:#777}.title{font-weight:bold}.grid{stroke:#8884;stroke-width:1}</style>",
        *top.axes(),
        *bottom.axes(),
    ]
    for i, (name, run) in enumerate(runs):
        colour = COLOURS[i % len(COLOURS)]
        out.append(top.line([(p["tokens"], p["perplexity"]) for p in run["curve"]], colour))
        out.append(bottom.line([(p["tokens"], p["resident"] / 2**20) for p in run["curve"]], colour))
        y = PANELS[0][1] + 16 + 18 * i
        out.append(f'<line x1="{WIDTH - 250}" x2="{WIDTH - 226}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="3"/>')
        out.append(f'<text x="{WIDTH - 220}" y="{y}">{name}</text>')
    out.append(f'<text x="{WIDTH - RIGHT}" y="{height - 4}" text-anchor="end">tokens read</text></svg>')
    with open(sys.argv[1], "w") as f:
        f.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
