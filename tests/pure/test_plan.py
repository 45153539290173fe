"""The plan's form, and what problems() makes of it, as whoever runs the tests."""

from __future__ import annotations

import json

from recorder.plan import Probe, make_plan, problems


def test_problems_are_sorted_by_what_fails() -> None:
    plan = [
        Probe("a", "s", "on", "w", need="recording"),
        Probe("b", "s", "off", "w", "h", "recording"),
        Probe("c", "s", "absent", "w", "h", "answers"),
        Probe("d", "s", "absent", "w", "h"),
        Probe("e", "s", "absent", "w", "h", "recording"),
    ]
    found = problems(plan)
    assert [probe.fact for probe in found.fatal] == ["b", "e"]
    assert [probe.fact for probe in found.degraded] == ["c"]


def test_form_in_json() -> None:
    probe = Probe("BTF", "/sys/kernel/btf/vmlinux", "absent", "none", "boot another kernel", "recording")
    assert probe.as_dict() == {
        "fact": "BTF",
        "source": "/sys/kernel/btf/vmlinux",
        "state": "absent",
        "why": "none",
        "hint": "boot another kernel",
    }


def test_a_plan_has_each_fact_once_and_a_remedy_for_each_negative() -> None:
    plan = make_plan()
    facts = [probe.fact for probe in plan]
    assert len(set(facts)) == len(facts) > 40
    json.dumps([probe.as_dict() for probe in plan])
    for probe in plan:
        assert probe.why, probe
        assert probe.hint or probe.state == "on", probe
        for text in (probe.why, probe.hint):
            assert "\n" not in text, probe
            assert not text.endswith("."), probe
