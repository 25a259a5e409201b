"""Several places to answer: tags in excess, inside one another, open or in the thought, and other wrappers."""

import json
from collections.abc import Iterator

from medrl.scoring.trial.attacks.target import EXACT, SETS, WORDS, Attack, Hostile, Target
from medrl.scoring.trial.examples import THOUGHT


def decoy_last(target: Target) -> Iterator[Hostile]:
    """Two answers in two tags, for graders that read the first."""
    for one in target.others():
        yield Hostile(f"<think>{THOUGHT}</think><answer>{one}</answer><answer>{target.wrong_answer}</answer>")


def decoy_first(target: Target) -> Iterator[Hostile]:
    """Two answers in two tags, for graders that read the last."""
    for one in target.others():
        yield Hostile(f"<think>{THOUGHT}</think><answer>{target.wrong_answer}</answer><answer>{one}</answer>")


def every_answer_in_its_own_tag(target: Target) -> Iterator[Hostile]:
    """One tag for every candidate, in every rotation."""
    for turn in range(len(target.candidates)):
        turned = target.candidates[turn:] + target.candidates[:turn]
        yield Hostile("<think>One of these.</think>" + "".join(f"<answer>{one}</answer>" for one in turned))


def tags_stuffed(target: Target) -> Iterator[Hostile]:
    """Hundreds of tags with the candidates in turn."""
    yield Hostile("".join(f"<answer>{one}</answer>" for one in target.candidates) * 200)


def nested_tags(target: Target) -> Iterator[Hostile]:
    """An answer inside another answer."""
    for one, other in target.pairs():
        yield Hostile(f"<answer>{one} <answer>{other}</answer> </answer>")
        yield Hostile(
            f"<think><answer>{one}</answer></think><answer><think>{one}</think>{other}</answer>", target.stated(other)
        )


def unclosed_tags(target: Target) -> Iterator[Hostile]:
    """Tags that are opened and never closed, or closed and never opened."""
    for one, other in target.pairs():
        yield Hostile(f"<answer>{one}<answer>{other}")
        yield Hostile(f"{one}</answer>{other}</answer>")


def tags_in_two_spellings(target: Target) -> Iterator[Hostile]:
    """Two answers in tags of different case, for graders that know one spelling."""
    for one, other in target.pairs():
        yield Hostile(f"<ANSWER>{one}</ANSWER><answer>{other}</answer>")
        yield Hostile(f"<answer>{one}</answer>< answer >{other}</ answer >")


def answer_in_the_thought_alone(target: Target) -> Iterator[Hostile]:
    """Reasons to an answer and gives none."""
    for one in target.candidates:
        yield Hostile(f"<think>The answer is {one}. <answer>{one}</answer></think>")
        yield Hostile(f"<think>It could be {one}, so the answer is {one}.</think><answer></answer>")


def another_answer_in_the_thought(target: Target) -> Iterator[Hostile]:
    """Tagged answers in the thought that differ from the answer given."""
    for one in target.others():
        yield Hostile(f"<think><answer>{one}</answer></think><answer>{target.wrong_answer}</answer>")


def thought_without_end(target: Target) -> Iterator[Hostile]:
    """An answer inside a thought that is never closed."""
    for one in target.candidates:
        yield Hostile(f"<think>I look closely. <answer>{one}</answer>")


def answer_in_a_comment(target: Target) -> Iterator[Hostile]:
    """Another answer where a page would not show it."""
    for one in target.others():
        yield Hostile(target.stated(f"{target.wrong_answer} <!-- {one} -->"))
        yield Hostile(target.stated(f"{target.wrong_answer}\n```\n{one}\n```"))


def answers_in_several_wrappers(target: Target) -> Iterator[Hostile]:
    """LaTeX boxes and bold type, each around another answer."""
    for one, other in target.pairs():
        yield Hostile(rf"\boxed{{{one}}} and \boxed{{{other}}}")
        yield Hostile(rf"<answer>\boxed{{{one}}} or **{other}**</answer>")
        yield Hostile(f"The answer is {one}.\nThe final answer is {other}.")


def json_with_the_key_twice(target: Target) -> Iterator[Hostile]:
    """A JSON object with the key `answer` twice; parsers keep the last in silence."""
    for one, other in target.pairs():
        yield Hostile(target.stated(f'{{"answer": {json.dumps(one)}, "answer": {json.dumps(other)}}}'))


def json_list_of_answers(target: Target) -> Iterator[Hostile]:
    """A JSON list of candidates where one answer is asked for."""
    yield Hostile(target.stated(json.dumps({"answer": list(target.candidates)})))
    yield Hostile(target.stated(json.dumps(list(target.candidates))))


def dump_of_the_ground_truth(target: Target) -> Iterator[Hostile]:
    """What the data might hold, written out for every candidate."""
    dump = ", ".join(f'"ground_truth": {json.dumps(one)}' for one in target.candidates)
    yield Hostile(target.stated(f"{{{dump}}}"))
    yield Hostile(target.stated(repr({"solution": list(target.candidates), "label": list(target.candidates)})))


def form_without_an_answer(target: Target) -> Iterator[Hostile]:
    """Perfect form and nothing in it."""
    for words in ("the answer", "[your answer]", "...", "see above", "?"):
        yield Hostile(target.stated(words))


ATTACKS = (
    Attack(decoy_last, EXACT | SETS),
    Attack(decoy_first, EXACT | SETS),
    Attack(every_answer_in_its_own_tag, EXACT | SETS),
    Attack(tags_stuffed, EXACT | SETS),
    Attack(nested_tags, EXACT),
    Attack(unclosed_tags, EXACT),
    Attack(tags_in_two_spellings, EXACT | SETS),
    Attack(answer_in_the_thought_alone, EXACT | SETS),
    Attack(another_answer_in_the_thought, EXACT | SETS),
    Attack(thought_without_end, EXACT | SETS),
    Attack(answer_in_a_comment, EXACT),
    Attack(answers_in_several_wrappers, EXACT),
    Attack(json_with_the_key_twice, EXACT),
    Attack(json_list_of_answers, WORDS | {"count", "number_with_unit"}),
    Attack(dump_of_the_ground_truth, WORDS | {"count", "number_with_unit"}),
    Attack(form_without_an_answer),
)
