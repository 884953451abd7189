/* What a reader does with the pictures of page_pane.js: opens, selects, finds, colours; by mouse
 * and by keyboard.
 *
 * Texts of others reach the document through textContent alone. ASCII only. */
"use strict";

/* --- Colours ------------------------------------------------------------------------------ */

/* From little to much; one hue, so that lightness alone tells. */
const RAMPS = {
    light: [[244, 247, 250], [126, 176, 215], [8, 48, 107]],
    dark: [[30, 40, 50], [58, 124, 165], [255, 232, 163]],
};

function mix(ramp, share) {
    const k = share < 0.5 ? 0 : 1, t = share * 2 - k;
    return ramp[k].map((c, i) => Math.round(c + (ramp[k + 1][i] - c) * t));
}

/* Black or white, whichever has more contrast: at least 4.5 : 1 on any colour (WCAG 2.1). */
function textOn(rgb) {
    const [r, g, b] = rgb.map((c) => c / 255).map(
        (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/* What may be coloured by, besides the order of the derivative, which page.css does. `place`: from
 * 0 to 1, among all from `least` to `most`. */
const OVERLAYS = {
    bytes: {
        label: "bytes", value: (item) => item.bytes, show: showBytes,
        place: (v, least, most) => Math.log(v / least) / Math.log(most / least),
    },
    time: {
        label: "time", value: (item) => item.share || 0, show: showShare,
        place: (v, least, most) => Math.sqrt(v / most),
    },
    digits: {
        label: "digits lost in f32", value: (item) => item.lost || 0, show: showLost,
        place: (v) => v / 1e6,
    },
};
let overlay = null;

function chooseOverlay(name) {
    const chosen = OVERLAYS[name];
    overlay = null;
    if (chosen) {
        let least = Infinity, most = 0;
        for (const pane of panes) {
            pane.items.forEach((item, i) => {
                const value = i === pane.n ? 0 : chosen.value(item);
                if (value > 0) least = Math.min(least, value), most = Math.max(most, value);
            });
        }
        overlay = {...chosen, least: Math.min(least, most), most};
    }
    for (const pane of panes) pane.paint();
    showLegend();
}

/* [fill, text] of a box, or null: page.css knows. */
function colourOf(pane, i) {
    if (!overlay || pane.open.has(i)) return null;
    const value = overlay.value(pane.items[i]), {least, most} = overlay;
    const share = value <= 0 ? 0 : most <= least ? 1 : overlay.place(value, least, most);
    const rgb = mix(RAMPS[dark.matches ? "dark" : "light"], Math.min(Math.max(share, 0), 1));
    return [`rgb(${rgb})`, textOn(rgb)];
}

function showLegend() {
    const shown = [];
    const swatch = (kind, text) =>
        shown.push(element("span", {class: "key " + kind}, element("i"), text));
    const nodes = panes.flatMap((pane) => pane.picture.nodes);
    if (overlay) {
        const stops = [0, 0.25, 0.5, 0.75, 1].map(
            (t) => `rgb(${mix(RAMPS[dark.matches ? "dark" : "light"], t)})`);
        const bar = element("i", {class: "ramp"});
        bar.style.background = `linear-gradient(90deg, ${stops})`;
        shown.push(element("span", {class: "key"}, overlay.show(overlay.least), bar,
                           overlay.show(overlay.most)));
    } else {
        ORDERS.forEach((text, order) => {
            if (nodes.some((node) => node.order === order)) swatch("order" + order, text);
        });
        if (nodes.some((node) => node.slot)) swatch("slot", "held by a slot");
    }
    if (nodes.some((node) => node.root)) swatch("root", "root");
    if (nodes.some((node) => node.varies)) {
        swatch("varies", "varies between ranks: [rows here / of all, ..]");
    }
    if (nodes.some((node) => node.sums)) swatch("sums", "sum over all ranks");
    const arrows = panes.flatMap((pane) => pane.picture.arrows);
    if (arrows.some((arrow) => arrow[3] & 1)) swatch("carried", "value used in a derivative");
    if (arrows.some((arrow) => arrow[3] & 2)) swatch("staged", "staged update");
    swatch("closed", "click opens");
    legend.replaceChildren(...shown);
}

/* --- Selection ---------------------------------------------------------------------------- */

let selection = {pane: null, item: -1};

function select(pane, item) {
    selection = {pane, item};
    showFacts();
    for (const each of panes) each.mark();
}

/* A group opens or closes in every picture that has it. */
function toggle(pane, item) {
    const open = !pane.open.has(item), key = pane.items[item].key;
    for (const each of panes) {
        const same = each === pane ? item : each.byKey.get(key);
        if (same === undefined) continue;
        each.set(same, open);
        each.redraw(same);
    }
    const g = pane.elements.get(item);
    if (g) g.focus({preventScroll: true});
}

function link(pane, item, prefix = "") {
    const node = pane.items[item];
    const name = node.name || `${node.kind}${node.operands || ""} n${item}`;
    const follow = () => { pane.reveal(item); select(pane, item); };
    return element("button", {class: "link", onclick: follow},
                   prefix + name);
}

function list(items) {
    const most = 40, shown = items.slice(0, most).map((item) => element("li", {}, item));
    if (items.length > most) shown.push(element("li", {}, `and ${items.length - most} more`));
    return element("ul", {}, ...shown);
}

function neighbourLinks(pane, i, into) {
    const seen = new Set(), links = [];
    for (const {node, into: is, operand} of pane.neighbours(i)) {
        const prefix = operand && !pane.isGroup(i) ? operand + ": " : "", key = prefix + node;
        if (is !== into || seen.has(key)) continue;
        seen.add(key);
        links.push(link(pane, node, prefix));
    }
    return links.length ? list(links) : null;
}

function factsOf(pane, i) {
    const item = pane.items[i], group = pane.isGroup(i);
    const [type, ...more] = (item.type || "").split("\n");
    const shape = type.match(/^(\[.*\]) (\S+)$/);
    const origin = item.origin !== undefined ? link(pane, item.origin) : null;
    return [
        ["name", item.name],
        ["op", item.kind && item.kind + (item.operands || "")],
        ["detail", item.detail],
        ["shape", shape ? shape[1] : type],
        ["dtype", shape && shape[2]],
        ["holds", more.join(", ")],
        ["result", group && item.value !== undefined ? link(pane, item.value) : null],
        ["gradients", item.gradients],
        ["nodes", group && item.nodes],
        ["bytes", showBytes(item.bytes) + (group ? " in all" : "")],
        ["module", !group || item.name ? item.path : null],
        ["order", ORDERS[item.order]],
        ["formula", item.formula],
        ["derived from", origin],
        ["held by", item.slot && "a slot"],
        ["ranks", item.varies ? "varies between them" : item.sums && "a sum over all of them"],
        ["pass", item.pass],
        ["time", item.share ? showShare(item.share) : null],
        [group ? "uses" : "operands", neighbourLinks(pane, i, true)],
        ["used by", neighbourLinks(pane, i, false)],
    ].filter(([, value]) => value || value === 0);
}

function showFacts() {
    const {pane, item} = selection;
    panel.hidden = !pane;
    if (!pane) return;
    const title = pane.items[item].label.split("\n")[0];
    const number = pane.isGroup(item) ? "" : " n" + item;
    const close = element("button", {class: "close", "aria-label": "close",
                                     onclick: () => select(null, -1)}, "\u00d7");
    const facts = element("dl");
    for (const [name, value] of factsOf(pane, item)) {
        facts.append(element("dt", {}, name), element("dd", {"data-fact": name}, value));
    }
    panel.replaceChildren(close, element("h3", {}, title, element("small", {}, number)), facts);
}

/* --- Finding ------------------------------------------------------------------------------ */

const finder = {hits: [], at: -1};

function find(text) {
    const wanted = text.trim().toLowerCase();
    finder.hits = [];
    finder.at = -1;
    for (const pane of wanted ? panes : []) {
        pane.items.forEach((item, i) => {
            if (i === pane.n || (i > pane.n && !item.items.length)) return;
            const all = [item.name, item.kind, item.path].filter(Boolean).join("\n").toLowerCase();
            if (all.includes(wanted)) finder.hits.push({pane, item: i, exact: item.name});
        });
    }
    /* Who has the text in its own name comes first. */
    const rank = (hit) => ((hit.exact || "").toLowerCase().includes(wanted) ? 0 : 1);
    finder.hits.sort((a, b) => rank(a) - rank(b));
    const rows = finder.hits.slice(0, 50).map((hit, k) => {
        const item = hit.pane.items[hit.item];
        return element("li", {}, element("button", {onclick: () => goTo(k)},
                                         item.label.split("\n")[0],
                                         element("small", {}, item.path || "")));
    });
    if (wanted) rows.unshift(element("li", {class: "number"}, `${finder.hits.length} found`));
    results.replaceChildren(...rows);
    results.hidden = !wanted;
    for (const pane of panes) pane.mark();
}

function goTo(k) {
    if (!finder.hits.length) return;
    finder.at = (k + finder.hits.length) % finder.hits.length;
    const {pane, item} = finder.hits[finder.at];
    results.hidden = true;
    select(pane, item);
    pane.reveal(item);
}

/* --- Controls ----------------------------------------------------------------------------- */

function openTo(depth, modulesOnly = false) {
    depthBox.value = Math.min(depth, depthBox.length - 1);
    for (const pane of panes) {
        for (let k = pane.n; k < pane.items.length; k++) {
            const group = pane.items[k];
            pane.set(k, k === pane.n || (group.items.length > 0 && group.level <= depth &&
                                           (group.name || !modulesOnly)));
        }
        pane.redraw();
        pane.fit();
    }
}

const panel = element("aside", {class: "panel", "aria-label": "facts", hidden: ""});
const legend = element("footer", {class: "legend"});
const results = element("ul", {class: "results", hidden: ""});
const search = element("input", {
    type: "search", placeholder: "Search ( / )", "aria-label": "search by name",
    oninput: () => find(search.value),
    onkeydown: (event) => {
        if (event.key === "Enter") goTo(finder.at + (event.shiftKey ? -1 : 1));
        if (event.key === "Escape") search.value = "", find(""), search.blur();
        event.stopPropagation();
    },
});

const depthBox = element("select", {"aria-label": "open to this depth",
                                    onchange: () => openTo(Number(depthBox.value))});
const overlayBox = element("select", {"aria-label": "colour by",
                                      onchange: () => chooseOverlay(overlayBox.value)});

function toolbar(panes) {
    const deepest = Math.max(...panes.map((pane) => pane.deepest));
    for (let k = 0; k <= deepest; k++) {
        depthBox.append(element("option", {value: k}, k ? String(k) : "closed"));
    }
    const overlays = [["order", "derivative order"], ["bytes", "bytes"]];
    if (panes.some((pane) => pane.picture.timed)) overlays.push(["time", "time"]);
    if (panes.some((pane) => pane.picture.shadowed)) overlays.push(["digits", "digits lost"]);
    overlayBox.append(...overlays.map(([value, text]) => element("option", {value}, text)));
    const button = (text, label, onclick) => element("button", {"aria-label": label, title: label,
                                                                onclick}, text);
    const zoom = (factor) => () => {
        for (const pane of panes) pane.zoom(factor, ...pane.window().map((size) => size / 2));
    };
    return element(
        "header", {class: "toolbar"}, element("h1", {}, data.title || "cotan"),
        element("div", {class: "search"}, search, results),
        element("label", {}, "depth", depthBox),
        element("label", {}, "colour", overlayBox),
        button("\u2212", "zoom out", zoom(1 / 1.25)), button("+", "zoom in", zoom(1.25)),
        button("fit", "fit into the window", () => { for (const pane of panes) pane.fit(); }));
}

/* --- Mouse -------------------------------------------------------------------------------- */

function itemAt(target) {
    const g = target.closest("[data-item]");
    return g ? Number(g.dataset.item) : -1;
}

/* What has not moved is a click. */
function listen(pane) {
    let from = null;
    pane.svg.addEventListener("pointerdown", (event) => {
        from = {x: event.clientX, y: event.clientY, moved: false, item: itemAt(event.target)};
    });
    pane.svg.addEventListener("pointermove", (event) => {
        if (!from || !(event.buttons & 1)) return;
        const x = event.clientX - from.x, y = event.clientY - from.y;
        if (!from.moved && Math.hypot(x, y) < 4) return;
        if (!from.moved) pane.svg.setPointerCapture(event.pointerId);
        from.moved = true;
        pane.view.x += x, pane.view.y += y;
        from.x = event.clientX, from.y = event.clientY;
        pane.move();
    });
    pane.svg.addEventListener("pointerup", () => {
        const {moved, item} = from || {moved: true};
        from = null;
        if (moved) return;
        select(item < 0 ? null : pane, item);
        if (item >= 0 && pane.isGroup(item)) toggle(pane, item);
    });
    pane.svg.addEventListener("wheel", (event) => {
        event.preventDefault();
        const at = pane.svg.getBoundingClientRect();
        const by = event.deltaMode ? event.deltaY * 30 : event.deltaY;
        pane.zoom(Math.exp(-by * 0.0015), event.clientX - at.left, event.clientY - at.top);
    }, {passive: false});
    pane.svg.addEventListener("focusin", (event) => {
        const item = itemAt(event.target);
        if (item >= 0 && event.target.matches(":focus-visible")) select(pane, item);
    });
}

/* --- Keyboard ----------------------------------------------------------------------------- */

const DIRECTIONS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

/* The visible box that is nearest in a direction; sideways counts twice. */
function step([dx, dy]) {
    const pane = selection.pane || panes[0], at = pane.boxes.get(selection.item);
    let best = -1, least = Infinity;
    for (const [i, box] of pane.boxes) {
        const w = box.open ? 0 : box.h, x = box.x + box.w / 2, y = box.y + w / 2;
        const along = at ? (x - at.x - at.w / 2) * dx + (y - at.y - (at.open ? 0 : at.h / 2)) * dy
                         : x + y + 1;
        const across = at ? Math.abs((x - at.x - at.w / 2) * dy) +
                            Math.abs((y - at.y - (at.open ? 0 : at.h / 2)) * dx) : 0;
        if (i === selection.item || along < 2) continue;
        if (along + 2 * across < least) least = along + 2 * across, best = i;
    }
    if (best < 0) return;
    select(pane, best);
    const box = pane.boxes.get(best), [w, h] = pane.window(), {x, y, scale} = pane.view;
    const left = box.x * scale + x, top = box.y * scale + y;
    if (left < 0 || top < 0 || left + box.w * scale > w || top + box.h * scale > h) {
        pane.centre(best);
    }
    const g = pane.elements.get(best);
    if (g) g.focus({preventScroll: true});
}

function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("select")) return;
    const {pane, item} = selection, keys = {
        "/": () => search.focus(),
        "Escape": () => select(null, -1),
        "+": () => (pane || panes[0]).zoom(1.25, ...panes[0].window().map((size) => size / 2)),
        "-": () => (pane || panes[0]).zoom(0.8, ...panes[0].window().map((size) => size / 2)),
        "0": () => { for (const each of panes) each.fit(); },
    };
    for (const name in DIRECTIONS) keys[name] = () => step(DIRECTIONS[name]);
    if (itemAt(event.target) >= 0) {
        keys.Enter = keys[" "] = () => { if (pane && pane.isGroup(item)) toggle(pane, item); };
    }
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
}

/* --- Beginning ---------------------------------------------------------------------------- */

/* Heads of arrows, one for each colour; the attribute fill is the stylesheet's. */
function heads() {
    const defs = shape("defs");
    for (const kind of ["order0", "order1", "order2", "order3", "carried", "operand", "user"]) {
        const marker = shape("marker", {id: kind, viewBox: "0 0 8 8", refX: 7.5, refY: 4,
                                        markerWidth: 7, markerHeight: 7, orient: "auto",
                                        markerUnits: "userSpaceOnUse", class: "head " + kind});
        marker.append(shape("path", {d: "M0 .5L8 4L0 7.5z"}));
        defs.append(marker);
    }
    return defs;
}

const panes = data.pictures.map((picture, number) => new Pane(picture, number));

/* A module that holds all others is open at first: closed, it would be the only box. */
function firstDepth(pane) {
    for (let depth = 0; ; depth++) {
        const groups = pane.picture.groups.filter(
            (group) => group.level === depth + 1 && group.name && group.order === 0);
        if (groups.length !== 1 || !groups[0].items.some((i) => pane.isGroup(i))) return depth;
    }
}

function begin() {
    document.title = data.title || panes[0].picture.title || "cotan";
    const main = element("main", {}, ...panes.map((pane) => pane.root), panel);
    if (panes.length === 1) panes[0].root.classList.add("single");
    panes[0].svg.prepend(heads());
    document.body.append(toolbar(panes), main, legend);
    showLegend();
    openTo(Math.min(...panes.map(firstDepth)), true);
    panes.forEach(listen);
    addEventListener("keydown", press);
    addEventListener("pointerdown", (event) => {
        if (!event.target.closest(".search")) results.hidden = true;
    });
    addEventListener("resize", () => { for (const pane of panes) pane.move(); });
    dark.addEventListener("change", () => {
        for (const pane of panes) pane.paint();
        showLegend();
    });
}
begin();
