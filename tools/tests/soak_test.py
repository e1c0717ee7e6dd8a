"""The record of what takes hours: its sums, its age, its failures."""

import sys
import unittest
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import soak  # noqa: E402

TODAY = date(2026, 12, 1)


def record(*lines):
    """One good portion of each part, and `lines`."""
    whole = [f"2026-11-30\tabc\t{part}\t{soak.WANTED[part]}\t0\t9\t2100 kills"
             for part in soak.PLAY]
    return "# a comment\n" + "\n".join(whole + ["\t".join(line) for line in lines]) + "\n"


class Record(unittest.TestCase):
    def word(self, text, part):
        told, _ = soak.check(text, TODAY)
        return next(line for line in told if line.startswith(f"soak: {part}:")).split(": ")[-1]

    def test_what_was_played_lately_and_in_full_is_right(self):
        told, right = soak.check(record(), TODAY)
        self.assertTrue(right)
        self.assertTrue(all(": right" in line for line in told[:-1]))
        self.assertEqual(told[-1], "soak: kills of the oracle: 2100 of 2000")

    def test_a_part_that_was_never_played_is_told_and_one_played_long_ago_is_not_right(self):
        self.assertTrue(soak.check("", TODAY)[1])
        self.assertEqual(self.word("", "sim"), "never played")
        old = record().replace("2026-11-30\tabc\tsim", "2026-01-30\tabc\tsim")
        self.assertFalse(soak.check(old, TODAY)[1])
        self.assertEqual(self.word(old, "sim"), "too old")

    def test_a_failure_stands_until_the_part_was_played_again(self):
        failed = ("2026-11-30", "abd", "sim", "20", "1", "1", "seed 7")
        again = ("2026-11-30", "abe", "sim", "20", "0", "1", "")
        self.assertEqual(self.word(record(failed), "sim"), "FAILED")
        self.assertFalse(soak.check(record(failed), TODAY)[1])
        self.assertEqual(self.word(record(failed, again), "sim"), "right")

    def test_portions_add_up_and_a_short_sum_is_told(self):
        text = record().replace("sim\t1000000000", "sim\t400000000")
        self.assertEqual(self.word(text, "sim"), "short")
        more = text + "2026-11-30\tabc\tsim\t600000000\t0\t9\t\n"
        self.assertEqual(self.word(more, "sim"), "right")


if __name__ == "__main__":
    unittest.main()
