import itertools

import pytest

from tlcourse.lessons.choosing_a_source.guide import decision_guide, recommend


def text(**facts):
    return " ".join(advice.what for advice in recommend(**facts))


@pytest.mark.parametrize(
    "facts, says, says_not",
    [
        ({"labels_per_class": 1, "probe_lead": 20}, ["prototypes"], ["last block", "everything"]),
        ({"labels_per_class": 20, "probe_lead": 20}, ["last block", "features once"], ["prototypes"]),
        ({"labels_per_class": 500, "probe_lead": 20, "compute": "gpu"}, ["Fine-tune everything"], ["features once"]),
        ({"labels_per_class": 20, "probe_lead": -8}, ["Do not use this source frozen", "scratch"], ["last block"]),
        ({"labels_per_class": 20, "probe_lead": 1}, ["from scratch as hard"], ["Do not use"]),
        ({"labels_per_class": 20}, ["Measure probe_lead", "random weights"], []),
        ({"labels_per_class": 20, "modality": "text"}, ["MiniLM", "bag of words"], ["resnet"]),
        ({"labels_per_class": 0}, ["Label a few"], ["Measure probe_lead"]),
        ({"labels_per_class": 20, "latency_ms": 10, "compute": "gpu"}, ["mobilenet"], ["resnet18", "vit_b_16"]),
        ({"labels_per_class": 20, "latency_ms": 50, "compute": "gpu"}, ["resnet50"], ["vit_b_16"]),
        ({"labels_per_class": 20, "latency_ms": 10, "modality": "text"}, ["MiniLM"], []),
        ({"labels_per_class": 20, "keep_source": True}, ["rehearsal"], []),
        ({"labels_per_class": 20, "shifted": True}, ["adapt"], []),
        ({"labels_per_class": 20, "commercial": True}, ["licence"], []),
        ({"labels_per_class": 20}, [], ["licence", "adapt on", "rehearsal", "vit_b_16"]),
    ],
)
def test_the_plan_says_what_the_facts_ask_for_and_no_more(facts, says, says_not):
    plan = text(**facts)
    assert all(phrase in plan for phrase in says) and not any(phrase in plan for phrase in says_not)


def test_every_combination_gives_a_plan_with_reasons_that_begins_with_a_source_and_ends_with_judging():
    choices = itertools.product(
        ("vision", "text"),
        (0, 1, 20, 500),
        (None, -5, 0, 30),
        (False, True),
        ("laptop", "gpu", "cluster"),
        (None, 5, 500),
    )
    for modality, labels, lead, flag, compute, latency in choices:
        plan = recommend(
            modality=modality,
            labels_per_class=labels,
            probe_lead=lead,
            shifted=flag,
            keep_source=not flag,
            compute=compute,
            latency_ms=latency,
            commercial=flag,
        )
        assert "candidates: " in plan[0].what and "candidates: ." not in plan[0].what
        assert plan[-1].what.startswith(("Judge", "Choose on validation"))
        assert all(advice.why.endswith(".") and advice.lesson.isdigit() for advice in plan)
        assert len({advice.what for advice in plan}) == len(plan)


@pytest.mark.parametrize(
    "facts, message",
    [
        ({"labels_per_class": -1}, "labels_per_class=-1"),
        ({"labels_per_class": 5, "modality": "audio"}, "modality='audio'"),
        ({"labels_per_class": 5, "compute": "abacus"}, "compute='abacus'"),
        ({"labels_per_class": 5, "probe_lead": 200}, "probe_lead=200"),
        ({"labels_per_class": 5, "latency_ms": 0}, "latency_ms=0"),
    ],
)
def test_errors_name_the_argument(facts, message):
    with pytest.raises(ValueError, match=message):
        recommend(**facts)


def test_the_decision_guide_answers_anew_when_an_answer_changes():
    box = decision_guide()
    inputs, plan = {child.description: child for child in box.children[:-1]}, box.children[-1]
    first = plan.value
    assert first.count("<li>") >= 3 and "Measure probe_lead" not in first  # no label yet: label some first
    inputs["labels per class"].value = 20
    assert "Measure probe_lead" in plan.value
    inputs["probe lead"].value = -10
    assert "negative transfer" in plan.value and "Measure probe_lead" not in plan.value
    inputs["commercial"].label = "yes"
    assert "licence" in plan.value
    inputs["modality"].value = "text"
    assert "MiniLM" in plan.value
