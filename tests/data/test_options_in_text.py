"""Options are read out of a question only where they plainly are a list."""

import pytest

from medrl.data.options import letter_options, list_options, split_options


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        (
            "What imaging technique is employed for obtaining this image? "
            "A)Mammogram, B)Positron emission tomography (PET), C)CT, D)Fluoroscopy",
            "What imaging technique is employed for obtaining this image?",
            ["Mammogram", "Positron emission tomography (PET)", "CT", "Fluoroscopy"],
        ),
        # commas inside the texts
        (
            "Which? A)Pneumonia, viral, B)Pneumonia, bacterial, left",
            "Which?",
            ["Pneumonia, viral", "Pneumonia, bacterial, left"],
        ),
        # a bracketed letter inside a text is no marker: it does not follow a comma
        (
            "Cause? A)Lack of vitamin B) in food, B)Lack of iron",
            "Cause?",
            ["Lack of vitamin B) in food", "Lack of iron"],
        ),
        # the last A) opens the list
        ("See A) above. Which? A)yes, B)no", "See A) above. Which?", ["yes", "no"]),
        ("Which?\n(A) CT\n(B) MRI", "Which?", ["CT", "MRI"]),
        ("Which?\nA. CT\nB. MRI, T2\nC. PET", "Which?", ["CT", "MRI, T2", "PET"]),
        ("Which? A: CT; B: MRI", "Which?", ["CT", "MRI"]),
        ("Stadium? A)T1, B)T2, C)T3, D)T4, E)Tis", "Stadium?", ["T1", "T2", "T3", "T4", "Tis"]),
        ("Which?A)CT,B)MRI", "Which?", ["CT", "MRI"]),
    ],
)
def test_lists_are_read(text, question, options):
    assert split_options(text) == (question, letter_options(options))


@pytest.mark.parametrize(
    "text",
    [
        "Is there a fracture?",
        "Is this type A) or not?",
        "Hepatitis A, B and C are seen. Which is this?",
        "Which? A)CT, C)MRI",  # B is missing: a list of one
        "Which? A), B)MRI",  # an empty text
        "Which? A)CT, B)CT",  # two options one cannot tell apart
        "",
    ],
)
def test_no_list_is_made_up(text):
    assert split_options(text) is None


def test_writing_and_reading_are_inverse():
    options = {"A": "CT, plain", "B": "MRI (T2)", "C": "none of these"}
    assert split_options(list_options("What is shown?", options)) == ("What is shown?", options)
