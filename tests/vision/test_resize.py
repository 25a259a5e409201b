"""The resize rule equals transformers', in numbers and in what its real image processor produces."""

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import AutoConfig
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.got_ocr2 import GotOcr2ImageProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor, smart_resize

from medrl.errors import MedrlError
from medrl.vision.open import image_size, open_image
from medrl.vision.resize import FAMILIES, family_of, image_tokens, resized_size

WHOLE = [family for family in FAMILIES if family.tile_px is None]
DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
MIN_PIXELS, MAX_PIXELS = 56 * 56, 80_000  # small, so that 200 images go through the processor in seconds
EDGE_SIZES = [(1, 1), (1, 200), (200, 1), (5, 3), (13, 14), (14, 14), (28, 28), (42, 70), (4000, 20)]


def random_sizes(count, seed):
    """(width, height): log-uniform from 1 to 3000, so tiny and long ones are common; ratios up to 200."""
    rng = random.Random(seed)
    sizes = []
    while len(sizes) < count:
        width, height = (round(3000 ** rng.random()) for _ in range(2))
        if max(width, height) <= 200 * min(width, height):
            sizes.append((width, height))
    return sizes


def processor_of(family, min_pixels, max_pixels):
    size = {"shortest_edge": min_pixels, "longest_edge": max_pixels}
    return Qwen2VLImageProcessor(patch_size=family.patch_size, merge_size=family.merge_size, size=size)


@pytest.mark.parametrize("family", WHOLE, ids=lambda family: family.model_type)
def test_families_match_transformers_own_configs(family):
    vision = AutoConfig.for_model(family.model_type).vision_config
    assert (family.patch_size, family.merge_size) == (vision.patch_size, vision.spatial_merge_size)
    dense = family.model_type.removesuffix("_moe")  # a mixture of experts shares the dense model's processor
    assert IMAGE_PROCESSOR_MAPPING_NAMES[dense]["torchvision"] == "Qwen2VLImageProcessor"


def test_the_frame_of_each_family_is_the_one_it_was_trained_on():
    assert {family.model_type: family.box_frame for family in FAMILIES} == {
        "qwen2_vl": "norm1000",
        "qwen2_5_vl": "px_model",
        "qwen3_vl": "norm1000",
        "qwen3_vl_moe": "norm1000",
        "internvl": "norm1000",
    }


def test_internvl_matches_transformers_own_config():
    family, config = family_of("internvl"), AutoConfig.for_model("internvl")
    vision = config.vision_config
    assert (list(vision.patch_size), list(vision.image_size)) == ([family.patch_size] * 2, [family.tile_px] * 2)
    assert config.downsample_ratio == 1 / family.merge_size
    assert image_tokens(100, 100, family, 1, 448 * 448) == config.image_seq_length
    assert IMAGE_PROCESSOR_MAPPING_NAMES["internvl"]["torchvision"] == "GotOcr2ImageProcessor"


@pytest.mark.parametrize(("fewest", "most"), [(1, 1), (1, 4), (1, 12), (2, 6)])
def test_tiles_are_those_of_the_real_processor(fewest, most):
    family, tile = family_of("internvl"), 448 * 448
    processor = GotOcr2ImageProcessor(size={"height": 448, "width": 448}, crop_to_patches=True)
    # shapes of which several grids are as near, above and below half a grid's pixels
    ties = [
        (step * columns, step * rows) for step in (100, 317, 448, 600) for columns in (1, 2, 3) for rows in (1, 2, 3)
    ]
    for width, height in [*random_sizes(500, seed=most), *EDGE_SIZES, *ties]:
        given = {"min_patches": fewest, "max_patches": most}
        tiles = processor.get_number_of_image_patches(height, width, given)
        assert image_tokens(width, height, family, fewest * tile, most * tile + 5) == 256 * tiles, (width, height)
    for width, height in [(600, 250), (200, 900)]:
        image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))
        made = processor([image], crop_to_patches=True, **given, return_tensors="pt")
        assert len(made["pixel_values"]) * 256 == image_tokens(width, height, family, fewest * tile, most * tile)
        columns, rows = (side // 448 for side in resized_size(width, height, family, fewest * tile, most * tile))
        assert columns * rows + (columns * rows > 1) == len(made["pixel_values"])


def test_a_picture_budget_below_one_tile_is_refused():
    with pytest.raises(MedrlError, match=r"max_pixels=200703.*448 x 448 = 200704"):
        resized_size(100, 100, family_of("internvl"), 784, 448 * 448 - 1)


@pytest.mark.parametrize("factor", [28, 32])
@pytest.mark.parametrize("limits", [(3136, 12_845_056), (3136, 802_816), (65_536, 1 << 24), (90_000, 90_000)])
def test_equals_smart_resize(factor, limits):
    for width, height in random_sizes(2000, seed=factor) + EDGE_SIZES:
        expected = smart_resize(height, width, factor, *limits)[::-1]
        assert resized_size(width, height, factor, *limits) == expected, (width, height)


@pytest.mark.parametrize("family", WHOLE, ids=lambda family: family.model_type)
def test_tokens_equal_the_merged_patches_of_the_real_processor(family):
    processor = processor_of(family, MIN_PIXELS, MAX_PIXELS)
    for width, height in random_sizes(200, seed=family.patch_size) + EDGE_SIZES:
        features = processor([Image.new("RGB", (width, height))], return_tensors="pt")
        _frames, rows, columns = features["image_grid_thw"][0].tolist()
        resized_width, resized_height = resized_size(width, height, family, MIN_PIXELS, MAX_PIXELS)
        assert (columns * family.patch_size, rows * family.patch_size) == (resized_width, resized_height)
        merged = len(features["pixel_values"]) // family.merge_size**2
        assert image_tokens(width, height, family, MIN_PIXELS, MAX_PIXELS) == merged, (width, height)


@pytest.mark.parametrize("pattern", ["bccd/**/*.jpg", "nih_cxr14/**/*.png", "vqa_rad/**/*.jpg"])
def test_tokens_of_real_images_need_only_their_headers(pattern):
    family = family_of("qwen2_5_vl")
    processor = processor_of(family, MIN_PIXELS, 802_816)
    paths = sorted(DATA.glob(pattern))[:4]
    if not paths:
        pytest.skip(f"no real images at {DATA / pattern}")
    for path in paths:
        features = processor([open_image({"path": str(path)})], return_tensors="pt")
        tokens = image_tokens(*image_size({"path": str(path)}), family, MIN_PIXELS, 802_816)
        assert tokens == len(features["pixel_values"]) // family.merge_size**2


def test_an_aspect_ratio_above_200_is_refused_by_both():
    for width, height in [(201, 1), (1, 201), (40_003, 200)]:
        with pytest.raises(ValueError):
            smart_resize(height, width, 28, MIN_PIXELS, MAX_PIXELS)
        with pytest.raises(MedrlError, match=f"{width} x {height}.*200"):
            resized_size(width, height, 28, MIN_PIXELS, MAX_PIXELS)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((0, 10, 28, 1, 100), "0 x 10"),
        ((10, -3, 28, 1, 100), "10 x -3"),
        ((10, 10, 28, 200, 100), "min_pixels=200, max_pixels=100"),
        ((10, 10, 28, 0, 100), "min_pixels=0"),
        ((10, 10, 0, 1, 100), "factor=0"),
    ],
)
def test_impossible_requests_name_what_was_found(arguments, found):
    with pytest.raises(MedrlError, match=found):
        resized_size(*arguments)


def test_an_unknown_family_lists_the_known_ones():
    with pytest.raises(MedrlError, match=r"'llava'.*qwen2_vl, qwen2_5_vl, qwen3_vl"):
        family_of("llava")


def test_the_model_sees_the_size_we_say():
    # px_model boxes are pixels of this very tensor: rebuild its rows and columns from the patches
    family = family_of("qwen2_5_vl")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (123, 457, 3), dtype=np.uint8))
    features = processor_of(family, MIN_PIXELS, MAX_PIXELS)([image], return_tensors="pt")
    width, height = resized_size(*image.size, family, MIN_PIXELS, MAX_PIXELS)
    assert features["pixel_values"].numel() == width * height * 3 * 2  # RGB, each image doubled in time
