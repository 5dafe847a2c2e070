"""The one exception that a reader of the book is meant to see."""


class BookError(Exception):
    """One line that names the wrong value and the remedy; the command line prints it and exits with code 2."""
