"""English on every machine: the docstrings of packages that this book installs anyway.

A fixed list of packages from the lock, so that the text is the same wherever the lock is installed; its digest says
whether it was. Texts are read with `ast`, nothing is imported or run. A docstring that occurs twice is kept once, and
the split is by package: the held-out packages share no docstring with the others. Chapters 05 and 06.

    found = corpus()
    tokenizer = byte_pairs(found.train, vocabulary=1024)
    ration = Ration(blocks(tokens(found.train, tokenizer), 128))
    for_the_model, for_the_autoencoder = ration.take(1000), ration.take(500)
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.errors import BookError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TRAIN = {  # module: name on the package index
    "matplotlib": "matplotlib",
    "mne": "mne",
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "statsmodels": "statsmodels",
    "sympy": "sympy",
}
HELD_OUT = {"networkx": "networkx", "nltk": "nltk", "skimage": "scikit-image"}
LEAST = 80  # characters; shorter docstrings are one line that names the function again
END = "<|end|>"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Corpus:
    """Texts for training and texts of other packages, each once, in an order that depends on their content alone."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    dropped: int
    """Docstrings left out because an equal one was kept; blanks do not count."""
    licences: dict[str, str]
    """Licence of each package, from its own metadata."""
    digest: str
    """SHA-256 of all texts in order."""


def corpus(train: dict[str, str] = TRAIN, held_out: dict[str, str] = HELD_OUT) -> Corpus:
    """The text of the book's pocket language models.

    train, held_out: {module: distribution}. A docstring of a held-out package that some training package has too is
    dropped there. Raises BookError for a package that is not installed or that stands on both sides.
    """
    both = sorted(set(train) & set(held_out))
    if both:
        raise BookError(f"{', '.join(both)} would be trained on and held out; name each package once")
    seen: set[bytes] = set()
    sides, dropped = [], 0
    for side in (train, held_out):
        kept: list[tuple[bytes, str]] = []
        for module in sorted(side):
            for text in docstrings(module):
                key = hashlib.sha256(" ".join(text.split()).encode()).digest()
                if key in seen:
                    dropped += 1
                else:
                    seen.add(key)
                    kept.append((key, text))
        sides.append(tuple(text for _, text in sorted(kept)))
    whole = hashlib.sha256("\0".join(sides[0] + sides[1]).encode()).hexdigest()
    licences = {name: licence(name) for side in (train, held_out) for name in side.values()}
    return Corpus(sides[0], sides[1], dropped, licences, whole)


def docstrings(module: str) -> Iterator[str]:
    """Docstrings of at least 80 characters in a package's files, in order of path and line; its tests are left out.

    Raises BookError for a package that is not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise BookError(f"package {module!r} is not installed; `pip install -r requirements.txt` brings it")
    folder = Path(spec.origin).parent
    paths = {path.relative_to(folder): path for path in folder.rglob("*.py")}
    for name in sorted(paths, key=Path.as_posix):
        if not {"tests", "test", "testing", "_vendor"}.isdisjoint(name.parts) or name.name.startswith("test_"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # theirs, of string escapes
            tree = ast.parse(paths[name].read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
            if text and len(text) >= LEAST:
                yield text


def licence(distribution: str) -> str:
    """A package's licence as its metadata states it: the expression, else the classifiers, else the field's first line.

    Raises BookError for a package that is not installed.
    """
    try:
        about = importlib.metadata.metadata(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise BookError(f"package {distribution!r} is not installed; check its name on the package index") from error
    head = "License :: "
    named = [line.split(" :: ")[-1] for line in about.get_all("Classifier") or [] if line.startswith(head)]
    field = (about.get("License") or "").strip().split("\n")[0]
    return about.get("License-Expression") or ", ".join(named) or field or "not stated"


def byte_pairs(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """A byte-level byte-pair tokenizer trained on some texts; any text can be written, and decoding gives it back.

    vocabulary: tokens in all, from 257 up (the bytes and the end mark, which is token 0). Sennrich et al. 2016.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if vocabulary < 257:
        raise BookError(f"vocabulary={vocabulary} does not hold 256 bytes and the end mark; give 257 or more")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokens(texts: Sequence[str], tokenizer: Tokenizer) -> np.ndarray:
    """All texts as one stream of tokens, int32 [M]; the end mark follows each text."""
    end = tokenizer.token_to_id(END)
    coded = tokenizer.encode_batch_fast(list(texts))
    return np.concatenate([np.array([*one.ids, end], dtype=np.int32) for one in coded])


def blocks(stream: np.ndarray, length: int) -> np.ndarray:
    """A stream [M] cut into rows [M // length, length]; what is left over at the end is dropped."""
    if length < 2 or len(stream) < length:
        raise BookError(f"{len(stream)} tokens make no block of {length}; give a longer text or a smaller length")
    count = len(stream) // length
    return stream[: count * length].reshape(count, length)


class Ration:
    """Rows that are handed out once: what one training has seen is never counted as new by another."""

    def __init__(self, rows: np.ndarray) -> None:
        """rows: [N, ...], handed out in order."""
        self.rows, self.taken = rows, 0

    def take(self, count: int) -> np.ndarray:
        """The next `count` rows. Raises BookError when fewer are left: a second round would be no new data."""
        left = len(self.rows) - self.taken
        if not 0 < count <= left:
            raise BookError(f"{count} rows asked for and {left} left unseen; take fewer, or bring more text")
        self.taken += count
        return self.rows[self.taken - count : self.taken]
