"""Lock files: made without exporting, exported from for ever, and compared with what tags say."""

from __future__ import annotations

import re

import pytest

from airgap.errors import ExitCode
from airgap.record.lock import Lock
from tests.support import builders
from tests.support.builders import AMD64, ARM64
from tests.support.command_line import airgap
from tests.support.differentials import against
from tests.support.embedded import Status
from tests.support.transfers import catalog_of, export

APP = builders.multi_platform((AMD64, ARM64), seed=1, layers=(3000,))
TOOL = builders.image(layers=(2000,), seed=2)
LATER = builders.multi_platform((AMD64, ARM64), seed=5, layers=(4000,))


@pytest.fixture
def names(outside):
    """An index and a single image, by name."""
    builders.push(outside.repository("team/app"), APP, tag="1")
    builders.push(outside.repository("team/tool"), TOOL, tag="2")
    return [f"{outside.host}/team/app:1", f"{outside.host}/team/tool:2"]


@pytest.fixture
def listed(names, tmp_path):
    """The names in a list."""
    path = tmp_path / "images.txt"
    path.write_text("\n".join(names) + "\n")
    return path


@pytest.fixture
def lock(listed, tmp_path):
    """A lock file of them."""
    path = tmp_path / "images.lock"
    done = airgap("lock", "-f", listed, "-o", path)
    assert done.code == 0, done.err
    return path


def move(outside):
    """Let a tag stand for something else."""
    builders.push(outside.repository("team/app"), LATER, tag="1")


def size_of(content):
    """All bytes of an image."""
    parts = list(content.walk())
    return sum(len(p.raw) for p in parts) + sum(len(b.data) for b in content.all_blobs().values())


def test_a_lock_is_made_of_manifests_alone(outside, listed, names, tmp_path):
    """Digests, platforms and sizes stand in it, and no blob was asked for."""
    outside.clear()
    done = airgap("lock", "-f", listed, "-o", tmp_path / "l", "--json")
    made = Lock.parse((tmp_path / "l").read_bytes())
    assert [image.reference.tagged for image in made.images] == names
    assert [image.digest for image in made.images] == [APP.digest, TOOL.digest]
    assert [image.size for image in made.images] == [size_of(APP), size_of(TOOL)]
    platforms = {p.platform: p.digest for p in made.images[0].platforms}
    assert platforms == {str(c.platform): c.digest for c in APP.children[:2]}
    assert made.images[1].platforms == ()
    assert outside.count("", r"/blobs/") == 0
    result = done.lines[-1]
    assert result["id"] == str(made.id)
    assert [image["reference"] for image in result["images"]] == names


def test_a_lock_goes_to_standard_output_where_no_file_is_named(listed, lock):
    """What people are told goes to standard error then."""
    done = airgap("lock", "-f", listed)
    assert done.stdout == lock.read_bytes()
    assert "standard output: 2 images" in done.err


def test_an_export_writes_the_same_lock(listed, lock, tmp_path):
    """Whether it goes to a file, in volumes or through a pipe, with referrers or without."""
    for number, more in enumerate(
        [
            ("-o", tmp_path / "b.tar"),
            ("-o", "-"),
            ("-o", tmp_path / "c.tar", "--volume-size", "1MiB", "--no-referrers"),
            ("-o", tmp_path / "d.tar", "--volume-size", "1MiB", "--spread"),
        ]
    ):
        path = tmp_path / f"{number}.lock"
        done = airgap("export", "images", "-f", listed, "--lock", path, *more)
        assert done.code == 0, done.err
        assert path.read_bytes() == lock.read_bytes()


def test_neither_a_plan_nor_a_failure_writes_a_lock(outside, listed, tmp_path):
    """Only what is in a bundle is written down."""
    path = tmp_path / "l"
    out = tmp_path / "b.tar"
    airgap("export", "images", "-f", listed, "-o", out, "--lock", path, "--dry-run")
    assert not path.exists()
    outside.fail(Status(404), method="GET", path=r"/blobs/", times=1000)
    done = airgap("export", "images", "-f", listed, "-o", out, "--lock", path)
    assert done.code == ExitCode.NOT_FOUND
    assert not path.exists()


def test_a_lock_that_could_not_be_written_is_found_before_the_export(outside, listed, tmp_path):
    """A folder that is not there is not noticed after hours only."""
    outside.clear()
    path, out = tmp_path / "nowhere" / "l", tmp_path / "b.tar"
    done = airgap("export", "images", "-f", listed, "-o", out, "--lock", path)
    assert done.code == ExitCode.USAGE
    assert list(outside.seen) == []


def test_a_lock_exports_the_same_for_ever(outside, listed, lock, tmp_path):
    """A tag that has moved since is told of with one request, and the bundle stays the same."""
    export_it = ("export", "images", "-o")
    airgap(*export_it, tmp_path / "a.tar", "-f", listed)
    move(outside)
    outside.clear()
    done = airgap(*export_it, tmp_path / "b.tar", "-f", lock)
    assert done.code == 0
    assert (tmp_path / "b.tar").read_bytes() == (tmp_path / "a.tar").read_bytes()
    assert f"team/app:1 is {LATER.digest} now; the lock says {APP.digest}" in done.err
    assert "team/tool:2" not in done.err
    assert outside.count("HEAD", r"/manifests/[12]$") == 2
    assert outside.count("GET", r"/manifests/[12]$") == 0


def test_a_tag_that_is_gone_is_told_of(outside, lock, tmp_path):
    """What the lock says is there all the same."""
    outside.repository("team/app").delete_tag("1")
    done = airgap("export", "images", "-f", lock, "-o", tmp_path / "b.tar")
    assert done.code == 0
    assert f"team/app:1 is gone; the lock says {APP.digest}" in done.err
    assert {i.digest for i in catalog_of(tmp_path / "b.tar").images} == {APP.digest, TOOL.digest}


def test_a_registry_that_cannot_tell_is_no_failure(outside, lock, tmp_path):
    """The digests count, whatever became of the tags."""
    outside.fail(Status(403), method="HEAD", path=r"/manifests/", times=100)
    done = airgap("export", "images", "-f", lock, "-o", tmp_path / "b.tar")
    assert done.code == 0, done.err


def test_a_lock_of_some_platforms_exports_these(listed, names, tmp_path):
    """Unless flags say otherwise; the size is that of these platforms."""
    path = tmp_path / "arm.lock"
    airgap("lock", "-f", listed, "--platform", "linux/amd64", "-o", path)
    made = Lock.parse(path.read_bytes())
    assert [p.platform for p in made.images[0].platforms] == ["linux/amd64"]
    taken = (APP.children[0], APP.children[2])  # the platform and its attestation
    assert made.images[0].size == len(APP.raw) + sum(map(size_of, taken))
    for options, count in (((), 1), (("--platform", "linux/arm64"), 1)):
        out = tmp_path / f"{len(options)}.tar"
        only = tmp_path / "app.lock"
        only.write_bytes(Lock.build(made.images[:1], made.platforms).to_bytes())
        done = airgap("export", "images", "-f", only, "-o", out, *options)
        assert done.code == 0, done.err
        index, *rest = (m.digest for m in catalog_of(out).manifests)
        taken = {index, *rest} & {child.digest for child in APP.children[:2]}
        assert len(taken) == count
        assert (APP.children[0].digest in taken) == (not options)


def test_locks_of_different_platforms_are_not_mixed(listed, lock, tmp_path):
    """Somebody has to say which are meant."""
    path = tmp_path / "other.lock"
    airgap("lock", "-f", listed, "--platform", "linux/amd64", "-o", path)
    done = airgap("export", "images", "-f", lock, "-f", path, "-o", tmp_path / "b.tar")
    assert done.code == ExitCode.USAGE
    assert "--platform" in done.err


def test_a_lock_is_renewed(outside, lock, tmp_path):
    """Its names are looked up again, for the same platforms."""
    before = Lock.parse(lock.read_bytes())
    move(outside)
    assert airgap("lock", "-f", lock, "-o", lock).code == 0
    after = Lock.parse(lock.read_bytes())
    assert [i.digest for i in after.images] == [LATER.digest, TOOL.digest]
    assert after.images[1] == before.images[1]
    assert after.platforms == before.platforms


def test_check_says_what_has_moved(outside, lock):
    """Nothing moved is 0; a moved or lost tag is 40, with what it is now; nothing is written."""
    raw = lock.read_bytes()
    done = airgap("lock", "--check", "-f", lock)
    assert (done.code, done.out) == (0, "2 images: 0 tags moved\n")
    move(outside)
    outside.repository("team/tool").delete_tag("2")
    done = airgap("lock", "--check", "-f", lock, "--json")
    assert done.code == ExitCode.CONFLICT
    result, error = done.lines[-2:]
    assert [(m["locked"], m["now"]) for m in result["moved"]] == [
        (str(APP.digest), str(LATER.digest)),
        (str(TOOL.digest), None),
    ]
    assert error["exit"] == 40
    assert lock.read_bytes() == raw


@pytest.mark.parametrize("more", [["nginx"], ["-o", "x"], ["--platform", "linux/amd64"]])
def test_check_takes_lock_files_alone(lock, more):
    """Anything else beside it is a mistake."""
    done = airgap("lock", "--check", "-f", lock, *more)
    assert done.code == ExitCode.USAGE
    assert airgap("lock", "--check", "nginx").code == ExitCode.USAGE


def test_check_does_not_take_a_list(listed, lock):
    """A list has nothing to compare with, also beside a lock."""
    assert airgap("lock", "--check", "-f", listed).code == ExitCode.USAGE
    assert airgap("lock", "--check", "-f", listed, "-f", lock).code == ExitCode.USAGE


def test_a_lock_comes_from_standard_input(lock, tmp_path):
    """As a list does."""
    done = airgap("export", "images", "-f", "-", "-o", tmp_path / "b.tar", stdin=lock.read_bytes())
    assert done.code == 0, done.err
    assert len(catalog_of(tmp_path / "b.tar").images) == 2


def test_a_broken_lock_is_refused_by_name(lock, tmp_path):
    """It is not taken for a list, and not exported from in part."""
    lock.write_bytes(lock.read_bytes()[:-30])
    done = airgap("export", "images", "-f", lock, "-o", tmp_path / "b.tar")
    assert done.code == ExitCode.BUNDLE_FORMAT
    assert "images.lock is not TOML" in done.err


def test_what_cannot_be_locked_is_left_out_where_that_is_wanted(outside, listed, tmp_path):
    """With --keep-going the rest is locked, and the command exits with 3."""
    listed.write_text(listed.read_text() + f"{outside.host}/team/none:1\n")
    assert airgap("lock", "-f", listed, "-o", tmp_path / "l").code == ExitCode.NOT_FOUND
    assert not (tmp_path / "l").exists()
    done = airgap("lock", "-f", listed, "-o", tmp_path / "l", "--keep-going")
    assert done.code == ExitCode.PARTIAL
    assert len(Lock.parse((tmp_path / "l").read_bytes()).images) == 2


def test_a_lock_says_what_the_receiver_has(outside, names, lock, tmp_path):
    """All that its images need is left: their manifests are looked up by digest, no blob is."""
    layers = [APP.children[0].blobs[1], builders.layer(500, seed=77)]
    later = builders.image(layers=layers, seed=8)
    builders.push(outside.repository("team/app"), later, tag="1")
    outside.clear()
    done = airgap("export", "images", names[0], "--against", lock, "-o", tmp_path / "u.tar")
    assert done.code == 0, done.err
    catalog = catalog_of(tmp_path / "u.tar")
    assert [(base.kind, base.id) for base in catalog.bases] == [
        ("lock", Lock.parse(lock.read_bytes()).id)
    ]
    [held] = catalog.held
    assert held.digest == layers[0].descriptor.digest
    assert held.repository == names[0].rpartition(":")[0]
    assert outside.count("GET", re.escape(str(held.digest))) == 0


def test_a_lock_whose_images_are_gone_says_nothing(outside, names, lock, tmp_path):
    """What cannot be looked up is not taken to be held."""
    outside.fail(Status(404), method="GET", path=re.escape(str(TOOL.digest)), times=100)
    done = airgap("export", "images", names[0], "--against", lock, "-o", tmp_path / "u.tar")
    assert done.code == ExitCode.NOT_FOUND
    assert not (tmp_path / "u.tar").exists()


def test_a_bundle_is_looked_at_for_moved_tags(names, lock, tmp_path):
    """With --from the tags are those of the bundles; there is no network."""
    export(names, tmp_path / "b.tar")
    done = airgap(
        "export", "images", "-f", lock, "--from", tmp_path / "b.tar", "-o", tmp_path / "c.tar"
    )
    assert done.code == 0, done.err
    assert (tmp_path / "c.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    known = against([tmp_path / "b.tar"])
    assert known.find(TOOL.blobs[1].descriptor, [names[1]]) is not None


def test_a_lock_replaces_nothing_but_a_lock(names, listed, lock, tmp_path):
    """A list, a bundle or a device is never taken for the lock of before."""
    before = listed.read_bytes()
    for target in (listed, tmp_path / "x" / "images.lock", tmp_path):
        done = airgap("lock", "-f", listed, "-o", target)
        assert done.code in (2, 40), done.err
        done = airgap("export", "images", *names, "-o", tmp_path / "x.tar", "--lock", target)
        assert done.code in (2, 40), done.err
    assert airgap("lock", "-f", listed, "-o", "/dev/null").code == 2
    assert listed.read_bytes() == before
    assert not (tmp_path / "x.tar").exists()
    assert airgap("lock", "-f", listed, "-o", lock).code == 0


def test_a_lock_with_the_name_of_its_bundle_leaves_the_bundle(names, tmp_path):
    """What was exported is there, and why there is no lock is said."""
    path = tmp_path / "same.tar"
    done = airgap("export", "images", *names, "-o", path, "--lock", path)
    assert done.code == 40, done.err
    assert "is no lock file" in done.err
    assert airgap("verify", "bundle", path).code == 0


def test_a_lock_of_nothing_is_not_written(outside, tmp_path):
    """Where no name stands for anything, nothing is said of an export that there was not."""
    path = tmp_path / "images.lock"
    done = airgap("lock", f"{outside.host}/team/nothing:1", "--keep-going", "-o", path)
    assert done.code == ExitCode.PARTIAL
    assert "export" not in done.err
    assert "fetched" not in done.err
    assert not path.exists()
