"""Four-part chorales as four parallel codebooks on a grid of sixteenths, and their way to MIDI and back.

`lib.models.chorale_tokens` says what the tokens mean; its names are offered here too. The 351 chorales with exactly
four parts come from music21's corpus. Parsing takes most of a minute, so `load` reads a prepared file, which
`make prepare N=07` makes with `parse`. Used by chapters 07 and 08.

Left out: the text, repeats (played as written), grace notes, and what is finer than a sixteenth (ten notes in all).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.datasets import registry
from lib.errors import BookError
from lib.models.chorale_tokens import (
    FERMATA,
    FIRST,
    HIGH,
    HOLD,
    LOW,
    PAD,
    REST,
    SILENT,
    SPAN,
    STEPS_PER_QUARTER,
    VOCABULARY,
    VOICES,
    excerpt,
    fermatas,
    is_onset,
    notes,
    pitch_of,
    sounding,
    token,
    transpose,
)

if TYPE_CHECKING:
    import pretty_midi

__all__ = [
    "FERMATA",
    "FIRST",
    "HIGH",
    "HOLD",
    "LOW",
    "PAD",
    "PREPARED",
    "REST",
    "SILENT",
    "SPAN",
    "STEPS_PER_QUARTER",
    "VOCABULARY",
    "VOICES",
    "Chorale",
    "compass",
    "excerpt",
    "fermatas",
    "from_midi",
    "in_key",
    "is_onset",
    "load",
    "notes",
    "parse",
    "pitch_of",
    "save",
    "shifts",
    "sounding",
    "split",
    "to_midi",
    "token",
    "transpose",
    "tune",
    "windows",
]

PREPARED = "data/prepared/07.chorales.npz"


@dataclass(frozen=True)
class Chorale:
    """One piece.

    name: its number in the catalogue, such as bwv253. title: the first words. tokens: int8 [4, T], soprano first.
    sharps: of the key signature, negative for flats. bar: sixteenths in a bar. pickup: sixteenths before the first.
    """

    name: str
    title: str
    tokens: np.ndarray
    sharps: int
    bar: int
    pickup: int

    @property
    def steps(self) -> int:
        """Length in sixteenths."""
        return self.tokens.shape[1]


def shifts(tokens: np.ndarray, most: int, ranges: np.ndarray) -> list[int]:
    """The transpositions of at most `most` semitones that keep every voice within ranges [4, 2]; 0 is always one."""
    pitches, onset = pitch_of(tokens), is_onset(tokens)
    voices = [row[on] for row, on in zip(pitches, onset, strict=True)]
    ends = np.array([[row.min(), row.max()] if row.size else [0, 0] for row in voices])
    fits = [s for s in range(-most, most + 1) if (ends[:, 0] + s >= ranges[:, 0]).all()
            and (ends[:, 1] + s <= ranges[:, 1]).all()]  # fmt: skip
    return sorted({0, *fits}, key=lambda s: (abs(s), s))


def compass(chorales: Sequence[Chorale]) -> np.ndarray:
    """Lowest and highest pitch of each voice over some pieces, [4, 2]."""
    rows = [np.concatenate([pitch_of(c.tokens)[v][is_onset(c.tokens)[v]] for c in chorales]) for v in range(4)]
    return np.array([[row.min(), row.max()] for row in rows])


def windows(
    chorales: Sequence[Chorale], steps: int, *, hop: int | None = None, most: int = 0, ranges: np.ndarray | None = None
) -> list[np.ndarray]:
    """Training items: int64 windows [4, <= steps] of every piece, in all transpositions that fit.

    hop: steps between windows, `steps` by default; the last window of a piece ends where the piece ends.
    most: largest transposition; ranges: [4, 2] to stay in, by default the compass of these pieces.
    Raises BookError for a window that does not begin on a quarter.
    """
    hop = hop or steps
    if steps % STEPS_PER_QUARTER or hop % STEPS_PER_QUARTER:
        raise BookError(
            f"windows of {steps} steps every {hop} leave the quarters; use multiples of {STEPS_PER_QUARTER}"
        )
    ranges = compass(chorales) if ranges is None else ranges
    items = []
    for piece in chorales:
        last = max(0, -(-(piece.steps - steps) // STEPS_PER_QUARTER) * STEPS_PER_QUARTER)
        starts = sorted({*range(0, last, hop), last})
        for shift in shifts(piece.tokens, most, ranges):
            moved = transpose(piece.tokens, shift)
            items += [excerpt(moved, start, steps).astype(np.int64) for start in starts]
    return items


def tune(chorale: Chorale, quarters: int = 8) -> tuple[int, ...]:
    """What pieces on one tune share: the soprano's steps from quarter to quarter, wherever it is pitched."""
    melody = sounding(chorale.tokens)[0]
    first = int(np.argmax(melody != SILENT))
    return tuple(np.diff(melody[first::STEPS_PER_QUARTER][: quarters + 1]).tolist())


def split(
    chorales: Sequence[Chorale], generator: np.random.Generator, shares: tuple[float, float] = (0.1, 0.1)
) -> tuple[list[Chorale], list[Chorale], list[Chorale]]:
    """Train, validation and test pieces; pieces on one tune stay together, so that no tune is met again.

    A piece that the collection holds twice under one name is taken once (330 of 351 are left).
    shares: of the pieces that validation and test get, at least. Raises BookError for shares that leave no training.
    """
    if not 0 < sum(shares) < 1 or min(shares) < 0:
        raise BookError(f"shares={shares}; give two shares that leave some pieces to train on")
    groups: dict[tuple[int, ...], list[Chorale]] = {}
    pieces = list({piece.name: piece for piece in chorales}.values())
    for piece in pieces:
        groups.setdefault(tune(piece), []).append(piece)
    order = [list(groups.values())[i] for i in generator.permutation(len(groups))]
    parts: list[list[Chorale]] = [[], [], []]
    for group in order:
        wanting = [k for k in (1, 2) if len(parts[k]) < shares[k - 1] * len(pieces)]
        parts[wanting[0] if wanting else 0] += group
    return parts[0], parts[1], parts[2]


def load() -> list[Chorale]:
    """The 351 chorales, from the prepared file. Raises BookError when it is missing; `make prepare N=07` remakes it."""
    with np.load(registry.bundled(PREPARED), allow_pickle=False) as file:
        ends = np.cumsum(file["steps"])
        parts = np.split(file["tokens"], ends[:-1], axis=1)
        columns = (file[name].tolist() for name in ("names", "titles", "sharps", "bars", "pickups"))
        rows = zip(*columns, parts, strict=True)
        return [Chorale(name, title, part, sharps, bar, up) for name, title, sharps, bar, up, part in rows]


def save(chorales: Sequence[Chorale], path: Path | str) -> None:
    """Write chorales in the form that `load` reads."""
    np.savez_compressed(
        path,
        tokens=np.concatenate([c.tokens for c in chorales], axis=1).astype(np.int8),
        steps=np.array([c.steps for c in chorales], dtype=np.int16),
        names=np.array([c.name for c in chorales]),
        titles=np.array([c.title for c in chorales]),
        sharps=np.array([c.sharps for c in chorales], dtype=np.int8),
        bars=np.array([c.bar for c in chorales], dtype=np.int8),
        pickups=np.array([c.pickup for c in chorales], dtype=np.int8),
    )


def parse(most: int | None = None) -> list[Chorale]:
    """Read the four-part chorales of music21's corpus, about 30 CPU seconds for all. most: stop after so many."""
    found = []
    for score in _scores():
        if len(score.parts) == len(VOICES):
            found.append(_read(score))
        if most is not None and len(found) == most:
            break
    return found


def _scores() -> Iterator:
    from music21.corpus import chorales

    yield from chorales.Iterator()


def _read(score) -> Chorale:
    """One music21 score on the grid."""
    steps = round(max(part.flatten().highestTime for part in score.parts) * STEPS_PER_QUARTER)
    tokens = np.full((len(VOICES), steps), HOLD, dtype=np.int8)
    tokens[:, 0] = REST
    for voice, part in enumerate(score.parts):
        for element in part.flatten().notesAndRests:
            start = _grid(element.offset)
            if element.duration.isGrace or _grid(element.offset + element.duration.quarterLength) == start:
                continue
            if element.isRest:
                silent = start == 0 or sounding(tokens[voice, :start])[-1] == SILENT
                tokens[voice, start] = HOLD if silent and start else REST
            elif element.tie is None or element.tie.type == "start" or start == 0:
                marked = voice == 0 and any(type(mark).__name__ == "Fermata" for mark in element.expressions)
                tokens[voice, start] = token(element.pitch.midi, marked)
    bars = list(score.parts[0].getElementsByClass("Measure"))
    signature = bars[0].timeSignature
    bar = _grid(signature.barDuration.quarterLength)
    first = _grid(bars[1].offset) if len(bars) > 1 else bar
    sharps = bars[0].keySignature.sharps if bars[0].keySignature is not None else 0
    name = Path(str(score.metadata.corpusFilePath)).stem
    return Chorale(name, score.metadata.title or "", tokens, sharps, bar, 0 if first >= bar else first)


def _grid(offset: float | Fraction) -> int:
    return round(float(offset) * STEPS_PER_QUARTER)


def to_midi(tokens: np.ndarray, *, tempo: float = 84.0) -> pretty_midi.PrettyMIDI:
    """Tokens [4, T] as MIDI: a track a voice; fermatas and the end are lyrics, since MIDI has no sign for either.

    tempo: quarters a minute. `from_midi` gives the tokens back exactly, fermatas under a note of the soprano included.
    """
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(resolution=480, initial_tempo=tempo)
    second = 60 / tempo / STEPS_PER_QUARTER
    midi.instruments = [pretty_midi.Instrument(program=19, name=name) for name in VOICES]
    for voice, start, length, pitch, marked in notes(tokens):
        midi.instruments[voice].notes.append(
            pretty_midi.Note(velocity=80, pitch=pitch, start=start * second, end=(start + length) * second)
        )
        if marked:
            midi.lyrics.append(pretty_midi.Lyric(f"fermata {VOICES[voice]}", start * second))
    midi.lyrics.append(pretty_midi.Lyric("end", np.asarray(tokens).shape[1] * second))
    return midi


def from_midi(source: pretty_midi.PrettyMIDI | Path | str) -> np.ndarray:
    """Tokens [4, T] of MIDI that `to_midi` made, or of any file with four monophonic tracks, soprano first.

    Notes go to the nearest sixteenth. Raises BookError for another number of tracks or two notes at once in one.
    """
    import pretty_midi

    midi = source if isinstance(source, pretty_midi.PrettyMIDI) else pretty_midi.PrettyMIDI(str(source))
    if len(midi.instruments) != len(VOICES):
        raise BookError(f"the MIDI has {len(midi.instruments)} tracks with notes; a chorale has {len(VOICES)}")
    grid = midi.resolution // STEPS_PER_QUARTER
    ends = [lyric.time for lyric in midi.lyrics if lyric.text == "end"]
    steps = round(midi.time_to_tick(max(ends, default=midi.get_end_time())) / grid)
    tokens = np.full((len(VOICES), steps), HOLD, dtype=np.int8)
    tokens[:, 0] = REST
    marks = {(lyric.text, round(midi.time_to_tick(lyric.time) / grid)) for lyric in midi.lyrics}
    for voice, track in enumerate(midi.instruments):
        free = 0
        for note in sorted(track.notes, key=lambda note: note.start):
            start, end = (round(midi.time_to_tick(time) / grid) for time in (note.start, note.end))
            if start < free:
                raise BookError(f"track {voice} has two notes at once at step {start}; a voice sings one")
            if end == start:
                continue
            if start > free > 0:
                tokens[voice, free] = REST
            tokens[voice, start] = token(note.pitch, (f"fermata {VOICES[voice]}", start) in marks)
            free = end
        if 0 < free < steps:
            tokens[voice, free] = REST
    return tokens


def in_key(chorale: Chorale) -> Chorale:
    """The piece transposed to the key signature without sharps or flats, by the nearer way."""
    semitones = (-7 * chorale.sharps + 6) % 12 - 6
    return replace(chorale, tokens=transpose(chorale.tokens, semitones), sharps=0)
