"""The pages of docs/howto do what they say, run as they stand by a real shell."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import ExitStack

import pytest

from airgap.errors import ExitCode
from tests.compat.software import lacking
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry
from tests.support.howto import Block, Operator, find_program, read_page
from tests.support.media import MIB, loop_file_system
from tests.support.parity import contents, flip
from tests.support.sigstore import Sigstore
from tests.support.transfers import assert_holds, catalog_of

IMAGES = {
    "team/app": builders.image(layers=(3_000_000, 100_000)),
    "team/tool": builders.image(layers=(1_500_000,), seed=5),
}
PAGES = [
    "fat32",
    "dvd",
    "several-sticks",
    "pipes",
    "repair",
    "encryption",
    "split-merge",
    "signing",
    "receipts",
    "log",
    "image-signatures",
]


@pytest.fixture(scope="module")
def source():
    """The registry that the pages call registry.example.com."""
    with EmbeddedRegistry() as registry:
        for name, content in IMAGES.items():
            builders.push(registry.repository(name), content, tag="1.4")
        yield registry


@pytest.fixture
def operator(source, inside, tmp_path):
    """Somebody with a list of two images, for whom volumes are small so that there are several."""
    names = {
        "registry.example.com": source.host,
        "registry.example/": f"{source.host}/",
        "registry.internal:5000": inside.host,
        "--volume-size fat32": "--volume-size 2MiB",
        "--volume-size dvd": "--volume-size 2MiB",
        "--volume-size 1GiB": "--volume-size 1MiB",
        "ssh jump ": "",
        "HEX": IMAGES["team/app"].blobs[1].descriptor.digest.hex,
    }
    made = Operator(tmp_path, names)
    (made.work / "images.txt").write_text("".join(f"{source.host}/{name}:1.4\n" for name in IMAGES))
    return made


def assert_arrived(registry, prefix=""):
    for name, content in IMAGES.items():
        assert_holds(registry, prefix + name, content, "1.4")


def test_the_page_for_fat32_sticks_holds(operator, inside):
    """Volumes are imported where they lie, and a cut blob comes back with tar and cat."""
    said = operator.follow("fat32")
    assert len(list(operator.usb.glob("release.*.tar"))) == 3
    assert "release.002.tar: OK" in said
    assert "blob: OK" in said
    assert (operator.work / "blob").read_bytes() == IMAGES["team/app"].blobs[1].data
    assert_arrived(inside)


def test_the_page_for_discs_holds(operator, inside):
    """Images of discs are imported in any order; one that is lost is rebuilt from the others."""

    def put_in(person, disc):
        drive = person.folder / "media" / "dvd"
        if drive.exists():
            subprocess.run(["chmod", "-R", "u+w", drive], check=True)
            shutil.rmtree(drive)
        subprocess.run(
            [xorriso, "-osirrox", "on", "-indev", disc, "-extract", "/", drive],
            check=True,
            capture_output=True,
        )

    def import_each(person, block):
        assert len(list(person.work.glob("disc*.iso"))) == 5
        for number in (3, 1):
            put_in(person, person.work / f"disc{number}.iso")
            done = person.sh(person.translate(block.text))
            assert done.returncode == ExitCode.INCOMPLETE, done.stderr
            assert "still to come" in done.stderr
        put_in(person, person.work / "disc2.iso")

    def copy_all_but_the_second(person, block):
        assert_arrived(inside)
        for number in (4, 1, 5):
            put_in(person, person.work / f"disc{number}.iso")
            person.do(block)
        put_in(person, person.work / "disc3.iso")

    xorriso = find_program("xorriso")
    before = {
        "airgap import bundle /media/dvd": import_each,
        "cp -n /media/dvd": copy_all_but_the_second,
    }
    said = operator.follow("dvd", before if xorriso else {})
    assert "whole" in said
    if xorriso:
        assert "release.002.tar: rebuilt from parity" in said


def test_the_page_for_several_sticks_holds(operator, inside, tmp_path):
    """Two sticks are written by the same block, a volume of one is rebuilt, and both imported."""
    with ExitStack() as stack:
        made = [stack.enter_context(loop_file_system(tmp_path, "ext4", 6 * MIB)) for _ in range(2)]
        first, second = (medium.folder for medium in made)
        operator.usb.rmdir()
        whole = {}

        def put_in(stick):
            operator.usb.unlink(missing_ok=True)
            operator.usb.symlink_to(stick)

        def write_first(person, block):
            put_in(first)
            assert person.sh(person.translate(block.text)).returncode == 23
            put_in(second)

        def lose(person, block):
            lost = min(second.glob("release.*.tar"))
            whole[lost] = lost.read_bytes()
            lost.unlink()

        def read_second(person, block):
            assert person.sh(person.translate(block.text)).returncode == 23
            put_in(first)

        said = operator.follow(
            "several-sticks",
            {
                "--parity 1volume": write_first,
                "repair bundle": lose,
                "import bundle": read_second,
            },
        )
        assert "on 2 media" in said
        assert whole
        assert {path: path.read_bytes() for path in whole} == whole
        assert_arrived(inside)
        operator.usb.unlink()


def test_the_page_for_pipes_holds(operator, inside):
    """The import at the end of a pipe has everything, and the one that was cut short no tag."""
    said = operator.follow("pipes")
    assert "standard input is cut short" in said
    assert_arrived(inside)
    for name in IMAGES:
        assert inside.repository(f"elsewhere/{name}").resolve("1.4") is None
    unpacked = {path.name for path in (operator.work / "blobs" / "sha256").iterdir()}
    assert unpacked >= {content.digest.hex for content in IMAGES.values()}


def test_the_page_for_repair_holds(operator, inside):
    """Damage and losses are repaired from parity, a copy, a registry and by the plain tool."""
    first, second = "release.001.tar", "release.002.tar"
    whole = {}

    def remember_and_damage(person, block):
        whole.update(contents(person.usb))
        shutil.copytree(person.usb, person.folder / "media" / "usb2")
        flip(person.usb / first, 1_000_000)

    def assert_whole(person):
        assert contents(person.usb) == whole

    def lose(person, block):
        assert_whole(person)
        (person.usb / second).unlink()

    def damage_without_parity(person, block):
        assert contents(person.work / "rebuilt") == {second: whole[second]}
        assert second not in contents(person.usb)
        shutil.copy(person.work / "rebuilt" / second, person.usb)
        for path in person.usb.glob("*.par2"):
            path.unlink()
        flip(person.usb / first, 1_500_000)
        flip(person.folder / "media" / "usb2" / "release.003.tar", 700_000)

    def damage_again(person, block):
        for path in person.folder.joinpath("media", "usb2").glob("*.par2"):
            shutil.copy(path, person.usb)
        assert_whole(person)
        flip(person.usb / second, 700_000)

    said = operator.follow(
        "repair",
        {
            "verify bundle /media/usb --read-back": remember_and_damage,
            "-o rebuilt": lose,
            "--from /media/usb2": damage_without_parity,
        }
        | ({"par2 repair": damage_again} if find_program("par2") else {}),
    )
    assert f"{first}: rebuilt from parity" in said
    assert "1 blob from" in said
    assert_arrived(inside)
    assert {name: contents(operator.usb)[name] for name in (first, second)} == {
        name: whole[name] for name in (first, second)
    }


def test_the_page_for_encryption_holds(operator, inside):
    """Encrypted volumes arrive, are checked and repaired without a key, and age opens them."""
    whole = {}

    def damage(person, block):
        whole.update(contents(person.usb))
        flip(person.usb / "release.001.tar.age", 1_000_000)

    is_there = find_program("age-keygen")
    said = operator.follow("encryption", {"airgap repair": damage} if is_there else {})
    assert_arrived(inside, "secret/")
    if is_there:
        assert "team/app:1.4" not in whole["release.airgap.json"].decode()
        assert {n: d for n, d in contents(operator.usb).items() if n in whole} == whole
        assert_arrived(inside)
        assert_arrived(inside, "piped/")
        assert "3 of 3 volumes are here" in said


def test_the_page_for_signing_holds(operator, inside):
    """What is signed arrives, and each refusal of the page is one for its signatures."""
    said = operator.follow("signing")
    assert_arrived(inside)
    assert_arrived(inside, "piped/")
    assert_arrived(inside, "twice/")
    assert said.count("error[signature]") == 3
    assert "is not signed" in said
    assert "release 2026 is revoked: laptop stolen" in said
    assert "Verified OK" in said
    assert "Signature Verified Successfully" in said


def test_the_page_for_splitting_and_merging_holds(operator, source):
    """Parts of a bundle, merged again, are the bundle; a layout gives the images that it names."""
    app, tool, extra = (
        f"{source.host}/{name}" for name in ("team/app:1.0", "team/tool:2", "extra:1")
    )
    for reference, content in zip((app, tool), IMAGES.values(), strict=True):
        repository, _, tag = reference.removeprefix(f"{source.host}/").partition(":")
        builders.push(source.repository(repository), content, tag=tag)
    builders.push(source.repository("extra"), builders.image(seed=9), tag="1")
    made = operator.sh(
        f"airgap export images {app} {tool} -o release.tar\n"
        f"airgap export images {extra} -o extra.tar\n"
        f"airgap export images {app} {tool} {extra} -o expected.tar\n"
        "mkdir layout && tar -xf extra.tar -C layout"
    )
    assert made.returncode == 0, made.stderr
    operator.follow("split-merge")
    bundles = {path.name: path.read_bytes() for path in operator.work.glob("*.tar")}
    assert bundles["part1.tar"] == bundles["app.tar"]
    assert bundles["team.tar"] == bundles["release.tar"]
    assert bundles["all.tar"] == bundles["expected.tar"]
    assert bundles["from-layout.tar"] == bundles["extra.tar"]


@pytest.mark.parametrize(
    ("text", "code"), [("false\ntrue", 0), ("true", 23), ("airgap inspect bundle nothing", 23)]
)
def test_a_page_that_promises_another_end_is_found_out(operator, text, code):
    """Each command of a block counts, and the exit code is the one that the page says."""
    with pytest.raises(AssertionError, match=r"docs/howto/page\.md:7"):
        operator.do(Block("page", 7, text, code))


def test_the_page_for_receipts_holds(operator, inside):
    """A signed receipt passes on both sides, in the log, and leaves nothing for the next bundle."""
    said = operator.follow("receipts")
    assert_arrived(inside)
    assert said.count("\nsigned by inside") == 2
    assert "vault 2, morning shift" in said
    assert '"bases": []' in said
    assert (operator.usb / "next.tar").stat().st_size < 100_000


def test_the_page_for_the_log_holds(operator, inside, pack):
    """The chain is right by airgap and by sha256sum, and an older release is refused."""
    newer = pack({"team/app:1.4": builders.image(seed=11)})

    def bring_a_newer_one(person, _block):
        to = f"--to {inside.host} --on-existing-tag overwrite"
        assert person.sh(f"airgap import bundle {newer} {to}").returncode == 0

    said = operator.follow("log", {"--no-rollback": bring_a_newer_one})
    assert said.count("3 entries, whole") == 2
    head, before = (line.split()[0] for line in said.splitlines() if line.endswith("  -"))
    assert f"head: sha256:{head}" in said
    assert f"sha256:{before}\n" in said
    assert "team/app:1.4 goes back" in said


def test_the_page_for_signatures_of_images_holds(operator, inside):
    """Signed images travel and others do not; a person without a key and a key in JSON count."""
    pytest.importorskip("sigstore")
    sigstore = Sigstore()
    with EmbeddedRegistry() as registry:
        operator.names["registry.example.com"] = registry.host
        for name, content in (IMAGES | {"team/unsigned": builders.image(seed=77)}).items():
            builders.push(registry.repository(name), content, tag="1.4")
        listed = "".join(f"{registry.host}/{name}:1.4\n" for name in IMAGES)
        (operator.work / "images.txt").write_text(listed)

        def sign(person, block):
            assert_arrived(inside)
            catalog = catalog_of(person.usb / "release.tar")
            beside = person.usb / "release.tar.sigstore.json"
            beside.write_text(json.dumps(sigstore.sign(catalog.raw)))
            (person.work / "trusted_root.json").write_bytes(sigstore.root())

        is_there = find_program("cosign")
        before = {"--certificate-identity": sign} if is_there else {}
        said = operator.follow("image-signatures", before)
    if is_there:
        assert f"failed: {registry.host}/team/unsigned:1.4: has no signature" in said
        assert_arrived(inside, "keyless/")
        assert_arrived(inside, "by-key/")


NEEDS = sorted({block.needs for page in PAGES for block in read_page(page) if block.needs})


@pytest.mark.parametrize("program", NEEDS)
def test_the_programs_of_the_pages_are_installed(program):
    """Where one is missing, the blocks that need it were left out, and this says so."""
    if find_program(program) is None:
        lacking(f"{program} is not installed: blocks of docs/howto that need it were not run")
