# SPDX-License-Identifier: GPL-2.0-or-later
"""Papers of the world: pages with headings, paragraphs that state facts, tables, charts, pictures and captions, and their truth.

A paper is a plan (`Paper`), made from a seed. `draw()` puts a page on a picture.Scene, as pixels for training or, over pdf.Page,
into a file; `write()` makes NAME.pdf and NAME.json. Pages are A4 in points.
"""

import dataclasses
import json
import pathlib
import random

from world import fonts, pdf, picture, questions, words
from world.film import Deck

WIDTH, HEIGHT, MARGIN = 595, 842, 54
INK, FAINT = (25, 25, 28), (120, 120, 125)


@dataclasses.dataclass
class Fact:
    """A sentence of the text and a question that it answers."""
    sentence: str
    question: str
    answer: str


@dataclasses.dataclass
class Block:
    kind: str  # heading, text, table, bars, pie, curve, picture
    height: float
    title: str = ""
    lines: list = dataclasses.field(default_factory=list)
    facts: list = dataclasses.field(default_factory=list)
    header: list = dataclasses.field(default_factory=list)
    rows: list = dataclasses.field(default_factory=list)  # of tables: [label, value, ...]; of charts: [label, value, colour, rgb]
    items: list = dataclasses.field(default_factory=list)  # of pictures: [kind, colour, rgb]
    colour: str = ""
    rgb: tuple = ()


@dataclasses.dataclass
class Page:
    number: int
    blocks: list


@dataclasses.dataclass
class Paper:
    seed: str
    title: str
    faces: tuple  # of headings, of text: indices into fonts.faces()
    pages: list


FACTS = [  # sentence, questions, answer; {a} and {b} are words, {n} a number, {c} a colour
    ("The {a} weighs {n} kilos.", ["How much does the {a} weigh?", "What is the weight of the {a}?"], "{n} kilos"),
    ("The {a} was built in {y}.", ["When was the {a} built?", "In which year was the {a} built?"], "{y}"),
    ("There are {n} people in the {a}.", ["How many people are in the {a}?", "How many people does the {a} have?"], "{n}"),
    ("The {a} lies next to the {b}.", ["What does the {a} lie next to?", "What is next to the {a}?"], "the {b}"),
    ("The {a} is painted {c}.", ["What colour is the {a} painted?", "In which colour is the {a} painted?"], "{c}"),
    ("A ticket for the {a} costs {n} euros.", ["What does a ticket for the {a} cost?", "How much is a ticket for the {a}?"], "{n} euros"),
    ("The {a} opens at {h} o'clock.", ["When does the {a} open?", "At what time does the {a} open?"], "{h} o'clock"),
    ("The {a} is {n} meters long.", ["How long is the {a}?", "What is the length of the {a}?"], "{n} meters"),
]
FILLERS = ["This was found in several places.", "Nobody expected that.", "More can be said about it.", "The figures below show the details.",
           "It has been so for many years.", "Others came to the same result.", "We looked at all of them.", "A part of this is still open."]
COLUMNS = ["price", "weight", "length", "count", "year", "height", "speed", "age"]


def _fact(rng, deck):
    sentence, asked, answer = rng.choice(FACTS)
    fill = dict(a=deck.deal(), b=deck.deal(), n=rng.randint(2, 999), y=rng.randint(1800, 2020), c=rng.choice(picture.COLOURS), h=rng.randint(1, 12))
    return Fact(sentence.format(**fill), rng.choice(asked).format(**fill), answer.format(**fill))


def _wrap(face, size, text, room):
    lines, line = [], ""
    for word in text.split():
        more = f"{line} {word}".strip()
        if line and fonts.width(face, size, more) > room:
            lines.append(line)
            more = word
        line = more
    return lines + [line] if line else lines


def _text(rng, deck, face):
    facts = [_fact(rng, deck) for _ in range(rng.randint(1, 3))]
    sentences = [f.sentence for f in facts] + rng.sample(FILLERS, rng.randint(1, 3))
    rng.shuffle(sentences)
    lines = _wrap(face, 11, " ".join(sentences), WIDTH - 2 * MARGIN)
    return Block("text", len(lines) * 15 + 10, lines=lines, facts=facts)


def _table(rng, deck):
    header = rng.sample(COLUMNS, rng.randint(2, 3))
    rows = [[deck.deal()] + [rng.randint(1, 999) for _ in header] for _ in range(rng.randint(3, 6))]
    return Block("table", 26 * (len(rows) + 1) + 44, deck.deal(), header=header, rows=rows)


def _chart(rng, deck, kind):
    n = rng.randint(3, 5)
    colours = rng.sample([c for c in picture.COLOURS if c != "white"], n)
    if kind == "pie":
        cuts = sorted(rng.sample(range(1, 20), n - 1))
        values = [5 * (b - a) for a, b in zip([0] + cuts, cuts + [20])]
    else:
        values = rng.sample(range(5, 100), n)
    if kind == "curve" or kind == "bars" and rng.random() < 0.5:
        colours = [colours[0]] * n
    return Block(kind, 230, deck.deal(), rows=[[deck.deal(), v, c, picture.shade(rng, c)] for v, c in zip(values, colours)])


def _picture(rng, deck):
    colour = rng.choice(picture.COLOURS)
    rgb, items = picture.shade(rng, colour), []
    for kind in rng.sample(words.KINDS, rng.randint(1, 3)):
        for _ in range(20):
            own = rng.choice(picture.COLOURS)
            fill = picture.shade(rng, own)
            if sum(abs(a - b) for a, b in zip(fill, rgb)) > 120:
                items.append([kind, own, fill])
                break
    return Block("picture", 190, deck.deal(), lines=[deck.deal().upper()] if rng.random() < 0.5 else [], items=items, colour=colour, rgb=rgb)


def plan(seed, n_pages, vocabulary):
    """A paper of n_pages from a seed."""
    rng = random.Random(f"paper {seed}")
    deck, pages = Deck(rng, vocabulary), []
    faces = (rng.randrange(64), rng.randrange(64))
    title = f"About the {deck.deal()} and the {deck.deal()}"
    while len(pages) < n_pages:
        blocks, room = [], HEIGHT - 2 * MARGIN - 20
        if not pages:
            blocks.append(Block("title", 60, title))
            room -= 60
        makers = ["heading", "text", rng.choice(("bars", "pie", "curve", "table", "picture")), "text",
                  rng.choice(("bars", "table", "picture", "pie")), "heading", "text", "text", "table"]
        for kind in makers:
            if kind == "heading":
                block = Block("heading", 34, f"{rng.choice(('The', 'A'))} {deck.deal()} {rng.choice(('of', 'in', 'near'))} the {deck.deal()}")
            elif kind == "text":
                block = _text(rng, deck, _face(faces[1]))
            elif kind == "table":
                block = _table(rng, deck)
            elif kind == "picture":
                block = _picture(rng, deck)
            else:
                block = _chart(rng, deck, kind)
            if block.height <= room:
                blocks.append(block)
                room -= block.height
        pages.append(Page(len(pages) + 1, blocks))
    return Paper(str(seed), title, faces, pages)


def _face(index, bold=False):
    """Only TrueType faces can be put into a PDF by pdf.py."""
    faces = [f for f in fonts.faces() if f.endswith(".ttf")]
    wanted = [f for f in faces if ("Bold" in f or "Black" in f) == bold and "Italic" not in f] or faces
    return wanted[index % len(wanted)]


def draw(scene, paper, page, scale=1.0):
    """Draws a page on a scene of WIDTH x HEIGHT points times scale."""
    k, head, body = scale, _face(paper.faces[0], True), _face(paper.faces[1])
    px = lambda points: max(4, round(points * k))
    y = MARGIN

    def put(x, y, text, size, face=body, fill=INK, middle=False):
        wide = fonts.width(face, px(size), text)
        scene.text(x * k - (wide / 2 if middle else 0), y * k, text, face, px(size), fill)

    for n, block in enumerate(page.blocks):
        caption = f"{'Table' if block.kind == 'table' else 'Figure'} {page.number}.{n}: {block.title}"
        if block.kind == "title":
            put(MARGIN, y + 8, block.title, 22, head)
        elif block.kind == "heading":
            put(MARGIN, y + 10, block.title, 15, head)
        elif block.kind == "text":
            for i, line in enumerate(block.lines):
                put(MARGIN, y + 15 * i, line, 11)
        elif block.kind == "table":
            step = (WIDTH - 2 * MARGIN) / (len(block.header) + 1)
            for r, row in enumerate([[""] + block.header] + block.rows):
                top = y + 26 * r
                scene.draw.line((MARGIN * k, (top + 22) * k, (WIDTH - MARGIN) * k, (top + 22) * k), fill=INK if r == 0 else FAINT, width=max(1, round(k)))
                for c, cell in enumerate(row):
                    put(MARGIN + 6 + step * c, top + 6, str(cell), 13, head if r == 0 else body)
            put(MARGIN, y + 26 * (len(block.rows) + 1) + 8, caption, 10, body, FAINT)
        else:
            {"bars": _bars, "curve": _curve, "pie": _pie, "picture": _scene}[block.kind](scene, block, y, k, put)
            put(MARGIN, y + block.height - 24, caption, 10, body, FAINT)
        y += block.height
    put(WIDTH / 2, HEIGHT - 40, str(page.number), 11, body, FAINT, True)


def _box(left, top, right, bottom, k):
    return (left * k, top * k, right * k, bottom * k)


def _axes(scene, y, k):
    left, right, top, bottom = MARGIN + 30, WIDTH - MARGIN - 30, y + 30, y + 172
    scene.draw.line((left * k, (top - 14) * k, left * k, bottom * k), fill=INK, width=max(1, round(1.3 * k)))
    scene.draw.line((left * k, bottom * k, right * k, bottom * k), fill=INK, width=max(1, round(1.3 * k)))
    return left, right, top, bottom


def _bars(scene, block, y, k, put):
    left, right, top, bottom = _axes(scene, y, k)
    step, most = (right - left) / len(block.rows), max(r[1] for r in block.rows)
    for n, (label, value, colour, rgb) in enumerate(block.rows):
        middle = left + step * (n + 0.5)
        box = _box(middle - step * 0.32, bottom - (bottom - top) * value / most, middle + step * 0.32, bottom, k)
        scene.draw.rectangle(box, fill=rgb)
        scene.objects.append(picture.Object("bar", colour, box, value / most))
        put(middle, bottom + 6, f"{label} {value}", 12, middle=True)


def _curve(scene, block, y, k, put):
    left, right, top, bottom = _axes(scene, y, k)
    step, most = (right - left) / len(block.rows), max(r[1] for r in block.rows)
    points = [(left + step * (n + 0.5), bottom - (bottom - top) * r[1] / most) for n, r in enumerate(block.rows)]
    rgb = block.rows[0][3]
    scene.draw.line([(x * k, at * k) for x, at in points], fill=rgb, width=max(1, round(2 * k)))
    for (x, at), (label, value, colour, _) in zip(points, block.rows):
        scene.draw.ellipse(_box(x - 3.5, at - 3.5, x + 3.5, at + 3.5, k), fill=rgb)
        put(x, bottom + 6, f"{label} {value}", 12, middle=True)


def _pie(scene, block, y, k, put):
    box, angle = _box(MARGIN + 40, y + 12, MARGIN + 220, y + 192, k), -90.0
    for n, (label, value, colour, rgb) in enumerate(block.rows):
        to = angle + 3.6 * value
        scene.draw.pieslice(box, angle, to, fill=rgb)
        scene.objects.append(picture.Object("slice", colour, box, value / 100, (angle, to)))
        angle, row = to, y + 24 + 30 * n
        scene.draw.rectangle(_box(MARGIN + 260, row, MARGIN + 274, row + 14, k), fill=rgb)
        put(MARGIN + 284, row + 2, f"{label} {value}%", 13)


def _scene(scene, block, y, k, put):
    left, right, top, bottom = MARGIN + 90, WIDTH - MARGIN - 90, y + 6, y + block.height - 32
    scene.draw.rectangle(_box(left, top, right, bottom, k), fill=block.rgb)
    step = (right - left) / max(1, len(block.items))
    for n, (kind, colour, rgb) in enumerate(block.items):
        x, at = left + step * (n + 0.5), (top + bottom) / 2 + (12 if block.lines else 0)
        scene.shape(kind, colour, _box(x - 32, at - 32, x + 32, at + 32, k), rgb)
    for line in block.lines:
        fill = (0, 0, 0) if picture.luminance(block.rgb) > 127 else (255, 255, 255)
        put((left + right) / 2, top + 10, line, 16, fill=fill, middle=True)


def lines(page, n):
    """The text of a page's n-th block, line by line, as the program reads it from the file."""
    block = page.blocks[n]
    if block.kind in ("title", "heading"):
        return [block.title]
    if block.kind == "text":
        return block.lines
    if block.kind == "table":
        return [" ".join(block.header)] + [" ".join(map(str, r)) for r in block.rows] + [f"Table {page.number}.{n}: {block.title}"]
    return block.lines + [f"{row[0]} {row[1]}{'%' * (block.kind == 'pie')}" for row in block.rows] + [f"Figure {page.number}.{n}: {block.title}"]


def text(page):
    """The exact text of a page."""
    return [line for n in range(len(page.blocks)) for line in lines(page, n)]


def of_page(rng, page, held_out=False, alone=True):
    """Questions about a page. `alone`: only this page is shown."""
    out, ask = [], questions.ask

    def add(kind, answer, text=None, about=(), **fill):
        about = about or tuple(sorted(fill.values()))
        out.append(questions.Question(kind, text or ask(rng, kind, held_out, **fill), str(answer).lower(), [page.number], about))

    charts = {kind: sum(b.kind == kind for b in page.blocks) for kind in ("bars", "pie", "curve", "picture")}
    for block in page.blocks:
        for fact in block.facts:
            add("fact", fact.answer, text=fact.question, about=(fact.sentence.rsplit(" ", 2)[0],))
        if block.kind == "table":
            row, column = rng.choice(block.rows), rng.randrange(len(block.header))
            add("cell", row[column + 1], h=block.header[column], r=row[0])
        elif block.kind in ("bars", "curve"):
            row = rng.choice(block.rows)
            add("bar", row[1], l=row[0])
            if alone and block.kind == "bars" and charts["bars"] == 1:
                add("largest bar", max(block.rows, key=lambda r: r[1])[0])
                add("smallest bar", min(block.rows, key=lambda r: r[1])[0])
        elif block.kind == "pie":
            row = rng.choice(block.rows)
            add("slice", f"{row[1]}%", l=row[0])
            values = [r[1] for r in block.rows]
            if alone and charts["pie"] == 1 and values.count(max(values)) == 1:
                add("largest slice", max(block.rows, key=lambda r: r[1])[0])
        elif block.kind == "picture" and alone and charts["picture"] == 1:
            kind, colour, _ = rng.choice(block.items) if block.items else ("", "", "")
            if kind:
                add("colour", colour, k=kind)
            if block.lines:
                add("only sign", block.lines[0])
        if block.kind not in ("text", "title", "heading"):
            add("page", page.number, w=block.title)
    return out


def of_paper(rng, paper, vocabulary, held_out=False):
    """Questions about a whole paper, and one about what it doesn't show."""
    out = [q for page in paper.pages for q in of_page(rng, page, held_out, alone=len(paper.pages) == 1)]
    told = " ".join(str(dataclasses.asdict(p)) for p in paper.pages).lower()
    whole = [" ".join(str(dataclasses.asdict(p)).lower().split()) for p in paper.pages]
    out = [q for q in questions.clear(out) if q.kind != "page" or sum(q.about[0] in page for page in whole) == 1]
    unseen = [w for w in vocabulary if w not in told]
    if unseen:
        kind = rng.choice(("bar", "slice", "page"))
        word = rng.choice(unseen)
        out.append(questions.Question("absent " + kind, questions.ask(rng, kind, held_out, w=word, l=word), questions.NOT_SHOWN, []))
    return out


def render(paper, page, width, height):
    """A page as pixels: a picture.Scene whose size is that of the page; stretch it as the program does."""
    scale = height / HEIGHT
    scene = picture.Scene(random.Random(0), round(WIDTH * scale), height, "white")
    scene.draw.rectangle((0, 0, *scene.size), fill=(255, 255, 255))
    draw(scene, paper, page, scale)
    return scene


def write(paper, path, asked=()):
    """Writes the paper to `path` (.pdf) and its truth to NAME.json."""
    path, out, outline = pathlib.Path(path), pdf.Pdf(), []
    for page in paper.pages:
        scene = picture.Scene(random.Random(0), 8, 8, "white")
        scene.draw = out.page(WIDTH, HEIGHT)
        draw(scene, paper, page)
        outline += [(b.title, page.number - 1) for b in page.blocks if b.kind == "heading"]
    out.write(path, outline)
    with open(path.with_suffix(".json"), "w", encoding="utf-8") as file:
        pages = [{"number": p.number, "blocks": [{k: v for k, v in dataclasses.asdict(b).items() if v not in ([], "", ())} for b in p.blocks]}
                 for p in paper.pages]
        json.dump({"seed": paper.seed, "title": paper.title, "pages": pages, "questions": list(asked)}, file, indent=1)
