"""The optional loggers write what the journal holds, without network or account."""

import pytest
from makers import recipe

from medrl.errors import MedrlError
from medrl.record.loggers import ExternalLoggers

ENTRIES = [
    {"stage": "sft", "step": 1, "sft/loss": 2.0},
    {"stage": "grpo", "step": 1, "reward/mean": 0.25},
    {"stage": "grpo", "step": 2, "reward/mean": 0.5, "health/zero_spread": 1.0, "alarms": [{"name": "zero_spread"}]},
    {"stage": "grpo", "step": 3, "health/zero_spread": 0.0, "alarms_cleared": ["zero_spread"]},
]


def test_tensorboard_holds_every_number(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = ExternalLoggers(recipe(tmp_path, loggers={"tensorboard": True}), tmp_path)
    for entry in ENTRIES:
        loggers.log(entry)
    loggers.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("grpo/reward/mean")] == [(1, 0.25), (2, 0.5)]
    assert [(event.step, event.value) for event in events.Scalars("grpo/health/zero_spread")] == [(2, 1.0), (3, 0.0)]


def test_wandb_offline_needs_no_account_and_a_resume_keeps_the_id(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    settings = recipe(tmp_path, loggers={"wandb": "offline"})
    for _ in range(2):
        loggers = ExternalLoggers(settings, tmp_path)
        for entry in ENTRIES:
            loggers.log(entry)
        loggers.close()
    identity = (tmp_path / "wandb_id").read_text().strip()
    runs = sorted(path for path in (tmp_path / "wandb").iterdir() if path.name.startswith("offline-run"))
    assert runs and all(path.name.endswith(identity) for path in runs)
    assert any(path.suffix == ".wandb" and path.stat().st_size > 0 for path in runs[0].iterdir())


def test_a_logger_that_is_not_installed_says_so(tmp_path, monkeypatch):
    import builtins

    original = builtins.__import__

    def without(name, *rest):
        if name == "wandb":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MedrlError, match=r"pip install medrl\[loggers\]"):
        ExternalLoggers(recipe(tmp_path, loggers={"wandb": "offline"}), tmp_path)
