"""Networks that the chapters build, train and take apart."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "DecoderState": ".hybrid",
        "HybridConfig": ".hybrid_config",
        "HybridDecoder": ".hybrid",
        "OdorMap": ".odor_map",
        "OdorMapConfig": ".odor_map",
        "answers": ".answering",
        "log_probabilities": ".answering",
        "matched_transformer": ".transformer",
        "molecule_graphs": ".molecule_graph",
        "post_transformer": ".transformer",
        "tag_decoder": ".tag_decoder",
    },
)
