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
        "LadderTraining": ".ladder",
        "TokenBudget": ".sae_tokens",
        "apply_delay": ".delay",
        "captured": ".activations",
        "codes": ".fingerprint_autoencoder",
        "equal_steps": ".curriculum",
        "evaluate": ".language_model",
        "music_arms": ".music_arms",
        "memory_arms": ".memory_arms",
        "fit_residual_vq": ".residual_vq",
        "odor_map": ".odor_map",
        "preferences": ".preferences",
        "seq2seq": ".seq2seq",
        "rung": ".ladder",
        "sequence_loss": ".sequence_loss",
        "stratified_split": ".stratification",
        "train": ".language_model",
        "train_ensemble": ".odor_ensemble",
        "train_on_budget": ".sae_tokens",
        "trl_arguments": ".trl_arguments",
        "undo_delay": ".delay",
        "warmup_cosine": ".optimiser",
    },
)
