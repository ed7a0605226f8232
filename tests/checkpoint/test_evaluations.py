"""Record of the last finished evaluation."""

from depthbox.checkpoint.evaluations import EVALUATED, read_evaluation, write_evaluation


def test_the_last_evaluation_is_stored_with_its_subject(tmp_path):
    assert read_evaluation(tmp_path) == (0, {})
    write_evaluation(tmp_path, 12, {"bbox": {"AP": 1.5}}, "student val")
    assert read_evaluation(tmp_path) == read_evaluation(tmp_path, "student val") == (12, {"bbox": {"AP": 1.5}})
    assert read_evaluation(tmp_path, "teacher val") == (0, {})


def test_records_of_earlier_versions_and_damaged_ones(tmp_path):
    for text, expected in (
        ("12", (12, {})),
        ("12\n{", (12, {})),
        ("12\n[1]\n", (12, {})),
        ("x", (0, {})),
        ("", (0, {})),
    ):
        (tmp_path / EVALUATED).write_text(text)
        assert read_evaluation(tmp_path) == expected
        assert read_evaluation(tmp_path, "student val") == (0, {})
