"""Tests of what the demo rests on: its made persons, its search for secrets, its tables."""

import base64
import re
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "demo"))
import data  # noqa: E402
import planted  # noqa: E402
import report  # noqa: E402

SECRET = "51010719880312753X"


class PersonsTest(unittest.TestCase):
    def test_check_digit_is_that_of_published_examples(self):
        # The two of GB 11643's appendix.
        self.assertEqual(data.check_digit("11010519491231002"), "X")
        self.assertEqual(data.check_digit("44052418800101001"), "4")

    def test_id_numbers_are_valid_and_come_once(self):
        persons = data.Persons(["110101", "510107"], seed=7)
        seen = set()
        for _ in range(5000):
            number, name, sex, born, area, _, _ = persons.next()
            self.assertRegex(number, r"^(110101|510107)\d{11}[\dX]$")
            self.assertEqual(number[-1], data.check_digit(number[:17]))
            self.assertEqual(number[:14], area + born.replace("-", ""))
            self.assertEqual(sex == "男", int(number[16]) % 2 == 1)
            self.assertTrue(2 <= len(name) <= 5, name)
            self.assertNotIn(number, seen)
            seen.add(number)

    def test_one_seed_makes_one_series(self):
        one, other = (data.Persons(["110101"], seed=3) for _ in range(2))
        self.assertEqual([one.next() for _ in range(50)], [other.next() for _ in range(50)])

    def test_copy_text_keeps_what_it_means_something_else_by(self):
        text = data.CopyText(iter([("a\tb", None), ("c\\d\n", "")]))
        self.assertEqual(text.read(1 << 20), "a\\tb\t\\N\nc\\\\d\\n\t\n")
        self.assertEqual((text.count, text.read(1 << 20)), (2, ""))


class PlantedTest(unittest.TestCase):
    def search(self, content):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "below").mkdir()
            (Path(folder) / "below/file").write_bytes(b"x" * 1000 + content + b"y")
            return planted.leaks({"it": SECRET}, [Path(folder)], [])[0]

    def test_every_form_is_found(self):
        wide = SECRET.encode("utf-16-le")
        forms = [SECRET.encode(), wide, SECRET.encode().hex().encode(), SECRET.encode()[::-1]]
        forms += [base64.b64encode(b"z" * before + SECRET.encode() + b"more")
                  for before in range(6)]
        for form in forms:
            self.assertEqual(len(self.search(form)), 1, form)

    def test_the_telling_does_not_repeat_the_secret(self):
        self.assertNotIn(SECRET, "".join(self.search(SECRET.encode())))

    def test_other_numbers_are_not_found(self):
        self.assertEqual(self.search(b"510107198803127530"), [])


class ReportTest(unittest.TestCase):
    def test_columns_stand_straight_with_wide_characters(self):
        lines = report.table(("表", "rows"), [("人口", "1"), ("division", "1,000")]).splitlines()
        self.assertEqual({report.width(line) for line in lines}, {report.width(lines[1])})
        self.assertTrue(re.match(r"^-+  -+$", lines[1]))


if __name__ == "__main__":
    unittest.main()
