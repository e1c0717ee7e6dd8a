"""Tests of tools/tidy.py: each rule finds its offence, and only that."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tidy  # noqa: E402

LAYERS = "qiao_layer(common 0)\nqiao_layer(testing 0 common)\nqiao_layer(model 1 common)\n" \
         "qiao_layer(drivers 2 common model)\nqiao_layer(drivers/postgres 2 common\n    drivers)\n"


class TidyTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name)
        self.write("cmake/layers.cmake", LAYERS)

    def tearDown(self):
        self._folder.cleanup()

    def write(self, name, text=""):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def findings(self, check):
        tree = tidy.Tree(self.root, sorted(p for p in self.root.rglob("*") if p.is_file()))
        return [f"{tree.name(f.path)}:{f.line}" for f in check(tree)]

    def test_layers_refuse_upward_and_sideways_includes(self):
        self.write("src/qiao/common/a.h")
        self.write("src/qiao/model/b.h", '#include "qiao/common/a.h"\n')
        self.write("src/qiao/model/c.h", '#include "qiao/drivers/postgres/d.h"\n')
        self.write("src/qiao/drivers/postgres/d.h", '\n#include "qiao/model/b.h"\n')
        self.assertEqual(self.findings(tidy.check_layers),
                         ["src/qiao/drivers/postgres/d.h:2", "src/qiao/model/c.h:1"])

    def test_layers_allow_doubles_to_tests_only(self):
        self.write("src/qiao/testing/fake.h")
        self.write("src/qiao/model/b.cpp", '#include "qiao/testing/fake.h"\n')
        self.write("src/qiao/model/b_test.cpp", '#include "qiao/testing/fake.h"\n')
        self.assertEqual(self.findings(tidy.check_layers), ["src/qiao/model/b.cpp:1"])

    def test_layers_keep_internal_headers_internal(self):
        self.write("src/qiao/common/internal/a.h")
        self.write("src/qiao/common/b.h", '#include "qiao/common/internal/a.h"\n')
        self.write("src/qiao/model/b.h", '#include "qiao/common/internal/a.h"\n')
        self.assertEqual(self.findings(tidy.check_layers), ["src/qiao/model/b.h:1"])

    def test_banned_calls_are_found_outside_their_place(self):
        offences = ["auto t = std::chrono::steady_clock::now();", "int r = rand();",
                    "std::random_device d;", "int f = ::open(p, 0);", "std::thread t(f);",
                    "std::this_thread::sleep_for(1s);", 'printf("x");', "std::cout << 1;",
                    "co_spawn(e, f, asio::detached);"]
        self.write("src/qiao/model/a.cpp", "\n".join(offences))
        self.assertEqual(self.findings(tidy.check_banned_calls),
                         [f"src/qiao/model/a.cpp:{n}" for n in range(1, len(offences) + 1)])

    def test_banned_calls_are_not_seen_in_comments_strings_and_members(self):
        self.write("src/qiao/model/a.cpp",
                   '// rand() is banned\nauto s = "std::cout";\nfile.open(p);\nstorage->write(b);\n'
                   "Storage::open(p);\nstd::thread::id id;\nint operand(int);\nsnprintf(b, 1, f);\n"
                   "co_await sleep_for(clock, 1s);\n")
        self.write("src/qiao/common/storage.cpp", "int f = ::open(p, 0);\n")
        self.write("src/qiao/cli/a.cpp", "std::cout << 1;\n")
        self.assertEqual(self.findings(tidy.check_banned_calls), [])

    def test_size(self):
        self.write("src/qiao/common/long.cpp", "x\n" * 601)
        self.write("src/qiao/common/fits.cpp", "x\n" * 600)
        self.write("src/qiao/common/wide.cpp", "x" * 101)
        self.write("src/qiao/common/hanzi.cpp", "桥" * 100)
        self.assertEqual(self.findings(tidy.check_size),
                         ["src/qiao/common/long.cpp:600", "src/qiao/common/wide.cpp:1"])

    def test_todo_wants_an_issue(self):
        self.write("src/a.cpp", "// TODO(issue-3): later\n// TODO: never\n")
        self.assertEqual(self.findings(tidy.check_todo), ["src/a.cpp:2"])

    def test_names_without_meaning(self):
        for name in ("string_utils.h", "misc.h", "pool_manager.h", "mischief.h"):
            self.write("src/qiao/common/" + name)
        self.assertEqual(self.findings(tidy.check_names), [
            "src/qiao/common/misc.h:1", "src/qiao/common/pool_manager.h:1",
            "src/qiao/common/string_utils.h:1"])

    def test_every_source_is_compiled(self):
        self.write("src/qiao/CMakeLists.txt", "foreach(F common cli)\n")
        self.write("src/qiao/common/CMakeLists.txt", "qiao_module(common PARTS async)\n")
        self.write("src/qiao/cli/CMakeLists.txt",
                   "qiao_module(cli)\nadd_executable(q a_main.cpp)\n")
        self.write("src/qiao/model/CMakeLists.txt", "qiao_module(model)\n")
        for name in ("common/a.cpp", "common/async/a.cpp", "common/internal/a.cpp",
                     "common/lost/a_test.cpp", "cli/a_main.cpp", "cli/b_main.cpp", "model/a.cpp"):
            self.write("src/qiao/" + name)
        self.assertEqual(self.findings(tidy.check_reachable), [
            "src/qiao/cli/b_main.cpp:1", "src/qiao/common/lost/a_test.cpp:1",
            "src/qiao/model/CMakeLists.txt:1"])

    def test_documents(self):
        self.write("docs/a.md", "[b](b.md#x) [web](https://x.org)\n```\n[no](no)\n```\n[c](c.md)\n")
        self.write("docs/b.md")
        self.write("docs/adr/0001-a.md")
        self.write("docs/adr/0002-b.md")
        self.write("docs/adr/README.md", "[1](0001-a.md)\n")
        self.assertEqual(self.findings(tidy.check_links), ["docs/a.md:5"])
        self.assertEqual(self.findings(tidy.check_adrs), ["docs/adr/0002-b.md:1"])

    def test_readmes_have_the_same_headings(self):
        self.write("README.md", "# A\n## B\n")
        self.write("README.zh-CN.md", "# 一\n## 二\n")
        self.assertEqual(self.findings(tidy.check_readmes), [])
        self.write("README.zh-CN.md", "# 一\n")
        self.assertEqual(self.findings(tidy.check_readmes), ["README.zh-CN.md:1"])

    def test_changes_and_blobs(self):
        self.write("changes/unreleased/README.md")
        self.write("changes/unreleased/added/x.md")
        self.write("changes/unreleased/new/x.md")
        self.write("big", "x" * ((1 << 20) + 1))
        self.assertEqual(self.findings(tidy.check_changes), ["changes/unreleased/new/x.md:1"])
        self.assertEqual(self.findings(tidy.check_blobs), ["big:1"])


if __name__ == "__main__":
    unittest.main()
