"""Networks that the chapters build, train and take apart."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "DecoderState": ".hybrid",
        "HybridConfig": ".hybrid_config",
        "HybridDecoder": ".hybrid",
        "IsolatedLetters": ".isolated_letters",
        "OdorMap": ".odor_map",
        "OdorMapConfig": ".odor_map",
        "Seq2Seq": ".seq2seq",
        "Seq2SeqConfig": ".seq2seq",
        "SelectiveDecoder": ".selective_ssm",
        "SelectiveSSM": ".selective_ssm",
        "SignerEmbedding": ".calibration",
        "answers": ".answering",
        "log_probabilities": ".answering",
        "matched_gru": ".seq2seq",
        "matched_transformer": ".transformer",
        "molecule_graphs": ".molecule_graph",
        "post_transformer": ".transformer",
        "seq2seq": ".seq2seq",
        "seq2seq_decoding": ".seq2seq_decoding",
        "seq2seq_mlx": ".seq2seq_mlx",
        "tag_decoder": ".tag_decoder",
    },
)
