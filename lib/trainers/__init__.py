"""Training loops: they take a model, a dataset and callbacks, and know no chapter."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "Batches": ".batching",
        "CheckpointStore": ".checkpoint",
        "Curriculum": ".curriculum",
        "EMA": ".ema",
        "Evaluation": ".codebook_loss",
        "Progress": ".language_model",
        "TrainingConfig": ".language_model",
        "ReaderStore": ".reader_store",
        "apply_delay": ".delay",
        "codes": ".fingerprint_autoencoder",
        "equal_steps": ".curriculum",
        "evaluate": ".language_model",
        "music_arms": ".music_arms",
        "memory_arms": ".memory_arms",
        "fit_residual_vq": ".residual_vq",
        "odor_map": ".odor_map",
        "preferences": ".preferences",
        "seq2seq": ".seq2seq",
        "sequence_loss": ".sequence_loss",
        "stratified_split": ".stratification",
        "train": ".language_model",
        "train_ensemble": ".odor_ensemble",
        "undo_delay": ".delay",
        "warmup_cosine": ".optimiser",
    },
)
