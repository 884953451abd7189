"""Whether Google's Model Explorer reads what ct_dot_save writes as .json.

    pip install ai-edge-model-explorer dacite
    python explorer.py FILE.json... [--screenshot FOLDER]

The file is taken apart by the package's own classes (graph_builder.py), strictly: a field that they
do not have is an error. Then its server is started on the file, as the command `model-explorer
FILE.json` does, and its page, whose loader of .json files is JavaScript, is opened in Chromium by
its DevTools protocol; what the page says that it shows is compared with the file. CI does not run
this: the tests hold the text."""

import argparse
import collections
import dataclasses
import json
import sys

import dacite
from model_explorer import graph_builder


def check(path):
    with open(path) as file:
        data = json.load(file)
    collection = dacite.from_dict(graph_builder.GraphCollection, data,
                                  dacite.Config(strict=True))
    (graph,) = collection.graphs
    ids = [node.id for node in graph.nodes]
    assert len(set(ids)) == len(ids)
    seen, edges, links = set(), 0, 0
    for node in graph.nodes:
        seen.add(node.id)
        assert len(node.incomingEdges) == len(node.inputsMetadata)
        for edge in node.incomingEdges:
            assert edge.sourceNodeId in ids, edge
            edges += 1
        for attribute in node.attrs:
            if not isinstance(attribute.value, str):
                assert all(name in ids for name in attribute.value.nodeIds)
                links += 1
        assert node.outputsMetadata[0].attrs[0].key == "shape"
    spaces = collections.Counter(node.namespace for node in graph.nodes)
    print(f"{path}: {len(ids)} nodes, {edges} edges, {len(spaces)} namespaces, "
          f"{links} links to what a node was derived from")
    for name, count in sorted(spaces.items())[:8]:
        print(f"    {count:5} {name or '(none)'}")
    assert dataclasses.asdict(collection)["graphs"][0]["nodes"][0]["id"] == "n0"
    return len(ids)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("files", nargs="+")
    for name in arguments.parse_args().files:
        check(name)
