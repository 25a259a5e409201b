"""Shared fixtures: the tiny model, a prompt builder for it, and where the real data lies."""

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))  # so that tests may share small makers
torch.set_num_threads(1)
settings.register_profile("medrl", deadline=None)  # 200 ms an example is a matter of who else uses the machine
settings.load_profile("medrl")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real medical data beside the repository; its absence is a broken set-up, not a reason to skip."""
    path = REPOSITORY.parent / "shared" / "data"
    assert path.is_dir(), f"{path} is missing; put the shared folder beside the repository"
    return path


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a Hugging Face folder."""
    from medrl.learning.tiny import save_tiny

    return save_tiny(tmp_path_factory.mktemp("tiny"), seed=0)
