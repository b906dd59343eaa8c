"""Features of a pixel do not depend on which other patches are computed, nor on how the scene is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from synthetic import HEIGHT, WIDTH, make_spectra, write_scene

from spectrafilm.engine import features as features_module
from spectrafilm.engine import pieces
from spectrafilm.engine.backbone import Backbone
from spectrafilm.engine.composites import make_composites
from spectrafilm.engine.device import Device
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.features import FeatureExtractor, gather_features, iterate_features
from spectrafilm.engine.patches import PatchGrid, SceneImages, blend_window, fill_invalid
from spectrafilm.engine.projection import Projection, fit_spatial
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.survey import survey_scene

CPU = Device(torch.device("cpu"), torch.float32, "the CPU")
STRIDE = 16
WIDE = 700


@pytest.fixture(scope="module")
def backbone(backbone_path):
    return Backbone.load(str(backbone_path), CPU)


@pytest.fixture
def gappy_scene(tmp_path):
    spectra = make_spectra()
    spectra[:, 30:50, 20:45] = -1.0
    spectra[:, :, 90:] = -1.0
    with Scene.open(str(write_scene(tmp_path / "gaps.tif", spectra))) as scene:
        yield scene


def whole(scene, survey, composites, extractor, progress):
    image = np.full((extractor.channels, HEIGHT, WIDTH), np.nan, np.float32)
    valid = np.zeros((HEIGHT, WIDTH), bool)
    images = SceneImages(scene, survey.bands, composites)
    for window, spectra, usable, values in iterate_features(images, extractor, STRIDE, progress):
        rows, columns = window.toslices()
        assert np.isnan(image[:, rows, columns]).all(), "a pixel was given out twice"
        image[:, rows, columns] = values
        valid[rows, columns] = usable
        expected, expected_valid = scene.read(window, survey.bands)
        np.testing.assert_array_equal(spectra, expected)
        np.testing.assert_array_equal(usable, expected_valid)
    assert not np.isnan(image).any(), "a pixel was not given out"
    return image, valid


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 200), (64, 64), (65, 129), (100, 67)])
@pytest.mark.parametrize("stride", [16, 32, 64])
def test_every_pixel_lies_in_the_middle_of_a_patch(height, width, stride):
    grid = PatchGrid(height, width, 64, stride)
    assert (grid.rows, grid.columns) == (math.ceil(height / stride), math.ceil(width / stride))
    for position, count in ((0, grid.rows), (height - 1, grid.rows), (height // 2, grid.rows)):
        around = grid.around(position, count)
        offsets = [position - (i * stride - grid.margin) for i in around]
        assert all(0 <= o < 64 for o in offsets)
        assert any(32 - stride / 2 <= o < 32 + stride / 2 for o in offsets)


def test_single_pixels_and_the_whole_scene_agree(gappy_scene, backbone, progress):
    survey = survey_scene(gappy_scene)
    composites = make_composites("principal components", survey)
    extractor = FeatureExtractor(backbone, (5, 10), (0, 50), composites.count, neighbourhoods=(3,))
    image, valid = whole(gappy_scene, survey, composites, extractor, progress)
    rows, columns = np.nonzero(valid)
    picked = np.random.default_rng(0).choice(len(rows), 40, replace=False)
    rows, columns = rows[picked], columns[picked]
    images = SceneImages(gappy_scene, survey.bands, composites)
    single = gather_features(images, extractor, STRIDE, rows, columns, progress)
    assert single.shape == (40, 3 * 2 * sum(backbone.layers[k].channels for k in (5, 10)) + 9)
    np.testing.assert_allclose(single, image[:, rows, columns].T, atol=1e-4)


def test_only_patches_with_a_pixel_are_computed(gappy_scene, backbone, progress, monkeypatch):
    survey = survey_scene(gappy_scene)
    composites = make_composites("true colour", survey)
    extractor = FeatureExtractor(backbone, (3,), (0,), 1)
    seen = []
    monkeypatch.setattr(FeatureExtractor, "__call__", lambda self, patches: seen.append(len(patches)) or
                        np.zeros((len(patches), self.channels, 32, 32), np.float32))  # fmt: skip
    images = SceneImages(gappy_scene, survey.bands, composites)
    gather_features(images, extractor, STRIDE, np.array([5]), np.array([5]), progress)
    assert sum(seen) == 1


def test_strips_give_the_same_features(gappy_scene, backbone, progress, monkeypatch):
    survey = survey_scene(gappy_scene)
    composites = make_composites("true colour", survey)
    extractor = FeatureExtractor(backbone, (8,), (0,), 1)
    at_once, _ = whole(gappy_scene, survey, composites, extractor, progress)
    monkeypatch.setattr(features_module, "STRIP_VALUES", 1)
    in_strips, _ = whole(gappy_scene, survey, composites, extractor, progress)
    np.testing.assert_allclose(in_strips, at_once, atol=1e-5)


def test_strips_are_narrower_where_a_pixel_takes_more_memory(scene_path, backbone, progress, monkeypatch):
    extractor = FeatureExtractor(backbone, (8,), (0,), 1)
    monkeypatch.setattr(features_module, "STRIP_VALUES", 300_000)
    monkeypatch.setattr(FeatureExtractor, "__call__", lambda self, patches:
                        np.zeros((len(patches), self.channels, 32, 32), np.float32))  # fmt: skip
    with Scene.open(str(scene_path)) as scene:
        survey = survey_scene(scene)
        images = SceneImages(scene, survey.bands, make_composites("true colour", survey))
        for more, widest in (({}, WIDTH), ({"derived": 500}, STRIDE), ({"reach": 20}, 2 * STRIDE)):
            pieces = iterate_features(images, extractor, STRIDE, progress, **more)
            assert max(window.width for window, *_ in pieces) == widest


@pytest.mark.parametrize(("fitting", "sizes"), [(3, [3, 3, 3, 1]), (0, [1] * 10), (100, [8, 2])])
def test_as_many_patches_go_through_the_unet_at_once_as_fit(backbone, monkeypatch, fitting, sizes):
    """But no more than 24 images."""
    extractor = FeatureExtractor(backbone, (8, 9), (0,), 3)
    monkeypatch.setattr(features_module, "BATCH_VALUES", fitting * extractor.channels * 32 * 32)
    assert [len(batch) for batch in features_module._batches(list(range(10)), extractor)] == sizes


def test_rows_wholly_beyond_the_edge_are_mirrored_in_streams_too(scene_path, backbone, progress):
    stride = 8
    with Scene.open(str(scene_path)) as scene:
        survey = survey_scene(scene)
        composites = make_composites("true colour", survey)
        extractor = FeatureExtractor(backbone, (8,), (0,), 1)
        image = np.zeros((extractor.channels, HEIGHT, WIDTH), np.float32)
        images = SceneImages(scene, survey.bands, composites)
        for window, _, _, values in iterate_features(images, extractor, stride, progress):
            image[(slice(None), *window.toslices())] = values
        rows, columns = np.array([HEIGHT - 1, HEIGHT - 3, 0]), np.array([0, WIDTH - 1, 50])
        single = gather_features(images, extractor, stride, rows, columns, progress)
    np.testing.assert_allclose(single, image[:, rows, columns].T, atol=1e-4)


def test_a_patch_counts_most_in_its_centre_and_hardly_at_its_edge():
    window = blend_window(32)
    assert window.min() > 0
    assert window.argmax() in (15 * 32 + 15, 15 * 32 + 16, 16 * 32 + 15, 16 * 32 + 16)
    assert window[0].max() < 0.01 * window.max()


def test_activations_are_enlarged_about_the_centres_of_their_pixels(backbone):
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    found = FeatureExtractor(backbone, (8,), (0,), 1)._enlarge(ramp)[0, 0, 0]
    torch.testing.assert_close(found, ((torch.arange(32) + 0.5) / 4 - 0.5).clip(0, 7))


def test_projecting_before_enlarging_equals_projecting_after(gappy_scene, backbone, progress):
    survey = survey_scene(gappy_scene)
    composites = make_composites("principal components", survey)
    settings = (backbone, (2, 5, 11), (0, 100), composites.count)
    plain_extractor = FeatureExtractor(*settings, neighbourhoods=(3, 5))
    plain, valid = whole(gappy_scene, survey, composites, plain_extractor, progress)
    projection = fit_spatial(plain[:, valid].T, means=18)
    extractor = FeatureExtractor(*settings, projection=projection, neighbourhoods=(3, 5))
    projected, _ = whole(gappy_scene, survey, composites, extractor, progress)
    np.testing.assert_allclose(projected[:, valid].T, projection.apply(plain[:, valid].T), atol=2e-4)


def test_neighbourhoods_are_averaged_by_themselves(backbone):
    patch = np.random.default_rng(0).uniform(-1, 1, (1, 2, 3, 32, 32)).astype(np.float32)
    features = FeatureExtractor(backbone, (8,), (0,), 2, neighbourhoods=(3, 5))(patch)[0]
    for index, size in enumerate((3, 5)):
        means = features[len(features) - 12 + 6 * index :][:6]
        expected = uniform_filter(patch.reshape(6, 32, 32), (0, size, size))
        np.testing.assert_allclose(means[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2], atol=1e-5)
        corner = patch.reshape(6, 32, 32)[:, : size // 2 + 1, : size // 2 + 1].mean((1, 2))
        np.testing.assert_allclose(means[:, 0, 0], corner, atol=1e-5)


def test_means_of_neighbourhoods_stay_apart_from_the_spatial_features():
    values = np.random.default_rng(0).normal(3, (1, 2, 3, 4, 5), (200, 5)).astype(np.float32)
    projected = fit_spatial(values, means=2).apply(values)
    assert projected.shape == (200, 5)
    assert np.square(projected[:, -2:]).mean() == pytest.approx(1, rel=1e-3)
    # A rotation and one scale: distances keep their ratios.
    before, after = (np.linalg.norm(x[1:] - x[0], axis=1) for x in (values[:, 3:], projected[:, -2:]))
    np.testing.assert_allclose(after / before, after[0] / before[0], rtol=1e-3)
    np.testing.assert_allclose(projected[:, :-2], fit_spatial(values[:, :3]).apply(values[:, :3]), atol=1e-5)


def test_spatial_features_have_half_the_deviation_of_a_standard_one():
    features = np.random.default_rng(0).normal(3, 7, (500, 6)).astype(np.float32)
    projected = fit_spatial(features).apply(features)
    assert np.sqrt(projected.var(0).mean()) == pytest.approx(0.5, rel=1e-3)


def test_the_48_spatial_features_of_largest_variance_are_kept_largest_first():
    deviations = np.r_[np.full(12, 0.1), np.geomspace(1, 9, 48)]
    features = np.random.default_rng(0).normal(3, deviations, (2000, 60)).astype(np.float32)
    projection = fit_spatial(features)
    assert projection.components.shape == (48, 60)
    assert np.abs(projection.components[:, :12]).max() < 0.1 * np.abs(projection.components).max()
    assert (np.diff(projection.apply(features).std(0)) < 0).all()
    assert len(fit_spatial(features[:5]).components) <= 5


def test_a_projection_subtracts_its_mean():
    projection = Projection(np.array([1.0, 2.0], np.float32), np.array([[2.0, 0.0]], np.float32))
    np.testing.assert_allclose(projection.apply(np.array([[2.0, 5.0]])), [[2.0]])


def test_the_noise_is_shared_fixed_and_follows_the_seed(backbone):
    patch = np.random.default_rng(0).uniform(-1, 1, (1, 1, 3, 32, 32)).astype(np.float32)
    twice = FeatureExtractor(backbone, (8,), (200,), 1, seed=1)(np.concatenate([patch, patch]))
    np.testing.assert_allclose(twice[0], twice[1], atol=1e-5)
    again = FeatureExtractor(backbone, (8,), (200,), 1, seed=1)(patch)
    np.testing.assert_array_equal(again, FeatureExtractor(backbone, (8,), (200,), 1, seed=1)(patch))
    noise = torch.randn((1, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    noised = backbone.conditioning.add_noise(torch.from_numpy(patch[:, 0]), noise, 200)
    np.testing.assert_allclose(again, backbone.activations(noised, 200, (8,))[0], atol=1e-5)
    other = FeatureExtractor(backbone, (8,), (200,), 1, seed=2)(patch)
    assert np.abs(other - again).max() > 1e-3


def test_channels_come_composite_by_composite_then_by_timestep_then_by_layer(backbone):
    patch = np.random.default_rng(0).uniform(-1, 1, (1, 2, 3, 32, 32)).astype(np.float32)
    alone = [FeatureExtractor(backbone, (layer,), (timestep,), 1)(patch[:, k : k + 1])
             for k in (0, 1) for timestep in (200, 0) for layer in (5, 2)]  # fmt: skip
    together = FeatureExtractor(backbone, (5, 2), (200, 0), 2)(patch)
    np.testing.assert_allclose(together, np.concatenate(alone, 1), atol=1e-5)


def test_noising_follows_the_schedule(backbone):
    # x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, with abar the running product of 1 - beta.
    betas = torch.linspace(1e-4, 0.02, 1000)
    expected = torch.cumprod(1 - betas, 0)
    torch.testing.assert_close(backbone.conditioning.signal**2, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(backbone.conditioning.noise**2, 1 - expected, rtol=1e-4, atol=1e-6)


def test_layers_match_the_blocks_of_the_unet(backbone):
    image = torch.rand(1, 3, 32, 32)
    seen = {}
    blocks = backbone._unet.up_blocks
    hooks = [b.register_forward_hook(lambda m, i, o, k=k: seen.__setitem__(k, o)) for k, b in enumerate(blocks)]
    backbone._unet(image, 0)
    for hook in hooks:
        hook.remove()
    # The last layer of a block is the block's own output, its upsampler included.
    for block, layer in enumerate((2, 5, 8, 11)):
        torch.testing.assert_close(backbone.activations(image, 0, [layer])[0], seen[block])
    assert [layer.stride for layer in backbone.layers] == [8, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1, 1]


def test_asking_for_a_layer_or_timestep_that_does_not_exist_says_which_do(backbone):
    with pytest.raises(EngineError, match=r"no decoder layer 12; it has the layers 0 \(deepest\) to 11"):
        FeatureExtractor(backbone, (12,), (0,), 1)
    with pytest.raises(EngineError, match="no timestep 1000; choose from 0 to 999"):
        FeatureExtractor(backbone, (1,), (1000,), 1)


@pytest.mark.parametrize("stride", [0, 15, 33, 40])
def test_an_impossible_stride_is_one_sentence(stride):
    with pytest.raises(EngineError, match="does not fit patches of 32 pixels"):
        PatchGrid(10, 10, 32, stride)


def test_invalid_pixels_take_the_value_of_the_nearest_valid_one():
    image = np.array([[[1.0, 0.0, 0.0, 4.0]]])
    valid = np.array([[True, False, False, True]])
    np.testing.assert_array_equal(fill_invalid(image, valid), [[[1.0, 1.0, 4.0, 4.0]]])


@pytest.mark.parametrize(("chunk", "columns"), [(30_000_000, WIDE), (40 * 300 * 16, 256)])
def test_windows_are_bounded_whole_blocks_that_cover_the_scene_once(tmp_path, progress, monkeypatch, chunk, columns):
    monkeypatch.setattr(pieces, "CHUNK_VALUES", chunk)
    seen = np.zeros((50, WIDE), int)
    with Scene.open(str(write_scene(tmp_path / "s.tif", np.ones((3, 50, WIDE), np.float32)))) as scene:
        for window in pieces.bounded_windows(scene, 40, progress):
            rows, cols = window.toslices()
            seen[rows, cols] += 1
            assert window.row_off % 16 == window.col_off % 256 == 0
            assert window.width <= columns
            assert window.width * window.height * 40 <= chunk
    assert (seen == 1).all()
