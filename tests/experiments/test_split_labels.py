"""Label files that are split: every line is in exactly one part, the same one each time."""

from experiments.split_labels import split


def test_every_line_is_in_one_part(tmp_path):
    lines = [f"{index}.png\t[]" for index in range(20)]
    (tmp_path / "all.txt").write_text("\n".join([*lines, "", ""]))
    parts = []
    for name in ("one", "two"):
        split(tmp_path / "all.txt", 6, tmp_path / name)
        files = [tmp_path / name / part for part in ("held_out.txt", "rest.txt")]
        parts.append([file.read_text().splitlines() for file in files])
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [
            "held_out.txt", "rest.txt"
        ]  # fmt: skip
    held_out, rest = parts[0]
    assert parts[0] == parts[1] and len(held_out) == 6
    assert sorted(held_out + rest) == sorted(lines) and held_out != lines[:6]
