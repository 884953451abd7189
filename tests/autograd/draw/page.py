#!/usr/bin/env python3
"""Pages in a browser: real clicks and keys in headless Chromium, through its DevTools protocol.

    page.py BUILD [FOLDER]

BUILD holds examples/graph_dump and tests/page_samples, which write the pages; pages and screenshots
stay in FOLDER (default BUILD/page). Needs Chromium and websocket-client (Debian: chromium,
python3-websocket); without them it says so, and succeeds.
"""
import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

try:
    import websocket
except ImportError:
    print("skipped: python3-websocket is not installed")
    sys.exit(0)

WINDOW = (1440, 900)


class Browser:
    """One tab of a Chromium of our own."""

    def __init__(self, program):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--remote-debugging-port=0", "--remote-allow-origins=*", "--no-first-run",
             "--user-data-dir=" + self.profile.name, "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "DevTools listening" in line:
                port = line.split(":")[-1].split("/")[0]
                break
        tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json"))
        tab = next(t for t in tabs if t["type"] == "page")
        self.socket = websocket.create_connection(tab["webSocketDebuggerUrl"], timeout=60)
        self.numbers = itertools.count(1)
        self.complaints = []  # of the console, and of the network
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=WINDOW[0], height=WINDOW[1],
                  deviceScaleFactor=1, mobile=False)

    def call(self, method, **params):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            self.note(message)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"])
        if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"])
        if method == "Page.javascriptDialogOpening":
            self.complaints.append(params)
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("file:", "data:")):
                self.complaints.append(url)

    def open(self, path):
        """Opens a page; the seconds until it was drawn."""
        begin = time.monotonic()
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        drawn = "document.readyState === 'complete' && !!document.querySelector('svg .box')"
        while not self.run(drawn):
            time.sleep(0.01)
        self.run("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        return time.monotonic() - begin

    def run(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1,
                      clickCount=1)

    def drag(self, x, y, dx, dy):
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left",
                  buttons=1, clickCount=1)
        for k in range(1, 6):
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + dx * k / 5,
                      y=y + dy * k / 5, button="left", buttons=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + dx, y=y + dy,
                  button="left", clickCount=1)

    def wheel(self, x, y, by):
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=by)

    def press(self, key, text=None):
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowDown": 40, "ArrowUp": 38,
                 "ArrowLeft": 37, "ArrowRight": 39}
        params = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        if key == "Enter":
            text = "\r"
        elif len(key) == 1:
            text = key
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.call("Input.dispatchKeyEvent", **params, **down)
        self.call("Input.dispatchKeyEvent", type="keyUp", **params)

    def type(self, text):
        for character in text:
            self.press(character)

    def shot(self, path):
        picture = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as out:
            out.write(base64.b64decode(picture))

    def night(self, on):
        value = "dark" if on else "light"
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": value}])

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()
        self.profile.cleanup()


# Every box: item, parent among the visible ones, whether it is an open frame, its rectangle, text.
BOXES = """
[...document.querySelectorAll('g.box')].map(g => {
    const pane = panes[+g.dataset.pane], item = +g.dataset.item, box = pane.boxes.get(item);
    const face = g.querySelector('.face').getBoundingClientRect();
    return {pane: pane.number, item, parent: pane.parent(item), open: box.open,
            group: pane.isGroup(item), label: pane.items[item].label, x: box.x, y: box.y, w: box.w,
            h: box.h, face: {x: face.x, y: face.y, w: face.width, h: face.height},
            fill: getComputedStyle(g.querySelector('.face')).fill};
})"""

# Every text: its height on the screen, and whether it leaves its box.
TEXTS = """
[...document.querySelectorAll('svg text')].map(t => {
    const own = t.getBoundingClientRect(), g = t.closest('g.box');
    const face = g && g.querySelector('.face').getBoundingClientRect();
    const size = parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a;
    return {text: t.textContent, size, height: own.height,
            out: !!face && (own.left < face.left - 1 || own.right > face.right + 1)};
})"""

# Contrast of every text of a box with its fill (WCAG 2.1): the smallest.
CONTRAST = """
(() => {
    const light = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let least = 99;
    for (const t of document.querySelectorAll('g.box text')) {
        const fills = [t, t.closest('g.box').querySelector('.face')]
            .map(e => light(getComputedStyle(e).fill)).sort((a, b) => b - a);
        least = Math.min(least, (fills[0] + 0.05) / (fills[1] + 0.05));
    }
    return least;
})()"""

# Titles of open frames that an arrow crosses: a point of its line, 3 px or more inside of one.
CROSSED = """
(() => {
    const bad = [], frames = [...document.querySelectorAll('g.frame')].map(g =>
        [g, g.querySelector('.face').getBBox()]);
    for (const arrow of document.querySelectorAll('path.arrow')) {
        const length = arrow.getTotalLength();
        for (let at = 0; at <= length; at += 4) {
            const p = arrow.getPointAtLength(at);
            for (const [g, b] of frames) {
                if (p.x > b.x + 3 && p.x < b.x + b.width - 3 && p.y > b.y + 3 &&
                    p.y < b.y + b.height - 3) bad.push(g.getAttribute('aria-label'));
            }
        }
    }
    return [...new Set(bad)];
})()"""


class Checks:
    def __init__(self, browser, folder):
        self.browser, self.folder, self.failures = browser, folder, 0

    def expect(self, holds, what):
        print(("ok      " if holds else "FAILED  ") + what)
        self.failures += not holds

    def page(self, name):
        return os.path.join(self.folder, name + ".html")

    def shot(self, name):
        self.browser.shot(os.path.join(self.folder, name + ".png"))

    def boxes(self):
        return self.browser.run(BOXES)

    def find(self, label):
        return next(b for b in self.boxes() if b["label"].split("\n")[0] == label)

    def click(self, box):
        face = box["face"]
        self.browser.click(face["x"] + min(face["w"], 40) / 2, face["y"] + min(face["h"], 24) / 2)

    def no_overlap(self, what):
        """Neighbours do not touch, and what stands in a frame stays below its title."""
        boxes, bad = self.boxes(), []
        frames = {(b["pane"], b["item"]): b for b in boxes if b["open"]}
        for b in boxes:
            frame = frames.get((b["pane"], b["parent"]))
            if frame and not (b["x"] >= frame["x"] and b["y"] >= frame["y"] + 24 - 0.1 and
                              b["x"] + b["w"] <= frame["x"] + frame["w"] + 0.1 and
                              b["y"] + b["h"] <= frame["y"] + frame["h"] + 0.1):
                bad.append((b["label"], "outside of", frame["label"]))
        for a, b in itertools.combinations(boxes, 2):
            if (a["pane"], a["parent"]) != (b["pane"], b["parent"]):
                continue
            if (a["x"] + a["w"] > b["x"] + 0.5 and b["x"] + b["w"] > a["x"] + 0.5 and
                    a["y"] + a["h"] > b["y"] + 0.5 and b["y"] + b["h"] > a["y"] + 0.5):
                bad.append((a["label"], b["label"]))
        self.expect(not bad, f"{what}: no two of {len(boxes)} boxes overlap {bad[:3] or ''}")

    def texts(self, what, least):
        texts = self.browser.run(TEXTS)
        smallest = min(texts, key=lambda t: t["size"])
        self.expect(smallest["size"] >= least, f"{what}: smallest of {len(texts)} labels has "
                    f"{smallest['size']:.1f} px (box {smallest['height']:.1f} px)")
        out = [t["text"] for t in texts if t["out"]]
        self.expect(not out, f"{what}: labels stay in their boxes {out[:3] or ''}")

    def contrast(self, what):
        least = self.browser.run(CONTRAST)
        self.expect(least >= 4.5, f"{what}: least contrast of a label is {least:.1f} : 1")

    def quiet(self, what):
        self.expect(not self.browser.complaints, f"{what}: no error, warning or request "
                    f"{self.browser.complaints[:2] or ''}")
        self.browser.complaints.clear()

    # --- The pages ----------------------------------------------------------------------------

    def seed(self):
        b = self.browser
        seconds = b.open(self.page("seed"))
        print(f"        seed: opened in {seconds:.2f} s")
        self.texts("seed", 9)
        boxes = self.boxes()
        inside = [x for x in boxes if x["face"]["x"] >= 0 and x["face"]["y"] >= 0 and
                  x["face"]["x"] + x["face"]["w"] <= WINDOW[0] and
                  x["face"]["y"] + x["face"]["h"] <= WINDOW[1]]
        self.expect(len(inside) == len(boxes),
                    f"seed: {len(inside)} of {len(boxes)} boxes are in the window at first")
        self.no_overlap("seed")
        crossed = b.run(CROSSED)
        self.expect(not crossed, f"seed: no title is crossed by an arrow {crossed[:3] or ''}")
        self.shot("seed-light")
        self.contrast("seed by day")
        b.night(True)
        self.shot("seed-dark")
        self.contrast("seed by night")
        b.night(False)
        b.run("openTo(9)")
        self.no_overlap("seed, all open")
        self.texts("seed, all open", 9)
        crossed = b.run(CROSSED)
        self.expect(not crossed, f"seed, all open: no title is crossed {crossed[:3] or ''}")
        self.shot("seed-open")
        self.quiet("seed")

    def nested(self):
        b = self.browser
        b.open(self.page("nested"))
        self.shot("nested-closed")
        for label in ("block1", 'second "\\<b>', "deep"):
            self.click(self.find(label))
            self.no_overlap(f"nested, {label} open")
        crossed = b.run(CROSSED)
        self.expect(not crossed, f"nested: no title is crossed {crossed[:3] or ''}")
        self.shot("nested-open")
        self.contrast("nested")
        for label in ("deep", 'second "\\<b>', "block1"):
            before = len(self.boxes())
            self.click(self.find(label))
            self.expect(len(self.boxes()) < before, f"nested: {label} closes by a click")
        self.finding()
        self.quiet("nested: names of others are inert")

    def across(self):
        b = self.browser
        b.open(self.page("across"))
        self.texts("left to right", 9)
        b.run("openTo(9)")
        self.no_overlap("left to right, all open")
        crossed = b.run(CROSSED)
        self.expect(not crossed, f"left to right: no title is crossed {crossed[:3] or ''}")
        self.shot("across")
        self.quiet("left to right")

    def plain(self):
        """As it is written where there is no graphviz."""
        b, folder = self.browser, os.path.join(self.folder, "plain")
        b.open(os.path.join(folder, "nested.html"))
        self.expect("without graphviz" in b.run("document.body.innerText"),
                    "without graphviz: the page says so")
        b.run("openTo(9)")
        self.no_overlap("without graphviz, all open")
        self.texts("without graphviz", 9)
        self.shot("plain")
        self.quiet("without graphviz")

    def finding(self):
        """From the keyboard: search, facts, the link to what a node was derived from."""
        b = self.browser
        b.press("/")
        b.type("exp")
        self.expect(b.run("search.value") == "exp", "'/' leads to the search")
        found = b.run("finder.hits.length")
        b.press("Enter")
        self.expect(found > 0 and b.run("selection.pane !== null"), f"search finds {found}")
        at = b.run("""(() => {
            const box = document.querySelector('.selected .face').getBoundingClientRect();
            const svg = panes[0].svg.getBoundingClientRect(), [w, h] = panes[0].window();
            return [box.x + box.width / 2 - svg.x - w / 2, box.y + box.height / 2 - svg.y - h / 2];
        })()""")
        self.expect(abs(at[0]) < 3 and abs(at[1]) < 3, "what was found stands in the middle")
        self.shot("search")
        b.press("Escape")
        b.run("search.blur()")
        derived = b.run("""(() => {
            const pane = panes[0], i = pane.picture.nodes.findIndex(
                n => n.order === 1 && n.origin !== undefined && n.kind === 'mul');
            pane.reveal(i); select(pane, i);
            return pane.items[i].origin;
        })()""")
        facts = b.run("Object.fromEntries([...document.querySelectorAll('[data-fact]')]"
                      ".map(d => [d.dataset.fact, d.textContent]))")
        want = {"op", "shape", "dtype", "bytes", "module", "order", "derived from", "operands",
                "used by"}
        self.expect(want <= set(facts) and facts["shape"] == "[8]" and facts["dtype"] == "f32" and
                    facts["bytes"] == "32 B", f"facts: {facts}")
        self.shot("facts")
        place = b.run("""(() => {
            const r = document.querySelector('[data-fact="derived from"] button')
                .getBoundingClientRect();
            return [r.x + 5, r.y + r.height / 2];
        })()""")
        b.click(*place)
        self.expect(b.run("selection.item") == derived, "'derived from' leads to its node")
        self.keyboard()

    def keyboard(self):
        b = self.browser
        b.run("openTo(0); select(null, -1); document.activeElement.blur()")
        b.run("document.querySelector('g.closed').focus()")
        b.press("Tab")
        first = b.run("+document.activeElement.dataset.item")
        self.expect(first == b.run("selection.item"), "Tab goes from box to box")
        b.run("document.querySelector('g.closed').focus()")
        before = len(self.boxes())
        b.press("Enter")
        self.expect(len(self.boxes()) > before, "Enter opens a group")
        b.press("Enter")
        self.expect(len(self.boxes()) == before, "Enter closes it")
        item = b.run("selection.item")
        b.press("ArrowDown")
        self.expect(b.run("selection.item") not in (item, -1), "arrow keys go from box to box")
        b.press("Escape")
        self.expect(b.run("panel.hidden"), "Escape ends the selection")

    def mouse(self):
        b = self.browser
        b.open(self.page("nested"))
        x, y = 60, 500
        before = b.run("({...panes[0].view})")
        b.drag(x, y, 90, -40)
        after = b.run("({...panes[0].view})")
        self.expect(abs(after["x"] - before["x"] - 90) < 2 and
                    abs(after["y"] - before["y"] + 40) < 2, "the sheet is dragged")
        b.wheel(x, y, -300)
        time.sleep(0.1)
        self.expect(b.run("panes[0].view.scale") > after["scale"] * 1.2, "the wheel zooms")

    def many(self):
        b = self.browser
        seconds = b.open(self.page("many"))
        self.expect(seconds < 2, f"6000 nodes: opened in {seconds:.2f} s")
        b.run("document.body.offsetHeight")
        self.texts("6000 nodes", 9)
        self.no_overlap("6000 nodes, closed")
        self.shot("many")
        self.click(next(x for x in self.boxes() if x["group"]))
        self.no_overlap("6000 nodes, a run open")
        self.shot("many-run")
        begin = time.monotonic()
        b.run("openTo(9); document.body.offsetHeight")
        print(f"        6000 nodes: all opened in {time.monotonic() - begin:.2f} s")
        overlap = b.run("""(() => {
            let bad = 0;
            const pane = panes[0], of = new Map();
            for (const [i, box] of pane.boxes) {
                const k = pane.parent(i);
                for (const o of of.get(k) || []) {
                    if (o.x + o.w > box.x + .5 && box.x + box.w > o.x + .5 &&
                        o.y + o.h > box.y + .5 && box.y + box.h > o.y + .5) bad++;
                }
                of.set(k, [...(of.get(k) || []), box]);
            }
            return bad;
        })()""")
        self.expect(overlap == 0, "6000 nodes, all open: no two boxes overlap")
        self.quiet("6000 nodes")

    def pair(self):
        b = self.browser
        b.open(self.page("pair"))
        self.expect(b.run("document.querySelectorAll('.pane svg').length") == 2,
                    "training beside inference: two pictures")
        self.shot("pair")
        label = next(x for x in self.boxes() if x["group"] and not x["open"] and
                     "batch" in x["label"])["label"].split("\n")[0]
        self.click(self.find(label))
        opened = [x for x in self.boxes() if x["open"] and x["label"].split("\n")[0] == label]
        self.expect(len(opened) == 2, f"training beside inference: {label} opens in both")
        self.no_overlap("training beside inference")
        self.shot("pair-open")
        self.quiet("training beside inference")

    def overlays(self):
        b = self.browser
        b.open(self.page("timed"))
        fills = {}
        for name in ("order", "bytes", "time"):
            b.run(f"overlayBox.value = '{name}'; overlayBox.onchange()")
            fills[name] = {x["fill"] for x in self.boxes() if not x["open"]}
            self.contrast(f"by {name}")
            legend = b.run("legend.textContent")
            self.expect({"order": "forward", "bytes": "MiB", "time": "% of the time"}[name] in
                        legend, f"by {name}: the legend says so")
            self.shot("overlay-" + name)
            b.night(True)
            self.contrast(f"by {name}, at night")
            self.shot(f"overlay-{name}-dark")
            b.night(False)
        self.expect(len(set(map(frozenset, fills.values()))) == 3, "overlays change the colours")
        b.open(self.page("shadowed"))
        self.click(self.find("norm"))
        b.run("overlayBox.value = 'digits'; overlayBox.onchange()")
        lossy = [x for x in self.boxes() if "digits lost" in x["label"]]
        self.expect(len(lossy) == 1 and sum(x["fill"] == lossy[0]["fill"] for x in self.boxes()) == 1,
                    "by digits: the op that loses them has a colour of its own")
        self.expect("digits" in b.run("legend.textContent"), "by digits: the legend says so")
        self.shot("overlay-digits")
        self.quiet("overlays")


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    build = sys.argv[1]
    folder = sys.argv[2] if len(sys.argv) > 2 else os.path.join(build, "page")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        print("skipped: chromium is not installed")
        return 0
    os.makedirs(folder, exist_ok=True)
    os.makedirs(os.path.join(folder, "plain"), exist_ok=True)
    samples = os.path.join(build, "tests", "page_samples")
    subprocess.run([samples, os.path.join(folder, "plain")], env={"PATH": "/nonexistent"},
                   check=True)
    begin = time.monotonic()
    subprocess.run([samples, folder], check=True)
    print(f"        samples written in {time.monotonic() - begin:.2f} s")
    subprocess.run([os.path.join(build, "examples", "graph_dump"), "--graph", "seed", "--backward",
                    "--html", os.path.join(folder, "seed.html")], check=True)
    browser = Browser(program)
    checks = Checks(browser, folder)
    try:
        for part in (checks.seed, checks.nested, checks.across, checks.plain, checks.mouse,
                     checks.many, checks.pair, checks.overlays):
            part()
    finally:
        browser.close()
    print(f"{checks.failures} failures")
    return 1 if checks.failures else 0


sys.exit(main())
