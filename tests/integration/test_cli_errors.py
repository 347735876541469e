"""What bad input gets: one line, a hint, the documented exit code, and no secrets."""

from __future__ import annotations

import gzip
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from airgap.cli.main import run
from tests.support import builders
from tests.support.command_line import airgap, assert_refused
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.scripted_server import Reply, ScriptedServer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "No such command 'nope'"),
        (["export", "nope"], "`airgap export --help`"),
        (["export", "images", "nginx"], "Missing option '-o'"),
        (["export", "images", "-o", "x.tar"], "no references"),
        (["export", "images", "UPPER", "-o", "x.tar"], "'UPPER' is not a reference"),
        (["export", "images", "https://x/y", "-o", "x.tar"], "leave out the scheme"),
        (["export", "images", "a", "-o", "x", "--platform", "linux"], "is not a platform"),
        (["export", "images", "a", "-o", "x", "--jobs", "0"], "--jobs must be a whole number"),
        (["export", "images", "a", "-o", "x", "--ca-file", "no.pem"], "--ca-file no.pem cannot be"),
        (["export", "images", "a", "-o", "x", "--key", "k"], "without a certificate"),
        (["export", "images", "a", "-o", ""], "'' is not the name of a file"),
        (["export", "images", "a", "-o", "new/"], "'new/' is not the name of a file"),
        (["export", "images", "a", "-o", "."], ". is a folder"),
        (["export", "images", "a", "-o", "/"], "'/' is not the name of a file"),
        (["export", "images", "-f", "no.txt", "-o", "x"], "the list no.txt cannot be read"),
        (["import", "bundle", "x.tar"], "Missing option '--to'"),
        (["import", "bundle", "x.tar", "--to", "http://h"], "is a url"),
        (["import", "bundle", "x.tar", "--to", "h", "--sparse", "no"], "'no' is not one of"),
        (["verify", "bundle", "x.tar", "--expect", "abc"], "is not a bundle id"),
        (["inspect", "bundle", "x.tar", "--config", "no.toml"], "no.toml cannot be read"),
        (["inspect", "bundle", "x.tar", "-q", "-v"], "conflict"),
        (["inspect", "bundle"], "Missing argument"),
        (["login", "https://h"], "is not a registry"),
        (["login", "h", "-p", "secret"], "--password-stdin"),
        (["login", "h", "--password-stdin"], "needs a name"),
        (["login", "h", "-u", "me:secret", "--password-stdin"], "cannot have a colon"),
        (["login", "h"], "no terminal"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one line and a hint, and nothing is left in the current folder."""
    monkeypatch.chdir(tmp_path)
    done = airgap(*arguments)
    assert_refused(done, 2, "reference" if "UPPER" in arguments or "https://x/y" in arguments
                   else "settings", said)  # fmt: skip
    assert "secret" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_command_help_is_shown() -> None:
    """`airgap` alone shows what there is, as a usage error."""
    done = airgap()
    assert (done.code, done.out) == (2, "")
    assert "Usage: airgap" in done.err


def test_a_bundle_is_not_written_to_a_terminal() -> None:
    """A terminal gets no tar, and gives none."""
    done = airgap("export", "images", "nginx", "-o", "-", terminal=True)
    assert done.code == 2
    assert "not written to a terminal" in done.err
    assert (
        "not read from a terminal"
        in airgap("import", "bundle", "-", "--to", "h", terminal=True).err
    )


def test_errors_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets a coloured label unless NO_COLOR asks for none."""
    arguments = ("inspect", "bundle", "none.tar")
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[1;31merror[content-not-found]:\x1b[0m" in airgap(*arguments, terminal=True).err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in airgap(*arguments, terminal=True).err
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[" not in airgap(*arguments).err


@pytest.mark.parametrize(
    ("content", "code", "kind"),
    [
        (b"", 22, "bundle-format"),
        (b"hello\n" * 500, 22, "bundle-format"),
        (gzip.compress(b"x" * 5000), 22, "bundle-format"),
        (b"\0" * 10240, 23, "incomplete"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "import"])
def test_a_file_that_is_no_bundle_is_refused(
    command: str, content: bytes, code: int, kind: str, tmp_path: Path
) -> None:
    """Text, compressed files and zeros are told apart from bundles before anything is sent."""
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    to = ["--to", "127.0.0.1:9"] if command == "import" else []
    assert_refused(airgap(command, "bundle", path, *to), code, kind)


@pytest.mark.parametrize("command", ["inspect", "verify", "import"])
def test_a_missing_bundle_and_an_empty_folder_are_refused(command: str, tmp_path: Path) -> None:
    """A path that is not there is 10, and so is a folder without a bundle."""
    to = ["--to", "127.0.0.1:9"] if command == "import" else []
    assert_refused(airgap(command, "bundle", tmp_path / "no.tar", *to), 10, "content-not-found")
    assert_refused(airgap(command, "bundle", tmp_path, *to), 10, "content-not-found", "no bundle")


def test_an_output_that_exists_or_is_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder is 2, a file is 40 until --overwrite, and the file stays as it is."""
    with EmbeddedRegistry() as registry:
        builders.push(registry.repository("demo"), builders.chart(), tag="1")
        command = ("export", "images", f"{registry.host}/demo:1", "-o")
        assert_refused(airgap(*command, tmp_path), 2, "settings", "is a folder")
        path = tmp_path / "b.tar"
        path.write_bytes(b"precious")
        assert_refused(airgap(*command, path), 40, "conflict", "--overwrite")
        assert path.read_bytes() == b"precious"
        assert airgap(*command, path, "--overwrite").code == 0
        gone = tmp_path / "no/b.tar"
        assert airgap(*command, gone).code in (2, 10, 30)


def test_a_reference_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing tag is 10, and no bundle appears."""
    with EmbeddedRegistry() as registry:
        path = tmp_path / "b.tar"
        done = airgap("export", "images", f"{registry.host}/nope:1", "-o", path)
    assert_refused(done, 10, "content-not-found", "nope:1", "hint: check the name and the tag")
    assert not path.exists()


def test_an_unauthorized_registry_says_how_to_log_in(tmp_path: Path) -> None:
    """The hint of 11 is the command to run."""
    with ScriptedServer() as server:
        challenge = {"WWW-Authenticate": 'Basic realm="x"'}
        server.on("GET", ".*").reply(Reply(401, challenge))
        server.on("HEAD", ".*").reply(Reply(401, challenge))
        done = airgap("export", "images", f"{server.host}/a:1", "-o", tmp_path / "b.tar")
        assert_refused(done, 11, "unauthorized", f"airgap login {server.host}")


def test_html_in_place_of_a_manifest_is_a_broken_protocol(tmp_path: Path) -> None:
    """A login page is 13."""
    with ScriptedServer() as server:
        page = Reply(200, {"Content-Type": "text/html"}, b"<html>log in</html>")
        server.on("GET", ".*").reply(page)
        done = airgap("export", "images", f"{server.host}/a:1", "-o", tmp_path / "b.tar")
        assert_refused(done, 13, "registry-protocol" if "registry" in done.err.split(":")[0]
                       else "content-invalid", f"{server.host}/a:1: ")  # fmt: skip


def test_a_blob_with_other_bytes_names_where_it_came_from(tmp_path: Path) -> None:
    """The digest alone would not say which of many registries to look at: exit code 20."""
    with EmbeddedRegistry() as registry:
        image = builders.image(layers=(1000,))
        builders.push(registry.repository("demo"), image, tag="1")
        layer = image.blobs[1]
        wrong = Status(200, body=bytes(layer.descriptor.size))
        registry.fail(wrong, method="GET", path=layer.descriptor.digest.hex, times=20)
        done = airgap("export", "images", f"{registry.host}/demo:1", "-o", tmp_path / "b.tar")
        assert_refused(done, 20, "digest-mismatch", f"it came from {registry.host}/demo:")


def test_an_unknown_host_is_named(tmp_path: Path) -> None:
    """A host that there is none of is 12."""
    done = airgap(
        "export", "images", "no.such.host.invalid/a:1", "-o", tmp_path / "b.tar", "--retries", 0
    )
    assert_refused(done, 12, "unavailable", "no.such.host.invalid")


def test_a_server_that_is_not_trusted_names_the_option(tmp_path: Path) -> None:
    """An unknown authority is an error that names --ca-file, and with it all is well."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with EmbeddedRegistry(ssl_context=context) as registry:
        builders.push(registry.repository("demo"), builders.chart(), tag="1")
        reference = f"localhost:{registry.host.rpartition(':')[2]}/demo:1"
        command = ("export", "images", reference, "--retries", 0, "-o", tmp_path / "b.tar")
        refused = airgap(*command)
        assert_refused(refused, 12, "tls", "--ca-file")
        assert airgap(*command, "--ca-file", tmp_path / "ca.pem").code == 0


def test_json_errors_are_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of every stage are one line of JSON when JSON is asked for."""
    for arguments, code, name in (
        (["inspect", "bundle", "no.tar", "--json"], 10, "content-not-found"),
        (["inspect", "bundle", "--json"], 2, "settings"),
        (["inspect", "bundle", "x", "--json", "--config", "no.toml"], 2, "settings"),
    ):
        done = airgap(*arguments)
        assert done.err == ""
        last = done.lines[-1]
        assert (done.code, last["type"], last["exit"], last["code"]) == (code, "error", code, name)
    monkeypatch.setenv("AIRGAP_JSON", "1")
    assert airgap("inspect", "bundle", "no.tar").lines[-1]["type"] == "error"
    assert airgap("nope").lines[-1]["code"] == "settings"


def test_a_bug_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no error of airgap's own shows a traceback and exits with 1."""
    from airgap.cli import inspect_bundle

    for problem in (KeyError("\x1b[2Jx"), MemoryError(), RecursionError()):

        def fail(*_: object, problem: Exception = problem) -> None:
            raise problem

        monkeypatch.setattr(inspect_bundle, "open_bundle", fail)
        done = airgap("inspect", "bundle", "x.tar")
        assert done.code == 1
        assert "Traceback" in done.err
        assert "please report it" in done.err
        assert "\x1b" not in done.err


def test_hostile_text_in_an_error_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    """Control characters in what a user or a server wrote never reach the terminal."""
    done = airgap("inspect", "bundle", tmp_path / "a\x1b]0;x\x07\nb.tar")
    assert "\x1b" not in done.err
    assert "\\x1b]0;x\\x07\\nb.tar" in done.err
    assert len(done.err.splitlines()) == 2


def test_the_password_of_a_proxy_is_never_shown(tmp_path: Path) -> None:
    """Neither errors nor the log hold what stands in the url of a proxy."""
    log = tmp_path / "log"
    done = airgap(
        "export", "images", "registry.invalid/a:1", "-o", tmp_path / "b.tar", "--verbose",
        "--retries", 0, "--proxy", "http://me:s3cret@127.0.0.1:9", "--log-file", log,
    )  # fmt: skip
    assert done.code == 12
    assert "s3cret" not in done.err + done.out + log.read_text()


def test_a_log_that_cannot_be_written_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    """The log file is opened first."""
    done = airgap("inspect", "bundle", tmp_path / "x", "--log-file", tmp_path / "no/log")
    assert_refused(done, 30, "storage", "log file")


def test_a_reader_that_leaves_changes_nothing(tmp_path: Path) -> None:
    """`airgap inspect bundle … | head -1` ends quietly."""
    with EmbeddedRegistry() as registry:
        for number in range(300):
            builders.push(registry.repository(f"demo{number}"), builders.chart(), tag="1")
        names = [f"{registry.host}/demo{number}:1" for number in range(300)]
        assert airgap("export", "images", *names, "-o", tmp_path / "b.tar").code == 0
    command = (
        f"'{sys.executable}' -m airgap inspect bundle b.tar | head -1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_output_that_is_full_is_an_error(tmp_path: Path) -> None:
    """A result that could not be written is no success."""
    with EmbeddedRegistry() as registry:
        builders.push(registry.repository("demo"), builders.chart(), tag="1")
        path = tmp_path / "b.tar"
        assert airgap("export", "images", f"{registry.host}/demo:1", "-o", path).code == 0
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "airgap", "inspect", "bundle", path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 30
    assert done.stderr.startswith("error[storage]: the output could not be written")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_error_that_nobody_can_read_still_has_its_code(tmp_path: Path) -> None:
    """A full standard error changes neither what happens nor how it is told by the code."""
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "airgap", "inspect", "bundle", tmp_path / "none.tar"]
        assert subprocess.run(command, stderr=full, timeout=60).returncode == 10


def test_a_name_that_the_terminal_cannot_show_is_shown_otherwise(tmp_path: Path) -> None:
    """An encoding that lacks a letter ends nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "airgap", "inspect", "bundle", tmp_path / "größe.tar"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 10
    assert rb"gr\xf6\xdfe.tar" in done.stderr


def test_closed_streams_do_no_harm(tmp_path: Path) -> None:
    """A command whose standard streams are closed does its work and exits as it should."""
    with EmbeddedRegistry() as registry:
        builders.push(registry.repository("demo"), builders.chart(), tag="1")
        shell = f"'{sys.executable}' -m airgap"
        for command, code in (
            (f"export images {registry.host}/demo:1 -o b.tar -v 0<&- 1>&- 2>&-", 0),
            ("verify bundle b.tar 1>&-", 0),
            ("inspect bundle none.tar 2>&-", 10),
        ):
            done = subprocess.run(
                ["sh", "-c", f"{shell} {command}"], cwd=tmp_path, capture_output=True, timeout=60
            )
            assert (done.returncode, done.stdout + done.stderr) == (code, b"")


def test_a_bundle_whose_reader_leaves_is_unavailable(tmp_path: Path) -> None:
    """A broken pipe under the bundle itself is 12, in one line and a hint."""
    with EmbeddedRegistry() as registry:
        image = builders.image(layers=(3_000_000,))
        builders.push(registry.repository("demo"), image, tag="1")
        command = f"'{sys.executable}' -m airgap export images {registry.host}/demo:1 -o -"
        done = subprocess.run(
            ["bash", "-c", f"{command} | head -c 1000 > /dev/null; exit ${{PIPESTATUS[0]}}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 12
    assert done.stderr.startswith("error[unavailable]: ")
    assert len(done.stderr.splitlines()) == 2


def test_the_systems_variable_for_certificates_is_honoured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE adds authorities without any option."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with EmbeddedRegistry(ssl_context=context) as registry:
        builders.push(registry.repository("demo"), builders.chart(), tag="1")
        reference = f"localhost:{registry.host.rpartition(':')[2]}/demo:1"
        assert airgap("export", "images", reference, "-o", tmp_path / "b.tar").code == 0


def test_run_gives_plain_numbers() -> None:
    """The exit code that main hands to the system is an int."""
    assert run(["--version"]) == 0
