"""Whether Google's Model Explorer reads what ct_dot_save writes as .json.

    pip install ai-edge-model-explorer dacite websocket-client
    python explorer.py FILE.json [PICTURE.png]

The file is taken apart by the package's own classes (graph_builder.py), strictly: a field that they
do not have is an error. Then the command `model-explorer FILE.json` runs and Chromium opens its
page, whose loader of .json files is JavaScript; the number of nodes that the page says it shows
must be that of the file. CI does not run this: the suite test_tree holds the text."""

import base64
import collections
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import dacite
import websocket
from model_explorer import graph_builder
from model_explorer.config import ModelExplorerConfig

SERVER, BROWSER = 8417, 9417  # ports


def read(path):
    """The number of nodes, by the package's classes."""
    with open(path) as file:
        collection = dacite.from_dict(graph_builder.GraphCollection, json.load(file),
                                      dacite.Config(strict=True))
    (graph,) = collection.graphs
    ids = {node.id for node in graph.nodes}
    assert len(ids) == len(graph.nodes)
    edges = links = 0
    for node in graph.nodes:
        assert len(node.incomingEdges) == len(node.inputsMetadata)
        assert node.outputsMetadata[0].attrs[0].key == "shape"
        assert all(edge.sourceNodeId in ids for edge in node.incomingEdges)
        targets = [a.value.nodeIds for a in node.attrs if not isinstance(a.value, str)]
        assert all(ids.issuperset(target) for target in targets)
        edges += len(node.incomingEdges)
        links += len(targets)
    spaces = collections.Counter(node.namespace for node in graph.nodes)
    print(f"{len(ids)} nodes, {edges} edges, {links} links to origins, {len(spaces)} namespaces:")
    for name, count in sorted(spaces.items()):
        print(f"{count:6}  {name or '(none)'}")
    return len(ids)


@contextlib.contextmanager
def running(*command):
    """A program until the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def retried(action):
    for attempt in range(60):
        try:
            return action()
        except Exception:
            if attempt == 59:
                raise
            time.sleep(0.5)


def shown(path, picture):
    """What the page says that it shows."""
    config = ModelExplorerConfig()
    config.add_model_from_path(os.path.abspath(path))
    url = f"http://localhost:{SERVER}/?data={config.to_url_param_value()}"
    server = os.path.join(os.path.dirname(sys.executable), "model-explorer")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, running(
        server, os.path.abspath(path), "--no_open_in_browser", "--skip_health_check",
        "--port", str(SERVER)
    ), running(
        "chromium", "--headless", "--no-sandbox", "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader", "--window-size=1440,900", f"--user-data-dir={profile}",
        f"--remote-debugging-port={BROWSER}", "--remote-allow-origins=*", "about:blank"
    ):
        retried(lambda: urllib.request.urlopen(f"http://localhost:{SERVER}/"))
        tabs = retried(lambda: json.load(
            urllib.request.urlopen(f"http://localhost:{BROWSER}/json")))
        page = next(tab for tab in tabs if tab["type"] == "page")
        socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=60)

        def call(method, **parameters):
            call.number += 1
            socket.send(json.dumps(
                {"id": call.number, "method": method, "params": parameters}))
            while (answer := json.loads(socket.recv())).get("id") != call.number:
                pass
            return answer["result"]

        call.number = 0
        call("Page.navigate", url=url)
        for _ in range(60):
            time.sleep(1)
            text = call("Runtime.evaluate", expression="document.body.innerText",
                        returnByValue=True)["result"].get("value", "")
            found = re.search(r"op node count\s+(\d+)", text)
            if found:
                break
        if picture:
            time.sleep(2)
            with open(picture, "wb") as file:
                file.write(base64.b64decode(call("Page.captureScreenshot")["data"]))
        assert found, text
        return int(found.group(1))


if __name__ == "__main__":
    nodes = read(sys.argv[1])
    on_page = shown(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    print(f"Model Explorer shows {on_page} nodes")
    assert on_page == nodes
