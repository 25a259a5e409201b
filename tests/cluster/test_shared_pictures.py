"""Reading each distinct picture once changes how much the vision tower reads, and nothing else."""

import copy

import pytest
import torch
from makers import tiny

from medrl.cluster.shared_pictures import distinct, read_once

GRIDS = torch.tensor([[1, 4, 4], [1, 4, 8], [1, 4, 4], [1, 4, 4], [1, 4, 8]])
SAME_AS = [0, 1, 2, 0, 1]  # the third has the size of the first and other pixels


@pytest.fixture(scope="module")
def tower():
    return tiny().policy.core.model.visual


def pictures(patch_width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(int(grid.prod()), patch_width, generator=generator) for grid in GRIDS]
    return torch.cat([drawn[index] for index in SAME_AS])


def test_features_and_gradients_are_those_of_reading_every_picture(tower):
    plain, shared = copy.deepcopy(tower), copy.deepcopy(tower)
    read_once(shared)
    rows = []
    shared.patch_embed.register_forward_hook(lambda module, given, found: rows.append(len(found)))
    pixels = pictures(tower.patch_embed.proj.weight[0].numel())
    weights = torch.randn(sum(int(grid.prod()) for grid in GRIDS) // 4, 1, generator=torch.Generator().manual_seed(1))
    found = {}
    for name, one in (("plain", plain), ("shared", shared)):
        output = one(pixels, grid_thw=GRIDS)
        (output.pooler_output * weights).sum().backward()  # every copy pulls in a direction of its own
        found[name] = (output, one.patch_embed.proj.weight.grad)
    torch.testing.assert_close(found["shared"][0].pooler_output, found["plain"][0].pooler_output, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        found["shared"][0].last_hidden_state, found["plain"][0].last_hidden_state, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(found["shared"][1], found["plain"][1], atol=1e-3, rtol=1e-4)
    assert rows == [16 + 32 + 16]


def test_pictures_are_the_same_only_with_the_same_pixels_and_the_same_shape():
    one = torch.arange(32.0).reshape(16, 2)
    upside_down = one.flip(0)  # an equal sum
    parts = [one, upside_down, one.clone(), one]
    assert distinct(parts, [[1, 4, 4], [1, 4, 4], [1, 4, 4], [1, 2, 8]]) == ([0, 1, 3], [0, 1, 0, 2])


def test_the_deep_features_of_a_list_are_dealt_out_too():
    class Deep(torch.nn.Module):
        def forward(self, pixels, grid_thw):
            merged = pixels.reshape(-1, 4, pixels.shape[-1]).mean(1)
            return {"last_hidden_state": pixels, "deepstack_features": [merged, merged * 2], "attentions": None}

    shared = Deep()
    pixels = pictures(3)
    wanted = shared(pixels, GRIDS)
    read_once(shared)
    found = shared(pixels, GRIDS)
    assert torch.equal(found["last_hidden_state"], wanted["last_hidden_state"]) and found["attentions"] is None
    for ours, theirs in zip(found["deepstack_features"], wanted["deepstack_features"]):
        assert torch.equal(ours, theirs)
