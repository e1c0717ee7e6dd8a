import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import table  # noqa: E402


class Table(unittest.TestCase):
    def test_every_line_names_a_test_and_a_code_that_are_there(self):
        self.assertEqual(list(table.problems()), [])

    def test_no_two_lines_are_one(self):
        names = [(line.part, line.name) for line in table.lines()]
        self.assertEqual(len(names), len(set(names)))

    def test_a_name_that_is_nowhere_is_told(self):
        self.assertFalse(table.is_there("crypto_test ImportIdentity.TakesNothing"))
        self.assertFalse(table.is_there("limits_test.py FullDisk.test_nothing"))
        self.assertTrue(table.is_there("limits_test.py FullDisk."
                                       "test_a_disk_that_is_full_is_told_and_nothing_is_lost"))

    def test_a_line_is_shown_only_by_a_test_that_passed_and_said_it(self):
        line = table.Line("Disk", "> disk full", "", "> trail.disk_full", "a_test T.One")
        told = {"disk full": {}}
        self.assertEqual(table.state_of(line, set(), told), "shown")
        self.assertEqual(table.state_of(line, set(), {}), "FAILED")
        self.assertEqual(table.state_of(line, {"a_test T.One"}, told), "FAILED")
        self.assertEqual(table.state_of(line._replace(test="open"), set(), told), "open")


if __name__ == "__main__":
    unittest.main()
