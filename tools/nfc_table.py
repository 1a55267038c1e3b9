#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes model/nfc_table.h, what Unicode normalization form C needs to know, from Python's unicodedata:

    tools/nfc_table.py > model/nfc_table.h

Hugging Face `tokenizers`, the reference, has the tables of Unicode 9.0: characters that are younger are left alone. They
are listed below as far as Unicode 14.0 (Python 3.11); a later Python would bring in others.
"""
import sys
import unicodedata

LIMIT = 0x110000
# Runs of characters that normalization touches and that have come, or got their class, after Unicode 9.0.
YOUNGER = """7fd 898-89f 8ca-8d3 9fe c3c d3b-d3c eba 1715 1abf-1ace 1df6-1dfa a82c 10d24-10d27 10eab-10eac 10f46-10f50
10f82-10f85 11070 1133b 1145e 11839-1183a 11930 11938 1193d-1193e 11943 119e0 11a34 11a47 11a99 11d42 11d44-11d45 11d97
16ff0-16ff1 1e130-1e136 1e2ae 1e2ec-1e2ef"""
HANGUL = range(0xAC00, 0xAC00 + 11172)


LEFT_OUT = {cp for a, _, b in (run.partition('-') for run in YOUNGER.split()) for cp in range(int(a, 16), int(b or a, 16) + 1)}


def decompositions():
    """(codepoint, first, second or 0, composes back) of every canonical decomposition but Hangul's."""
    for cp in range(LIMIT):
        mapping = unicodedata.decomposition(chr(cp))
        if not mapping or mapping.startswith('<') or cp in HANGUL or cp in LEFT_OUT:
            continue
        parts = [int(part, 16) for part in mapping.split()]
        assert len(parts) <= 2
        composes = len(parts) == 2 and unicodedata.normalize('NFC', chr(parts[0]) + chr(parts[1])) == chr(cp)
        yield cp, parts[0], parts[1] if len(parts) == 2 else 0, composes


def touched(table):
    """(first, last, combining class) of every run of characters that normalization may change or join with what stands
    before them: all with a class, and of class 0 those whose quick check for NFC isn't "yes"."""
    joining = {second for _, _, second, composes in table if composes}
    joining |= {*range(0x1161, 0x1161 + 21), *range(0x11A8, 0x11A8 + 27)}  # Hangul vowels and final consonants
    run = None
    for cp in range(LIMIT + 1):
        known = cp < LIMIT and cp not in LEFT_OUT
        ccc = unicodedata.combining(chr(cp)) if known else 0
        found = known and (ccc or cp in joining or unicodedata.normalize('NFC', chr(cp)) != chr(cp))
        if run and (not found or ccc != run[2]):
            yield tuple(run)
            run = None
        if found:
            run = run or [cp, cp, ccc]
            run[1] = cp


def print_rows(rows, per_line):
    for i in range(0, len(rows), per_line):
        print('    ' + ' '.join(rows[i:i + per_line]))


def main():
    if tuple(map(int, unicodedata.unidata_version.split('.'))) > (14, 0, 0):
        return f'Unicode {unicodedata.unidata_version} is younger than 14.0: YOUNGER has to grow first'
    table = list(decompositions())
    composing = sorted((i for i, row in enumerate(table) if row[3]), key=lambda i: (table[i][1], table[i][2]))
    print('/* SPDX-License-Identifier: GPL-2.0-or-later')
    print(' *')
    print(' * Made by tools/nfc_table.py for Unicode 9.0. Included by nfc.c alone.')
    print(' */')
    print('#pragma once\n\n#include <stdint.h>\n\n/* clang-format off */')
    print('/* A character and the one or two that it stands for; by codepoint. */')
    print('static const struct { uint32_t codepoint, first, second; } nfc_decompositions[] = {')
    print_rows([f'{{0x{cp:x}, 0x{a:x}, 0x{b:x}}},' for cp, a, b, _ in table], 4)
    print('};\n\n/* Indices of those that are composed again; by first, then second. */')
    print('static const uint16_t nfc_compositions[] = {')
    print_rows([f'{i},' for i in composing], 20)
    print('};\n\n/* Runs of characters that normalization may touch, with their combining class; text without any is normalized. */')
    print('static const struct { uint32_t first, last; uint8_t ccc; } nfc_touched[] = {')
    print_rows([f'{{0x{a:x}, 0x{b:x}, {ccc}}},' for a, b, ccc in touched(table)], 6)
    print('};\n/* clang-format on */')


if __name__ == '__main__':
    sys.exit(main())
