# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions about the world in many wordings, with their answers and where they come from.

An answer is short, in lower case but for NOT_SHOWN. `spans` holds what it rests on: times of a film [t0, t1] or pages. What was never shown is
answered with NOT_SHOWN and rests on nothing. Wordings whose number in the list is a multiple of HELD are kept from training and
asked by tests alone.
"""

import dataclasses

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


WORDINGS = {
    "sign": ["What does the sign say in the picture with the {c} {k}?", "What is written near the {c} {k}?",
             "Which word stands beside the {c} {k}?", "Read the sign next to the {c} {k}.", "What can be read where the {c} {k} is?",
             "The {c} {k} is shown with a sign. What does it say?", "What is printed with the {c} {k}?"],
    "only sign": ["What does the sign say?", "What is written on the sign?", "Read the sign.", "Which text can be read on the sign?",
                  "Tell me what the sign says.", "What word or number is on the sign?"],
    "card": ["What does the title card say?", "Read the title card.", "What is the title?", "Which words does the title card show?",
             "What is written on the title card?", "What title is shown?"],
    "colour": ["What colour is the {k}?", "Which colour does the {k} have?", "The {k} has which colour?", "Tell me the colour of the {k}.",
               "In what colour is the {k} shown?", "What color is the {k}?", "How is the {k} coloured?"],
    "thing": ["Which thing is {c}?", "What is {c} in the picture?", "What {c} thing is shown?", "Name the thing that is {c}.",
              "Which shape or thing has the colour {c}?", "What do you see that is {c}?"],
    "where": ["Where is the {k}?", "In which part of the picture is the {k}?", "Where can the {k} be seen?", "Where in the picture is the {k}?",
              "At which place is the {k}?", "Tell me where the {k} is."],
    "count": ["How many {ks} are there?", "How many {ks} are shown?", "Count the {ks}.", "What is the number of {ks}?",
              "How many {ks} can be seen?", "How many times is a {k} in the picture?"],
    "background": ["What colour is the background?", "Which colour does the background have?", "What is the background's colour?",
                   "On which colour is it drawn?", "Tell me the background colour.", "The background is of which colour?"],
    "motion": ["What does the {k} do?", "What happens to the {k}?", "How does the {k} change?", "What is happening with the {k}?",
               "Describe what the {k} does.", "What becomes of the {k}?"],
    "when": ["When is {w} shown?", "When does the word {w} appear?", "At what time can {w} be read?", "When do we see the sign {w}?",
             "At which moment is {w} on the screen?", "Find the time at which {w} is shown."],
    "after": ["Which word is shown right after {w}?", "What is written in the picture after {w}?", "What comes after {w}?",
              "Which sign follows {w}?", "After {w}, which word comes next?", "What is the next word behind {w}?"],
    "before": ["Which word is shown right before {w}?", "What is written in the picture before {w}?", "What comes before {w}?",
               "Which sign precedes {w}?", "Before {w}, which word was shown?", "What was the word ahead of {w}?"],
    "order": ["In what order are {list} shown?", "Which comes first, and in what order: {list}?", "Put {list} in the order of the film.",
              "What is the order of {list}?", "Order these by time: {list}.", "In which order do {list} appear?"],
    "subtitle": ["What does the subtitle say while {w} is shown?", "What is said while {w} can be read?", "Which subtitle stands under {w}?",
                 "What is the subtitle when the sign says {w}?", "While {w} is on the screen, what is said?", "What do people say at {w}?"],
    "clock": ["What time does the clock show?", "What does the clock say?", "Read the clock.", "Which time is on the clock?",
              "What is the time on the clock?", "The clock shows what?"],
    "score": ["What is the score?", "Which score is shown?", "Read the score.", "How does the game stand?", "What does the score say?",
              "Tell me the score."],
    "bar": ["What is the value of {l}?", "How high is the bar {l}?", "Which value does {l} have?", "What number belongs to {l}?",
            "In the chart, what is {l}?", "Give the value of the bar {l}."],
    "largest bar": ["Which bar is the highest?", "What has the largest value in the chart?", "Which label has the highest bar?",
                    "What is the maximum of the chart called?", "Name the largest bar.", "Which one is biggest in the chart?"],
    "smallest bar": ["Which bar is the lowest?", "What has the smallest value in the chart?", "Which label has the lowest bar?",
                     "What is the minimum of the chart called?", "Name the smallest bar.", "Which one is least in the chart?"],
    "slice": ["What share does {l} have?", "How many percent is {l}?", "What is the percentage of {l}?", "How large is the slice {l}?",
              "Give the share of {l}.", "Which percentage does {l} have?"],
    "largest slice": ["Which slice is the largest?", "What has the largest share?", "Which part of the pie is biggest?",
                      "Name the largest slice.", "What is the biggest part of the pie chart?", "Which label has the largest slice?"],
    "cell": ["What is the {h} of {r}?", "In the table, what is {h} for {r}?", "Which {h} does {r} have?", "Look up {h} for {r}.",
             "What does the table give as {h} of {r}?", "What stands in the row {r} under {h}?"],
    "page": ["On which page is {w}?", "Which page shows {w}?", "Where in the paper is {w}?", "On what page can {w} be found?",
             "Find the page with {w}.", "What is the page of {w}?"],
}


def ask(rng, kind, held_out, **fill):
    wordings = WORDINGS[kind]
    chosen = [w for i, w in enumerate(wordings) if (i % HELD == HELD - 1) == held_out]
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
