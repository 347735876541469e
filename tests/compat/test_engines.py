"""Docker, podman, containerd and skopeo read a bundle without airgap."""

from __future__ import annotations

import pytest

from tests.compat.conftest import Bundles
from tests.compat.corpus import Corpus, config_id
from tests.compat.engines import Containerd, Docker, Podman
from tests.compat.registries import CncfRegistry
from tests.compat.software import Program
from tests.support.builders import Content

pytestmark = pytest.mark.compat


def image_ids(contents: dict[str, Content]) -> dict[str, str]:
    """The ids that docker and podman should show for names."""
    return {name: config_id(content) for name, content in contents.items()}


def digests(contents: dict[str, Content]) -> dict[str, str]:
    """The digests that containerd should show for names."""
    return {name: str(content.digest) for name, content in contents.items()}


@pytest.fixture
def named(corpus: Corpus, source: CncfRegistry) -> dict[str, Content]:
    """What docker and podman get for each name."""
    return corpus.named_manifests(source.host)


@pytest.fixture
def roots(corpus: Corpus, source: CncfRegistry) -> dict[str, Content]:
    """What containerd gets for each name."""
    pinned = f"{source.host}/team/pinned@{corpus.pinned.digest}"
    return corpus.named_roots(source.host) | {pinned: corpus.pinned}


def without_names(images: dict[str, str]) -> dict[str, str]:
    """The images that have a name."""
    return {name: image for name, image in images.items() if "<none>" not in name}


class TestDocker:
    def test_loads_everything(
        self, docker: Docker, bundles: Bundles, named: dict[str, Content], corpus: Corpus
    ) -> None:
        """Each name stands for the image whose config was at the source, and one has no name."""
        docker.load(bundles.everything)
        assert without_names(docker.images()) == image_ids(named)
        assert docker.ids() == {*image_ids(named).values(), config_id(corpus.pinned)}

    @pytest.mark.parametrize("name", ["one", "docker"])
    def test_loads_one_image(
        self, docker: Docker, bundles: Bundles, named: dict[str, Content], name: str
    ) -> None:
        """A bundle of one image gives that image, of OCI's type and of Docker's own."""
        docker.load(getattr(bundles, name))
        [(image, found)] = docker.images().items()
        assert found == config_id(named[image])

    def test_loads_one_platform_of_an_index(
        self, docker: Docker, bundles: Bundles, named: dict[str, Content], source: CncfRegistry
    ) -> None:
        """Of an index docker gets linux/amd64, also where nothing else of it travelled."""
        name = f"{source.host}/team/app:1.4"
        for bundle in (bundles.multi, bundles.sparse):
            docker.load(bundle)
            assert docker.images() == {name: config_id(named[name])}
            docker.clear()

    def test_loads_an_image_without_a_tag(
        self, docker: Docker, bundles: Bundles, corpus: Corpus
    ) -> None:
        """An image that is known by digest alone comes without a name."""
        docker.load(bundles.pinned)
        assert docker.ids() == {config_id(corpus.pinned)}

    def test_takes_a_bundle_without_images(self, docker: Docker, bundles: Bundles) -> None:
        """A bundle of a chart is no error; there is nothing in it for docker."""
        docker.load(bundles.chart)
        assert docker.ids() == set()


class TestPodman:
    def test_loads_everything(
        self, podman: Podman, bundles: Bundles, named: dict[str, Content], corpus: Corpus
    ) -> None:
        """Each name stands for the image whose config was at the source, and one has no name."""
        podman.load(bundles.everything)
        assert podman.images() == image_ids(named)
        assert podman.ids() == {*image_ids(named).values(), config_id(corpus.pinned)}

    @pytest.mark.parametrize("name", ["one", "docker", "multi", "sparse"])
    def test_loads_one_image(
        self, podman: Podman, bundles: Bundles, named: dict[str, Content], name: str
    ) -> None:
        """A bundle of one image gives that image, whether podman reads it as OCI or as Docker's."""
        podman.load(getattr(bundles, name))
        [(image, found)] = podman.images().items()
        assert found == config_id(named[image])

    def test_loads_an_image_without_a_tag(
        self, podman: Podman, bundles: Bundles, corpus: Corpus
    ) -> None:
        """An image that is known by digest alone is there."""
        podman.load(bundles.pinned)
        assert podman.ids() == {config_id(corpus.pinned)}

    def test_takes_a_bundle_without_images(self, podman: Podman, bundles: Bundles) -> None:
        """A bundle of a chart is no error; there is nothing in it for podman."""
        podman.load(bundles.chart)
        assert podman.ids() == set()


class TestContainerd:
    @pytest.mark.parametrize("options", [(), ("--all-platforms",), ("--no-unpack",)])
    def test_imports_everything(
        self,
        containerd: Containerd,
        bundles: Bundles,
        roots: dict[str, Content],
        options: tuple[str, ...],
    ) -> None:
        """Each name stands for the manifest or index that it stood for at the source."""
        containerd.load(bundles.everything, *options)
        assert containerd.images() == digests(roots)
        assert (containerd.snapshots() == 0) == ("--no-unpack" in options)

    def test_imports_all_platforms(
        self, containerd: Containerd, bundles: Bundles, corpus: Corpus
    ) -> None:
        """With all platforms, containerd holds every blob of an index, attestations included."""
        containerd.load(bundles.multi, "--all-platforms")
        wanted = {str(digest) for digest in corpus.multi.all_blobs()}
        wanted |= {str(content.digest) for content in corpus.multi.walk()}
        assert wanted <= containerd.content()

    def test_imports_what_has_no_name(
        self, containerd: Containerd, bundles: Bundles, roots: dict[str, Content], corpus: Corpus
    ) -> None:
        """With --digests, charts, SBOMs and signatures are there, too, under their digests."""
        # Containerd 1.6 would try to unpack them, too, and end with an error.
        containerd.load(bundles.everything, "--digests", "--no-unpack")
        images = containerd.images()
        assert digests(roots).items() <= images.items()
        extra = {str(c.digest) for c in (corpus.chart, corpus.sbom, corpus.signature)}
        assert extra <= set(images.values())

    @pytest.mark.parametrize("name", ["one", "docker", "multi", "sparse", "pinned"])
    def test_imports_one_image(
        self, containerd: Containerd, bundles: Bundles, roots: dict[str, Content], name: str
    ) -> None:
        """A bundle of one image gives that image, unpacked, also where platforms are left out."""
        containerd.load(getattr(bundles, name))
        [(image, found)] = containerd.images().items()
        assert found == str(roots[image].digest)
        assert containerd.snapshots() > 0

    def test_takes_a_bundle_without_images(self, containerd: Containerd, bundles: Bundles) -> None:
        """A bundle of a chart is no error; there is nothing in it for containerd."""
        containerd.load(bundles.chart)
        assert containerd.images() == {}


class TestSkopeo:
    def test_copies_each_oci_image_by_its_name(
        self,
        skopeo: Program,
        bundles: Bundles,
        roots: dict[str, Content],
        inside: CncfRegistry,
    ) -> None:
        """Through `oci-archive:` every image of OCI's type reaches a registry as it was."""
        copied = 0  # skopeo 1.9 does not find manifests of Docker's own type there
        for name, content in roots.items():
            if "docker" in content.descriptor.media_type:
                continue
            skopeo.run(
                *("copy", "--all", "--preserve-digests", "--dest-tls-verify=false"),
                f"oci-archive:{bundles.everything}:{name}",
                f"docker://{inside.host}/copy:{copied}",
            )
            raw, media_type = inside.get(f"copy/manifests/{copied}")
            assert (raw, media_type) == (content.raw, content.descriptor.media_type)
            copied += 1
        assert copied == 5

    def test_copies_each_image_as_a_docker_archive(
        self, skopeo: Program, bundles: Bundles, named: dict[str, Content], inside: CncfRegistry
    ) -> None:
        """Through `docker-archive:` every image that has a tag is found, with its config."""
        for number, (name, content) in enumerate(named.items()):
            skopeo.run(
                *("copy", "--dest-tls-verify=false"),
                f"docker-archive:{bundles.everything}:{name}",
                f"docker://{inside.host}/copy:{number}",
            )
            copied = inside.get_json(f"copy/manifests/{number}")
            assert copied["config"]["digest"] == config_id(content)

    def test_lists_what_docker_would_load(
        self, skopeo: Program, bundles: Bundles, named: dict[str, Content]
    ) -> None:
        """`skopeo list-tags` shows every name, and the image that has none by its place."""
        listed = skopeo.run("list-tags", f"docker-archive:{bundles.everything}").json["Tags"]
        assert set(listed) - set(named) == {f"@{len(set(image_ids(named).values()))}"}
        assert set(named) <= set(listed)

    @pytest.mark.parametrize("name", ["one", "sparse", "multi", "pinned", "chart"])
    def test_copies_from_a_bundle_of_one(
        self, skopeo: Program, bundles: Bundles, source: CncfRegistry, corpus: Corpus, name: str
    ) -> None:
        """A bundle that holds one thing for this platform gives it by its name, or without one."""
        app = f":{source.host}/team/app:1.4"
        wanted, suffix = {
            "one": (corpus.plain, ""),
            "sparse": (corpus.amd64, app),
            "multi": (corpus.amd64, ""),
            "pinned": (corpus.pinned, ""),
            "chart": (corpus.chart, ""),
        }[name]
        folder = skopeo.home / f"copied-{name}"
        skopeo.run(
            *("--override-os=linux", "--override-arch=amd64", "copy", "--preserve-digests"),
            f"oci-archive:{getattr(bundles, name)}{suffix}",
            f"dir:{folder}",
        )
        assert (folder / "manifest.json").read_bytes() == wanted.raw
