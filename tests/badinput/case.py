"""case.py - registers a case under its id; after it a fresh client must be served."""
import functools

from runner import test


def case(ident, **options):
    def wrap(function):
        @functools.wraps(function)
        def run(t):
            function(t)
            t.serves()
        run.__name__ = "t_" + ident
        return test(**options)(run)
    return wrap
