"""What the demo says, in Chinese when LANG is, else in English; and short tables."""

import os
import sys
import time
import unicodedata


def width(text):
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text, columns, right=False):
    blank = " " * max(0, columns - width(text))
    return blank + text if right else text + blank


def table(head, rows):
    """Lines; the first column stands left, numbers right."""
    cells = [head, *rows]
    columns = [max(width(line[i]) for line in cells) for i in range(len(head))]
    lines = ["  ".join(pad(cell, columns[i], right=i > 0) for i, cell in enumerate(line)).rstrip()
             for line in cells]
    lines.insert(1, "  ".join("-" * column for column in columns))
    return "\n".join(lines)


class Report:
    """Tells steps as they are done and remembers their figures."""

    def __init__(self):
        self.chinese = os.environ.get("LANG", "").startswith("zh")
        self._steps = []
        self._began = time.monotonic()

    def words(self, chinese, english):
        return chinese if self.chinese else english

    def say(self, chinese, english):
        print(f"[{time.monotonic() - self._began:5.1f} s] {self.words(chinese, english)}",
              flush=True)

    def show(self, chinese, english):
        print(self.words(chinese, english), flush=True)

    def add(self, chinese, english, rows, seconds=None, rate=True):
        """A line of the table of steps; rows None: only the time is meant."""
        self._steps.append((
            self.words(chinese, english),
            "" if rows is None else f"{rows:,}",
            "" if seconds is None else f"{seconds:.1f}",
            f"{rows / seconds:,.0f}" if rate and rows is not None and seconds else ""))

    def steps(self):
        head = self.words(("步骤", "行", "秒", "行/秒"), ("step", "rows", "seconds", "rows/s"))
        return table(head, self._steps)

    def counts(self, found):
        """@param found  (name, rows at the source, rows at the target)"""
        head = self.words(("表", "源端行数", "目标端行数"), ("table", "rows: source", "target"))
        rows = [(name, f"{left:,}", f"{right:,}") for name, left, right in found]
        total = (self.words("合计", "all"), f"{sum(c[1] for c in found):,}",
                 f"{sum(c[2] for c in found):,}")
        return table(head, [*rows, total])

    def warn(self, text):
        print(text, file=sys.stderr, flush=True)
