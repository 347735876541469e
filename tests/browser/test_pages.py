"""The main paths through the registry's pages, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airgap.content.memory import MemoryDepot
from tests.support import builders
from tests.support.bundles import BundleBuilder, MadeBundle, flip
from tests.support.pages import PageServer, alice_and_bob, serve_pages

pytestmark = pytest.mark.compat

NewPage = Callable[..., Any]
SECONDS = 20
DROP = """
async ([selector, name, url]) => {
  const bytes = await (await fetch(url)).arrayBuffer();
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  const target = document.querySelector(selector);
  for (const kind of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true,
      dataTransfer: transfer}));
  }
}
"""


def fill(server: PageServer) -> builders.Content:
    repository = server.depot.repository("payments/app")
    multi = builders.push(repository, builders.multi_platform(), tag="1.4")
    builders.push(repository, builders.sbom(multi.descriptor, name="parts"))
    builders.push(server.depot.repository("library/nginx"), builders.image(seed=5), tag="1.27")
    return multi


def a_bundle(size: int = 2_500_000) -> MadeBundle:
    bundle = BundleBuilder()
    layers = [builders.layer(size, number) for number in range(2)]
    bundle.add(builders.image(layers=layers), "registry.example/team/app:2.0")
    return bundle.build()


def choose(page: Any, path: Path) -> None:
    page.set_input_files("#bundle", str(path))
    page.get_by_role("button", name="Upload").click()


def slow_down(page: Any) -> None:
    """Let a browser send about two megabytes a second."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": 5,
            "downloadThroughput": -1,
            "uploadThroughput": 2_000_000,
        },
    )


def wait_until(page: Any, expression: str) -> None:
    """Wait until something is so. The policy of the pages lets nobody else evaluate text."""
    for _ in range(SECONDS * 50):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"it never came to: {expression}")


def test_one_finds_the_way_to_an_image(server: PageServer, new_page: NewPage):
    """From the first page two clicks lead to an image with its platforms and referrers."""
    multi = fill(server)
    page = new_page()
    page.goto(server.url)
    page.get_by_role("link", name="payments/app").click()
    page.get_by_role("link", name="1.4", exact=True).click()
    assert page.get_by_role("heading", level=1).inner_text() == "payments/app:1.4"
    assert page.get_by_text(str(multi.digest)).is_visible()
    table = page.get_by_role("table", name="What the index lists")
    assert table.get_by_role("row").count() == 5
    table.get_by_role("link").first.click()
    assert page.get_by_role("heading", name="Layers and history").is_visible()


def test_one_searches(server: PageServer, new_page: NewPage):
    """What is typed into the search is found, by keyboard alone."""
    fill(server)
    page = new_page()
    page.goto(server.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("nginx")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=nginx")
    assert page.get_by_role("link", name="library/nginx").is_visible()
    assert page.get_by_role("link", name="payments/app").count() == 0


def test_one_signs_in_and_out(new_page: NewPage):
    """Who signs in sees what is theirs, and after signing out no more."""
    depot = MemoryDepot()
    builders.push(depot.repository("secret/app"), builders.image(), tag="1.0")
    with serve_pages(depot=depot, guard=alice_and_bob()) as server:
        page = new_page()
        page.goto(server.url)
        assert page.get_by_role("link", name="secret/app").count() == 0
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Sign in").click()
        page.get_by_label("Name").fill("alice")
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        assert page.get_by_role("alert").inner_text() == "The name or the password is wrong."
        page.get_by_label("Password").fill("wonder land")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="secret/app").click()
        assert page.get_by_role("heading", level=1).inner_text() == "secret/app"
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Sign out").click()
        assert page.get_by_role("link", name="secret/app").count() == 0


def test_a_command_is_copied(server: PageServer, new_page: NewPage):
    """The button beside a command puts it onto the clipboard, and says so."""
    fill(server)
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{server.url}/r/payments/app:1.4")
    page.get_by_role("button", name="Copy the podman command").click()
    wait_until(page, "document.getElementById('copied').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"podman pull --tls-verify=false {server.host}/payments/app:1.4"


def test_a_bundle_is_uploaded_by_choosing_it(server: PageServer, new_page: NewPage, tmp_path: Path):
    """A chosen file arrives with progress, and its images can be followed from the outcome."""
    path = a_bundle().write(tmp_path)
    page = new_page()
    page.goto(f"{server.url}/upload")
    assert page.get_by_role("button", name="Upload").is_disabled()
    page.get_by_label("Below the path").fill("mirror")
    slow_down(page)
    choose(page, path)
    wait_until(page, "document.getElementById('bar').value > 0.1")
    assert re.search(r"[\d.]+ MB of 5\.0 MB", page.locator("#state").inner_text())
    page.get_by_role("heading", name="The bundle is here").wait_for()
    page.get_by_role("link", name="mirror/team/app:2.0").click()
    assert page.get_by_role("heading", level=1).inner_text() == "mirror/team/app:2.0"
    assert "Came with" in page.inner_text("main")


def test_a_bundle_is_uploaded_by_dropping_it(server: PageServer, new_page: NewPage):
    """A file that is dropped onto the field is uploaded like one that is chosen."""
    made = a_bundle(50_000)
    page = new_page()
    page.route("**/the-bundle", lambda route: route.fulfill(body=made.data))
    page.goto(f"{server.url}/upload")
    page.evaluate(DROP, ["#drop", "dropped.tar", "/the-bundle"])
    assert "dropped.tar" in page.locator("#drop-hint").inner_text()
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("heading", name="The bundle is here").wait_for()
    assert server.depot.repository("team/app").resolve("2.0") is not None


def test_an_upload_goes_on_after_a_reload(server: PageServer, new_page: NewPage, tmp_path: Path):
    """A page that was closed in the middle goes on where it was, with the same file."""
    made = a_bundle()
    path = made.write(tmp_path)
    page = new_page()
    page.goto(f"{server.url}/upload")
    page.get_by_label("Below the path").fill("mirror")
    slow_down(page)
    choose(page, path)
    wait_until(page, "document.getElementById('bar').value > 1e6")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    assert "is not finished" in page.inner_text("main")
    before = server.desk.running("")[0]
    assert before.progress.done > 1e6
    sent: list[int] = []
    page.on(
        "request",
        lambda request: (
            sent.append(len(request.post_data_buffer or b"")) if request.method == "PUT" else None
        ),
    )
    choose(page, path)
    page.get_by_role("heading", name="The bundle is here").wait_for()
    assert server.desk.running("") == ()
    assert before.state == "done"
    assert sum(sent) < len(made.data) - 900_000
    assert server.depot.repository("mirror/team/app").resolve("2.0") is not None


def test_an_upload_goes_on_when_the_connection_comes_back(
    server: PageServer, new_page: NewPage, tmp_path: Path
):
    """A connection that breaks is tried again, and nobody has to do anything."""
    path = a_bundle().write(tmp_path)
    page = new_page()
    page.goto(f"{server.url}/upload")
    slow_down(page)
    choose(page, path)
    wait_until(page, "document.getElementById('bar').value > 1e6")
    page.route("**/-/arrivals/**", lambda route: route.abort())
    wait_until(page, "document.getElementById('state').textContent.includes('again')")
    page.unroute("**/-/arrivals/**")
    page.get_by_role("heading", name="The bundle is here").wait_for()
    assert server.depot.repository("team/app").resolve("2.0") is not None


def test_an_upload_can_be_given_up(server: PageServer, new_page: NewPage, tmp_path: Path):
    """Cancel ends an upload, and says that what came is kept."""
    path = a_bundle().write(tmp_path)
    page = new_page()
    page.goto(f"{server.url}/upload")
    slow_down(page)
    choose(page, path)
    wait_until(page, "document.getElementById('bar').value > 1e6")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("heading", name="Cancelled").wait_for()
    assert server.depot.repository("team/app").resolve("2.0") is None


def test_a_damaged_bundle_is_refused_in_words(
    server: PageServer, new_page: NewPage, tmp_path: Path
):
    """What is wrong with a bundle stands on the page, with what to do."""
    made = a_bundle(50_000)
    path = made.write(tmp_path, flip(made.data, made.layout.blobs[-1].offset))
    page = new_page()
    page.goto(f"{server.url}/upload")
    choose(page, path)
    page.get_by_role("heading", name="The bundle was not imported").wait_for()
    assert "should hash to" in page.locator("#outcome-text").inner_text()
    assert page.evaluate("document.activeElement.id") == "outcome"


def test_pages_can_be_read_without_javascript(server: PageServer, new_page: NewPage):
    """Without scripts everything can be read, and nothing is offered that cannot work."""
    fill(server)
    page = new_page(java_script_enabled=False)
    page.goto(f"{server.url}/r/payments/app:1.4")
    assert page.get_by_text("docker pull").is_visible()
    assert page.get_by_role("button", name="Copy").count() == 0
    page.get_by_label("Search repositories").fill("nginx")
    page.get_by_role("button", name="Search").click()
    assert page.get_by_role("link", name="library/nginx").is_visible()
    page.goto(f"{server.url}/upload")
    assert page.locator("#upload").is_hidden()
    assert "airgap import bundle" in page.inner_text("main")


def test_one_signs_in_without_javascript(new_page: NewPage):
    """Signing in needs no script."""
    with serve_pages(guard=alice_and_bob()) as server:
        page = new_page(java_script_enabled=False)
        page.goto(f"{server.url}/sign-in")
        page.get_by_label("Name").fill("alice")
        page.get_by_label("Password").fill("wonder land")
        page.get_by_role("button", name="Sign in").click()
        assert page.get_by_role("button", name="Sign out").is_visible()


def brightness(page: Any) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3


def test_the_page_is_dark_for_those_who_want_that(server: PageServer, new_page: NewPage):
    """The colours follow what the reader's system asks for."""
    light, dark = new_page(color_scheme="light"), new_page(color_scheme="dark")
    for page in (light, dark):
        page.goto(server.url)
    assert brightness(light) > 200
    assert brightness(dark) < 60


@pytest.mark.parametrize("path", ["/", "/r/payments/app", "/r/payments/app:1.4", "/upload"])
def test_a_narrow_page_does_not_scroll_sideways(server: PageServer, new_page: NewPage, path: str):
    """On a telephone nothing but tables and commands is wider than the screen."""
    fill(server)
    page = new_page(viewport={"width": 360, "height": 700})
    page.goto(server.url + path)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360


def test_hostile_markup_does_nothing(server: PageServer, new_page: NewPage):
    """What would be a script in an annotation is text, in a real browser."""
    text = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    image = builders.image(annotations={"org.opencontainers.image.title": text, text: text})
    builders.push(server.depot.repository("team/app"), image, tag="1")
    page = new_page()
    page.goto(f"{server.url}/r/team/app:1")
    assert page.get_by_text("onerror").count() >= 2
    assert "owned" not in page.title()
