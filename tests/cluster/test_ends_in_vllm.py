"""vLLM stops where the local engine stops, with the tokens it sampled, and says nothing that is banned."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_runs import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_ends_of_several_tokens_and_banned_tokens():
    script = Path(__file__).parent / "ends_in_vllm.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["dialogues"] == found["cut"] == 6 and found["differ"] == 0
    assert found["banned"] == 0 < found["banned_without_bias"], "at this temperature it would have said some"
