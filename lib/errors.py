"""The one exception that a reader of the book is meant to see."""


class BookError(Exception):
    """One line that names the wrong value and the remedy; the command line prints it and exits with code 2."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]
