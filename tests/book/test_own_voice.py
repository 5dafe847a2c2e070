"""The page on training one's own voice, tried as a new reader would: its code, on a few clips and two steps."""

import re
from pathlib import Path

import pytest

from lib.datasets import registry, speech


@pytest.mark.slow
def test_the_code_of_the_page_runs(tmp_path: Path) -> None:
    import soundfile

    page = (registry.root() / "book" / "train_your_own_voice.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    (tmp_path / "wavs").mkdir()
    clips = speech.pocket_speech(20)
    for clip in clips:
        soundfile.write(tmp_path / "wavs" / f"{clip.id}.wav", clip.wave, speech.RATE)
    lines = [f"{clip.id}|{clip.text}|{clip.text}\n" for clip in clips]
    (tmp_path / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    assert 'Path("runs/speech/mine"), 400' in code
    exec(code.replace('Path("runs/speech/mine"), 400', f"Path({str(tmp_path)!r}), 2"), {})
    assert soundfile.info(tmp_path / "coded.wav").samplerate == 24_000
    for number in range(3):
        assert soundfile.info(tmp_path / f"sample-{number}.wav").frames == 300 * 320
