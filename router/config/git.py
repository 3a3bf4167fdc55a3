"""Git, run so that nothing of a repository, a user or a machine decides what it does.

Every program that could approve or change something is named here; hooks, filters, replacements,
submodules and the configuration of user and machine do not act. Objects are read one by one and
their names computed anew, so that what was signed is what is read. Raises NotDeployed.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from router.errors import RouterError

MAX_FILES: Final = 10_000
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 64
GIT_SECONDS: Final = 60.0
COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_REGULAR: Final = frozenset({"100644", "100755"})
_FOLDER: Final = "40000"
_QUIET: Final = (
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never",
    "-c", "submodule.recurse=false",
)  # fmt: skip
_OUR_PROGRAMS: Final = (
    "-c", "gpg.format=ssh", "-c", "gpg.ssh.program=ssh-keygen", "-c", "gpg.program=false",
    "-c", "gpg.openpgp.program=false", "-c", "gpg.x509.program=false",
)  # fmt: skip


class NotDeployed(RouterError):
    """Nothing was changed; the text says why and what to do."""

    retry = False
    scope = "configuration"
    http_status = 409


def commit_of(repository: Path, revision: str) -> str:
    """The commit a revision names in a repository."""
    if not repository.is_dir():
        raise NotDeployed(f"{repository} is no folder")
    try:
        found = run_git(
            repository, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"
        )
    except NotDeployed as error:
        raise NotDeployed(f"{repository} has no revision {revision!r}: {error}") from None
    commit = found.decode("ascii", "replace").strip()
    if not COMMIT.match(commit):
        raise NotDeployed(f"git names {commit[:80]!r} for {revision!r}, which is no commit")
    return commit


def written_by(repository: Path, commit: str) -> tuple[str, str]:
    """The author and the first line of a commit."""
    text = run_git(repository, "show", "-s", "--no-show-signature", "--format=%an%x00%s", commit)
    author, _, subject = text.decode("utf-8", "replace").strip().partition("\0")
    return author[:200], subject[:200]


def contains(repository: Path, tip: str, commit: str) -> bool:
    """Whether a commit is the other, or behind it."""
    try:
        run_git(repository, "merge-base", "--is-ancestor", commit, tip)
    except NotDeployed:
        return False
    return True


def apart(repository: Path, commit: str, tip: str) -> tuple[int, int] | None:
    """How many commits one is (behind, ahead) of the other; None where the repository lacks it."""
    try:
        text = run_git(repository, "rev-list", "--left-right", "--count", f"{commit}...{tip}")
    except NotDeployed:
        return None
    ahead, behind = map(int, text.split())
    return behind, ahead


def check_signature(repository: Path, commit: str, signers: Path) -> None:
    """Raise NotDeployed unless one of the allowed signers signed the commit with an SSH key.

    The programs that look are ours: the repository's own configuration could name one that says
    yes to everything, and other forms of signature would be looked up in a keyring of the machine.
    """
    if not signers.is_file():
        raise NotDeployed(f"{signers} is no file")
    allowed = f"gpg.ssh.allowedSignersFile={os.path.abspath(signers)}"
    unsigned = f"commit {commit[:12]} is not signed by who may: "
    with _objects(repository) as objects:
        head = objects.read(commit, "commit").partition(b"\n\n")[0]
    if b"\ngpgsig" not in head:
        raise NotDeployed(unsigned + "it carries no signature")
    try:
        run_git(repository, *_OUR_PROGRAMS, "-c", allowed, "verify-commit", commit)
    except NotDeployed as error:
        raise NotDeployed(f"{unsigned}{error}") from None


def files_of(repository: Path, path: str, commit: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Every file below `path` of a commit, as it was committed. No link, no submodule."""
    with _objects(repository) as objects:
        tree = _tree_of(objects, commit, path)
        number = total = 0
        for name, mode, identity in _walk(objects, tree, PurePosixPath()):
            if mode not in _REGULAR:
                what = {"120000": "a link", "160000": "a submodule"}.get(mode, f"of mode {mode}")
                raise NotDeployed(f"{name} is {what}: a release holds files only")
            number += 1
            if number > MAX_FILES:
                raise NotDeployed(f"commit {commit[:12]} has more than {MAX_FILES} files")
            content = objects.read(identity, "blob")
            total += len(content)
            if total > MAX_BYTES:
                raise NotDeployed(f"commit {commit[:12]} is larger than {MAX_BYTES >> 20} MiB")
            yield name, content
        if not number:
            raise NotDeployed(f"commit {commit[:12]} has no file below {path or 'its root'}")


def _tree_of(objects: _Objects, commit: str, path: str) -> str:
    head = objects.read(commit, "commit").partition(b"\n")[0].decode("ascii", "replace")
    tree = head.removeprefix("tree ")
    for part in PurePosixPath(path.strip("/")).parts:
        below = {name: (mode, identity) for name, mode, identity in _entries(objects, tree)}
        mode, tree = below.get(part, ("", ""))
        if mode != _FOLDER:
            raise NotDeployed(f"commit {commit[:12]} has no folder {path!r}")
    return tree


def _walk(
    objects: _Objects, tree: str, inside: PurePosixPath
) -> Iterator[tuple[PurePosixPath, str, str]]:
    if len(inside.parts) > MAX_DEPTH:
        raise NotDeployed(f"{str(inside)[:80]} lies more than {MAX_DEPTH} folders deep")
    for name, mode, identity in _entries(objects, tree):
        if mode == _FOLDER:
            yield from _walk(objects, identity, inside / name)
        else:
            yield inside / name, mode, identity


def _entries(objects: _Objects, tree: str) -> Iterator[tuple[str, str, str]]:
    """(name, mode, identity) of a tree object: `mode name NUL identity`, again and again."""
    content, width = objects.read(tree, "tree"), len(tree) // 2
    while content:
        head, found, rest = content.partition(b"\0")
        mode, _, octets = head.partition(b" ")
        try:
            name = octets.decode("utf-8")
        except UnicodeDecodeError:
            raise NotDeployed(f"a file name is not UTF-8: {octets[:80]!r}") from None
        if not found or len(rest) < width or name in {"", ".", ".."} or "/" in name:
            raise NotDeployed(f"{name[:80]!r} lies outside of the release")
        yield name, mode.decode("ascii", "replace"), rest[:width].hex()
        content = rest[width:]


@dataclass(frozen=True, slots=True)
class _Objects:
    """The objects of one repository, each checked to be what its name says."""

    asked: IO[bytes]
    told: IO[bytes]

    def read(self, identity: str, kind: str) -> bytes:
        self.asked.write(f"{identity}\n".encode())
        self.asked.flush()
        words = self.told.readline().decode("ascii", "replace").split()
        if len(words) != 3 or words[1] != kind:
            raise NotDeployed(f"the repository lacks the {kind} {identity[:12]}")
        size = int(words[2])
        if size > MAX_BYTES:
            raise NotDeployed(f"a {kind} is larger than {MAX_BYTES >> 20} MiB")
        content = self.told.read(size + 1)[:-1]
        # The names of git, not a seal of ours: what was signed is a commit by this name.
        digest = hashlib.sha1 if len(identity) == 40 else hashlib.sha256
        if digest(f"{kind} {size}\0".encode() + content).hexdigest() != identity:
            raise NotDeployed(f"the {kind} {identity[:12]} is not what its name says")
        return content


@contextmanager
def _objects(repository: Path) -> Iterator[_Objects]:
    """One process of git for as many objects as are read."""
    command = _command(repository, ("cat-file", "--batch"))
    try:
        process = subprocess.Popen(
            command, env=_environment(None), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise NotDeployed("git is not installed") from None
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield _Objects(process.stdin, process.stdout)
        except BrokenPipeError:
            raise NotDeployed(f"{repository} cannot be read by git") from None
        finally:
            process.kill()


def run_git(
    repository: Path,
    *words: str,
    environment: Mapping[str, str] | None = None,
    descriptors: tuple[int, ...] = (),
    seconds: float | None = GIT_SECONDS,
) -> bytes:
    """What git prints. `descriptors` stay open in it."""
    try:
        done = subprocess.run(
            _command(repository, words),
            env=_environment(environment),
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise NotDeployed("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise NotDeployed(f"git did not answer within {seconds:g} s") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        # What a remote has to say comes first; what git makes of it is what counts.
        own = [line for line in lines if line.startswith(("fatal:", "error:"))][:1] or lines
        raise NotDeployed("; ".join(own)[:300] or "git failed")
    return done.stdout


def _command(repository: Path, words: tuple[str, ...]) -> list[str]:
    safe = f"safe.directory={os.path.realpath(repository)}"
    return ["git", "-C", str(repository), *_QUIET, "-c", safe, *words]


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "LC_ALL": "C.UTF-8",
        **(more or {}),
    }
