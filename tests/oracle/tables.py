"""Tables at random, of everything that a table can be; the same seed, the same statements.

All lie in the schema zoo, whose types values.py makes values of. A table whose name begins with
`append` has nothing that names a row: its rows are inserted and truncated only.
"""

import re
from collections import namedtuple

import values
import zoo
from comparison import quote

SCHEMA = "zoo"
APPEND = "append"
KEY_TYPES = [*zoo.KEY_TYPES, "zoo.citext", "double precision", "numeric", "smallint"]
# Too few values for a key of its own.
NARROW = {"zoo.mood", "boolean", "zoo.percent"}
# What many rows have alike.
ALIKE = ["zoo.mood", "boolean", "zoo.percent", "json", "point", "zoo.place", "xml", "zoo.citext",
         "integer[]", "text", "double precision", "money"]
NAMES = ["note", "Note", "der Name", "select", "a.b", "名", 'q"q', " ", "x"]
STORAGES = ["external", "extended", "main"]
# Of a column `c`: (types, expression, type of the generated column).
GENERATED = [
    ({"integer", "smallint"}, "{c} / 2", "integer"),
    ({"bigint"}, "{c} % 1000", "bigint"),
    ({"numeric(12,2)"}, "{c} * 2", "numeric"),
    ({"text", "character varying(40)", "zoo.label"}, "length({c}::text)", "integer"),
    (None, "{c} is null", "boolean"),
]

Column = namedtuple("Column", "name type extra", defaults=("",))
# What others may refer to: a table's name and its key, where it is one column.
Referable = namedtuple("Referable", "name column")


def full_name(name):
    return quote(SCHEMA, name)


class Maker:
    """Makes one table after another; later ones refer to earlier ones."""

    def __init__(self, rng):
        self._rng = rng
        self._referable = []
        self._kinds = {self._keyed: 5, self._by_index: 1, self._whole_row: 1, self._keyless: 2,
                       self._append_only: 1, self._partitioned: 2, self._keyless_partitioned: 1}

    def tables(self, count):
        made = []
        for number in range(1, count + 1):
            [make] = self._rng.choices(list(self._kinds), list(self._kinds.values()))
            made.append(make(f"t{number}"))
        return "\n".join(made)

    def _chance(self, share):
        return self._rng.random() < share

    # -- kinds --

    def _keyed(self, name):
        key = self._key()
        columns = key + self._columns(most=self._rng.choice([0, 4, 12, 12, 40]))
        text = self._create(name, columns, f"primary key ({names_of(key)})")
        text += self._extras(name, columns, key)
        if self._chance(0.15):
            text += identity(name, "full")
        self._offer(name, key)
        return text

    def _by_index(self, name):
        key = [Column(c.name, c.type, " not null") for c in self._key()]
        columns = key + self._columns(most=6)
        index = f"{name} identity"
        return (self._create(name, columns)
                + f"create unique index {quote(index)} on {full_name(name)} ({names_of(key)});\n"
                + identity(name, f"using index {quote(index)}") + self._extras(name, columns, key))

    def _whole_row(self, name):
        """A key, but the old row names its rows."""
        key = self._key()
        columns = key + self._columns(most=5)
        text = self._create(name, columns, f"primary key ({names_of(key)})")
        self._offer(name, key)
        return text + identity(name, "full") + self._extras(name, columns, key)

    def _keyless(self, name):
        """Whole rows, many of them equal."""
        columns = self._alike()
        return self._create(name, columns) + identity(name, "full") + self._dropped(name)

    def _append_only(self, name):
        return self._create(f"{APPEND} {name}", self._alike() + self._columns(most=3))

    def _partitioned(self, name):
        by = Column("place", self._rng.choice(["integer", "smallint"]))
        key = [by, *self._key()]
        columns = key + self._columns(most=6)
        return (self._parted(name, columns, by, key)
                + self._extras(name, columns, key, parted=True))

    def _keyless_partitioned(self, name):
        by = Column("place", "smallint")
        return self._parted(name, [by, *self._alike()], by)

    # -- columns --

    def _key(self):
        if self._chance(0.15):
            always = self._rng.choice(["always", "by default"])
            return [Column("id", "bigint", f" generated {always} as identity")]
        types = [self._rng.choice(KEY_TYPES) for _ in range(self._rng.choice([1, 1, 1, 2, 3]))]
        if all(one in NARROW for one in types):
            types.append("bigint")
        return [Column(f"k{number}", one) for number, one in enumerate(types)]

    def _columns(self, most):
        found = []
        for number in range(self._rng.randint(0, most)):
            type_name = self._rng.choice(list(values.MAKERS))
            name = self._rng.choice(NAMES) + str(number)
            found.append(Column(name, type_name, self._default(type_name)))
        return found

    def _default(self, type_name):
        if not self._chance(0.2):
            return ""
        text = values.value(self._rng, type_name).replace("'", "''")
        return f" not null default '{text}'::{type_name}"

    def _alike(self):
        types = self._rng.sample(ALIKE, self._rng.randint(1, 5))
        return [Column(f"a{number}", one) for number, one in enumerate(types)]

    # -- statements --

    def _create(self, name, columns, constraint=""):
        parts = [f"{quote(c.name)} {c.type}{c.extra}" for c in columns]
        self._rng.shuffle(parts)
        parts += [constraint] if constraint else []
        return f"create table {full_name(name)} ({', '.join(parts)});\n"

    def _parted(self, name, columns, by, key=()):
        """A root, its leaves, some of them parted again, and the rest."""
        how = self._rng.choice(["list", "range", "hash"])
        parts = [f"{quote(c.name)} {c.type}{c.extra}" for c in columns]
        parts += [f"primary key ({names_of(key)})"] if key else []
        text = (f"create table {full_name(name)} ({', '.join(parts)})"
                f" partition by {how} ({quote(by.name)});\n")
        leaves = []
        for number, bounds in enumerate(bounds_of(how)):
            leaf = f"{name} p{number}"
            if how != "hash" and number == 0 and self._chance(0.4):
                text += (f"create table {full_name(leaf)} partition of {full_name(name)} {bounds}"
                         f" partition by hash ({quote(by.name)});\n")
                for rest in range(2):
                    leaves.append(f"{leaf} h{rest}")
                    text += (f"create table {full_name(leaves[-1])} partition of {full_name(leaf)}"
                             f" for values with (modulus 2, remainder {rest});\n")
                continue
            leaves.append(leaf)
            text += self._leaf(name, leaf, columns, key, bounds)
        for each in () if key else (name, *leaves):
            text += identity(each, "full")
        return text

    def _leaf(self, root, leaf, columns, key, bounds):
        """Made as a part of the root, or attached with its columns in another order."""
        if self._chance(0.5) or any("identity" in c.extra for c in columns):
            return f"create table {full_name(leaf)} partition of {full_name(root)} {bounds};\n"
        parts = [f"{quote(c.name)} {c.type}{c.extra}{' not null' if c in key else ''}"
                 for c in columns]
        parts.append("gone integer")
        self._rng.shuffle(parts)
        return (f"create table {full_name(leaf)} ({', '.join(parts)});\n"
                f"alter table {full_name(leaf)} drop column gone;\n"
                f"alter table {full_name(root)} attach partition {full_name(leaf)} {bounds};\n")

    def _extras(self, name, columns, key, parted=False):
        text = self._dropped(name)
        if self._chance(0.3):
            text += self._generated(name, columns)
        if self._chance(0.35) and not parted:
            text += self._unique(name)
        if self._chance(0.4):
            text += self._reference(name, key, parted)
        for column in columns:
            if column.type in ("text", "bytea", "jsonb") and self._chance(0.4):
                storage = self._rng.choice(STORAGES)
                text += (f"alter table {full_name(name)} alter {quote(column.name)}"
                         f" set storage {storage};\n")
        return text

    def _dropped(self, name):
        if not self._chance(0.25):
            return ""
        table = full_name(name)
        return (f"alter table {table} add column gone text default 'g', add late integer;\n"
                f"alter table {table} drop column gone;\n")

    def _generated(self, name, columns):
        column = self._rng.choice(columns)
        [(expression, type_name)] = [(text, made) for types, text, made in GENERATED
                                     if types is None or column.type in types][:1]
        if "identity" in column.extra:
            return ""
        return (f"alter table {full_name(name)} add made {type_name} generated always as"
                f" ({expression.format(c=quote(column.name))}) stored;\n")

    def _unique(self, name):
        """Further keys, of the kinds that a target must keep apart."""
        table = full_name(name)
        kind = self._rng.choice(["plain", "deferred", "partial", "expression", "nulls", "pair",
                                 "excluded"])
        if kind == "excluded":
            return (f"alter table {table} add hours int4range,"
                    f" add exclude using gist (hours with &&);\n")
        short = "character varying(40)"
        type_name = short if kind == "expression" else self._rng.choice(
            ["integer", short, "uuid", "numeric(12,2)", "bigint"])
        text = f"alter table {table} add other {type_name}, add another smallint;\n"
        return text + f"{self.UNIQUE[kind].format(table=table)};\n"

    UNIQUE = {
        "plain": "alter table {table} add unique (other)",
        "deferred": "alter table {table} add unique (other) deferrable initially deferred",
        "partial": "create unique index on {table} (other) where another > 0",
        "expression": "create unique index on {table} (lower(other))",
        "nulls": "alter table {table} add unique nulls not distinct (other, another)",
        "pair": "alter table {table} add unique (other, another)",
    }

    def _reference(self, name, key, parted):
        """To an earlier table, or to itself."""
        choices = list(self._referable)
        if len(key) == 1 and not parted and "always" not in key[0].extra:
            choices.append(Referable(name, key[0]))
        if not choices:
            return ""
        target = self._rng.choice(choices)
        column = quote("of " + target.name)
        action = self._rng.choice(["", " on delete cascade", " on delete set null",
                                   " on delete cascade on update cascade"])
        late = self._rng.choice(["", " deferrable initially deferred"])
        return (f"alter table {full_name(name)} add {column} {target.column.type},"
                f" add foreign key ({column}) references {full_name(target.name)}"
                f" ({quote(target.column.name)}){action}{late};\n"
                f"create index on {full_name(name)} ({column});\n")

    def _offer(self, name, key):
        if len(key) == 1:
            self._referable.append(Referable(name, key[0]))


def names_of(columns):
    return ", ".join(quote(c.name) for c in columns)


def identity(name, what):
    return f"alter table {full_name(name)} replica identity {what};\n"


def bounds_of(how):
    if how == "hash":
        return [f"for values with (modulus 3, remainder {rest})" for rest in range(3)]
    if how == "range":
        return ["for values from (minvalue) to (0)", "for values from (0) to (2000)", "default"]
    return ["for values in (1, 2, 3)", "for values in (0, 4, 5)", "default"]


def schema(rng):
    """Statements that make the schema zoo."""
    return zoo.TYPES + zoo.MARKER + Maker(rng).tables(rng.randint(4, 9))


def names(statements):
    """SCHEMA.TABLE of all but the parts of others."""
    made = re.findall(r'create table "zoo"."([^"]*)" [^;]*;', statements)
    return [f"{SCHEMA}.{name}" for name in made if not re.match(r"t\d+ ", name)]


def append_only(statements):
    """(schema, table) of those whose rows nothing names."""
    return {(SCHEMA, name) for name in re.findall(rf'create table "zoo"."({APPEND} [^"]*)"',
                                                  statements)}
