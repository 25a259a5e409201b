"""Scripted dialogues with odd bytes: seeded replies of an engine, pictures and an environment that talks back.

Every reply is token ids, as an engine gives them: bytes that are no UTF-8, tokens no tokenizer would choose for their text,
control tokens spelled out in letters.
"""

import asyncio
import io
import random

from PIL import Image

from medrl.data.sample import make_sample
from medrl.dialogue.control import plain_pieces
from medrl.plugin import load_plugin
from medrl.rollout.episode import run_episode
from medrl.rollout.interaction import Interaction
from medrl.rollout.types import Generation, Sampling

ODD = (
    "", " ", "\n\n", "\x00", "\u200b", "\ufeff", "e\u0301", "🙂", "👩‍⚕️", "\u202eאבג\u202c", "الصورة", "Größe", "画像",
    "<image>", "{{ x }}", "{% for %}", "<|im_end|>", "<|im_end|>\n<|im_start|>assistant\n", "<|image_pad|>",
    "<IMG_CONTEXT>", "</img>", "<|vision_end|>", "<|im_<|im_end|>", "</tool_call>", "</tool_response>", "<tool_call>",
    "MEDRLREPLY", "MEDRLTEXT", "<0x0A>", "\\ud83d", "\r", "▁",
)  # fmt: skip
ZoomEnv = load_plugin("envs/zoom.py:ZoomEnv", "Env").target
LIMIT = 100_000  # tokens: none


class Scripted:
    """An engine that says what it was given, then nothing, as far as budget, end tokens and the end of an action let it."""

    def __init__(self, replies, eos):
        self.replies, self.eos, self.said = list(replies), eos, []

    async def generate(self, prompt, token_ids, sampling):
        ids = self.replies.pop(0) if self.replies else [self.eos]
        stops = {self.eos, *sampling.stop_ids}
        first = next((place + 1 for place, index in enumerate(ids) if index in stops), len(ids))
        ids = ids[: min(first, sampling.end.cut(ids) if sampling.end else first)]
        ids, cut = ids[: sampling.max_new_tokens], len(ids) > sampling.max_new_tokens
        self.said.append(ids)
        return Generation(ids, [-0.5] * len(ids), "length" if cut else "eos")


class TalkingZoom(ZoomEnv):
    """The zoom environment, with something to say about what it shows."""

    def __init__(self, seed):
        super().__init__(enlarge=2.0, side_px=200, name="zoom")
        self.random = random.Random(seed)

    def step(self, action):
        shown = super().step(action)
        return type(shown)(**{**vars(shown), "text": odd_text(self.random)})


def odd_text(rng):
    return "seen " + " ".join(rng.choice(ODD) for _ in range(rng.randint(0, 4)))


def spelled(rng, made, text):
    """Token ids of a text, control tokens spelled out, some tokens in single bytes instead."""
    control = made.control_ids.values()
    ids = [index for piece in plain_pieces(text, control) for index in made.tokenizer(piece)["input_ids"]]
    added = made.tokenizer.added_tokens_decoder
    found = []
    for index in ids:
        token = made.tokenizer.convert_ids_to_tokens(index)
        bytewise = rng.random() < 0.1 and index not in added
        found += made.tokenizer.convert_tokens_to_ids(list(token)) if bytewise else [index]
    return found


def odd_ids(rng, made):
    """Any bytes whatever."""
    plain = made.tokenizer.vocab_size - len(made.tokenizer.added_tokens_decoder)
    return [rng.randrange(plain) for _ in range(rng.randint(0, 6))]


def action(rng, protocol):
    """A call in the words of a protocol; one in three is wrong in some way."""
    left, top = rng.randint(0, 60), rng.randint(0, 60)
    box, number = [left, top, left + rng.randint(5, 60), top + rng.randint(5, 60)], rng.choice([0, 0, 0, 0, 1, 2])
    name, broken = "zoom", rng.random() < 0.1
    if rng.random() < 0.15:
        box = rng.choice([[9, 9, 1, 1], "here", [1, 2, 3], [5000, 5000, 6000, 6000]])
    if rng.random() < 0.1:
        name = rng.choice(ODD).replace('"', "").replace("\\", "").replace("\x00", "") + "?"
    box = str(box).replace("'", '"')
    if protocol == "grounding":
        source = "original_image" if number == 0 else f"observation_{number}"
        return f'<grounding>{{"bbox_2d": {box}, "source": "{source}"{"" if broken else "}"}</grounding>'
    call = f'{{"name": "{name}", "arguments": {{"bbox_2d": {box}, "image": {number}}}{"" if broken else "}"}'
    if protocol == "hermes":
        return f"<tool_call>{call}</tool_call>"
    return f'{{"thought": "{rng.choice(["a", "Größe 🙂", "<|im_end|>"])}", "actions": [{call}]}}'


def replies(rng, made, protocol, turns):
    eos = made.tokenizer.eos_token_id
    for turn in range(turns):
        ids = []
        if protocol != "thought_action":
            ids = spelled(rng, made, "<think>") + odd_ids(rng, made) + spelled(rng, made, odd_text(rng) + "</think>")
        if turn < turns - 1:
            ids += spelled(rng, made, action(rng, protocol))
        else:
            ids += spelled(rng, made, "<answer>A</answer>") + odd_ids(rng, made)
        yield [*ids, eos]


def sample_of(rng, number):
    pictures = []
    for _ in range(rng.randint(0 if rng.random() < 0.1 else 1, 2)):
        buffer = io.BytesIO()
        Image.new("RGB", (rng.randint(30, 300), rng.randint(30, 300)), (90, rng.randint(0, 255), 30)).save(
            buffer, "PNG"
        )
        pictures.append({"bytes": buffer.getvalue()})
    question = "Which row, Größe 🙂 \u200b?"
    return make_sample(
        id=f"d{number}", data_source="t", question=question, images=pictures, ground_truth="A", kind="open", split="t"
    )


def play(made, number, budget=LIMIT):
    """(rollout, what the engine said turn by turn, the interaction) of one seeded dialogue."""
    rng = random.Random(number)
    protocol = rng.choice(["hermes", "grounding", "thought_action"])
    env = TalkingZoom(number)
    interaction = Interaction(lambda: TalkingZoom(number), env.tools, protocol, rng.choice([2, 4, 6]), 8)
    prompt = made.build(sample_of(rng, number))
    engine = Scripted(replies(rng, made, protocol, rng.randint(1, 6)), made.tokenizer.eos_token_id)
    played = asyncio.run(run_episode(engine, made, prompt, 0, Sampling(max_new_tokens=budget), interaction))
    return played, engine.said, interaction
