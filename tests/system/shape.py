"""What a writer must know of the tables that it writes to, from the catalogue."""

from collections import namedtuple

Column = namedtuple("Column", "name type key generated always nullable unique")
# `immediate`: no unique key of it is checked later, so that ON CONFLICT can be said.
Table = namedtuple("Table", "name columns key references referenced_by immediate")
Reference = namedtuple("Reference", "columns table target_columns")

COLUMNS = """
    select c.oid, n.nspname::text, c.relname::text, a.attname::text,
           pg_catalog.format_type(a.atttypid, a.atttypmod),
           coalesce(a.attnum = any (k.indkey), false), a.attgenerated <> '', a.attidentity = 'a',
           not a.attnotnull,
           exists (select from pg_index u where u.indrelid = c.oid and u.indisunique
                   and a.attnum = any (u.indkey)),
           not exists (select from pg_index u where u.indrelid = c.oid and not u.indimmediate)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_index k on k.indrelid = c.oid and (k.indisreplident or (k.indisprimary
        and not exists (select from pg_index r where r.indrelid = c.oid and r.indisreplident)))
    where n.nspname = %s and c.relkind in ('r', 'p') and not c.relispartition
    order by c.oid, a.attnum
"""
REFERENCES = """
    select f.conrelid, f.confrelid,
           array(select a.attname::text from unnest(f.conkey) with ordinality x(num, place)
                 join pg_attribute a on a.attrelid = f.conrelid and a.attnum = x.num
                 order by x.place),
           array(select a.attname::text from unnest(f.confkey) with ordinality x(num, place)
                 join pg_attribute a on a.attrelid = f.confrelid and a.attnum = x.num
                 order by x.place)
    from pg_constraint f where f.contype = 'f' and f.connamespace = %s::regnamespace
      and f.conparentid = 0
"""


def read(connection, schema="zoo"):
    """All tables of a schema, partitioned ones by their root."""
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS, [schema])
        found = {}
        for oid, schema_name, name, *facts, immediate in cursor:
            name = (schema_name, name)
            table = found.setdefault(oid, Table(name, [], [], [], [], immediate))
            column = Column(*facts)
            table.columns.append(column)
            if column.key:
                table.key.append(column.name)
        cursor.execute(REFERENCES, [schema])
        for oid, target, columns, target_columns in cursor:
            found[oid].references.append(
                Reference(columns, found[target].name, target_columns))
            found[target].referenced_by.append(found[oid].name)
    connection.rollback()
    return {table.name: table for table in found.values()}
