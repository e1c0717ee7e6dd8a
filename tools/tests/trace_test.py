"""Tests of tools/trace.py and tools/errors.py."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import errors  # noqa: E402
import trace  # noqa: E402

CLAUSES = "# head\nR-20\tPacket\nR-21\tChecks\nR-22\tOrder\nH-28\tViews\tsynonyms\n"
ENTRY = 'QIAO_ERROR({}, {}, "{}", Usage, "cause " "two", "next",\n    "原因", "{}")\n'


class TreeTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name)

    def tearDown(self):
        self._folder.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def files(self):
        return sorted(p for p in self.root.rglob("*") if p.is_file())


class TraceTest(TreeTest):
    def setUp(self):
        super().setUp()
        self.write("tools/clauses.txt", CLAUSES)

    def states(self):
        page = trace.render(self.root, self.files())
        rows = [line.split(" | ") for line in page.splitlines() if line[:3] in ("| R", "| H")]
        return {row[0][2:]: row[2] for row in rows}

    def test_states_follow_the_tags(self):
        self.write("src/qiao/packet/a.h",
                   "/// Writes.\n/// Spec: R-20, H-28\nvoid f();\n// Spec: R-21\n")
        self.write("src/qiao/packet/a_test.cpp",
                   "// Spec: R-20\n// and why\nTEST(Packet, RoundTrips) {\n"
                   "// Spec: H-28\nTEST_F(Packet, ReadsViews) {\n")
        self.assertEqual(self.states(), {
            "R-20": "shown", "R-21": "partly: no test shows it", "R-22": "open",
            "H-28": "partly: synonyms"})
        self.assertIn("[Packet.RoundTrips](../../src/qiao/packet/a_test.cpp)",
                      trace.render(self.root, self.files()))

    def test_python_tests_count(self):
        self.write("src/a.h", "// Spec: R-22\n")
        self.write("tests/system/order_test.py", "# Spec: R-22\n@skip\ndef test_order(self):\n")
        self.assertEqual(self.states()["R-22"], "shown")

    def test_wrong_tags_are_named(self):
        self.write("src/a.h", "// Spec: R-99\n// Spec: 5.3.2\n")
        self.write("src/a_test.cpp", "// Spec: R-20\nint x;\n")
        found = [(p.name, line) for p, line, _ in trace.problems(self.root, self.files())]
        self.assertEqual(found, [("a.h", 1), ("a.h", 2), ("a_test.cpp", 1)])


class ErrorsTest(TreeTest):
    def catalogue(self, *entries):
        self.write("src/qiao/common/error_codes.def",
                   '#include "qiao/common/errors/trail.def"    // 400-499\n')
        self.write("src/qiao/common/errors/trail.def", "".join(entries))

    def test_page_holds_both_languages(self):
        self.catalogue(ENTRY.format(400, "TrailFull", "trail.full", "下一步"))
        page = errors.render(self.root)
        self.assertIn("### 400 `trail.full`\n\nUsage. cause two\n*next*\n\n原因*下一步*", page)
        self.assertEqual(list(errors.problems(self.root)), [])

    def test_wrong_entries_are_named(self):
        self.catalogue(ENTRY.format(400, "A", "trail.a", "x"),
                       ENTRY.format(400, "B", "trail.b", "x"),
                       ENTRY.format(99, "C", "trail.c", "x"), ENTRY.format(401, "D", "link.d", "x"),
                       ENTRY.format(402, "E", "trail.e", ""), "QIAO_ERROR(403, F)\n")
        texts = [text for _, _, text in errors.problems(self.root)]
        self.assertEqual(len(texts), 5, texts)


if __name__ == "__main__":
    unittest.main()
