"""What the demo says: each line in Chinese and English, and a short table at the end."""

import sys
import time
import unicodedata


def width(text):
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text, columns, right=False):
    blank = " " * max(0, columns - width(text))
    return blank + text if right else text + blank


class Report:
    """Tells steps as they are done and remembers their figures."""

    HEAD = ("步骤 step", "行 rows", "秒 s", "行/秒 rows/s")

    def __init__(self):
        self._rows = []
        self._began = time.monotonic()

    def say(self, chinese, english):
        print(f"[{time.monotonic() - self._began:6.1f} s] {chinese} · {english}", flush=True)

    def add(self, chinese, english, rows, seconds):
        """A line of the table; seconds None: no rate is meant."""
        timed = seconds is not None and seconds > 0
        self._rows.append((
            f"{chinese} {english}", f"{rows:,}",
            f"{seconds:.1f}" if timed else "", f"{rows / seconds:,.0f}" if timed else ""))

    def table(self):
        lines = [self.HEAD, *self._rows]
        columns = [max(width(line[i]) for line in lines) for i in range(len(self.HEAD))]
        shown = ["  ".join(pad(cell, columns[i], right=i > 0) for i, cell in enumerate(line))
                 for line in lines]
        shown.insert(1, "  ".join("-" * column for column in columns))
        return "\n".join(shown)

    def warn(self, text):
        print(text, file=sys.stderr, flush=True)
