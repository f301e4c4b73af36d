"""What must never be in the repository, whoever writes a file."""

import re
from pathlib import Path

import pytest
import yaml

LARGEST_FILE = 500_000  # bytes
LONGEST_MODULE = 400  # lines; the aim is 60 to 300

# The account ids of the lessons, and those that AWS uses in its documentation for a second and a third account.
# Any other twelve digits may be somebody's account.
ACCOUNTS = {b"123456789012", b"000699977340", b"111122223333", b"444455556666"}
ACCOUNT = re.compile(rb"(?<![0-9A-Za-z._-])[0-9]{12}(?![0-9A-Za-z_])")

# Ada is nobody: tests that look for such paths give her a home.
MACHINE_PATH = re.compile(rb"/home/(?!ada/)[a-z][\w.-]*/|/Users/(?!ada/)[A-Za-z][\w.-]*/|[A-Z]:\\{1,2}Users\\|/root/\.")
PACKAGE_REGISTRY = re.compile(
    rb"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|yarnpkg\.com|anaconda\.(?:org|com)|crates\.io|rubygems\.org"
    rb"|[\w-]+\.jfrog\.io|[\w-]+\.codeartifact\.[\w-]+\.amazonaws\.com)\b"
)
SECRET = re.compile(
    rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"
    rb"|(?i:secret_?(?:access_?)?key)[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9/+]{40}\b"
    rb"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY"
    rb"|\bgh[opsu]_[A-Za-z0-9]{36}\b"
)


def secrets(content: bytes) -> list[bytes]:
    """Keys that may be real: AWS marks the ones made for documentation with EXAMPLE."""
    return [found for found in SECRET.findall(content) if b"EXAMPLE" not in found]


def accounts(content: bytes) -> list[bytes]:
    return [found for found in ACCOUNT.findall(content) if found not in ACCOUNTS]


def places(content: bytes, root: Path) -> list[bytes]:
    """Paths of this machine, or of any machine like it."""
    own = [str(path).encode() + b"/" for path in (root, Path.home()) if len(path.parts) > 2]
    return [*MACHINE_PATH.findall(content), *(path for path in own if path in content)]


def test_when_files_are_read_then_none_names_a_machine_path(project_files: list[Path], root: Path) -> None:
    assert {str(path): found for path in project_files if (found := places(path.read_bytes(), root))} == {}


def test_when_files_are_read_then_none_names_a_package_registry(project_files: list[Path]) -> None:
    assert {str(path): found for path in project_files if (found := PACKAGE_REGISTRY.findall(path.read_bytes()))} == {}


def test_when_files_are_read_then_none_holds_a_secret(project_files: list[Path]) -> None:
    assert {str(path): found for path in project_files if (found := secrets(path.read_bytes()))} == {}


def test_when_files_are_read_then_accounts_are_those_of_the_lessons(project_files: list[Path]) -> None:
    assert {str(path): found for path in project_files if (found := accounts(path.read_bytes()))} == {}


def test_when_files_are_measured_then_none_is_large(project_files: list[Path]) -> None:
    assert {str(path): size for path in project_files if (size := path.stat().st_size) > LARGEST_FILE} == {}


def test_when_modules_are_measured_then_none_is_empty_or_long(project_files: list[Path], root: Path) -> None:
    modules = [path for path in project_files if path.suffix == ".py" and root / "ecrlab" in path.parents]
    lengths = {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in modules}
    assert lengths
    assert {path: lines for path, lines in lengths.items() if not 1 <= lines <= LONGEST_MODULE} == {}


@pytest.mark.parametrize(
    ("check", "content"),
    [
        (secrets, b"aws_access_key_id = " + b"AKIA" + b"Q3EGR7XWNKZ5VT2M"),
        (secrets, b'"SecretAccessKey": "' + b"x8/Lq" * 8 + b'"'),
        (secrets, b"-----BEGIN RSA " + b"PRIVATE KEY-----"),
        (accounts, b"arn:aws:iam::" + b"98765" + b"4321098:root"),
        (MACHINE_PATH.findall, b"see /home" + b"/carla/ecrlab"),
        (MACHINE_PATH.findall, b"see C:\\" + b"Users\\ada"),
        (PACKAGE_REGISTRY.findall, b"--index-url https://" + b"pypi" + b".org/simple"),
    ],
)
def test_when_something_forbidden_is_there_then_it_is_found(check, content: bytes) -> None:  # type: ignore[no-untyped-def]
    assert len(check(content)) == 1


@pytest.mark.parametrize(
    ("check", "content"),
    [
        (secrets, b"AKIAIOSFODNN7EXAMPLE"),
        (secrets, b'"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"'),
        (accounts, b"123456789012.dkr.ecr.us-east-1.amazonaws.com"),
        (accounts, b"sha256:0123456789012345 0.123456789098 1700000000000"),
    ],
)
def test_when_something_only_looks_forbidden_then_it_passes(check, content: bytes) -> None:  # type: ignore[no-untyped-def]
    assert check(content) == []


def test_when_notebook_holds_outputs_then_the_commit_hook_finds_them(root: Path) -> None:
    (local,) = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())["repos"]
    entry = re.compile(next(hook["entry"] for hook in local["hooks"] if hook["id"] == "notebook-outputs"))
    assert entry.search('   "outputs": [\n    {\n     "output_type": "stream",')
    assert entry.search('   "execution_count": 3,')
    assert not entry.search(
        '   "execution_count": null,\n   "outputs": [],\n   "source": ["print(\\"output_type\\": 1)"]'
    )


def test_when_notebooks_are_read_then_none_holds_outputs(project_files: list[Path], root: Path) -> None:
    (local,) = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())["repos"]
    entry = re.compile(next(hook["entry"] for hook in local["hooks"] if hook["id"] == "notebook-outputs"))
    assert [path for path in project_files if path.suffix == ".ipynb" and entry.search(path.read_text())] == []
