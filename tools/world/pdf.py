# SPDX-License-Identifier: GPL-2.0-or-later
"""Just enough of a PDF writer: pages that are drawn on with the calls of PIL.ImageDraw, text in embedded TrueType fonts."""

import math
import zlib

from world import fonts


def _n(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _escape(text):
    return text.encode("cp1252", "replace").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


class Page:
    """Stands in for ImageDraw: coordinates in points, y down. Colours are (r, g, b) of 0..255."""

    def __init__(self, pdf, width, height):
        self.pdf, self.width, self.height, self.out = pdf, width, height, []

    def _paint(self, path, fill, outline, width):
        if fill:
            self.out.append(f"{self._rgb(fill)} rg {path} f".encode())
        if outline:
            self.out.append(f"{self._rgb(outline)} RG {_n(width)} w {path} S".encode())

    @staticmethod
    def _rgb(colour):
        return " ".join(_n(c / 255) for c in colour)

    def polygon(self, points, fill=None, outline=None, width=1):
        first, *rest = points
        path = f"{_n(first[0])} {_n(first[1])} m " + " ".join(f"{_n(x)} {_n(y)} l" for x, y in rest) + " h"
        self._paint(path, fill, outline, width)

    def rectangle(self, box, fill=None, outline=None, width=1):
        (x0, y0, x1, y1) = box if len(box) == 4 else (*box[0], *box[1])
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, outline, width)

    @staticmethod
    def _arc(box, start, end, steps=48):
        (x0, y0, x1, y1) = box if len(box) == 4 else (*box[0], *box[1])
        n = max(2, math.ceil(abs(end - start) / 360 * steps))
        angles = (math.radians(start + (end - start) * k / n) for k in range(n + 1))
        return [((x0 + x1) / 2 + (x1 - x0) / 2 * math.cos(a), (y0 + y1) / 2 + (y1 - y0) / 2 * math.sin(a)) for a in angles]

    def ellipse(self, box, fill=None, outline=None, width=1):
        (x0, y0, x1, y1) = box if len(box) == 4 else (*box[0], *box[1])
        inset = width / 2 if outline else 0  # as in pictures, an outline lies inside its box
        self.polygon(self._arc((x0 + inset, y0 + inset, x1 - inset, y1 - inset), 0, 360)[:-1], fill, outline, width)

    def pieslice(self, box, start, end, fill=None, outline=None, width=1):
        (x0, y0, x1, y1) = box if len(box) == 4 else (*box[0], *box[1])
        self.polygon([((x0 + x1) / 2, (y0 + y1) / 2)] + self._arc(box, start, end), fill, outline, width)

    def arc(self, box, start, end, fill=None, width=1):
        self.line(self._arc(box, start, end), fill, width)

    def line(self, points, fill=None, width=1):
        if not hasattr(points[0], "__len__"):
            points = list(zip(points[0::2], points[1::2]))
        first, *rest = points
        path = f"{_n(first[0])} {_n(first[1])} m " + " ".join(f"{_n(x)} {_n(y)} l" for x, y in rest)
        self._paint(path, None, fill, width)

    def text(self, at, text, fill, font, stroke_width=0, stroke_fill=None):
        base = at[1] + font.getmetrics()[0]
        name = self.pdf.font(font.path)
        self.out.append(f"{self._rgb(fill)} rg BT /{name} {font.size} Tf 1 0 0 -1 {_n(at[0])} {_n(base)} Tm (".encode() +
                        _escape(text) + b") Tj ET")


class Pdf:
    def __init__(self):
        self.pages, self.fonts = [], {}

    def page(self, width, height):
        self.pages.append(Page(self, width, height))
        return self.pages[-1]

    def font(self, path):
        return self.fonts.setdefault(path, f"F{len(self.fonts)}")

    def write(self, path, outline=()):
        """outline: (title, page index) pairs."""
        bodies = []  # object k+1

        def add(body):
            bodies.append(body)
            return len(bodies)

        def stream(data, more=""):
            packed = zlib.compress(data, 9)
            return f"<< /Length {len(packed)} /Filter /FlateDecode {more}>>\nstream\n".encode() + packed + b"\nendstream"

        catalog, tree = add(b""), add(b"")
        names = []
        for path_of, name in self.fonts.items():
            big = fonts.load(path_of, 1000)
            up, down = big.getmetrics()
            with open(path_of, "rb") as file:
                data = file.read()
            program = add(stream(data, f"/Length1 {len(data)} "))
            box = f"[-500 {-down} 1500 {up}]"
            label = "PR" + name
            about = add(f"<< /Type /FontDescriptor /FontName /{label} /Flags 32 /FontBBox {box} /ItalicAngle 0 /Ascent {up} "
                        f"/Descent {-down} /CapHeight 700 /StemV 80 /FontFile2 {program} 0 R >>".encode())
            widths = " ".join(str(round(big.getlength(bytes([c]).decode("cp1252", "replace")))) for c in range(32, 256))
            names.append((name, add(f"<< /Type /Font /Subtype /TrueType /BaseFont /{label} /FirstChar 32 /LastChar 255 "
                                    f"/Widths [{widths}] /Encoding /WinAnsiEncoding /FontDescriptor {about} 0 R >>".encode())))
        shared = add(("<< /Font << " + " ".join(f"/{n} {k} 0 R" for n, k in names) + " >> >>").encode())
        kids = []
        for page in self.pages:
            content = add(stream(f"1 0 0 -1 0 {_n(page.height)} cm\n".encode() + b"\n".join(page.out)))
            kids.append(add(f"<< /Type /Page /Parent {tree} 0 R /MediaBox [0 0 {_n(page.width)} {_n(page.height)}] "
                            f"/Resources {shared} 0 R /Contents {content} 0 R >>".encode()))
        bodies[tree - 1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(f'{k} 0 R' for k in kids)}] >>".encode()
        marks = ""
        if outline:
            top = len(bodies) + 1
            items = range(top + 1, top + 1 + len(outline))
            add(f"<< /Type /Outlines /First {items[0]} 0 R /Last {items[-1]} 0 R /Count {len(outline)} >>".encode())
            for k, (title, page) in enumerate(outline):
                near = (f"/Prev {items[k - 1]} 0 R " if k else "") + (f"/Next {items[k + 1]} 0 R " if k + 1 < len(items) else "")
                add(b"<< /Title (" + _escape(title) + f") /Parent {top} 0 R {near}/Dest [{kids[page]} 0 R /Fit] >>".encode())
            marks = f"/Outlines {top} 0 R "
        bodies[catalog - 1] = f"<< /Type /Catalog {marks}/Pages {tree} 0 R >>".encode()
        with open(path, "wb") as out:
            out.write(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
            starts = []
            for number, body in enumerate(bodies, 1):
                starts.append(out.tell())
                out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
            table = out.tell()
            out.write(f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode())
            out.write(b"".join(f"{at:010} 00000 n \n".encode() for at in starts))
            out.write(f"trailer\n<< /Size {len(bodies) + 1} /Root {catalog} 0 R >>\nstartxref\n{table}\n%%EOF\n".encode())
