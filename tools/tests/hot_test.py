import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import hot  # noqa: E402


class HotTest(unittest.TestCase):
    def test_a_stage_keeps_its_bound_or_not(self):
        bounds = hot.read_bounds(hot.HEAD + "pack\t100\nplan\t50\n")
        self.assertTrue(hot.compare({"pack": 100, "plan": 1}, bounds)[1])
        lines, right = hot.compare({"pack": 101, "plan": 1}, bounds)
        self.assertFalse(right)
        self.assertIn("TOO MANY", lines[1])

    def test_a_stage_without_a_bound_is_no_right_one(self):
        self.assertFalse(hot.compare({"pack": 1, "new": 1}, {"pack": 5})[1])

    def test_every_stage_has_a_bound(self):
        self.assertEqual(set(hot.read_bounds(hot.BOUNDS.read_text())), set(hot.STAGES))


if __name__ == "__main__":
    unittest.main()
