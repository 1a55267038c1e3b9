"""The tokens that every byte-level vocabulary begins with. Shared by the generators; needs nothing."""


def byte_tokens():
    """The GPT-2 alphabet: one printable character for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(256 + rest.index(b)) for b in range(256)]
