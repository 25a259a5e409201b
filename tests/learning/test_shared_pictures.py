"""Reading each distinct picture once changes how much the vision tower reads, and nothing else."""

import copy

import pytest
import torch
from makers import tiny
from playing import ANSWER, call, making, play, zooming

from medrl.learning.shared_pictures import distinct, read_once
from medrl.learning.tiny import build_tiny

GRIDS = torch.tensor([[1, 4, 4], [1, 4, 8], [1, 4, 4], [1, 4, 4], [1, 4, 8]])
SAME_AS = [0, 1, 2, 0, 1]  # the third has the size of the first and other pixels


@pytest.fixture(scope="module")
def tower():
    return build_tiny()[0].model.visual


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


def test_a_group_with_pictures_of_its_own_reads_the_prompts_picture_once():
    """Rows are run whole, since each was shown something else; their prompt's picture is the same one in all."""
    loaded = tiny()
    made = making(loaded)
    boxes = [(28, 28, 56, 56), (0, 0, 28, 28), (28, 28, 56, 56)]
    first = play(made, [call(boxes[0]), ANSWER], zooming())
    rows = [first, *(play(made, [call(box), ANSWER], zooming()) for box in boxes[1:])]
    given = [row.whole_prompt for row in rows], [row.token_ids for row in rows]
    read = []
    hook = loaded.policy.core.model.visual.patch_embed.register_forward_hook(
        lambda module, pixels, found: read.append(len(found))
    )
    with torch.no_grad():
        together, _, _ = loaded.policy.token_logprobs(*given, temperature=1.0, masks=[row.mask for row in rows])
        patches = [int(grid.prod()) for grid in first.whole_prompt.image_grid_thw]
        assert read == [patches[0] + 2 * patches[1]], "the prompt's picture, and two different regions of it"
        for row, values in zip(rows, together):
            alone, _, _ = loaded.policy.token_logprobs(
                [row.whole_prompt], [row.token_ids], temperature=1.0, masks=[row.mask]
            )
            torch.testing.assert_close(values[: alone.shape[1]], alone[0], atol=1e-6, rtol=0)
    hook.remove()


def test_a_copy_of_a_tower_reads_with_its_own_weights(tower):
    shared = copy.deepcopy(tower)
    read_once(shared)
    other = copy.deepcopy(shared)
    with torch.no_grad():
        other.patch_embed.proj.weight.mul_(2)
        pixels = pictures(tower.patch_embed.proj.weight[0].numel())
        assert not torch.allclose(other(pixels, grid_thw=GRIDS)[1], shared(pixels, grid_thw=GRIDS)[1])
