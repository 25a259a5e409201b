"""The adapters: a missing package is told at once, and a package of the published signature is called as it wants to be.

None of the four packages is installed here, so their calls are tried on stand-ins with the signatures read from radgraph
0.1.18, f1chexbert 0.0.2, RaTEScore 0.6.0 and the repository of GREEN; their numbers are theirs and not tested.
"""

import sys

import pytest
from makers import prompts, tiny

from medrl.errors import MedrlError
from medrl.plugin import load_plugin
from medrl.recipe import Reward
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import probe

compute_score = load_plugin("rewards/report_models.py", "compute_score").target
PACKAGES = compute_score.__globals__["PACKAGES"]
STAND_INS = {
    "radgraph": """
class F1RadGraph:
    def __init__(self, reward_level, model_type=None, **kwargs):
        assert (reward_level, model_type, kwargs) == ("partial", "radgraph-xl", {"cuda": -1})
    def __call__(self, refs, hyps):
        assert (refs, hyps) == (["reference"], ["report"])
        return 0.25, [0.25], [], []
""",
    "f1chexbert": """
class F1CheXbert:
    def __init__(self, refs_filename=None, hyps_filename=None, device=None, **kwargs):
        assert device == "cpu"
    def get_label(self, report, mode="rrg"):
        return [1, 1, 0, 0] if report == "report" else [1, 0, 0, 1]
""",
    "RaTEScore": """
class RaTEScore:
    def __init__(self, bert_model="", eval_model="", batch_size=1, use_gpu=True, **kwargs):
        assert not use_gpu
    def compute_score(self, candidate_list, reference_list):
        assert reference_list == ["reference"]
        return [0.75 if candidate_list == ["report"] else 0.5]
""",
    "green_score": """
class GREEN:
    def __init__(self, model_name, output_dir="."):
        assert model_name == "StanfordAIMI/GREEN-radllama2-7b"
    def __call__(self, refs, hyps):
        assert refs == ["reference"]
        return 0.6, 0.0, [0.6 if hyps == ["report"] else None], "", None
""",
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    for module, source in STAND_INS.items():
        (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for module in STAND_INS:
        sys.modules.pop(module, None)
    compute_score.__globals__["_scorer"].cache_clear()


def scored(answer, **kwargs):
    return compute_score("x", f"<answer>{answer}</answer>", "reference", None, **kwargs)


@pytest.mark.parametrize("scorer", sorted(PACKAGES))
def test_a_missing_package_is_told_before_the_run_with_what_to_install(scorer):
    module, install = PACKAGES[scorer]
    rewards = load_rewards({"report": Reward("rewards/report_models.py", kwargs={"scorer": scorer})})
    with pytest.raises(MedrlError, match=rf"needs the package {module}.*pip install {install}"):
        probe(rewards, prompts(tiny(), 1)[0])
    with pytest.raises(MedrlError):  # also where the reply has no answer: the recipe is at fault, not the reply
        compute_score("x", "", "reference", scorer=scorer)


@pytest.mark.parametrize("scorer, score", [("radgraph", 0.25), ("chexbert", 0.5), ("ratescore", 0.75), ("green", 0.6)])
def test_the_calls(installed, scorer, score):
    assert scored("report", scorer=scorer) == {"score": score, "answered": 1.0}
    assert scored("", scorer=scorer) == {"score": 0.0, "answered": 0.0}


def test_half_a_point_for_nothing_is_not_passed_on(installed):
    assert scored("hello", scorer="ratescore")["score"] == 0.0


def test_a_judge_model_out_of_form_is_missing_and_not_zero(installed):
    with pytest.raises(RuntimeError, match="gave no score"):
        scored("hello", scorer="green")


def test_an_unknown_scorer_and_a_row_without_a_report():
    with pytest.raises(ValueError, match="expected one of radgraph"):
        scored("report", scorer="bleu")
    with pytest.raises(ValueError, match="the reference report"):
        compute_score("x", "", " ", scorer="radgraph")
