"""The test pictures: formulas in 32-bit integers, the same in tests/vision/pictures.c. A picture is [kind, width, height, seed]."""
import numpy as np


def hashed(x, y, c):
    c = c if isinstance(c, np.ndarray) else np.full(1, c, np.uint32)
    h = x * 374761393 + y * 668265263 + c * 2246822519
    h = (h ^ (h >> 13)) * 1274126177
    return h ^ (h >> 16)


def photo(x, y, c, seed):
    """Waves, blocks with edges and a little noise."""
    s = int(seed) * 37
    wave = (x * (c + 2) + y * (2 * c + 3) + ((x * y) >> 7) + np.uint32(s)) & 511
    wave = np.where(wave > 255, 511 - wave, wave)
    block = (((x + np.uint32(s)) >> 5) ^ (y >> 4)) & 1
    return (wave * 200 >> 8) + block * 40 + (hashed(x, y, c + np.uint32(s)) & 15)


def text(x, y, c, seed):
    """Black marks in cells of 7 x 12 on white, with blanks between words."""
    cell, line = x // 7, y // 12
    blank = hashed(cell, line, seed) % 6 == 0
    dx, dy = x % 7, y % 12
    ink = ((hashed(cell * 16 + dy, line, seed + 1) >> (dx + 3)) & 1).astype(bool) & (dx < 5) & (dy < 9)
    return np.where(ink & ~blank, 20, 255 - 5 * c)


def black(x, y, c, seed):
    return 0 * x


def picture(kind, width, height, seed):
    """RGB bytes [height, width, 3]."""
    y, x, c = np.meshgrid(*(np.arange(n, dtype=np.uint32) for n in (height, width, 3)), indexing='ij')
    formula = dict(photo=photo, text=text, black=black)[kind]
    return formula(x, y, c, seed).astype(np.uint8)
