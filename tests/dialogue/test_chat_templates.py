"""The short templates of tests/chat_models.py write what the published ones write; TRL ships copies of two."""

from pathlib import Path

import chat_models
import jinja2.sandbox
import pytest
import trl
from transformers import AutoProcessor

PUBLISHED = {"qwen2_vl": "qwen2_5_vl", "qwen2_5_vl": "qwen2_5_vl", "qwen3_vl": "qwen3_vl"}  # the first two share theirs
PICTURE, OTHER = {"type": "image"}, {"type": "text", "text": "again  {{ x }}\n"}
TALKS = (
    [{"role": "user", "content": "Hello"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [PICTURE, PICTURE, OTHER]}],
    [
        {"role": "user", "content": [OTHER, PICTURE, OTHER]},
        {"role": "assistant", "content": "<think>\n\nx</think> <tool_call>{}</tool_call>"},
        {"role": "user", "content": [PICTURE, {"type": "text", "text": "<tool_response></tool_response>"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A"}]},
    ],
)


@pytest.mark.parametrize("family", PUBLISHED)
@pytest.mark.parametrize("prompting", [True, False])
def test_the_short_templates_write_what_the_published_ones_write(family, prompting):
    path = Path(trl.__file__).parent / "chat_templates" / f"{PUBLISHED[family]}.jinja"
    # as transformers renders them
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    published = environment.from_string(path.read_text())
    for talk in TALKS:
        ours = chat_models.processor(family).apply_chat_template(talk, tokenize=False, add_generation_prompt=prompting)
        assert ours == published.render(messages=talk, add_generation_prompt=prompting)


@pytest.mark.parametrize("family", chat_models.FAMILIES)
def test_the_processors_are_those_transformers_loads(family, tmp_path):
    chat_models.processor(family).save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is type(chat_models.processor(family)) and loaded.image_token
    assert loaded.tokenizer.get_vocab() == chat_models.tokenizer(family).get_vocab()
