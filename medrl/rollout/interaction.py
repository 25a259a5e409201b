"""How episodes with an environment are played: which environment, how actions are written, and where an episode ends."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from medrl.data.sample import Sample
from medrl.dialogue.actions import PROTOCOLS, Protocol
from medrl.dialogue.tokens import PromptBuilder
from medrl.errors import MedrlError
from medrl.plugin import check_call, load_plugin
from medrl.recipe import Env as EnvRecipe
from medrl.rollout.env import Env, MakeEnv, Scene, tool_names
from medrl.rollout.types import Sampling


@dataclass(frozen=True)
class Interaction:
    """`max_turns`: replies of the model; the last one ends the episode, whatever it asks for. `max_images`: pictures an
    episode may show, the sample's own among them. `sha256`: of the environment's file. `val_max_turns`: None as in training."""

    make_env: MakeEnv
    tools: Sequence[dict[str, Any]]
    action_format: str
    max_turns: int
    max_images: int
    sha256: str = ""
    val_max_turns: int | None = None

    @property
    def protocol(self) -> Protocol:
        return PROTOCOLS[self.action_format]

    def in_validation(self) -> "Interaction":
        """Validation may go on for longer than training (Mini-o3: 12 turns after 6)."""
        return replace(self, max_turns=self.val_max_turns or self.max_turns)

    def begin(self, builder: PromptBuilder, sample: Sample) -> tuple[Env, Scene]:
        """A fresh environment that has been shown the sample."""
        if builder.family.box_frame not in ("px_model", "norm1000"):
            raise MedrlError(f"the model family {builder.family.model_type} has no known frame for boxes.")
        scene = Scene(builder.family.box_frame, builder.model_size, root=builder.root)
        for number, picture in enumerate(builder.pictures(sample)):
            # a copy: an environment that draws on it in place must not draw on the next attempt's
            scene.show(picture.copy(), number, (0.0, 0.0, float(picture.width), float(picture.height)))
        env = self.make_env()
        env.reset(sample, scene)
        return env, scene

    def stopping(self, builder: PromptBuilder, sampling: Sampling) -> Sampling:
        """The same, with generation stopping at the end of an action, be that one token or the text of several."""
        text = self.protocol.end
        if text is None:
            return sampling
        ids = builder.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) == 1:
            return replace(sampling, stop_ids=(*sampling.stop_ids, ids[0]))
        return replace(sampling, end=builder.action_end(text))

    def wrapped(self, text: str) -> str:
        """An observation's text as this way of writing actions has it."""
        return f"<tool_response>{text}</tool_response>" if self.action_format == "hermes" else text


def load_interaction(given: EnvRecipe, beside: Path | None = None) -> Interaction | None:
    """The recipe's `env:` section; None where it names none. MedrlError when it cannot be made or offers no tool."""
    if given.use is None:
        return None
    plugin = load_plugin(given.use, "Env", beside)
    check_call(plugin, (), dict(given.kwargs))
    make = partial(plugin.target, **given.kwargs)
    try:
        tools = make().tools
        names = tool_names(tools)
    except MedrlError as error:  # it says what it misses
        raise MedrlError(f"env.use={given.use}: {error}") from None
    except Exception as error:
        raise MedrlError(
            f"env.use={given.use}: {plugin.path} does not work: {type(error).__name__}: {error}."
        ) from None
    if not names:
        raise MedrlError(f"env.use={given.use}: {plugin.path} offers no tool; expected JSON schemas in `tools`.")
    return Interaction(
        make, tools, given.action_format, given.max_turns, given.max_images, plugin.sha256, given.val_max_turns
    )
