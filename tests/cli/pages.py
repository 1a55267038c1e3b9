#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of PDFs that are turned, cropped, huge or tiny, and what is on them besides text: form fields, notes, links.
usage: pages.py PROGRAM [--table]"""
import sys

import support
from support import pdf, stream

FONT = "/Resources<</Font<</F <</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
CONTENT = stream("1 0 0 rg 100 50 20 20 re f 0 g BT /F 10 Tf 150 100 Td (Words) Tj ET")  # a red square and a line of text


class Pages(support.Files):
    def page(self, name, boxes, content=CONTENT, more="", catalog="", objects=()):
        """The only page of a PDF, as `inspect --units` has it."""
        path = self.write(name, pdf(f"<</Type/Catalog/Pages 2 0 R{catalog}>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
                                    f"<</Type/Page/Parent 2 0 R{boxes}/Contents 4 0 R{FONT}{more}>>", content, *objects))
        _, units = self.units(path)
        return path, units[0]

    def check_place(self, name, boxes, size, square, word):
        """size of the page, the middle of the red square, and a place within the line of text, in points from the upper left corner."""
        path, unit = self.page(name, boxes)
        self.assertEqual(unit["size"], size)
        width, height, rows = self.frame(path)
        x, y = int(square[0] * width / size[0]), int(square[1] * height / size[1])
        self.assertEqual(tuple(rows[y][3 * x:3 * x + 3]), (255, 0, 0), (name, x, y))
        (line,) = unit["lines"]
        self.assertEqual(line["text"], "Words")
        x0, y0, x1, y1 = line["box"]
        self.assertTrue(x0 <= word[0] <= x1 and y0 <= word[1] <= y1, (name, line["box"], word))

    def test_1_turned(self):
        """turned pages (/Rotate 90, 180, 270)"""
        self.check_place("0.pdf", "/MediaBox[0 0 300 200]", [300, 200], (110, 140), (160, 97))
        self.check_place("90.pdf", "/MediaBox[0 0 300 200]/Rotate 90", [200, 300], (60, 110), (103, 160))
        self.check_place("180.pdf", "/MediaBox[0 0 300 200]/Rotate 180", [300, 200], (190, 60), (140, 103))
        self.check_place("270.pdf", "/MediaBox[0 0 300 200]/Rotate 270", [200, 300], (140, 190), (97, 140))
        self.says("picture, size and boxes are those of the page as it is read")

    def test_2_cropped(self):
        """cropped pages, also turned, and one whose corner isn't 0, 0"""
        crop = "/MediaBox[0 0 300 200]/CropBox[100 50 300 150]"
        self.check_place("crop.pdf", crop, [200, 100], (10, 90), (60, 47))
        self.check_place("crop90.pdf", crop + "/Rotate 90", [100, 200], (10, 10), (53, 60))
        self.check_place("corner.pdf", "/MediaBox[50 20 350 220]", [300, 200], (60, 160), (110, 117))
        self.says("boxes count from the corner of what is shown")

    def test_3_huge_and_tiny(self):
        """pages of 14,400 and of 9 points"""
        for side, box in ((14400, "/MediaBox[0 0 14400 14400]"), (9, "/MediaBox[0 0 9 9]")):
            path, unit = self.page("side.pdf", box, stream(f"1 0 0 rg 0 0 {side} {side} re f"))
            self.assertEqual(unit["size"], [side, side])
            self.assertEqual(self.frame(path)[:2], (512, 512))
        self.says("both are drawn at the size that is asked for")

    def test_4_forms(self):
        """form fields, a note, links"""
        names = ["<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(Ada Lovelace)/Rect[20 150 120 170]>>",
                 "<</Type/Annot/Subtype/Widget/FT/Ch/T(city)/V(Turin)/Opt[(Paris)(Turin)]/Ff 131072/Rect[20 120 120 140]>>",
                 "<</Type/Annot/Subtype/Text/Contents(Check this number)/Rect[200 150 220 170]>>",
                 "<</Type/Annot/Subtype/Link/Rect[20 20 60 40]/A<</S/URI/URI(https://example.org/a)>>>>"]
        annots = " ".join(f"{5 + i} 0 R" for i in range(len(names)))
        _, unit = self.page("form.pdf", "/MediaBox[0 0 300 200]", more=f"/Annots[{annots}]", catalog="/AcroForm<</Fields[5 0 R 6 0 R]>>", objects=names)
        regions = {(region["kind"], region["text"]): region["box"] for region in unit["regions"]}
        self.assertEqual(regions, {("field", "Ada Lovelace"): [20, 30, 120, 50], ("field", "Turin"): [20, 60, 120, 80],
                                   ("note", "Check this number"): [200, 30, 220, 50], ("link", "https://example.org/a"): [20, 160, 60, 180]})
        self.says("kind, value and box of each")


if __name__ == "__main__":
    support.main(sys.modules[__name__])
