# SPDX-License-Identifier: GPL-2.0-or-later
"""A byte-level BPE tokenizer of our own, stored in GGUF as model `gpt2`, pre-tokenizer `gpt-2`. Learnt from the words around what the world
shows, in which tokens of several letters begin with a blank; then every word that the world prints becomes a token, in each case that it is
printed in, and so does every number. Reading a sign is choosing one token, and finding a line is finding one. Words of no list and longer
numbers are spelt.
"""

import collections
import json
import pathlib
import re

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>", "<global-img>"] + \
    [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
FIXED = ["Question", "Frame", "Overview", "Excerpts", "Assistant", "User", "System", "Not", "You", "–", "What", "How", "Which", "Where", "When"]
END = "<end_of_utterance>"
_CUT = re.compile("|".join(map(re.escape, sorted(SPECIAL, key=len, reverse=True))))
_WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
NUMBERS = [str(n) for n in range(1000)] + [f"0{n}" for n in range(10)] + [str(n) for n in range(1800, 2021)]  # tokens behind a blank
SHORT = [f"{n:02}" for n in range(100)]  # tokens without: minutes and seconds, numbers of excerpts


def byte_letters():
    """GPT-2's printable stand-ins for bytes."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    out, extra = {}, 0
    for b in range(256):
        out[b] = chr(b) if b in plain else chr(256 + extra)
        extra += b not in plain
    return out


_LETTER = byte_letters()
_BYTE = {c: b for b, c in _LETTER.items()}


def pieces(text):
    """Words and numbers, with the blank before them, in stand-in letters."""
    for word in _WORDS.findall(text):
        yield "".join(_LETTER[b] for b in word.encode())


class Tokenizer:
    def __init__(self, tokens, merges):
        self.tokens, self.merges = tokens, [tuple(m) for m in merges]
        self.ids = {t: i for i, t in enumerate(tokens)}
        self.ranks = {m: i for i, m in enumerate(self.merges)}
        self.known, self.lowered, self.nouns, self.whole = {}, {}, {}, {}

    @classmethod
    def learn(cls, texts, size, shown=()):
        """At most `size` tokens, and those that make numbers and each of `shown` (words in any case; not learnt from), behind a blank, one token."""
        shown, fixed = {w.lower() for w in shown}, {p for text in FIXED for p in pieces(text)}
        counts = collections.Counter(p for text in texts for p in pieces(text) if p.lstrip("Ġ").lower() not in shown and not p[-1].isdigit())
        words = {w: list(w) for w in counts}
        merges = []
        tokens = SPECIAL + [_LETTER[b] for b in range(256)]
        pairs, where = collections.Counter(), collections.defaultdict(set)
        for w, parts in words.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[w]
                where[pair].add(w)
        while len(tokens) < size and pairs:
            best = max(pairs, key=lambda p: (pairs[p], p))
            if pairs[best] < 2:
                break
            if best[0][0] not in "ĠĊ" and not any(w.startswith(best[0] + best[1]) for w in fixed):
                del pairs[best]  # the middle of a word stays letters
                continue
            merges.append(best)
            tokens.append(best[0] + best[1])
            for w in list(where[best]):
                parts = words[w]
                for pair in zip(parts, parts[1:]):
                    pairs[pair] -= counts[w]
                    where[pair].discard(w)
                words[w] = parts = _join(parts, best)
                for pair in zip(parts, parts[1:]):
                    pairs[pair] += counts[w]
                    where[pair].add(w)
            del pairs[best]
        made = cls(tokens, merges)
        for word in sorted({" " + c for w in shown for c in (w, w.upper(), w.capitalize())}):
            made._join_up(*pieces(word))
        for number in (SHORT + [" " + n for n in NUMBERS] if shown else ()):
            made._join_up(*pieces(number))
        made.tokens += [f"<unused_{i}>" for i in range(-len(made.tokens) % 64 if shown else size - len(made.tokens))]
        return cls(made.tokens, made.merges)

    def _join_up(self, word):
        """Adds the merges, from the left to the right, that make a word one token."""
        parts = [self.tokens[i] for i in self._word(word)]
        while len(parts) > 1:
            pair = parts[0], parts[1]
            self.ranks[pair] = len(self.merges)
            self.merges.append(pair)
            if pair[0] + pair[1] not in self.ids:
                self.ids[pair[0] + pair[1]] = len(self.tokens)
                self.tokens.append(pair[0] + pair[1])
            parts = [pair[0] + pair[1]] + parts[2:]
        self.known.clear()

    def save(self, path):
        pathlib.Path(path).write_text(json.dumps({"tokens": self.tokens, "merges": self.merges}), encoding="utf-8")

    @classmethod
    def load(cls, path):
        return cls(**json.loads(pathlib.Path(path).read_text(encoding="utf-8")))

    def _word(self, word):
        ids = self.known.get(word)
        if ids is None:
            parts = list(word)
            while True:
                ranked = [(self.ranks.get(p, 1 << 30), p) for p in zip(parts, parts[1:])]
                if not ranked or min(ranked)[0] == 1 << 30:
                    break
                parts = _join(parts, min(ranked)[1])
            ids = self.known[word] = [self.ids[p] for p in parts]
        return ids

    def encode(self, text):
        """Ids of a text in which special tokens stand as such."""
        out, at = [], 0
        for match in list(_CUT.finditer(text)) + [None]:
            for word in pieces(text[at:match.start() if match else len(text)]):
                out += self._word(word)
            if match:
                out.append(self.ids[match.group()])
                at = match.end()
        return out

    def lower(self, i):
        """The token of the same word in lower case, if there is one."""
        if i not in self.lowered:
            ids = self._word("".join(_LETTER[b] for b in self.decode([i]).lower().encode())) if i >= len(SPECIAL) else ()
            self.lowered[i] = ids[0] if len(ids) == 1 else i
        return self.lowered[i]

    def token(self, word, before=" "):
        """The token of a word or number behind a blank (or what else is `before` it), or None if it is spelt."""
        if (word, before) not in self.whole:
            ids = self.encode(before + word)
            self.whole[word, before] = ids[0] if word and len(ids) == 1 else None
        return self.whole[word, before]

    def set_nouns(self, words):
        """Keeps the tokens of these words in `nouns`: what questions are about."""
        self.nouns = {w: self.encode(" " + w)[0] for w in words}

    def decode(self, ids):
        data = b""
        for i in ids:
            token = self.tokens[i]
            data += token.encode() if token in SPECIAL or token.startswith("<unused_") else bytes(_BYTE[c] for c in token)
        return data.decode("utf-8", "replace")


def _join(parts, pair):
    out, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            out.append(parts[i] + parts[i + 1])
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out
