"""Graders of published systems, written anew from descriptions of their code, each with verl's signature.

    medrl reward attack benchmarks/published_graders.py:visual_rft_classification

`benchmarks/graders_compared.py` measures them on labelled replies and under all attacks, beside medrl's own rewards.
`accuracy` is the part that judges the answer, in [0, 1]; `score` what the system adds up. Nothing here is for training.
"""

import difflib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from medrl.vision.boxes import iou

ANSWER = re.compile(r"<answer>(.*?)</answer>")
ANSWER_LINES = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
THINK_ANSWER = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
NUMBER = re.compile(r"-?\d+\.?\d*")
WHOLE_BOX = re.compile(r"\[(\d+),\s*(\d+),\s*(\d+),\s*(\d+)\]")
LEXICON = (
    "opacity",
    "consolidation",
    "cavity",
    "nodule",
    "effusion",
    "infiltrate",
    "fibrosis",
    "calcification",
    "lesion",
)
Graded = dict[str, float]
Extra = dict[str, Any] | None


def medr1(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """Med-R1 (grpo_vqa.py): first answer tag equal to the letter, plus the form by fullmatch; 0 to 2."""
    found = ANSWER.search(solution_str)
    said = (found[1] if found else solution_str).strip()
    accuracy = float(said == str(ground_truth))
    return {"score": accuracy + float(bool(THINK_ANSWER.fullmatch(solution_str))), "accuracy": accuracy}


def medvlthinker(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """MedVLThinker: 0 without the form, else letter, "letter. text" or text, in any case."""
    if not THINK_ANSWER.fullmatch(solution_str):
        return {"score": 0.0, "accuracy": 0.0}
    said = _tagged(solution_str).strip().lower()
    text = _options(extra_info).get(str(ground_truth), "").lower()
    label = str(ground_truth).lower()
    return _both(float(said in {label, f"{label}. {text}", text} - {""}))


def vlm_r1_mcq(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """VLM-R1's multiple choice: of several capital letters in the last answer tag, the last one is taken (reconstructed)."""
    said = (ANSWER_LINES.findall(solution_str) or [solution_str])[-1].upper()
    letters = re.findall(r"(?<![A-Z])[A-Z](?![A-Z])", said)
    return _both(float(bool(letters) and letters[-1] == str(ground_truth).upper()))


def mini_o3(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """Mini-o3 (general_qa_tool_mc.py): the first `(A)` or `A.` in the answer, or a lone letter."""
    said = _tagged(solution_str).strip()
    found = re.search(r"\(([A-Z])\)|\b([A-Z])\.", said)
    letter = (found[1] or found[2]) if found else said
    return _both(float(letter == str(ground_truth)))


def visual_rft_classification(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None
) -> Graded:
    """Visual-RFT: either text holds the other, once blanks, underscores and case are gone."""
    truths = [str(one) for one in _listed(ground_truth)] or [str(ground_truth)]
    options = _options(extra_info)
    truths += [options[one] for one in truths if one in options]

    def plain(text: str) -> str:
        return text.replace(" ", "").replace("_", "").lower()

    said = plain(_tagged(solution_str))
    return _both(float(any(plain(truth) in said or said in plain(truth) for truth in truths)))


def medevalkit_choice(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """MedEvalKit: boxed, then tag, then phrase; a letter or a text, else the most similar option."""
    options, said = _options(extra_info), _parsed(solution_str)
    if said.upper()[:1] in options and (len(said) == 1 or said[1] in ".):, "):
        return _both(float(said.upper()[0] == str(ground_truth)))
    said = said[:500].lower()  # theirs takes minutes on a long reply
    closest = max(options, key=lambda letter: difflib.SequenceMatcher(None, said, options[letter].lower()).ratio())
    return _both(float(closest == str(ground_truth)))


def medevalkit_yes_no(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """MedEvalKit: exactly one of yes and no as a substring."""
    said = _parsed(solution_str).lower()
    yes, no = "yes" in said, "no" in said
    verdict = "yes" if yes and not no else "no" if no and not yes else ""
    return _both(float(verdict == str(ground_truth).lower()))


def medevalkit_open(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """MedEvalKit's token F1 as it is reported: by exchanged columns the recall."""
    said = set(re.findall(r"\w+", _parsed(solution_str).lower()))
    truths = [set(re.findall(r"\w+", str(one).lower())) for one in _listed(ground_truth) or [ground_truth]]
    return _both(max(len(said & truth) / len(truth) for truth in truths if truth))


def qoq_med(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """QoQ-Med (DRPO): 0.5 x F1 of the set in the box, and 0.1 x length, full from 600 characters on."""
    found = re.findall(r"\\boxed\{([^{}]*)\}", solution_str)
    said = {part.strip().lower() for part in re.split(r"[,;]", found[-1] if found else "") if part.strip()}
    truth = {str(one).strip().lower() for one in _listed(ground_truth) or [ground_truth]}
    f1 = 2 * len(said & truth) / (len(said) + len(truth)) if said else 0.0
    length = 1.0 if len(solution_str) > 600 else 0.001 * len(solution_str)
    return {"score": 0.5 * f1 + 0.1 * length, "accuracy": f1}


def qoq_med_boxes(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """QoQ-Med's grounding: the mean over predicted boxes of the best overlap, so one good box is enough."""
    said, truth = _boxes_in(solution_str), _truth_boxes(ground_truth)
    return _both(_mean([max((iou(box, right) for right in truth), default=0.0) for box in said]))


def deepeyes(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """DeepEyes (vl_agent.py): 0.8 answer, 0.2 form, 1.2 for a right answer beside picture tags in the text.

    Its judge is replaced by equality with the letter, its text or the value in the answer tag.
    """
    said = _tagged(solution_str).strip().rstrip(".").lower()
    accepted = {str(ground_truth).lower(), _options(extra_info).get(str(ground_truth), "").lower()} - {""}
    accuracy = float(said in accepted and len(said) < 1000)
    form = -float(any(solution_str.count(f"<{tag}>") != solution_str.count(f"</{tag}>") for tag in ("think", "answer")))
    looked = "<|vision_start|>" in solution_str and "<|vision_end|>" in solution_str
    return {"score": 0.8 * accuracy + 0.2 * form + 1.2 * float(looked and accuracy > 0.5), "accuracy": accuracy}


def verl_deepeyes(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """verl's recipe of the same: the tool is found by searching the text for `<tool_call>`."""
    accuracy = deepeyes(data_source, solution_str, ground_truth, extra_info)["accuracy"]
    looked = bool(re.search(r"<tool_call>.*?</tool_call>", solution_str, re.DOTALL))
    return {"score": 0.8 * accuracy + 1.2 * float(looked and accuracy > 0.5), "accuracy": accuracy}


def tb_vitar(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """TB-ViTAR: ±0.38 for the answer, 0.15, 0.10 or 0.05 for words of a lexicon, 0.05 for the four tags; normalised."""
    accuracy = float(_tagged(solution_str).strip().lower() == str(ground_truth).lower())
    hits = sum(word in solution_str.lower() for word in LEXICON)
    clinical = {0: 0.0, 1: 0.05, 2: 0.10}.get(hits, 0.15)
    tags = sum(f"<{tag}>" in solution_str for tag in ("think", "act", "rethink", "answer"))
    total = (0.38 if accuracy else -0.38) + clinical + 0.05 * tags / 4
    return {"score": (total + 0.76) / 1.76, "accuracy": accuracy}


def medvision_number(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """MedVision: the last number of the reply, whatever its unit; right within 10 %."""
    numbers = NUMBER.findall(_tagged(solution_str))
    value = float(_value_of(ground_truth))
    return _both(float(bool(numbers) and abs(float(numbers[-1]) - value) / (abs(value) + 1e-15) < 0.1))


def medvision_box(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """MedVision's recall of a box: the share of the right one that the last four numbers cover."""
    numbers = [float(one) for one in NUMBER.findall(_tagged(solution_str))[-4:]]
    right = _truth_boxes(ground_truth)[0]
    if len(numbers) < 4:
        return _both(0.0)
    shared = [min(numbers[i + 2], right[i + 2]) - max(numbers[i], right[i]) for i in (0, 1)]
    return _both(max(0.0, shared[0]) * max(0.0, shared[1]) / ((right[2] - right[0]) * (right[3] - right[1])))


def medmultipoints_count(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """MedMultiPoints (evaluate_qwen.py): `counts` of the JSON, a list by its length, 0 where nothing can be read; 1 - error."""
    said = _json_in(solution_str)
    counted = said.get("counts", 0) if isinstance(said, dict) else said if isinstance(said, int) else len(said or [])
    return _both(max(0.0, 1.0 - abs(float(counted) - float(ground_truth))))


def medmultipoints_points(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """MedMultiPoints' matching accuracy: the share of predicted points within 10 px of some right one."""
    said, truth = _json_in(solution_str), _listed(ground_truth)
    points = said.get("point_2d", []) if isinstance(said, dict) else said or []
    near = [min(((x - a) ** 2 + (y - b) ** 2) ** 0.5 for a, b in truth) < 10 for x, y in points]
    return _both(_mean(list(map(float, near))))


def medground_r1(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """MedGround-R1: 1 when the first whole-number box of the first answer tag overlaps by more than half."""
    said = _boxes_in(_tagged(solution_str))
    return _both(float(bool(said) and iou(said[0], _truth_boxes(ground_truth)[0]) > 0.5))


def vlm_r1_iou(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """VLM-R1's soft overlap of the first box in the answer tag."""
    said = _boxes_in(_tagged(solution_str))
    return _both(iou(said[0], _truth_boxes(ground_truth)[0]) if said else 0.0)


def vlm_r1_map(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """VLM-R1's mean average precision from 0.5 to 0.95 with all confidences 1, so the order of the boxes decides."""
    said, truth = _boxes_in(_tagged(solution_str)), _truth_boxes(ground_truth)
    if not said or not truth:
        return _both(float(not said and not truth))
    return _both(_mean([_average_precision(said, truth, 0.5 + 0.05 * step) for step in range(10)]))


def vlm_r1_od_length(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """VLM-R1's odLength: the same times min(1, right / predicted)."""
    said, truth = _boxes_in(_tagged(solution_str)), _truth_boxes(ground_truth)
    value = vlm_r1_map(data_source, solution_str, ground_truth, extra_info)["score"]
    return _both(value * min(1.0, len(truth) / len(said)) if said else value)


def vlm_r1_detection(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """VLM-R1's detection_score: 0.7 x mean overlap of greedy matches from 0.5 on, 0.3 x share of right boxes found."""
    said, truth = _boxes_in(_tagged(solution_str)), _truth_boxes(ground_truth)
    matched = _greedy(said, truth, 0.5)
    return _both(0.7 * _mean(matched) + 0.3 * len(matched) / len(truth) if truth else float(not said))


def visual_rft_detection(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """Visual-RFT: the overlaps of matches above 0.5, over the larger of the two numbers of boxes; repeats removed."""
    said, truth = list(dict.fromkeys(_boxes_in(_tagged(solution_str)))), _truth_boxes(ground_truth)
    return _both(sum(_greedy(said, truth, 0.5)) / max(len(said), len(truth), 1))


def gemex_grounding(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """GEMeX: 0 unless the number of boxes is right, then the mean of each box's best overlap."""
    said, truth = _boxes_in(_tagged(solution_str)), _truth_boxes(ground_truth)
    if len(said) != len(truth):
        return _both(0.0)
    return _both(_mean([max(iou(box, right) for right in truth) for box in said]))


def dr_llava(data_source: str, solution_str: str, ground_truth: Any, extra_info: Extra = None) -> Graded:
    """Dr-LLaVA's consistency by key words: 1 for the diagnosis among the words, -0.5 without any, 0 for another."""
    said = solution_str.lower()
    truths = [str(one).lower() for one in _listed(ground_truth) or [ground_truth]]
    known = any(word in said for word in (*truths, *LEXICON, "rickets"))
    accuracy = float(any(truth in said for truth in truths))
    return {"score": accuracy if known else -0.5, "accuracy": accuracy}


CHOICE = (
    medr1,
    medvlthinker,
    vlm_r1_mcq,
    mini_o3,
    visual_rft_classification,
    medevalkit_choice,
    deepeyes,
    verl_deepeyes,
)
BOXES = (vlm_r1_map, vlm_r1_od_length, vlm_r1_detection, visual_rft_detection, gemex_grounding, qoq_med_boxes)
OF_KIND: dict[str, tuple[Callable[..., Graded], ...]] = {
    "choice": CHOICE,
    "multi_choice": (qoq_med,),
    "yes_no": (medevalkit_yes_no, visual_rft_classification, tb_vitar),
    "open_short": (visual_rft_classification, medevalkit_open, dr_llava),
    "count": (medvision_number, medmultipoints_count),
    "number_with_unit": (medvision_number,),
    "box": (medground_r1, vlm_r1_iou, medvision_box),
    "boxes": BOXES,
    "points": (medmultipoints_points,),
}


def _both(accuracy: float) -> Graded:
    return {"score": accuracy, "accuracy": accuracy}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _tagged(reply: str) -> str:
    """The first answer tag's content, or the whole reply."""
    found = ANSWER_LINES.search(reply)
    return found[1] if found else reply


def _parsed(reply: str) -> str:
    """MedEvalKit's order: boxed, answer tag, phrase, whole reply."""
    for pattern in (r"\\boxed\{([^{}]*)\}", r"<answer>(.*?)</answer>", r"(?:final answer|answer is)[:\s]*(.*)"):
        if found := re.findall(pattern, reply, re.DOTALL | re.IGNORECASE):
            return str(found[-1]).strip()
    return reply.strip()


def _options(extra_info: Extra) -> dict[str, str]:
    given = (extra_info or {}).get("options") or {}
    return dict(json.loads(given) if isinstance(given, str) else given)


def _listed(ground_truth: Any) -> list[Any]:
    """A ground truth that is a list, or JSON of one; empty for anything else."""
    if isinstance(ground_truth, str) and ground_truth.startswith("["):
        return list(json.loads(ground_truth))
    return list(ground_truth) if isinstance(ground_truth, (list, tuple)) else []


def _value_of(ground_truth: Any) -> Any:
    if isinstance(ground_truth, str) and ground_truth.startswith("{"):
        ground_truth = json.loads(ground_truth)
    return ground_truth["value"] if isinstance(ground_truth, dict) else ground_truth


def _truth_boxes(ground_truth: Any) -> list[tuple[float, ...]]:
    listed = _listed(ground_truth)
    return (
        [tuple(map(float, box)) for box in (listed if listed and isinstance(listed[0], list) else [listed])]
        if listed
        else []
    )


def _boxes_in(text: str) -> list[tuple[float, ...]]:
    return [tuple(map(float, found)) for found in WHOLE_BOX.findall(text)]


def _json_in(reply: str) -> Any:
    """The JSON of a fence, or of the answer; None where it does not parse."""
    fenced = re.search(r"```json(.*?)```", reply, re.DOTALL)
    try:
        return json.loads(fenced[1] if fenced else _tagged(reply))
    except (ValueError, RecursionError):
        return None


def _greedy(said: Sequence[Sequence[float]], truth: Sequence[Sequence[float]], least: float) -> list[float]:
    """The overlaps of one-to-one matches above `least`, best first."""
    pairs = sorted(((iou(a, b), i, j) for i, a in enumerate(said) for j, b in enumerate(truth)), reverse=True)
    used_said, used_truth, matched = set(), set(), []
    for overlap, i, j in pairs:
        if overlap > least and i not in used_said and j not in used_truth:
            used_said.add(i)
            used_truth.add(j)
            matched.append(overlap)
    return matched


def _average_precision(said: Sequence[Sequence[float]], truth: Sequence[Sequence[float]], least: float) -> float:
    """COCO's average precision at one overlap, 101 recall levels, boxes in the order given."""
    free, hits, precision_at = list(range(len(truth))), 0, []
    for number, box in enumerate(said, 1):
        best = max(free, key=lambda j: iou(box, truth[j]), default=None)
        if best is not None and iou(box, truth[best]) >= least:
            free.remove(best)
            hits += 1
        precision_at.append((hits / len(truth), hits / number))
    levels = [step / 100 for step in range(101)]
    return _mean([max((p for r, p in precision_at if r >= level), default=0.0) for level in levels])
