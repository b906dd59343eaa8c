"""Figures that survive a kill in the middle of a line."""

from __future__ import annotations

from spectrafilm.benchmarks.json_lines import append_lines, read_lines


def test_what_follows_a_line_that_was_cut_off_is_whole(tmp_path):
    path = tmp_path / "figures.jsonl"
    assert read_lines(path) == []
    append_lines(path, [{"seed": 0}, {"seed": 1}])
    path.write_text(path.read_text(encoding="utf-8") + '{"seed": 2, "over', encoding="utf-8")
    assert read_lines(path) == [{"seed": 0}, {"seed": 1}]
    append_lines(path, [{"seed": 2}])
    append_lines(path, [{"seed": 3}])
    assert [record["seed"] for record in read_lines(path)] == [0, 1, 2, 3]


def test_records_are_there_before_the_next_is_made(tmp_path):
    path = tmp_path / "figures.jsonl"

    def measured():
        yield {"seed": 0}
        assert read_lines(path) == [{"seed": 0}]
        yield {"seed": 1}

    append_lines(path, measured())
    assert len(read_lines(path)) == 2
