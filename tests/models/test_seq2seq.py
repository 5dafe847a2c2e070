"""The sequence model: its counts, its masks, its cache, and its recurrent and MLX twins."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lib.errors import BookError
from lib.models import Seq2Seq, Seq2SeqConfig, matched_gru, seq2seq
from lib.models.seq2seq_mlx import Seq2SeqMLX

SMALL = Seq2SeqConfig(
    inputs=7, vocabulary=11, width=12, hidden=20, heads=3, head_width=5, frame_positions=32, token_positions=9
)
ENCODERS = {
    "attention": SMALL,
    "sinusoidal": replace(SMALL, positions="sinusoidal"),
    "gru": matched_gru(SMALL),
}


def model(config, seed=1):
    return Seq2Seq(config, torch.Generator().manual_seed(seed)).eval()


def batch(rows=4, time=13, seed=0):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(rows, time, 7, generator=generator)
    lengths = torch.tensor([time, 1, 6, 9])[:rows]
    tokens = torch.randint(2, 11, (rows, 6), generator=generator)
    tokens[:, 0] = seq2seq.BOS
    return frames, lengths, tokens


def test_the_counts_of_the_post():
    post = Seq2SeqConfig()
    assert seq2seq.parameters(post) - seq2seq.position_parameters(post) == 10_350_472
    shared = replace(post, head_width=64)
    assert seq2seq.parameters(shared) - seq2seq.position_parameters(shared) == 5_618_056
    longer = replace(post, frame_positions=513)
    assert seq2seq.parameters(longer) - seq2seq.parameters(post) == 256
    with torch.device("meta"):
        layers = Seq2Seq(post)
    assert sum(part.numel() for part in layers.encoder[0].parameters()) == 1_315_840
    assert sum(part.numel() for part in layers.decoder[0].parameters()) == 2_368_256
    assert sum(part.numel() for part in layers.encoder[0].attention.parameters()) == 1_051_904


def test_the_oracle_attends_alike():
    ours = seq2seq.MultiHeadAttention(12, 3, 4)
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for part in (*ours.parameters(), *theirs.parameters()):
            part.normal_(generator=generator)
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    x, memory = torch.randn(2, 5, 12, generator=generator), torch.randn(2, 7, 12, generator=generator)
    seen = torch.tensor([[True] * 7, [True] * 3 + [False] * 4])
    got = ours(x, *ours.read(memory), seen[:, None, None])
    expected, _ = theirs(x, memory, memory, key_padding_mask=~seen)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_the_oracle_recurs_alike():
    encoder = model(ENCODERS["gru"]).recurrent
    width, units, layers = SMALL.width, ENCODERS["gru"].gru_hidden, SMALL.encoder_layers
    theirs = torch.nn.GRU(width, units, layers, batch_first=True, bidirectional=True)
    state = {}
    for end, directions in (("", encoder.onward), ("_reverse", encoder.returning)):
        for place, part in enumerate(directions):
            state |= {key.replace("_l0", f"_l{place}{end}"): value for key, value in part.state_dict().items()}
    theirs.load_state_dict(state)
    x, lengths = torch.randn(4, 13, width, generator=torch.Generator().manual_seed(0)), torch.tensor([13, 1, 6, 9])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    expected, got = encoder.norm(encoder.output(expected)), encoder(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(got[row, :length], expected[row, :length], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_is_not_read(name):
    network, (frames, lengths, tokens) = model(ENCODERS[name]), batch()
    logits = network(frames, lengths, tokens)
    spoilt = frames.clone()
    for row, length in enumerate(lengths.tolist()):
        spoilt[row, length:] = 1e3
    torch.testing.assert_close(network(spoilt, lengths, tokens), logits)
    for row, length in enumerate(lengths.tolist()):
        alone = network(frames[[row], :length], None, tokens[[row]])
        torch.testing.assert_close(alone[0], logits[row], rtol=1e-4, atol=1e-5)
    assert not bool(network.encode(frames, lengths)[1, 1:].any())


@pytest.mark.parametrize("name", ENCODERS)
def test_the_decoder_sees_no_later_token_and_the_order_of_frames(name):
    network, (frames, lengths, tokens) = model(ENCODERS[name]), batch()
    logits = network(frames, lengths, tokens)
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 11
    again = network(frames, lengths, changed)
    torch.testing.assert_close(again[:, :4], logits[:, :4])
    assert not torch.allclose(again[:, 4:], logits[:, 4:])
    assert not torch.allclose(network(frames.flip(1), None, tokens), network(frames, None, tokens), atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_cached_steps_give_the_logits_of_the_whole(name):
    network, (frames, lengths, tokens) = model(ENCODERS[name]), batch()
    whole = network(frames, lengths, tokens)
    state = network.start(network.encode(frames, lengths), lengths)
    for place in range(tokens.shape[1]):
        logits, state = network.step(tokens[:, place], state)
        torch.testing.assert_close(logits, whole[:, place], rtol=1e-4, atol=1e-5)
    first, state = network.decode(tokens[:, :2], network.start(network.encode(frames, lengths), lengths))
    rest, _ = network.decode(tokens[:, 2:], state)
    torch.testing.assert_close(torch.cat((first, rest), 1), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_it_is_decided_by_its_generator_alone(name):
    torch.manual_seed(5)
    first = model(ENCODERS[name]).train()
    torch.manual_seed(6)
    second = model(ENCODERS[name]).train()
    frames, lengths, tokens = batch()
    torch.testing.assert_close(first(frames, lengths, tokens), second(frames, lengths, tokens), rtol=0, atol=0)
    dropped = first(frames, lengths, tokens)
    assert not torch.equal(dropped, first(frames, lengths, tokens))
    first.reseed(1), second.reseed(1)
    torch.testing.assert_close(first(frames, lengths, tokens), second(frames, lengths, tokens), rtol=0, atol=0)
    assert not torch.allclose(model(ENCODERS[name], 2)(frames, lengths, tokens), first.eval()(frames, lengths, tokens))


@pytest.mark.parametrize("name", ENCODERS)
def test_every_parameter_learns(name):
    network, (frames, lengths, tokens) = model(ENCODERS[name]), batch()
    torch.nn.functional.cross_entropy(network(frames, lengths, tokens).flatten(0, 1), tokens.flatten()).backward()
    silent = [part for part, weight in network.named_parameters() if not bool(weight.grad.abs().sum())]
    shift_free = [part for part in silent if not part.endswith("key.bias")]
    assert shift_free == []


def test_a_signer_changes_what_is_read():
    network, (frames, lengths, tokens) = model(SMALL), batch()
    plain = network(frames, lengths, tokens)
    torch.testing.assert_close(network(frames, lengths, tokens, torch.zeros(4, 12)), plain)
    assert not torch.allclose(network(frames, lengths, tokens, torch.ones(4, 12)), plain)


@pytest.mark.parametrize("config", [Seq2SeqConfig(), Seq2SeqConfig(width=64, hidden=128, head_width=16), SMALL])
def test_the_recurrent_twin_is_matched(config):
    twin = matched_gru(config)
    ratio = seq2seq.parameters(twin) / seq2seq.parameters(config)
    assert abs(ratio - 1) < 0.02
    worse = [replace(twin, gru_hidden=twin.gru_hidden + step) for step in (-1, 1) if twin.gru_hidden + step > 0]
    gap = abs(seq2seq.parameters(twin) - seq2seq.parameters(config))
    assert all(abs(seq2seq.parameters(other) - seq2seq.parameters(config)) >= gap for other in worse)


def test_what_does_not_fit_is_refused():
    network, (frames, lengths, tokens) = model(SMALL), batch()
    with pytest.raises(BookError, match="a frame has 6 numbers; this model reads 7"):
        network(frames[..., :6], lengths, tokens)
    with pytest.raises(BookError, match="a clip has 33 frames; this model reads 1 to 32"):
        network(torch.zeros(1, 33, 7), None, tokens[:1])
    with pytest.raises(BookError, match=r"each must lie in 1\.\.13"):
        network(frames, lengths * 0, tokens)
    with pytest.raises(BookError, match="10 tokens exceed token_positions 9"):
        network(frames, lengths, torch.ones(4, 10, dtype=torch.long))
    with pytest.raises(BookError, match=r"dropout is 1\.0"):
        replace(SMALL, dropout=1.0)
    with pytest.raises(BookError, match="encoder is 'lstm'"):
        replace(SMALL, encoder="lstm")


def mlx_twin(network, config, folder):
    pytest.importorskip("mlx.core", reason="mlx is not installed")
    path = folder / "weights.safetensors"
    save_file({name: part.contiguous() for name, part in network.state_dict().items()}, path)
    return Seq2SeqMLX(config, path)


@pytest.mark.parametrize("head_width", [4, 5])
def test_mlx_gives_the_same_logits_and_the_same_text(tmp_path, head_width):
    from lib.models.seq2seq_decoding import greedy

    config = replace(SMALL, head_width=head_width, embedding_bound=1.0)
    network, (frames, lengths, tokens) = model(config), batch()
    twin = mlx_twin(network, config, tmp_path)
    with torch.no_grad():
        expected = network(frames, lengths, tokens).numpy()
        unpadded = network(frames, None, tokens).numpy()
    np.testing.assert_allclose(twin.logits(frames.numpy(), lengths.numpy(), tokens.numpy()), expected, atol=1e-4)
    np.testing.assert_allclose(twin.logits(frames.numpy(), None, tokens.numpy()), unpadded, atol=1e-4)
    assert np.abs(expected - unpadded).max() > 1e-3
    assert twin.greedy(frames.numpy(), lengths.numpy(), 8) == greedy(network, frames, lengths, 8).tokens


def test_mlx_refuses_what_it_cannot_be(tmp_path, monkeypatch):
    network = model(SMALL)
    twin = mlx_twin(network, SMALL, tmp_path)
    with pytest.raises(BookError, match="this model reads 1 to 32 frames of 7 numbers"):
        twin.logits(np.zeros((1, 4, 6)), None, np.ones((1, 2), dtype=int))
    with pytest.raises(BookError, match="the MLX twin has attention, learned"):
        Seq2SeqMLX(ENCODERS["gru"], tmp_path / "weights.safetensors")
    with pytest.raises(BookError, match=r"weights.safetensors lacks 'decoder.2"):
        Seq2SeqMLX(replace(SMALL, decoder_layers=3), tmp_path / "weights.safetensors")
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    with pytest.raises(BookError, match="mlx is not installed"):
        Seq2SeqMLX(SMALL, tmp_path / "weights.safetensors")
