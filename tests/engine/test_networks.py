"""The networks of published methods have the layers that their authors name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spectrafilm.engine.networks import GeoDiffNet, GeoDiffNetFilm
from spectrafilm.engine.time_fusion import DiffCRN
from spectrafilm.engine.transformer import DEPTH, TOKEN, WIDTH, DiffSpectralNet

BANDS, CHANNELS, CLASSES = 30, 40, 5


def layers_of(network):
    """Kinds of layers, those with weights as (kind, inputs, outputs)."""
    return [
        (type(m).__name__, *m.weight.shape[1::-1]) if isinstance(m, (nn.Linear, nn.Conv1d)) else type(m).__name__
        for m in network
    ]


def test_geodiffnet_is_the_published_classifier():
    assert layers_of(GeoDiffNet(0, CHANNELS, CLASSES).head) == [
        ("Linear", CHANNELS, 128), "ReLU", "BatchNorm1d", ("Linear", 128, 32), "ReLU", "BatchNorm1d",
        ("Linear", 32, CLASSES),
    ]  # fmt: skip


def test_the_spectral_encoder_of_geodiffnet_f_is_the_published_one():
    encoder = GeoDiffNetFilm(BANDS, CHANNELS, CLASSES).encoder
    assert layers_of(encoder.convolutions) == [
        ("Conv1d", 1, 16), "BatchNorm1d", "ReLU", "MaxPool1d", ("Conv1d", 16, 32), "BatchNorm1d", "ReLU", "MaxPool1d",
    ]  # fmt: skip
    assert {m.kernel_size for m in encoder.convolutions if isinstance(m, nn.Conv1d)} == {(3,)}
    assert {m.kernel_size for m in encoder.convolutions if isinstance(m, nn.MaxPool1d)} == {2}
    # Convolutions keep the length, and pooling the last of an odd number: three bands will do.
    for bands in (3, 30, 33):
        assert GeoDiffNetFilm(bands, CHANNELS, CLASSES).encoder(torch.randn(4, bands)).shape == (4, 256)


def test_film_scales_and_shifts_the_features_by_the_spectrum():
    torch.manual_seed(0)
    network = GeoDiffNetFilm(BANDS, CHANNELS, CLASSES).eval()
    assert layers_of(network.head) == [("Linear", CHANNELS, 128), "ReLU", ("Linear", 128, CLASSES)]
    for layer in (network.scale, network.shift):
        nn.init.normal_(layer.weight)
    spectra, features = torch.randn(3, BANDS), torch.randn(3, CHANNELS)
    embedding = network.encoder(spectra).relu()
    modulated = features + network.scale(embedding) * features + network.shift(embedding)
    torch.testing.assert_close(network(spectra, features), network.head(modulated)[None])


@pytest.mark.parametrize("network", [
    GeoDiffNet(BANDS, CHANNELS, CLASSES), GeoDiffNetFilm(BANDS, CHANNELS, CLASSES),
    DiffSpectralNet(BANDS, CHANNELS, CLASSES), DiffCRN(CHANNELS, (5, 4), CLASSES),
], ids=lambda network: type(network).__name__)  # fmt: skip
def test_features_beyond_the_channels_of_a_network_are_not_looked_at(network):
    torch.manual_seed(0)
    spectra, features = torch.randn(3, BANDS), torch.randn(3, CHANNELS)
    more = torch.cat([features, torch.randn(3, 6)], 1)
    expected = network.eval()(spectra, features)
    assert expected.shape == (1, 3, CLASSES)
    torch.testing.assert_close(network(spectra, more), expected)
    torch.testing.assert_close(network(spectra[:1], more[:1]), expected[:, :1], msg="nor other pixels")
    assert not torch.allclose(expected[:, 0], expected[:, 1], atol=1e-4), "but those of the pixel itself are"


def test_the_transformer_of_diffspectralnet_fuses_what_two_layers_saw():
    torch.manual_seed(0)
    network = DiffSpectralNet(BANDS, CHANNELS, CLASSES).eval()
    nn.init.uniform_(network.fusion[0])
    inputs, outputs = [], []
    for layer in network.layers:
        layer.register_forward_pre_hook(lambda _, seen: inputs.append(seen[0]))
        layer.register_forward_hook(lambda _, __, given: outputs.append(given))
    features = torch.randn(3, CHANNELS)
    logits = network(torch.randn(3, BANDS), features)
    assert len(inputs) == DEPTH == 2
    # 40 features are two tokens of 16 and one that ends in zeros; the token of the class comes first.
    assert inputs[0].shape == (3, 4, WIDTH)
    padded = torch.cat([features[:, 2 * TOKEN :], torch.zeros(3, 8)], 1)
    tokens = inputs[0] - network.positions
    torch.testing.assert_close(tokens[:, 0], network.class_token[0].expand(3, -1))
    torch.testing.assert_close(tokens[:, 1], network.embed(features[:, :TOKEN]))
    torch.testing.assert_close(tokens[:, 3], network.embed(padded))
    share = network.fusion[0]
    torch.testing.assert_close(inputs[1], (1 - share) * outputs[0] + share * inputs[0])
    torch.testing.assert_close(logits, network.head(outputs[1][:, 0])[None])


def test_diffcrn_adds_up_timesteps_by_learned_weights():
    torch.manual_seed(0)
    network = DiffCRN(CHANNELS, (5, 4), CLASSES).eval()
    nn.init.normal_(network.weights)
    tokens, added = [], []
    network.embed.register_forward_hook(lambda _, __, given: tokens.append(given))
    network.query_norm.register_forward_pre_hook(lambda _, seen: added.append(seen[0]))
    network(torch.randn(3, BANDS), torch.randn(3, CHANNELS))
    assert tokens[0].shape[1:3] == (5, 4)
    torch.testing.assert_close(added[0], torch.einsum("ts,ntsw->nsw", network.weights[..., 0].softmax(0), tokens[0]))
