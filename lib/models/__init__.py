"""Networks that the chapters build, train and take apart."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "CachedMemoryConfig": ".cached_memory",
        "CachedMemoryDecoder": ".cached_memory",
        "DecoderState": ".hybrid",
        "HybridConfig": ".hybrid_config",
        "HybridDecoder": ".hybrid",
        "IsolatedLetters": ".isolated_letters",
        "OdorMap": ".odor_map",
        "OdorMapConfig": ".odor_map",
        "ResidualVQCodec": ".codec",
        "SamplingConfig": ".sampling",
        "SelectiveDecoder": ".selective_ssm",
        "SelectiveSSM": ".selective_ssm",
        "Seq2Seq": ".seq2seq",
        "Seq2SeqConfig": ".seq2seq",
        "SignerEmbedding": ".calibration",
        "MarkovVoices": ".markov_voices",
        "answers": ".answering",
        "chorale_tokens": ".chorale_tokens",
        "continue_codes": ".delayed_sampling",
        "dac": ".dac",
        "log_probabilities": ".answering",
        "matched_gru": ".seq2seq",
        "matched_transformer": ".transformer",
        "molecule_graphs": ".molecule_graph",
        "post_transformer": ".transformer",
        "sample": ".sampling",
        "seq2seq": ".seq2seq",
        "seq2seq_decoding": ".seq2seq_decoding",
        "seq2seq_mlx": ".seq2seq_mlx",
        "tag_decoder": ".tag_decoder",
    },
)
