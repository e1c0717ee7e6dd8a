"""The files of this repository as the style tools see them."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEST_SUFFIX = re.compile(r"_(test|itest|fuzz|bench)$")
COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL
)


def tracked(root):
    """Files that git knows or would take, sorted; every file where there is no git."""
    done = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
    )
    if done.returncode == 0:
        names = set(done.stdout.decode().split("\0")) - {""}
        return sorted(path for path in (Path(root) / n for n in names) if path.is_file())
    return sorted(path for path in Path(root).rglob("*") if path.is_file())


def is_test(path):
    return bool(TEST_SUFFIX.search(path.stem))


def blank_out(code):
    """The code with comments and literals emptied; lines stay where they are."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())

    return COMMENT_OR_STRING.sub(blank, code)
