"""The lines of a file that a command is given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.errors import UserError
from textmill.lines import lines_of

MARKED = ("utf-8", "utf-8-sig", "utf-16", "utf-32")


@given(
    texts=st.lists(st.text().filter(lambda text: "\n" not in text and "\0" not in text)),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(MARKED),
)
def test_lines_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], end: str, encoding: str
) -> None:
    if end == "\n":
        texts = [text.rstrip("\r") for text in texts]  # else it would be another line end
    if texts and encoding == "utf-8":
        texts[0] = texts[0].removeprefix("\ufeff")
    file = tmp_path_factory.getbasetemp() / "lines.txt"
    file.write_bytes("".join(text + end for text in texts).encode(encoding))
    assert list(lines_of(file)) == texts


def test_mark_inside_a_file_is_a_character(tmp_path: Path) -> None:
    file = tmp_path / "two.txt"
    file.write_bytes("\ufeff\ufeffa\n\ufeffb".encode())
    assert list(lines_of(file)) == ["\ufeffa", "\ufeffb"]


def test_byte_that_is_no_utf8_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "latin.txt"
    file.write_bytes(b"caf\xe9\nb")
    assert list(lines_of(file)) == ["caf\ufffd", "b"]


@pytest.mark.parametrize("content", ["a\nb".encode("utf-16-le"), b"PK\x03\x04\0\0"])
def test_file_without_text_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "table.xlsx"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"table\.xlsx: holds no text"):
        list(lines_of(file))


def test_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "nosuch"):
        with pytest.raises(UserError, match="cannot be read"):
            list(lines_of(file))


def test_standard_input_is_read_as_a_file_is() -> None:
    program = "from pathlib import Path; from textmill.lines import lines_of\n"
    program += "print(list(lines_of(Path('-'))))"
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, input=b"\xef\xbb\xbfa\r\n\nb", capture_output=True, check=True)
    assert said.stdout == b"['a', '', 'b']\n"
