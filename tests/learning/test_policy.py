"""The shared reading of prompts gives what running every sequence whole gives, in values and in gradients."""

import pytest
import torch
from makers import prompts, tiny

RESPONSES = [[9, 30, 41], [12, 55], [60, 61, 62, 63, 64], [7], [100, 101, 102], [8, 8, 8, 8]]


@pytest.fixture(scope="module")
def loaded():
    return tiny()


def test_shared_prompts_equal_whole_sequences_in_values_and_gradients(loaded):
    first, second = prompts(loaded, 2)
    owners = [first, first, second, second, first, second]
    results = []
    for share in (True, False):
        loaded.policy.model.zero_grad()
        logprobs, mask, entropies = loaded.policy.token_logprobs(
            owners, RESPONSES, temperature=0.7, share_prompts=share, with_entropy=True
        )
        (logprobs * torch.arange(1, 7)[:, None]).sum().backward()
        gradients = {name: p.grad.clone() for name, p in loaded.policy.model.named_parameters() if p.grad is not None}
        results.append((logprobs.detach(), mask, entropies, gradients))
    (shared, mask, entropy, gradients), (whole, whole_mask, whole_entropy, whole_gradients) = results
    assert mask.sum() == sum(len(response) for response in RESPONSES) and torch.equal(mask, whole_mask)
    torch.testing.assert_close(shared, whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(entropy, whole_entropy, atol=1e-5, rtol=0)
    assert any("visual" in name for name in gradients), "no gradient reached the vision tower"
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, whole_gradients[name], atol=1e-5, rtol=1e-4)


def test_attempts_of_prompts_with_equal_sized_images_never_swap_pictures(loaded):
    # R1-V PR#54, Med-R1: with batch > 1 a reply was scored against another patient's picture, silently
    three = prompts(loaded, 3, modalities=["CT"])
    assert len({tuple(prompt.token_ids) for prompt in three}) == 1, "the prompts must differ in their pictures alone"
    alone = [loaded.policy.token_logprobs([p], [RESPONSES[2]], temperature=1.0)[0][0] for p in three]
    assert not torch.allclose(alone[0], alone[1], atol=1e-4), "the picture makes no difference; the test would be empty"
    owners = [three[i] for i in (0, 0, 1, 1, 2, 2, 2, 0)]
    together, _, _ = loaded.policy.token_logprobs(owners, [RESPONSES[2]] * 8, temperature=1.0)
    for owner, row in zip(owners, together):
        torch.testing.assert_close(row, alone[three.index(owner)], atol=1e-5, rtol=0)


def test_two_images_in_one_prompt_keep_their_order(loaded):
    from dataclasses import replace

    from makers import builder, samples

    one, other = samples(2, modalities=["CT"])
    making = builder(loaded)
    question = ({"role": "user", "content": "<image><image>Which is it?"},)
    forth = making.build(replace(one, messages=question, images=(*one.images, *other.images)))
    back = making.build(replace(one, messages=question, images=(*other.images, *one.images)))
    both, _, _ = loaded.policy.token_logprobs([forth, back], [RESPONSES[0]] * 2, temperature=1.0)
    alone, _, _ = loaded.policy.token_logprobs([back], [RESPONSES[0]], temperature=1.0)
    torch.testing.assert_close(both[1], alone[0], atol=1e-5, rtol=0)
    assert not torch.allclose(both[0], both[1], atol=1e-4)


def test_prompts_of_different_lengths_pad_without_trace(loaded):
    from dataclasses import replace

    from makers import builder, samples

    making = builder(loaded)
    short = samples(1)[0]
    long = replace(short, messages=({"role": "user", "content": "<image>" + "Look at this picture again. " * 9},))
    text = replace(short, messages=({"role": "user", "content": "How many?"},), images=())
    mixed = [making.build(sample) for sample in (short, long, text)]
    together, _, _ = loaded.policy.token_logprobs(mixed, RESPONSES[:3], temperature=1.0)
    for prompt, response, row in zip(mixed, RESPONSES, together):
        alone, _, _ = loaded.policy.token_logprobs([prompt], [response], temperature=1.0)
        torch.testing.assert_close(row[: len(response)], alone[0], atol=1e-5, rtol=0)


def test_log_probabilities_equal_those_of_transformers(loaded):
    from medrl.learning.policy import Policy

    prompt = prompts(loaded, 1)[0]
    plain = Policy(loaded.policy.model, forbidden_ids=[], stop_ids=[0], pad_id=0)
    ours, _, _ = plain.token_logprobs([prompt], [RESPONSES[2]], temperature=1.0)
    ids = torch.tensor([[*prompt.token_ids, *RESPONSES[2]]])
    with torch.no_grad():
        logits = loaded.policy.model(
            input_ids=ids,
            pixel_values=prompt.pixel_values,
            image_grid_thw=prompt.image_grid_thw,
            mm_token_type_ids=(ids == loaded.policy.model.config.image_token_id).int(),
        ).logits[0, len(prompt.token_ids) - 1 : -1]
    theirs = logits.log_softmax(-1).gather(-1, torch.tensor(RESPONSES[2])[:, None])[:, 0]
    torch.testing.assert_close(ours[0], theirs, atol=1e-5, rtol=0)


def test_forbidden_tokens_have_no_probability_and_entropy_stays_finite(loaded):
    prompt = prompts(loaded, 1)[0]
    image_token = loaded.policy.core.config.image_token_id
    assert image_token in loaded.policy.forbidden_ids.tolist()
    logprobs, _, entropies = loaded.policy.token_logprobs(
        [prompt], [[5, image_token]], temperature=1.0, with_entropy=True
    )
    assert logprobs[0, 1] == float("-inf") and torch.isfinite(entropies).all() and (entropies[0] > 0).all()


def test_bfloat16_compute_keeps_float32_weights():
    loaded = tiny(dtype="bfloat16")
    assert {p.dtype for p in loaded.policy.model.parameters()} == {torch.float32}
    exact, rough = tiny().policy, loaded.policy
    prompt = prompts(loaded, 1)[0]
    a, _, _ = exact.token_logprobs([prompt], [RESPONSES[0]], temperature=1.0)
    b, _, _ = rough.token_logprobs([prompt], [RESPONSES[0]], temperature=1.0)
    assert not torch.equal(a, b)
    torch.testing.assert_close(a, b, atol=0.05, rtol=0)
