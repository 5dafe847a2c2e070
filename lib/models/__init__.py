"""Networks that the chapters build, train and take apart."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "LadderConfig": ".neox_ladder",
        "SplitModel": ".split_model",
        "TopKSAE": ".sparse_autoencoder",
        "neox_ladder": ".neox_ladder",
        "shifted": ".gauge",
        "thirds": ".split_model",
        "DecoderState": ".hybrid",
        "HybridConfig": ".hybrid_config",
        "HybridDecoder": ".hybrid",
        "IsolatedLetters": ".isolated_letters",
        "OdorMap": ".odor_map",
        "OdorMapConfig": ".odor_map",
        "Seq2Seq": ".seq2seq",
        "Seq2SeqConfig": ".seq2seq",
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
