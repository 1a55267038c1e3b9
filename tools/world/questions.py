# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions about the world in many wordings, with their answers and where they come from.

An answer is short, in lower case but for NOT_SHOWN. `spans` holds what it rests on: times of a film [t0, t1] or pages. What was never shown is
answered with NOT_SHOWN and rests on nothing. Every HELD-th wording is kept from training and asked by tests alone.
"""

import dataclasses
import functools
import itertools
import re

from world import words

NOT_SHOWN = "Not found."
HELD = 5


@dataclasses.dataclass
class Question:
    kind: str
    text: str
    answer: str
    spans: list
    about: tuple = ()  # what the answer is a property of: two answers about the same thing make the question unclear


WORDINGS = {  # (one|other): every choice makes a wording of its own
    "sign": ["(What|Which word|Which text) (is written|can be read|stands|is shown) (near|beside|next to|with) the {c} {k}?",
             "What does the (sign|board) (near|beside|next to|with) the {c} {k} say?", "Read the (sign|word|text) (near|beside|next to) the {c} {k}.",
             "The {c} {k} is shown with a (sign|board). What does it say?", "(What|Which word) (is written|can be read) where the {c} {k} is?",
             "What does the sign say (in the picture with|where we see|beside) the {c} {k}?"],
    "only sign": ["What does the (sign|board) say?", "(What|Which word|Which text) (is written|can be read|stands|is shown) on the (sign|board)?",
                  "(Read|Tell me) the (sign|word on the sign|text on the sign|word on the board).",
                  "Tell me what (the sign says|the board says|is written on the sign|stands on the sign).", "(What|Which word or number) is on the (sign|board)?"],
    "card": ["What does the (title card|title|card) say?", "(Read|Tell me) the (title card|title|words of the title|text of the title card).",
             "(What|Which words|Which text) (is written|can be read|stands|is shown) on the (title card|card)?", "(What|Which) title (is shown|can be read)?",
             "What is the (title|text of the title)?"],
    "colour": ["(What|Which) (colour|color) (is|has) the {k}?", "What is the (colour|color) of the {k}?", "Tell me the (colour|color) of the {k}.",
               "(In|Of) (what|which) (colour|color) is the {k} (shown|drawn)?", "The {k} has (what|which) (colour|color)?", "How is the {k} coloured?",
               "Which (colour|color) does the {k} have?"],
    "thing": ["(What|Which thing|Which shape|Which shape or thing) is {c}?", "(What|Which) {c} (thing|shape) (is shown|is there|can be seen|do you see)?",
              "(Name|Tell me) the (thing|shape) that is {c}.", "(What|Which thing) (is shown|can be seen|do you see) in {c}?",
              "(What|Which thing|Which shape) has the (colour|color) {c}?"],
    "where": ["(Where|In which part of the picture|At which place|In what place) (is|can we see|do you see|can you see) the {k}?",
              "(Where|At which place|In which part) in the picture is the {k}?", "(Where|At which place) can the {k} be (seen|found)?",
              "Tell me (where|in which part of the picture|at which place) the {k} is.", "(Where|At which place) is the {k} (shown|drawn)?"],
    "count": ["How many {ks} (are there|are shown|do you see|can be seen|are in the picture|can you count)?", "Count the {ks}.",
              "(What is|Tell me) the number of {ks}(| in the picture)", "How many times (is|can we see) a {k}(| in the picture)?"],
    "background": ["(What|Which) (colour|color) (is|has) the background?", "What is the (colour|color) of the background?",
                   "What is the background's (colour|color)?", "Tell me the (background colour|colour of the background|color of the background).",
                   "On (which|what) (colour|color) (is it|are things) (shown|drawn)?", "Which (colour|color) does the background have?"],
    "motion": ["What (does the {k} do|happens to the {k}|is happening with the {k}|becomes of the {k})?", "(How|In which way) does the {k} (change|move)?", "What (change|move) does the {k} make?",
               "(Describe|Tell me) what (the {k} does|happens to the {k}|becomes of the {k}).", "What (can be seen|is) happening to the {k}?"],
    "when": ["(When|At what time|At which moment) (is|do we see|can we read) (|the word |the sign ){w}?",
             "(When|At what time|At which moment) (is|does) (|the word |the sign ){w} (shown|on the screen)?",
             "(When|At what time) can (|the word |the sign ){w} be (read|seen)?", "(Find|Tell me) the (time|moment) at which {w} is (shown|read)."],
    "after": ["(Which word|Which sign|What) (is shown|is written|comes|can be read) (right |)after {w}?", "(Which word|Which sign|What) follows {w}?",
              "After {w}, (which word|which sign|what) (is shown|is written|comes) next?", "What is the next (word|sign) after {w}?"],
    "before": ["(Which word|Which sign|What) (is shown|is written|comes|can be read) (right |)before {w}?", "(Which word|Which sign|What) precedes {w}?",
               "Before {w}, (which word|which sign|what) (is shown|was shown|is written)?", "What is the last (word|sign) before {w}?"],
    "order": ["In (what|which) order (are|do we see|can we read) {list}(| shown)?", "(Put|Tell me) {list} in the order of the film.",
              "(Tell me|What is) the order of {list}?", "(Order|Put in order) (these|the words) by time: {list}.", "In (what|which) order do {list} (appear|come)?",
              "(Which|What) comes first, and in (what|which) order: {list}?"],
    "subtitle": ["(What|Which words) (does the subtitle say|is said|can be read below|do people say) (while|when) {w} (is shown|is on the screen|can be read)?",
                 "(While|When) {w} (is shown|is on the screen|can be read), what (is said|does the subtitle say|do people say)?",
                 "(Which|What) subtitle (stands under|belongs to|is shown with) {w}?", "What is the subtitle (when the sign says|while the sign says|with) {w}?"],
    "clock": ["(What|Which) time (does the clock show|is on the clock|can be read on the clock|is it)?", "What does the clock (say|show)?", "(Read|Tell me) the (clock|time on the clock).",
              "What is the time on the clock?", "The clock shows (what|which time)?"],
    "score": ["What is the score(| of the game)?", "(What|Which) score (is shown|can be read|does the game have)?", "(Read|Tell me) the score(| of the game).",
              "How does the game stand?", "What does the score say?"],
    "bar": ["(What is|Tell me|Give) the (value|number) of (|the bar ){l}?", "(What|Which) (value|number) (has|belongs to) (|the bar ){l}?",
            "How high is (|the bar ){l}?", "(What|Which) (value|number) does (|the bar ){l} have?", "In the chart, (what|how high) is (|the bar ){l}?"],
    "largest bar": ["(Which|What) bar is the (highest|largest|biggest)?", "(What|Which label|Which bar) has the (highest|largest|biggest) (value|bar|number)(| in the chart)?",
                    "(Name|Tell me) the (highest|largest|biggest) bar(| of the chart).", "(Which one|Which bar|What) is the (highest|largest|biggest) in the chart?"],
    "smallest bar": ["(Which|What) bar is the (lowest|smallest|least)?", "(What|Which label|Which bar) has the (lowest|smallest|least) (value|bar|number)(| in the chart)?",
                     "(Name|Tell me) the (lowest|smallest|least) bar(| of the chart).", "(Which one|Which bar|What) is the (lowest|smallest|least) in the chart?"],
    "slice": ["(What|Which) (share|percentage) does (|the slice ){l} have?", "(What|Which) (share|percentage) has (|the slice ){l}?", "How (many percent|much|large) is (|the slice ){l}?",
              "(What is|Tell me|Give) the (share|percentage) of (|the slice ){l}?"],
    "largest slice": ["(Which|What) slice is the (largest|biggest)?", "(What|Which label|Which slice) has the (largest|biggest) (share|slice|percentage)?",
                      "(Name|Tell me) the (largest|biggest) (slice|part of the pie|share).", "(Which|What) part of the pie(| chart) is the (largest|biggest)?"],
    "cell": ["(What is|Tell me|Give|Look up) the {h} of {r}?", "In the table, (what|how much) is (|the ){h} (of|for) {r}?", "(What|Which) {h} does {r} have?", "(What|Which) {h} has {r}?",
             "(Look up|Find) (|the ){h} (of|for) {r}.", "What does the table (say|give|show) as {h} (of|for) {r}?", "What (stands|is) in the row {r} under {h}?"],
    "page": ["(On|At) (which|what) page (is|can we find|do we find|do you see) {w}?", "(Which|What) page (shows|has|speaks of) {w}?",
             "(Where in the paper|Where|On which page) (is|can we find) (|the figure |the table ){w}?", "(Find|Tell me|Give) the page (with|of|that shows) {w}.",
             "What is the page of {w}?"],
}


@functools.lru_cache(maxsize=None)
def wordings(kind):
    """All wordings of a kind, in one order for ever."""
    out = []
    for template in WORDINGS[kind]:
        parts = [p.split("|") for p in re.split(r"[()]", template)]
        out += ["".join(chosen) for chosen in itertools.product(*parts)]
    return list(dict.fromkeys(out))


def ask(rng, kind, held_out, **fill):
    chosen = [w for i, w in enumerate(wordings(kind)) if (i % HELD == HELD - 1) == held_out]
    if fill.get("k"):
        fill["ks"] = {"fish": "fish", "cross": "crosses"}.get(fill["k"], fill["k"] + "s")
    text = rng.choice(chosen).format(**fill)
    if rng.random() < 0.15:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.1:
        text = text.rstrip("?.")
    return text


def clock(t):
    """Seconds as 00:41:10."""
    return f"{int(t) // 3600:02}:{int(t) // 60 % 60:02}:{int(t) % 60:02}"


def listed(rng, names):
    return ", ".join(names[:-1]) + " and " + names[-1]


def of_shot(rng, shot, held_out=False, alone=True):
    """Questions that a picture of this shot answers. `alone`: nothing else is shown, so that 'the sign' is clear."""
    out, span = [], [shot.t0, shot.t1]

    def add(kind, answer, wording=None, **fill):
        out.append(Question(kind, ask(rng, wording or kind, held_out, **fill), str(answer).lower(), [span] if answer != NOT_SHOWN else []))

    kinds = [i.kind for i in shot.items]
    for item in shot.items:
        if kinds.count(item.kind) == 1:
            add("colour", item.colour, k=item.kind)
            if item.motion in ("still", "grows", "shrinks"):
                add("where", item.place, k=item.kind)
            if len(shot.signs) == 1:
                add("sign", shot.signs[0].text, c=item.colour, k=item.kind)
            if item.motion != "still":
                add("motion", {"appears": "it appears", "leaves": "it leaves", "grows": "it grows", "shrinks": "it shrinks"}.get(
                    item.motion, f"it {item.motion}"), k=item.kind)
        same = [i for i in shot.items if i.colour == item.colour]
        if alone and len(same) == 1 and all(s.board_colour != item.colour for s in shot.signs) and shot.background != item.colour:
            add("thing", item.kind, c=item.colour)
    for kind in sorted(set(kinds)):
        if all(i.motion not in ("appears", "leaves") for i in shot.items if i.kind == kind):
            add("count", kinds.count(kind), k=kind)
    if alone and len(shot.signs) == 1:
        add("only sign", shot.signs[0].text)
    if alone and shot.lines:
        add("card", " ".join(shot.lines))
    if alone:
        add("background", shot.background)
    if shot.clock and alone:
        add("clock", shot.clock)
    if shot.score and alone:
        add("score", shot.score)
    if shot.bars:
        label, value, _, _ = rng.choice(shot.bars)
        add("bar", value, l=label)
        values = [b[1] for b in shot.bars]
        if alone and values.count(max(values)) == 1:
            add("largest bar", max(shot.bars, key=lambda b: b[1])[0])
        if alone and values.count(min(values)) == 1:
            add("smallest bar", min(shot.bars, key=lambda b: b[1])[0])
    return out


def absent_of_shots(rng, shots, vocabulary, held_out=False):
    """A question about something that none of these shots shows."""
    kinds = {i.kind for s in shots for i in s.items}
    shown = {w.lower() for s in shots for w in [x.text for x in s.signs] + s.lines + [b[0] for b in s.bars]}
    missing = [k for k in words.KINDS if k not in kinds]
    word = rng.choice([w for w in vocabulary if w.lower() not in shown])
    kind = rng.choice(["colour", "where", "sign", "when", "after", "bar", "subtitle"] if missing else ["when", "after"])
    fill = {"k": rng.choice(missing) if missing else "", "c": rng.choice(list(words.COLOURS)), "w": word.upper(), "l": word}
    return Question("absent " + kind, ask(rng, kind, held_out, **fill), NOT_SHOWN, [])


def once(film):
    """Signs' texts that the film shows in one shot only, with their shots, in the order of time."""
    seen = {}
    for shot in film.shots:
        for text in {s.text.lower() for s in shot.signs} | {line.lower() for line in shot.lines} | {b[0].lower() for b in shot.bars}:
            seen.setdefault(text, []).append(shot)
    return [(text, shots[0]) for text, shots in seen.items() if len(shots) == 1]


def of_film(rng, film, vocabulary, held_out=False, shots=None):
    """Questions about a film or some of its shots in order (all by default)."""
    shots = film.shots if shots is None else shots
    out = []

    def add(kind, answer, spans, **fill):
        out.append(Question(kind, ask(rng, kind, held_out, **fill), str(answer).lower(), [[s.t0, s.t1] for s in spans]))

    all_kinds = [(i.kind, i.colour) for s in shots for i in s.items]
    texts = {}
    for shot in shots:
        for sign in shot.signs:
            texts.setdefault(sign.text.lower(), []).append(shot)
    for shot in shots:
        for question in of_shot(rng, shot, held_out, alone=len(shots) == 1):
            # In a whole film a thing is only clear if no other shot has its kind.
            named = [i for i in shot.items if i.kind in question.text]
            if len(shots) > 1 and question.kind == "sign":  # it names the thing with its colour, which is clear more often
                if all(sum(c == (i.kind, i.colour) for c in all_kinds) == 1 for i in named):
                    out.append(question)
                continue
            if len(shots) == 1 or all(sum(k == i.kind for k, _ in all_kinds) == sum(j.kind == i.kind for j in shot.items) for i in named):
                if question.kind != "bar" or sum(b[0] in question.text.lower() for s in shots for b in s.bars) == 1:
                    out.append(question)
    signs = [(shot, shot.signs[0].text) for shot in shots if len(shot.signs) == 1 and len(texts[shot.signs[0].text.lower()]) == 1]
    for shot, text in signs:
        add("when", clock(shot.t0), [shot], w=text)
        said = next((s for s in film.subtitles if s.t0 >= shot.t0 and s.t1 <= shot.t1), None)
        if said:
            add("subtitle", said.text, [shot], w=text)
    order = {id(s): n for n, s in enumerate(shots)}
    for (one, a), (two, b) in zip(signs, signs[1:]):
        if order[id(two)] == order[id(one)] + 1:
            add("after", b, [two], w=a)
            add("before", a, [one], w=b)
    if len(signs) >= 3:
        some = sorted(rng.sample(range(len(signs)), 3))
        names = [signs[k][1] for k in some]
        add("order", ", ".join(names), [signs[k][0] for k in some], list=listed(rng, rng.sample(names, 3)))
    out.append(absent_of_shots(rng, shots, vocabulary, held_out))
    return out


def clear(asked):
    """Without the questions that have two answers."""
    answers = {}
    for q in asked:
        answers.setdefault((q.kind, q.about or q.text.lower()), set()).add(q.answer)
    return [q for q in asked if len(answers[(q.kind, q.about or q.text.lower())]) == 1]


def plain(question):
    return {k: v for k, v in dataclasses.asdict(question).items() if k != "about"}
