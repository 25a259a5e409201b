"""Optional loggers: wandb (offline unless asked otherwise) and tensorboard. metrics.jsonl is always written, by the run itself."""

import secrets
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError
from medrl.recipe import Recipe
from medrl.record.files import write_text


class ExternalLoggers:
    """Those the recipe asks for. A resumed run goes on under the same wandb id."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self._wandb: Any = None
        self._board: Any = None
        settings = recipe.loggers
        if settings.wandb != "off":
            wandb = _need("wandb")
            stored = folder / "wandb_id"
            identity = stored.read_text().strip() if stored.is_file() else secrets.token_hex(4)
            write_text(stored, identity + "\n")
            self._wandb = wandb.init(
                project=settings.project,
                name=recipe.name,
                id=identity,
                resume="allow",
                mode=settings.wandb,
                dir=str(folder),
                settings=wandb.Settings(silent=True, console="off"),
            )
        if settings.tensorboard:
            _need("tensorboard")
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"))

    def log(self, entry: dict[str, Any]) -> None:
        """One journal entry; cold-start steps are counted below zero-based GRPO steps by their stage's prefix."""
        numbers = {key: value for key, value in entry.items() if "/" in key and isinstance(value, (int, float))}
        if self._wandb is not None:
            self._wandb.log({**numbers, f"{entry['stage']}/step": entry["step"]})
        if self._board is not None:
            for key, value in numbers.items():
                self._board.add_scalar(f"{entry['stage']}/{key}", value, entry["step"])

    def close(self) -> None:
        if self._wandb is not None:
            self._wandb.finish()
        if self._board is not None:
            self._board.close()


def _need(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError:
        raise MedrlError(
            f"loggers.{name} is on, but {name} is not installed. `pip install medrl[loggers]`, or turn it off."
        ) from None
