import json

from spectrafilm.tools.demo import summarise


def test_figures_of_few_polygons_may_lack_an_interval_or_be_undefined(tmp_path, capsys):
    whole = {"value": 91.26, "low": 80.0, "high": 95.5}
    alone, undefined = {"value": 100.0, "low": None, "high": None}, dict.fromkeys(("value", "low", "high"))
    accuracy = {"overall": whole, "average": alone, "kappa": undefined}
    (tmp_path / "training.json").write_text(json.dumps({"accuracy": accuracy}))
    summarise(tmp_path, assessed=False)
    printed = capsys.readouterr().out
    assert "OA      91.3 %   (95 % interval 80.0 to 95.5)\nAA     100.0 %\nkappa not defined\n" in printed
    assert "training.json" in printed
