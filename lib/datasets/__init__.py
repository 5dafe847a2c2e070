"""The data of the book: the registry that finds and checks it, and one module per kind of data."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "pile": ".model_text",
        "pocket_text": ".pocket_text",
        "retokenised": ".model_text",
        "text": ".text",
        "token_properties": ".readable_tokens",
        "wikitext2": ".model_text",
        "archive": ".archive",
        "building_points": ".building_points",
        "chorale_audio": ".chorale_audio",
        "composed_signing": ".composed_signing",
        "eeg": ".eeg",
        "eeg_real": ".eeg_real",
        "landmarks": ".landmarks",
        "music": ".music",
        "odor": ".odor",
        "recall": ".recall",
        "registry": ".registry",
        "signing": ".signing",
        "speech": ".speech",
        "tag_lessons": ".tag_lessons",
        "tag_scenarios": ".tag_scenarios",
        "taxonomy": ".taxonomy",
        "bundled": ".registry",
        "fetch": ".registry",
        "rows": ".registry",
        "used": ".registry",
    },
)
