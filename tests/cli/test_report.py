"""``depthbox report`` on the command line."""

import json

import pytest

from depthbox.cli.main import main


@pytest.fixture
def folder(tmp_path):
    rows = [{"iteration": n, "total_loss": 1.0, "loss_fcos_cls": 1.0} for n in range(5)]
    (tmp_path / "metrics.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_page_is_written_and_its_path_is_printed(folder, capsys):
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"report  {folder / 'report.html'}\n"
    assert main(["report", str(folder), "--output", str(folder / "a" / "b.html")]) == 0
    page = (folder / "a" / "b.html").read_text()
    assert "5 iterations" in page and "<svg" in page
    assert sorted(path.name for path in folder.iterdir()) == ["a", "metrics.json", "report.html"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone"], "the folder gone does not exist"),
        (["."], "metrics.json does not exist"),
        ([".", "--output", "."], "a folder"),
    ],
)
def test_wrong_arguments_give_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    out = capsys.readouterr().out
    assert "depthbox report output/boxes" in out and max(map(len, out.splitlines())) <= 100
