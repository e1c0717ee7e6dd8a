#!/usr/bin/env python3
"""The comparison that the other system tests rest on: it names every kind of difference."""

import contextlib
import unittest

import psycopg2

import comparison
import scene
import values
import zoo

ROWS = 20
# (what is done to the right side, what must be told)
CHANGES = [
    ("update zoo.document set body = overlay(body placing 'Z' from 7 for 1) where version = 3",
     "zoo.document key .* column body"),
    ("update zoo.everything set c3 = 1.00 where c3 = 1.0", "zoo.everything key 1 column c3"),
    ("update zoo.everything set c5 = 0.0 where id = 1", "zoo.everything key 1 column c5"),
    ("update zoo.everything set c40 = 'ABC' where id = 1", "zoo.everything key 1 column c40"),
    ("update zoo.everything set c7 = '' where id = 1", "zoo.everything key 1 column c7"),
    ("insert into zoo.keyless select * from zoo.keyless limit 1",
     "zoo.keyless: 0 rows only on the left, 1 only on the right"),
    ("delete from zoo.measure_1 where ctid = '(0,1)'", "zoo.measure_1 key .*missing on the right"),
    ("insert into zoo.only_key values (77)", "zoo.only_key key 77: missing on the left"),
    ("drop table zoo.hashed_0", "zoo.hashed_0: is not there on the right"),
    ("alter table zoo.pair drop column c", "zoo.pair: columns"),
]


class Comparison(scene.Scene):
    def setUp(self):
        super().setUp()
        schema = zoo.KEYED + zoo.KEYLESS
        rows = self.rows()
        for server in (self.source, self.target):
            server.psql(schema, self.database)
            with contextlib.closing(psycopg2.connect(server.url(self.database))) as connection:
                with connection.cursor() as cursor:
                    for sql, parameters in rows:
                        cursor.execute(sql, parameters)
                connection.commit()

    def rows(self):
        told = [("insert into zoo.everything (id, c3, c5, c7, c40)"
                 " values (1, 1.0, '-0', null, 'abc')", [])]
        for number in range(ROWS):
            told += [
                ("insert into zoo.document (id, body, version) values (%s, %s, %s)",
                 [values.value(self.rng, "uuid"), f"body {number}" * 500, number]),
                ("insert into zoo.measure values (%s, null, %s, 1.5, 'x')",
                 [number % 6, number]),
                ("insert into zoo.keyless values (%s, 'b')", [number % 3]),
                ("insert into zoo.pair values (%s, 'b', 'NaN', 'Abc')", [number]),
            ]
        return told

    def told(self):
        return comparison.differences(self.source_url, self.target_url)

    def test_equal_databases_are_equal(self):
        self.assertEqual(self.told(), [])

    def test_every_kind_of_difference_is_named(self):
        for change, wanted in CHANGES:
            with self.subTest(change=change):
                self.on_target(change)
                self.assertRegex("\n".join(self.told()), wanted)


if __name__ == "__main__":
    unittest.main(verbosity=2)
