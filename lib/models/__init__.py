"""Networks that the chapters build, train and take apart."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "DecoderState": ".hybrid",
        "HybridConfig": ".hybrid_config",
        "HybridDecoder": ".hybrid",
        "matched_transformer": ".transformer",
        "post_transformer": ".transformer",
    },
)
