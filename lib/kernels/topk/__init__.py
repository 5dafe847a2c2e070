"""Sums of a few rows of a large table, and the search for those rows, with gradients that touch nothing else.

A TopK sparse autoencoder keeps k of F features. Its textbook form scatters them into a row of F numbers and multiplies
by the whole decoder, forward and backward. Here the decoder's k rows are added up, and only rows that were used get a
gradient. `naive.py` is the textbook form. `sparse.py` has the same gradients, exactly, from the rows alone; the rows
are added up in torch (`rows.py`) or in C (`rows_c.py`, `compiled.py`), where the k largest are also found.
"""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "explain_topk_decode": ".rule",
        "naive_topk_decode": ".naive",
        "naive_topk_encode": ".naive",
        "topk_decode": ".rule",
        "topk_encode": ".rule",
    },
)
