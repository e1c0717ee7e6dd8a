"""Random values of PostgreSQL's types, as text that the server takes with a cast."""

import json
import string
import uuid

CHINESE = "行政区划数据共享交换平台卫生健康教育民政公安人口法人电子证照"
AWKWARD = ["", " ", "\\", "\\N", "'", '"', "\t", "\n", "a\\.b", "é", "𠮷", "\u200b", "NULL", "{}"]


def words(rng, most=12):
    if rng.random() < 0.1:
        return rng.choice(AWKWARD)
    alphabet = rng.choice([string.ascii_letters, CHINESE, string.printable])
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(0, most)))


def long_text(rng):
    """Sometimes large enough to be stored out of line, and too random to be compressed away."""
    if rng.random() < 0.6:
        return words(rng)
    return f"{rng.getrandbits(8 * rng.choice([500, 3000, 20000])):x}"


def instant(rng):
    if rng.random() < 0.03:
        return rng.choice(["infinity", "-infinity"])
    return (f"{rng.randint(1900, 2100)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02} "
            f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.uniform(0, 59):09.6f}")


def floating(rng):
    return rng.choice(["NaN", "Infinity", "-Infinity", "-0", "0", repr(rng.uniform(-1e9, 1e9)),
                       repr(rng.uniform(-1, 1) * 10.0 ** rng.randint(-30, 30))])


def decimal(rng):
    if rng.random() < 0.05:
        return rng.choice(["NaN", "0.00", "-0.10", "1.0", "1.00"])
    return f"{rng.randint(-10**9, 10**9)}.{rng.randint(0, 10**rng.randint(1, 9))}"


def address(rng):
    return ".".join(str(rng.randint(0, 255)) for _ in range(4))


def document(rng, depth=2):
    kind = rng.randint(0, 5 if depth else 3)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, -1, 1.5, rng.randint(-10**12, 10**12)])
    if kind <= 3:
        return words(rng).replace("\0", "")
    if kind == 4:
        return [document(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return {words(rng, 5): document(rng, depth - 1) for _ in range(rng.randint(0, 3))}


def array(rng, make):
    if rng.random() < 0.1:
        return "{}"
    items = []
    for _ in range(rng.randint(1, 4)):
        text = str(make(rng)).replace("\\", "\\\\").replace('"', '\\"')
        items.append("NULL" if rng.random() < 0.1 else f'"{text}"')
    return "{" + ",".join(items) + "}"


def bounds(rng):
    low = rng.randint(-1000, 1000)
    return rng.choice(["empty", f"[{low},{low + rng.randint(0, 50)}]", f"({low},)", "(,)"])


def bits(rng, count):
    return "".join(rng.choice("01") for _ in range(count))


MAKERS = {
    "smallint": lambda rng: rng.randint(-32768, 32767),
    "integer": lambda rng: rng.randint(-2**31, 2**31 - 1),
    "bigint": lambda rng: rng.randint(-2**63, 2**63 - 1),
    "numeric": decimal,
    "numeric(12,2)": lambda rng: f"{rng.randint(-10**9, 10**9)}.{rng.randint(0, 99):02}",
    "real": lambda rng: repr(rng.uniform(-1e6, 1e6)),
    "double precision": floating,
    "boolean": lambda rng: rng.choice(["t", "f"]),
    "text": long_text,
    "character varying(40)": lambda rng: words(rng, 40),
    "character(18)": lambda rng: words(rng, 18),
    '"char"': lambda rng: rng.choice(string.ascii_letters),
    "name": lambda rng: words(rng, 15),
    "bytea": lambda rng: "\\x" + rng.randbytes(rng.choice([0, 1, 16, 3000])).hex(),
    "date": lambda rng: instant(rng)[:10] if rng.random() < 0.97 else "infinity",
    "time without time zone": lambda rng: f"{rng.randint(0, 23)}:{rng.randint(0, 59)}:07.25",
    "time with time zone": lambda rng: f"{rng.randint(0, 23)}:00:01.5+0{rng.randint(0, 9)}",
    "timestamp without time zone": instant,
    "timestamp with time zone": instant,
    "interval": lambda rng: f"{rng.randint(-9, 9)} mon {rng.randint(-99, 99)} days "
                            f"{rng.randint(0, 23)}:{rng.randint(0, 59)}:00.{rng.randint(0, 999)}",
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128))),
    "json": lambda rng: json.dumps(document(rng), ensure_ascii=rng.random() < 0.5),
    "jsonb": lambda rng: json.dumps(document(rng), ensure_ascii=False),
    "inet": lambda rng: address(rng) + rng.choice(["", "/24"]),
    "cidr": lambda rng: f"{rng.randint(1, 255)}.{rng.randint(0, 255)}.0.0/16",
    "macaddr": lambda rng: ":".join(f"{rng.randint(0, 255):02x}" for _ in range(6)),
    "bit(8)": lambda rng: bits(rng, 8),
    "bit varying": lambda rng: bits(rng, rng.randint(0, 20)),
    "point": lambda rng: f"({rng.uniform(-9, 9)},{rng.uniform(-9, 9)})",
    "box": lambda rng: f"({rng.randint(0, 9)},{rng.randint(0, 9)}),(-1,-1)",
    "int4range": bounds,
    "int8multirange": lambda rng: "{" + ",".join(
        bounds(rng).replace("(,)", "[1,2]").replace("empty", "[5,5]")
        for _ in range(rng.randint(0, 3))) + "}",
    "tsvector": lambda rng: " ".join(rng.choice(["a", "fat", "cat:3"]) for _ in range(3)),
    "xml": lambda rng: f"<a>{rng.randint(0, 99)}</a>",
    "money": lambda rng: f"{rng.randint(-10**6, 10**6)}.{rng.randint(0, 99):02}",
    "integer[]": lambda rng: array(rng, lambda r: r.randint(-99, 99)),
    "text[]": lambda rng: array(rng, words),
    # Of the schema zoo (zoo.py).
    "zoo.mood": lambda rng: rng.choice(["sad", "好", "o'k"]),
    "zoo.mood[]": lambda rng: array(rng, MAKERS["zoo.mood"]),
    "zoo.percent": lambda rng: rng.randint(0, 100),
    "zoo.place": lambda rng: f'({rng.randint(0, 99)},"{rng.choice("东南西北")}")',
    "zoo.span": lambda rng: f"[{rng.randint(0, 9)}.5,{rng.randint(10, 99)}.25)",
    "zoo.label": lambda rng: words(rng, 8),
    "zoo.citext": lambda rng: rng.choice(["Abc", "aBC", "ABC"]) + words(rng, 3),
    "zoo.hstore": lambda rng: f'"k{rng.randint(0, 3)}"=>"{rng.randint(0, 99)}", n=>NULL',
}


def fits(text, type_name):
    """Zero bytes and, for the single-line types, what their input refuses."""
    return "\0" not in text and not (type_name == "name" and len(text.encode()) > 63)


def value(rng, type_name):
    """A value's text. @throws KeyError for a type that is not in MAKERS."""
    while True:
        text = str(MAKERS[type_name](rng))
        if fits(text, type_name):
            return text


KEY_MAKERS = {
    "smallint": lambda rng: rng.randint(0, 3000),
    "integer": lambda rng: rng.randint(0, 8000),
    "bigint": lambda rng: rng.randint(-4000, 4000),
    "text": words,
    "bytea": lambda rng: "\\x" + rng.randbytes(rng.randint(0, 3)).hex(),
}


def key_value(rng, type_name):
    """As value(), but from few enough values that keys come back, and short enough for an index."""
    make = KEY_MAKERS.get(type_name)
    while make:
        text = str(make(rng))
        if fits(text, type_name):
            return text
    return value(rng, type_name)
