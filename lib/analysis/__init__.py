"""Analysis: what is measured on data, models and simulations, and how far the measurement can be trusted."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "distance_matrix": ".distances",
        "represent": ".fingerprints",
        "h1_diagram": ".homology",
        "persistence": ".homology",
        "farthest_points": ".homology",
        "dense": ".fingerprints",
        "physchem": ".fingerprints",
        "draw_null": ".nulls",
        "audit": ".robustness",
        "null_maxima": ".robustness",
        "redrawn_ratios": ".robustness",
        "subsamples": ".robustness",
        "summarise": ".robustness",
        "bootstrap_interval": ".statistics",
        "exceedance_bounds": ".statistics",
        "fisher_exact": ".statistics",
        "mcnemar_exact": ".statistics",
        "order_weights": ".statistics",
        "permutation_p": ".statistics",
        "wilson_interval": ".statistics",
    },
)
