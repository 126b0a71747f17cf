"""Files of tagged words, in every scheme that they come in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hearing import warnings_heard
from textmill.components.sources.by_name import open_source
from textmill.components.sources.conll import Conll
from textmill.components.sources.source import Rejected
from textmill.errors import UserError

Span = tuple[int, int, str]


def read(folder: Path, content: str | bytes, **options: Any) -> tuple[list[Any], list[Rejected]]:
    """Returns (line, text, spans) of each sentence, and what was rejected."""
    file = folder / "a.conll"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows, rejected = [], []
    for batch in Conll((str(file),), **options).batches():
        lines = batch.line.to_pylist()
        for line, row in zip(lines, batch.rows.to_pylist(), strict=True):
            rows.append((line, row["text"], [tuple(span) for span in json.loads(row["label"])]))
        rejected += batch.rejected
    return rows, rejected


def tagged(folder: Path, *tags: str) -> list[Span]:
    """Returns the spans that tags of the words a, b, c … mark."""
    lines = (f"{word} {tag}" for word, tag in zip("abcdefgh", tags, strict=False))
    [(_, _, spans)], rejected = read(folder, "\n".join(lines))
    assert not rejected
    return spans


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-x I-x O B-x", [(0, 3, "x"), (6, 7, "x")]),
        ("B-x B-x I-x", [(0, 1, "x"), (2, 5, "x")]),
        ("I-x I-x O I-x", [(0, 3, "x"), (6, 7, "x")]),  # BIO of the first kind
        ("I-x B-x I-x", [(0, 1, "x"), (2, 5, "x")]),
        ("I-x I-y", [(0, 1, "x"), (2, 3, "y")]),
        ("B-x I-y I-y", [(0, 1, "x"), (2, 5, "y")]),
        ("O I-x O", [(2, 3, "x")]),
        ("B-x E-x S-x S-x", [(0, 3, "x"), (4, 5, "x"), (6, 7, "x")]),  # BIOES
        ("B-x I-x E-x I-x", [(0, 5, "x"), (6, 7, "x")]),
        ("S-x I-x", [(0, 1, "x"), (2, 3, "x")]),
        ("E-x E-x", [(0, 1, "x"), (2, 3, "x")]),
        ("B-x L-x U-x B-y I-y L-y", [(0, 3, "x"), (4, 5, "x"), (6, 11, "y")]),  # BILOU
        ("B-x-y I-x-y", [(0, 3, "x-y")]),  # a name with the sign in it
        ("O O", []),
    ],
)
def test_schemes(tmp_path: Path, tags: str, expected: list[Span]) -> None:
    assert tagged(tmp_path, *tags.split()) == expected


CONTENT = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

-DOCSTART- -X- -X- O
Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
-DOCSTART- -X- -X- O

  \t
BRUSSELS NNP B-NP B-LOC"""
SENTENCES = [
    (3, "EU rejects", [(0, 2, "ORG")]),
    (7, "Peter Blackburn", [(0, 15, "PER")]),
    (12, "BRUSSELS", [(0, 8, "LOC")]),
]


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\n-DOCSTART- -X- -X- O\n"])
def test_documents_empty_lines_and_any_end(tmp_path: Path, end: str) -> None:
    assert read(tmp_path, CONTENT + end) == (SENTENCES, [])


def test_other_line_ends_tabs_and_byte_order_marks(tmp_path: Path) -> None:
    for other in (
        CONTENT.replace("\n", "\r\n"),
        CONTENT.replace(" ", "\t"),
        CONTENT.replace(" ", "   "),
        "\ufeff" + CONTENT,
    ):
        assert read(tmp_path, other) == (SENTENCES, [])
    assert read(tmp_path, CONTENT.encode("utf-16"), encoding="utf-16") == (SENTENCES, [])


def test_words_between_tabs_may_hold_spaces(tmp_path: Path) -> None:
    assert read(tmp_path, "New York\tB-LOC\nslept\tO\t\n")[0] == [
        (1, "New York slept", [(0, 8, "LOC")])
    ]


def test_a_no_break_space_is_part_of_its_word(tmp_path: Path) -> None:
    assert read(tmp_path, "10\u00a0000 B-SUM\n\u2003 O\nEUR\u3000 I-SUM\n")[0] == [
        (1, "10\u00a0000 \u2003 EUR\u3000", [(0, 6, "SUM"), (9, 13, "SUM")])
    ]


def test_characters_count_not_bytes(tmp_path: Path) -> None:
    [(_, text, spans)], _ = read(tmp_path, "Zoë B-who\n👍🏽 O\n好看 B-it\n")
    assert [text[a:b] for a, b, _ in spans] == ["Zoë", "好看"]


def test_what_is_wrong_costs_its_sentence(tmp_path: Path) -> None:
    content = (
        b"good B-x\n\nAda\nslept O\n\nAda B-x\nslept Z-x\n\ncaf\xe9 B-x\nopen O\n\n"
        b"a B-\n\nb B\n\nc -x\n\nalso O\n"
    )
    rows, rejected = read(tmp_path, content)
    assert [row[:2] for row in rows] == [(1, "good"), (18, "also")]
    assert [(each.line, each.reason) for each in rejected] == [
        (3, "invalid line: no tag behind 'Ada'"),
        (6, "invalid tag: Z-x"),
        (9, "invalid encoding"),
        (12, "invalid tag: B-"),
        (14, "invalid tag: B"),
        (16, "invalid tag: -x"),
    ]
    assert rejected[2].text == "caf\\xe9 B-x open O"
    assert {each.file for each in rejected} == {str(tmp_path / "a.conll")}


def test_names_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.bio").write_text("Ada B-x\n")
    (tmp_path / "b.conll").write_text("Bob B-x\n")
    with gzip.open(tmp_path / "c.conll.gz", "wt") as file:
        file.write("Cy B-x\n")
    for name, words in (("a.bio", ["Ada"]), ("*", ["Ada", "Bob", "Cy"])):
        batches = open_source(f"{tmp_path}/{name}").batches()
        assert [row["text"] for batch in batches for row in batch.rows.to_pylist()] == words
    (tmp_path / "empty.conll").write_text("\n\n-DOCSTART- O\n")
    [batch] = open_source(f"{tmp_path}/empty.conll").batches()
    assert (batch.rows.num_rows, batch.rows.schema.names) == (0, ["text", "label"])


def named(folder: Path, content: str, **options: Any) -> list[tuple[int, str, list[str]]]:
    """Returns the line of each sentence, its text, and its spans as "name: words"."""
    rows, rejected = read(folder, content, **options)
    assert not rejected
    return [(line, text, [f"{n}: {text[a:b]}" for a, b, n in spans]) for line, text, spans in rows]


# The words are those that conllu 6.0.0 gives whole numbers as ids, the tags what it finds in MISC.
CONLLU = """\
# newdoc id = a
# text = Vámonos al Mar Negro
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\t_\tA=B\t0\troot\t_\tNER=O
2\tnos\tnos\tPRON\t_\t_\t1\tobj\t_\tSpaceAfter=No|NER=O
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\t_\t_\t5\tcase\t_\t_
4\tel\tel\tDET\t_\t_\t5\tdet\t_\t_
5\tMar\tmar\tNOUN\t_\t_\t1\tobl\t_\tNER=B-LOC|Entity=(place
5.1\tgone\t_\t_\t_\t_\t_\t_\t1:x\t_
6\tNegro\tnegro\tADJ\t_\t_\t5\tamod\t_\tNER=I-LOC

# text = # 1
1\t#\t#\tSYM\t_\t_\t0\troot\t_\t_
2\t10 000\t1\tNUM\t_\t_\t1\tx\t_\tNER=B-SUM
"""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            CONLLU,
            [
                (4, "Vamos nos a el Mar Negro", ["LOC: Mar Negro"]),
                (14, "# 10 000", ["SUM: 10 000"]),
            ],
            id="CoNLL-U",
        ),
        pytest.param(
            CONLLU.replace("NER=", "name="),
            [
                (4, "Vamos nos a el Mar Negro", ["LOC: Mar Negro"]),
                (14, "# 10 000", ["SUM: 10 000"]),
            ],
            id="CoNLL-U with another key",
        ),
        pytest.param(
            CONLLU.replace("\tVERB\t_", "\tVERB\tO").replace("\tPRON\t_", "\tPRON\tO"),
            [
                (4, "Vamos nos a el Mar Negro", ["LOC: Mar Negro"]),
                (14, "# 10 000", ["SUM: 10 000"]),
            ],
            id="CoNLL-U with O for another thing",
        ),
        pytest.param(
            "1\tAda\tB-PER\n\n1\tOh\tO\n",
            [(1, "Ada", ["PER: Ada"]), (3, "Oh", [])],
            id="sentences of a word",
        ),
        pytest.param(
            "# global.columns = ID FORM LEMMA NE MISC\n# text = x\n1\tAda\ta\tB-PER\tX=No\n"
            "2-3\tdu\t_\t_\t_\n2\tde\td\tO\t_\n3\tle\tl\tO\t_\n\n1\tOh\toh\tO\t_\n",
            [(3, "Ada de le", ["PER: Ada"]), (8, "Oh", [])],
            id="CoNLL-U Plus",
        ),
        pytest.param(
            "# id 1 domain=en\nhe _ _ O\nAda _ _ B-PER\n\n# id 2 domain=en\n# _ _ O\nX _ _ B-LOC\n",
            [(2, "he Ada", ["PER: Ada"]), (6, "# X", ["LOC: X"])],
            id="MultiCoNER",
        ),
        pytest.param(
            "#\thttp://a.b [2009-10-17]\n1\tIn\tO\tO\n2\tFreie\tB-ORG\tO\n3\tStadt\tI-ORG\tO\n"
            "4\tX\tI-ORG\tB-LOC\n5\tUlm\tB-LOC\tO\n\n#\tn-tv [2010]\n1\tUnd\tO\tO\n",
            [(2, "In Freie Stadt X Ulm", ["ORG: Freie Stadt X", "LOC: Ulm"]), (9, "Und", [])],
            id="GermEval 2014, the outer layer",
        ),
        pytest.param(
            "# sent_id = 1\n1\tTillsammans\tO\t-\t-\n2\tAda\tB-PER\t-\tann\n",
            [(2, "Tillsammans Ada", ["PER: Ada"])],
            id="Universal NER",
        ),
        pytest.param(
            "#begin document (bc/x); part 000\n"
            "bc/x 0 0 In IN (TOP* - - - S1 * * -\nbc/x 0 1 New NNP * - - - S1 (GPE* * (1\n"
            "bc/x 0 2 York NNP * - - - S1 *) * 1)\nbc/x 0 3 Bush NNP * - - - S1 (PERSON) (V*) -\n\n"
            "bc/x 0 0 So RB *) - - - S1 * -\n\n#end document\n",
            [(2, "In New York Bush", ["GPE: New York", "PERSON: Bush"]), (7, "So", [])],
            id="CoNLL-2012",
        ),
        pytest.param(
            "-DOCSTART- -X- O\n\nAda NNP B-PER\n-DOCSTART-\nBob NNP B-PER\n-DOCSTART- (1 a b) x y\n"
            "-DOCSTART- -X- -X- -X- -X- O\nCy NNP B-PER\n",
            [(3, "Ada", ["PER: Ada"]), (5, "Bob", ["PER: Bob"]), (8, "Cy", ["PER: Cy"])],
            id="-DOCSTART- with any columns",
        ),
        pytest.param(
            "1\t-DOCSTART-\tO\n\n1\tEU\tB-ORG\n2\tbans\tO\n",
            [(3, "EU bans", ["ORG: EU"])],
            id="-DOCSTART- with a number",
        ),
        pytest.param(
            "@paul\tO\n#\tO\n#win\tB-person\n\t\nEmpire\tB-location\nState\tI-location\n\n#fun\tO\n",
            [
                (1, "@paul # #win", ["person: #win"]),
                (5, "Empire State", ["location: Empire State"]),
                (8, "#fun", []),
            ],
            id="WNUT 2017 with hashtags",
        ),
        pytest.param(
            "# O\n#a B-x\n\n# this is a comment\n#7\nb O\n# O\n# this too\nc O\n",
            [(1, "# #a", ["x: #a"]), (6, "b # c", [])],
            id="signs that are words and signs that are not",
        ),
        pytest.param("#a O\n#b B-x\n", [(1, "#a #b", ["x: #b"])], id="hashtags alone"),
        pytest.param(
            "###MEDLINE:95\n\nIL-2 B-DNA\ngene I-DNA\n",
            [(3, "IL-2 gene", ["DNA: IL-2 gene"])],
            id="JNLPBA",
        ),
        pytest.param(
            "the o\nAda b-per\nL i-per\n\nx o\ny B-PER\nz i-PER\n",
            [(1, "the Ada L", ["per: Ada L"]), (5, "x y z", ["PER: y z"])],
            id="small letters",
        ),
        pytest.param(
            "a B-x\nb M-x\nc E-x\nd S-x\n", [(1, "a b c d", ["x: a b c", "x: d"])], id="BMES"
        ),
        pytest.param(
            "EU NNP B-NP O\nbans VB B-VP O\n\nit PR B-NP O\n",
            [(1, "EU bans", []), (4, "it", [])],
            id="chunks are no names",
        ),
        pytest.param("EU NNP B-NP\nit PR I-NP\n", [(1, "EU it", ["NP: EU it"])], id="but alone"),
        pytest.param(
            "1 CD O\n2 CD B-x\n\n7 CD O\n", [(1, "1 2", ["x: 2"]), (4, "7", [])], id="numbers"
        ),
        pytest.param(
            "0 Ada NNP B-PER\n1 is VB O\n\n0 x X O\n",
            [(1, "Ada is", ["PER: Ada"]), (4, "x", [])],
            id="counted from 0",
        ),
        pytest.param(
            "1 Ada B-PER\n2 is O\n\n3 x O\n4 y O\n",
            [(1, "Ada is", ["PER: Ada"]), (4, "x y", [])],
            id="counted over sentences",
        ),
    ],
)
def test_forms_of_many_corpora(
    tmp_path: Path, content: str, expected: list[tuple[int, str, list[str]]]
) -> None:
    assert named(tmp_path, content) == expected
    assert named(tmp_path, content.replace("\n", "\r\n") + "\n") == expected


def test_what_is_not_plain_to_see_is_told(tmp_path: Path) -> None:
    with warnings_heard() as heard:
        read(tmp_path, CONLLU)
        read(tmp_path, "1\tAda\tB-PER\tB-PER\n2\tL\tI-PER\tO\n")
        read(tmp_path, CONTENT)
    file = tmp_path / "a.conll"
    assert heard == [
        f"{file}: words are column 2, tags are NER= in column 10 of 10",
        f"{file}: words are column 2, tags column 3 of 4; columns 3 and 4 have tags alike",
    ]


def test_files_of_several_shapes(tmp_path: Path) -> None:
    (tmp_path / "a.conllu").write_text(CONLLU)
    (tmp_path / "b.bio").write_text("Ada B-PER\nL I-PER\n")
    (tmp_path / "c.conll").write_text("1 NNP B-NP O\n\nx NNP B-NP B-LOC\n")
    (tmp_path / "d.conll").write_text("y NNP B-NP O\n")
    (tmp_path / "e.iob2").write_text("1\tAda\tB-PER\n2\tL\tI-PER\n")
    found = [
        (row["text"], [row["text"][a:b] for a, b, _ in json.loads(row["label"])])
        for batch in open_source(f"{tmp_path}/*").batches()
        for row in batch.rows.to_pylist()
    ]
    assert found == [
        ("Vamos nos a el Mar Negro", ["Mar Negro"]), ("# 10 000", ["10 000"]), ("Ada L", ["Ada L"]),
        ("1", []), ("x", ["x"]), ("y", []), ("Ada L", ["Ada L"]),
    ]  # fmt: skip


def test_columns_by_name(tmp_path: Path) -> None:
    content = "d1 x EU B-ORG B-A\nd1 # is O -\n\n# a comment\nd1 x y O O\n"
    columns = ("document", "n", "text", "label", "other")
    assert named(tmp_path, content, columns=columns) == [(1, "EU is", ["ORG: EU"]), (5, "y", [])]
    with pytest.raises(UserError, match=r'"text" and "label" among them'):
        read(tmp_path, content, columns=("word", "label"))


def test_lines_with_columns_of_their_own(tmp_path: Path) -> None:
    content = "EU NNP B-NP B-ORG\nx NN B-NP O\n\ny NN B-NP\n\nz NN B-NP O\n"
    rows, rejected = read(tmp_path, content)
    assert [line for line, _, _ in rows] == [1, 6]
    assert [each.reason.split(":")[0] for each in rejected] == ["invalid line"]
    assert "3 columns" in rejected[0].reason
    # Tags without a scheme stay a fault, whatever tags other columns hold.
    rows, rejected = read(tmp_path, "EU NNP B-NP ORG\nx NN B-NP O\ny NN B-NP O\n")
    assert (rows, [each.reason for each in rejected]) == ([], ["invalid tag: ORG"])


@pytest.mark.parametrize("content", [CONLLU.replace("NER=", "Ner:"), "a x\nb y\n"])
def test_no_tags_at_all(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserError, match=r"(?s)no column holds tags.*B-PER.*columns = \["):
        read(tmp_path, content)


WORD = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6)
WORDS = WORD.filter(lambda word: not word.startswith("-DOCSTART-"))
PART = st.tuples(st.sampled_from(["", "PER", "LOC", "a-b", "Ä"]), st.lists(WORDS, min_size=1))


def tags_in(scheme: str, parts: list[tuple[str, list[str]]]) -> list[str]:
    found: list[str] = []
    for place, (name, words) in enumerate(parts):
        if not name:
            found += ["O"] * len(words)
            continue
        before = parts[place - 1][0] if place else ""
        single, last = {"BIOES": "SE", "BILOU": "UL"}.get(scheme, "BI")
        first = "B" if scheme != "IOB" or before == name else "I"
        inner = ["I"] * (len(words) - 2)
        letters = (
            [first, *inner, last] if len(words) > 1 else [single if scheme != "IOB" else first]
        )
        found += [f"{letter}-{name}" for letter in letters]
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(PART, min_size=1, max_size=5), max_size=4), st.sampled_from(" \t"),
       st.sampled_from(["BIO", "IOB", "BIOES", "BILOU"]))  # fmt: skip
def test_spans_come_back(
    tmp_path_factory: pytest.TempPathFactory, sentences: Any, between: str, scheme: str
) -> None:
    expected, lines = [], []
    for parts in sentences:
        words = [word for _, each in parts for word in each]
        spans, place = [], 0
        for name, each in parts:
            end = place + len(" ".join(each))
            spans += [(place, end, name)] if name else []
            place = end + 1
        expected.append((len(lines) + 1, " ".join(words), spans))
        rows = zip(words, tags_in(scheme, parts), strict=True)
        lines += [f"{word}{between}{tag}" for word, tag in rows] + [""]
    folder = tmp_path_factory.mktemp("conll")
    assert read(folder, "\n".join(lines)) == (expected, [])
