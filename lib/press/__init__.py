"""The press: what turns chapters into a book (README.md beside this file lists its parts)."""
