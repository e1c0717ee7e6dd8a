"""Tables at random, of everything that a table can be; the same seed, the same statements."""

import zoo


def schema(rng):
    """Statements for the schema zoo."""
    return zoo.TYPES + zoo.MARKER + zoo.random_tables(rng, 5)
