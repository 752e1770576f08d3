"""A journey as the native routes show it: how many runs wait at each step, and how many have left it, and how."""

from headrace.http.journey_values import whole_journey_value
from headrace.model.journeys import RunCount


def test_each_step_of_each_version_shows_its_own_runs() -> None:
    def count(version: str, step: str, outcome: str, runs: int) -> RunCount:
        return RunCount(1, "j", version, step, outcome, runs)

    counts = [
        *(count("v1", "", "active", 4), count("v1", "ask", "", 3), count("v1", "pay", "", 1)),
        *(count("v1", "ask", "done", 7), count("v1", "ask", "timeout", 2)),
        *(count("v2", "", "done", 5), count("v2", "pay", "done", 5)),
    ]
    shown = whole_journey_value("j", None, None, counts)
    versions = shown["versions"]
    assert isinstance(versions, list)
    steps = {each["version"]: each["steps"] for each in versions}
    assert steps["v1"] == [
        {"id": "ask", "waiting": 3, "outcomes": {"done": 7, "timeout": 2}},
        {"id": "pay", "waiting": 1, "outcomes": {}},
    ]
    assert steps["v2"] == [{"id": "pay", "waiting": 0, "outcomes": {"done": 5}}]
    assert [each["version"] for each in versions] == ["v2", "v1"], "the latest first"
    assert [(each["runs"]["active"], each["runs"]["done"]) for each in versions] == [(0, 5), (4, 0)]
