from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from ecrlab.course import recording
from ecrlab.validation import Kind, runner
from ecrlab.validation.runner import run
from tests.validation.planted import tagged

Write = Callable[..., Path]

RECORD = (
    "import os\nfrom pathlib import Path\nfrom ecrlab.course import recording\nfrom ecrlab.course.outcomes "
    "import Outcome\n"
    "def check(task, outcome='Correct'):\n"
    "    recording.record(Path(os.environ['ECRLAB_VALIDATION']), kind='task', item=task,\n"
    "                     outcome=Outcome(outcome), message=outcome)\n"
)


def test_when_every_cell_runs_then_the_result_is_ok_and_the_source_is_untouched(write: Write, tmp_path: Path) -> None:
    path = write("md:# Title", "x = 1", "print(x + 1)")
    before = path.read_bytes()
    result = run(path, output=tmp_path / "out" / "executed.ipynb")
    assert result.ok, result.summary
    assert result.summary.startswith("planted.ipynb: passed in ")
    assert path.read_bytes() == before
    executed = nbformat.read(result.executed, as_version=4)
    assert executed.cells[2].outputs[0].text == "2\n"


def test_when_a_cell_raises_then_the_failure_names_cell_heading_and_error(write: Write, tmp_path: Path) -> None:
    path = write("md:# Title", "md:## Log in", "1 / 0", "print('later')")
    result = run(path, output=tmp_path / "executed.ipynb")
    (failure,) = result.failures
    assert failure.kind is Kind.CELL
    assert failure.cell_index == 2
    assert failure.summary == "cell 3, under “Log in”: ZeroDivisionError: division by zero"
    assert "1 / 0" in failure.trace
    assert len(nbformat.read(result.executed, as_version=4).cells) == 4  # no cells of papermill's own


def test_when_a_cell_exits_with_status_0_then_the_cells_that_never_ran_are_reported(write: Write) -> None:
    result = run(write("md:text", "import sys\nsys.exit(0)", "md:text", "raise RuntimeError('never seen')"))
    assert [failure.kind for failure in result.failures] == [Kind.NOT_RUN]
    assert result.failures[0].cell_index == 3


def test_when_the_kernel_dies_then_it_is_said_and_where(write: Write) -> None:
    result = run(write("import os\nos._exit(3)", "print('never')"))
    (failure,) = result.failures
    assert (failure.kind, failure.cell_index) == (Kind.KERNEL, 0)
    assert "the kernel died" in failure.summary


@pytest.mark.parametrize(
    "source", ["!false", "out = !false", "!!false", "%sx false", "%%sx\nfalse", "if True:\n    !false", "%system false"]
)
def test_when_a_bare_shell_command_is_used_then_the_notebook_is_refused(write: Write, source: str) -> None:
    result = run(write("print('fine')", source))
    assert {(failure.kind, failure.cell_index) for failure in result.failures} == {(Kind.FORBIDDEN, 1)}
    assert "exit status" in result.failures[0].summary


@pytest.mark.parametrize("option", ["--no-raise-error", "--bg"])
def test_when_a_shell_cell_hides_its_exit_status_then_the_notebook_is_refused(write: Write, option: str) -> None:
    result = run(write(f"%%bash {option}\nfalse"))
    assert [failure.kind for failure in result.failures] == [Kind.FORBIDDEN]


def test_when_the_program_of_a_shell_cell_is_missing_then_the_notebook_is_refused(write: Write) -> None:
    result = run(write("%%bash -e\ntrue"), environment={"PATH": "/nonexistent"})
    assert "the program 'bash' of %%bash is not installed" in result.failures[0].summary


def test_when_a_bang_is_only_text_then_the_notebook_runs(write: Write) -> None:
    assert run(write("text = '''\n!false\n'''\nassert 1 != 2", "%%bash -e\n! false\necho done!")).ok


def test_when_a_command_in_a_strict_shell_cell_fails_then_the_run_fails(write: Write) -> None:
    result = run(write("%%bash -eo pipefail\nfalse | true\necho not reached"))
    assert [failure.kind for failure in result.failures] == [Kind.CELL]
    assert "CalledProcessError" in result.failures[0].summary


@pytest.mark.parametrize("tag", ["raises-exception", "skip-execution"])
@pytest.mark.parametrize("source", ["1 / 0", "print('nothing is raised')"])
def test_when_a_cell_has_a_tag_that_hides_faults_then_the_notebook_is_refused(
    write: Write, tag: str, source: str
) -> None:
    result = run(write(tagged(source, tag)))
    assert [failure.kind for failure in result.failures] == [Kind.FORBIDDEN]
    assert "expect_error" in result.failures[0].summary


def test_when_a_parameter_is_given_then_the_notebook_uses_it(write: Write) -> None:
    path = write(tagged("name: str = 'a'\ncount = 1", "parameters"), "assert (name, count) == ('b', 2), (name, count)")
    assert run(path, parameters={"name": "b", "count": 2}).ok
    assert [failure.kind for failure in run(path).failures] == [Kind.CELL]


def test_when_a_parameter_is_unknown_then_it_is_refused(write: Write) -> None:
    result = run(write(tagged("name = 'a'", "parameters"), "pass"), parameters={"nmae": "b"})
    (failure,) = result.failures
    assert failure.kind is Kind.PARAMETER
    assert failure.summary == "unknown parameter 'nmae'; the notebook has: name"


def test_when_parameters_are_given_and_no_cell_takes_them_then_they_are_refused(write: Write) -> None:
    result = run(write("name = 'a'"), parameters={"name": "b"})
    assert [failure.kind for failure in result.failures] == [Kind.PARAMETER]


def test_when_two_cells_are_tagged_parameters_then_it_is_refused(write: Write) -> None:
    result = run(write(tagged("a = 1", "parameters"), tagged("b = 1", "parameters", "second")))
    assert [failure.kind for failure in result.failures] == [Kind.PARAMETER]


def test_when_a_parameterised_cell_fails_then_the_index_is_that_of_the_source(write: Write) -> None:
    result = run(write(tagged("a = 1", "parameters"), "1 / a"), parameters={"a": 0})
    assert result.failures[0].cell_index == 1


def test_when_a_cell_runs_too_long_then_the_failure_names_notebook_cell_and_limit(write: Write) -> None:
    result = run(write("md:## Wait", "import time\ntime.sleep(60)", "print('never')"), timeout=1)
    (failure,) = result.failures
    assert (failure.kind, failure.cell_index) == (Kind.TIMEOUT, 1)
    assert result.summary == "planted.ipynb: cell 2, under “Wait”: longer than the limit of 1 s"
    assert result.seconds < 30


def test_when_the_code_raises_a_timeout_of_its_own_then_it_is_an_error_of_the_cell(write: Write) -> None:
    result = run(write("raise TimeoutError('the service was slow')"))
    assert [failure.kind for failure in result.failures] == [Kind.CELL]
    assert "TimeoutError: the service was slow" in result.summary


@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan")])
def test_when_there_is_no_real_limit_then_the_run_is_refused(write: Write, limit: float) -> None:
    with pytest.raises(ValueError, match="seconds above 0"):
        run(write("pass"), timeout=limit)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "does not exist"), (b"{", "not a valid notebook"), (b"\xff\xfe", "not a valid notebook")],
)
def test_when_the_file_is_no_notebook_then_it_is_said_in_a_sentence(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "broken.ipynb"
    if content is not None:
        path.write_bytes(content)
    (failure,) = run(path).failures
    assert failure.kind is Kind.NOTEBOOK
    assert words in failure.summary


@pytest.mark.parametrize("kernel", ["no-such-kernel", None])
def test_when_the_kernel_cannot_be_started_then_it_is_a_failure_and_not_an_exception(
    write: Write, kernel: str | None
) -> None:
    (failure,) = run(write("pass", kernel=kernel)).failures
    assert failure.kind in (Kind.NOTEBOOK, Kind.KERNEL)
    assert "kernel" in failure.summary.lower()


def test_when_a_check_displays_not_yet_without_raising_then_the_run_fails(write: Write) -> None:
    result = run(write("md:text", RECORD + "check('01.1', 'Not yet')"))
    (failure,) = result.failures
    assert (failure.kind, failure.cell_index) == (Kind.CHECK, 1)
    assert "check('01.1') answered Not yet, not Correct" in failure.summary


def test_when_the_notebook_catches_the_error_of_a_check_then_the_run_fails(write: Write) -> None:
    hidden = (
        "for task in ('01.1', '01.2'):\n    try:\n        check(task, 'Not yet')\n    except Exception:\n        pass"
    )
    result = run(write(RECORD, hidden))
    assert [failure.kind for failure in result.failures] == [Kind.CHECK, Kind.CHECK]
    assert result.failures[1].summary == "check('01.2') answered Not yet, not Correct"


def test_when_a_check_never_answers_then_the_run_fails(write: Write) -> None:
    result = run(write("def check(task):\n    pass", "if False:\n    check('01.1')"))
    assert [(failure.kind, failure.cell_index) for failure in result.failures] == [(Kind.CHECK, 1)]
    assert "gave no answer" in result.failures[0].summary


def test_when_the_results_are_damaged_then_the_run_fails_and_does_not_raise(write: Write) -> None:
    plant = "import os\nopen(os.environ['ECRLAB_VALIDATION'], 'ab').write(b'{\\xff')"
    result = run(write(RECORD + "check('01.1')", plant))
    assert [failure.kind for failure in result.failures] == [Kind.CHECK]
    assert "line 2" in result.summary
    assert [answer.id for answer in result.answers] == ["01.1"]


def test_when_checks_answer_as_expected_then_the_result_lists_them(write: Write) -> None:
    result = run(write(RECORD + "check('01.1', 'Not attempted')"), expect="Not attempted")
    assert result.ok, result.summary
    assert [(answer.id, answer.outcome) for answer in result.answers] == [("01.1", "Not attempted")]


def test_when_the_real_check_is_not_correct_then_it_raises_in_validation(write: Write) -> None:
    path = write("from ecrlab.course import check\ncheck('01.1')")
    # Nothing listens on port 9: the check can only say that it could not check.
    offline = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_DEFAULT_REGION": "us-east-1"}
    result = run(path, environment={**offline, "AWS_SECRET_ACCESS_KEY": "not-a-real-one"})
    assert result.failures[0].kind is Kind.CELL
    assert "UnexpectedOutcomeError: Could not check." in result.failures[0].summary
    assert [answer.outcome for answer in result.answers] == ["Could not check"]


def test_when_the_notebook_runs_then_environment_and_folder_are_those_of_the_run(write: Write, tmp_path: Path) -> None:
    before = Path.cwd()
    path = write("import os\nassert os.environ['COLOUR'] == 'blue'\nassert os.path.exists('planted.ipynb')")
    result = run(path, environment={"COLOUR": "blue"})
    assert result.ok, result.summary
    assert "COLOUR" not in os.environ
    assert Path.cwd() == before


def test_when_the_path_holds_braces_then_they_are_no_placeholders(tmp_path: Path, write: Write) -> None:
    path = write("print(1)").rename(tmp_path / "a {b}.ipynb")
    assert run(path, output=tmp_path / "{c}.ipynb").ok
    assert (tmp_path / "{c}.ipynb").exists()


@pytest.mark.parametrize(
    "source",
    [
        "print('AKIA' + 'Q' * 16)",
        "import base64\nprint(base64.b64encode(b'AWS:' + b'p' * 40).decode())",
        "import os\nos.environ['MY_PASSWORD']",
        "print('aws_secret_access_key = ' + 'abcdefgh12345678')",
    ],
)
def test_when_an_output_shows_a_secret_then_the_run_fails_without_repeating_it(write: Write, source: str) -> None:
    secret = "correct horse battery"
    result = run(write(source), environment={"MY_PASSWORD": secret})
    assert [failure.kind for failure in result.failures] == [Kind.SECRET]
    assert secret not in result.summary


def test_when_the_example_keys_of_the_documentation_are_shown_then_the_run_passes(write: Write) -> None:
    assert run(write("print('AKIAIOSFODNN7EXAMPLE')")).ok


def test_when_course_and_runner_speak_then_they_use_the_same_names() -> None:
    assert runner.RESULTS_VARIABLE == recording.RESULTS_VARIABLE
    assert runner.EXPECT_VARIABLE == recording.EXPECT_VARIABLE
