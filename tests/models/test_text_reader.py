"""The reading decoder: letters, padding that does not leak, gates, and that it learns to copy from text what it can."""

import numpy as np
import pytest
import torch

from lib.errors import BookError
from lib.models.text_reader import LETTERS, TextEncoder, TextReader, letter_ids, places
from lib.trainers import evaluate, train
from lib.trainers.pocket_speech import CODES, pocket_decoder, pocket_training

SMALL = {"width": 16, "layers": 2, "heads": 2, "kv_heads": 1, "ffn_width": 32, "dropout": 0.0}
READER = pocket_decoder(**SMALL, cross_attention=(2,), text_width=12)


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_letters_are_counted_from_one_and_the_rest_is_dropped() -> None:
    assert letter_ids("Ab, c").tolist() == [1, 2, 27, 3]
    assert letter_ids(LETTERS).tolist() == list(range(1, 29))
    with pytest.raises(BookError, match="has no letter"):
        letter_ids("42!")


def test_places_are_the_sines_of_their_docstring() -> None:
    table = places(7, 6)
    expected = [f(5 / 10_000 ** (2 * i / 6)) for i in range(3) for f in (np.sin, np.cos)]
    np.testing.assert_allclose(table[5], expected, rtol=1e-5)


def test_padding_of_the_text_changes_nothing() -> None:
    encoder = TextEncoder(12, draw(0))
    ids = torch.tensor([[3, 1, 4, 0, 0, 0]])
    short = encoder(ids[:, :3], torch.tensor([3]))
    torch.testing.assert_close(encoder(ids, torch.tensor([3]))[:, :3], short)
    model = TextReader(READER, draw(0)).eval()
    tokens = torch.randint(0, CODES, (1, 8, 9), generator=draw(1))
    alone = model(tokens, None, ids[:, :3], torch.tensor([3]))
    torch.testing.assert_close(model(tokens, None, ids, torch.tensor([3])), alone)


def test_gates_start_where_asked_and_shut_gates_hear_no_text() -> None:
    assert TextReader(READER, draw(0)).gates() == pytest.approx([np.tanh(1)])
    shut = TextReader(READER, draw(0), gate=0.0).eval()
    tokens = torch.randint(0, CODES, (1, 8, 9), generator=draw(1))
    one, other = (shut(tokens, None, torch.tensor([ids])) for ids in ([1, 2], [5, 6, 7]))
    torch.testing.assert_close(one, other)
    with pytest.raises(BookError, match="leaves no block that reads"):
        TextReader(pocket_decoder(**SMALL), draw(0))


def test_it_learns_what_only_the_text_tells_and_not_from_shuffled_text() -> None:
    rng = np.random.default_rng(0)
    kinds = {"aaaa": 3, "bbbb": 200}  # the text names the code of the second frame; the first is always the same

    def spoken(said: str, told: str) -> dict:
        return {"codes": torch.tensor([7, kinds[said]]).repeat(8, 1), "text": letter_ids(told)}

    said = list(kinds) * 8
    items = [spoken(text, text) for text in said]
    mixed = [spoken(text, said[other]) for text, other in zip(said, rng.permutation(len(said)), strict=True)]
    swapped = [spoken(text, "bbbb" if text == "aaaa" else "aaaa") for text in said]
    recipe = pocket_training(60, peak_lr=1e-2)
    effect = {}
    for name, lessons in {"own": items, "shuffled": mixed}.items():
        model = TextReader(READER, draw(0))
        train(model, lessons, recipe, generator=np.random.default_rng(0))
        effect[name] = evaluate(model, swapped, recipe).nll - evaluate(model, items, recipe).nll
    assert effect["own"] > 0.1
    assert abs(effect["shuffled"]) < 0.2 * effect["own"]
