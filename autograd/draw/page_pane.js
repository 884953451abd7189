/* The pictures of a page: draws each in SVG, opens and closes its groups, zooms. What the reader
 * types and clicks is the business of page.js, which stands behind this in the same script.
 *
 * It lays nothing out. The data (autograd/draw/page.c writes it) gives each item, a node or a group
 * of items, its place in its group with everything closed. A group that opens stretches the
 * coordinates of the group around it where it stands, so that what is right of it and below moves
 * away, and nothing that did not overlap ever does.
 *
 * Items are numbers: nodes 0 .. n-1 in the order of the graph's walk, then groups; group 0 is all.
 * Texts of others reach the document through textContent alone. ASCII only: the file becomes an
 * array of char. */
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const FONT = 'Helvetica, Arial, "Liberation Sans", sans-serif';
/* In points, as page_layout.c has them; the smallest text has 9 pixels or more at first. */
const LINE = 14, HEADER = 24, PAD = 12, SMALLEST_TEXT = 11, SMALLEST_SHOWN = 9.2;
const MANY = 1500; /* boxes; beyond, only what is near the window becomes elements */
const ORDERS = ["forward", "first derivative", "second derivative", "higher derivatives"];
const dark = matchMedia("(prefers-color-scheme: dark)");

/* --- Elements ----------------------------------------------------------------------------- */

function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const name in attributes) {
        if (name.startsWith("on")) made[name] = attributes[name];
        else made.setAttribute(name, attributes[name]);
    }
    made.append(...children);
    return made;
}

function shape(tag, attributes = {}, text = null) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const name in attributes) made.setAttribute(name, attributes[name]);
    if (text !== null) made.textContent = text;
    return made;
}

const measuring = document.createElement("canvas").getContext("2d");
function textWidth(text, bold) {
    measuring.font = (bold ? "bold 12px " : "11px ") + FONT;
    return measuring.measureText(text).width;
}

function showBytes(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let k = 0;
    for (; bytes >= 1024 && k < 4; k++) bytes /= 1024;
    return (k && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)) + " " + units[k];
}

/* Of half of f32's digits, in millionths; that much, or more. */
const showLost = (lost) => (lost < 1e6 ? "" : "at least ") + (lost * 3.6e-6).toFixed(1) + " digits";
const showShare = (share) => (share / 1e4).toFixed(1) + " % of the time";

/* --- Stretching --------------------------------------------------------------------------- */

/* The map of one coordinate under which each span [low, high] becomes at least `size` long:
 * continuous, never shrinking, and the identity left of all that grows. */
function stretch(spans) {
    const grown = spans.filter((span) => span.size > span.high - span.low);
    const at = [...new Set(grown.flatMap((span) => [span.low, span.high]))].sort((a, b) => a - b);
    const to = at.slice(0, 1);
    for (let k = 1; k < at.length; k++) {
        let slope = 1;
        for (const span of grown) {
            if (span.low <= at[k - 1] && span.high >= at[k]) {
                slope = Math.max(slope, span.size / (span.high - span.low));
            }
        }
        to.push(to[k - 1] + slope * (at[k] - at[k - 1]));
    }
    return (v) => {
        if (!at.length || v <= at[0]) return v;
        let k = at.length - 1;
        while (at[k] > v) k--;
        if (k === at.length - 1) return to[k] + v - at[k];
        return to[k] + (v - at[k]) * (to[k + 1] - to[k]) / (at[k + 1] - at[k]);
    };
}

/* --- A picture ---------------------------------------------------------------------------- */

class Pane {
    constructor(picture, number) {
        this.picture = picture;
        this.number = number;
        this.n = picture.n;
        this.rankAxis = picture.left_to_right ? 0 : 1;
        this.items = picture.nodes.concat(picture.groups);
        this.open = new Set([this.n]);
        this.boxes = new Map(); /* of what is visible: its place on the sheet */
        this.elements = new Map();
        this.view = {x: 0, y: 0, scale: 1};
        this.prepare();
        this.svg = shape("svg", {role: "application", "aria-label": picture.title || "graph"});
        this.sheet = this.svg.appendChild(shape("g"));
        this.root = element("section", {class: "pane"},
                            element("h2", {}, picture.title || ""), this.svg);
        if (picture.plain) {
            const note = "in plain rows, without graphviz: " + picture.plain;
            this.root.firstChild.append(element("small", {}, note));
        }
    }

    isGroup(item) { return item >= this.n; }
    /* The group that an item stands in, as an item; -1 of all. */
    parent(item) {
        const group = this.items[item].at[0];
        return group < 0 ? -1 : this.n + group;
    }

    /* Levels, sums over groups, paths by which panes know each other's groups, arrows by node. */
    prepare() {
        const {items, n, picture} = this;
        for (const item of items) item.in = [], item.out = [];
        for (const arrow of picture.arrows) {
            items[arrow[0]].out.push(arrow);
            items[arrow[1]].in.push(arrow);
        }
        for (const group of picture.groups) {
            Object.assign(group, {bytes: 0, lost: 0, passes: new Map()});
        }
        for (let i = 0; i < n; i++) {
            const node = items[i];
            for (let k = this.parent(i); k >= 0; k = this.parent(k)) {
                items[k].bytes += node.bytes;
                items[k].lost = Math.max(items[k].lost, node.lost || 0);
                if (node.pass !== undefined) items[k].passes.set(node.pass, node.share);
            }
        }
        this.deepest = 0;
        this.byKey = new Map();
        for (let k = n; k < items.length; k++) {
            const names = [], group = items[k];
            if (!group.items.length) continue;
            group.level = 0;
            for (let up = k; up > n; up = this.parent(up)) {
                names.unshift(items[up].name || items[up].label.split("\n")[0]);
                group.level++;
            }
            group.path = names.join("/");
            group.key = group.path + " " + group.order;
            group.share = [...group.passes.values()].reduce((a, b) => a + b, 0);
            this.deepest = Math.max(this.deepest, group.level);
            this.byKey.set(group.key, k);
        }
    }

    /* --- Places --------------------------------------------------------------------------- */

    /* Above and below what is in a frame; arrows that come in or go out have taken room already. */
    pad(group, side) { return this.rankAxis && group.ports[side] ? 2 : PAD; }

    /* Size of an open group; its items get `box`, from the upper left corner of its inside. */
    measure(k) {
        const group = this.items[k], spans = [[], []];
        for (const i of group.items) {
            const item = this.items[i], [, x, y, w, h] = item.at;
            item.size = this.open.has(i) ? this.measure(i) : [w, h];
            spans[0].push({low: x - w / 2, high: x + w / 2, size: item.size[0]});
            spans[1].push({low: y - h / 2, high: y + h / 2, size: item.size[1]});
        }
        group.map = [stretch(spans[0]), stretch(spans[1])];
        group.items.forEach((i, place) => {
            const item = this.items[i];
            item.corner = [0, 1].map((axis) => {
                const {low, high} = spans[axis][place], map = group.map[axis];
                /* Beside what has grown a box stays; above and below, it is in the middle. */
                if (axis === this.rankAxis) return map(low);
                return (map(low) + map(high)) / 2 - item.size[axis] / 2;
            });
        });
        const [w, h] = group.inside.map((size, axis) => group.map[axis](size));
        if (k === this.n) return [w, h];
        const title = textWidth(group.label.split("\n")[0], true) + 44;
        const pads = this.pad(group, -1) + this.pad(group, -2);
        return [Math.max(w + 2 * PAD, title), h + HEADER + pads];
    }

    /* Places on the sheet of all that is visible. */
    place() {
        this.size = this.measure(this.n);
        this.boxes.clear();
        this.curves = [];
        const visit = (k, x, y) => {
            const group = this.items[k];
            group.inner = [x, y];
            for (const i of group.items) {
                const item = this.items[i], open = this.open.has(i);
                const box = {x: x + item.corner[0], y: y + item.corner[1], w: item.size[0],
                             h: item.size[1], open};
                this.boxes.set(i, box);
                if (open) visit(i, box.x + PAD, box.y + HEADER + this.pad(item, -1));
            }
        };
        visit(this.n, 0, 0);
        for (const k of this.open) {
            if (k !== this.n && !this.boxes.has(k)) continue;
            for (const edge of this.items[k].edges) this.curves.push(this.curve(k, edge));
        }
    }

    /* Where an arrow that ends at `point` of the closed layout ends now: at the same side of the
     * item, or at the side of its group's frame. */
    end(k, i, point) {
        const group = this.items[k], now = point.map((v, axis) => group.inner[axis] +
                                                                  group.map[axis](v));
        if (i < 0) {
            const box = this.boxes.get(k), low = i === -1;
            if (this.rankAxis === 0) return [low ? box.x : box.x + box.w, now[1]];
            return [now[0], low ? box.y + HEADER : box.y + box.h];
        }
        const box = this.boxes.get(i), [, x, y, w, h] = this.items[i].at;
        const clamp = (v, low, size, inset) => {
            inset = Math.min(inset, size / 2);
            return Math.min(Math.max(v, low + inset), low + size - inset);
        };
        if (w / 2 - Math.abs(point[0] - x) < h / 2 - Math.abs(point[1] - y)) {
            return [point[0] < x ? box.x : box.x + box.w, clamp(now[1], box.y, box.h, 6)];
        }
        const inset = this.items[i].shape === 2 ? box.h / 2 : 6;
        return [clamp(now[0], box.x, box.w, inset), point[1] < y ? box.y : box.y + box.h];
    }

    curve(k, edge) {
        const group = this.items[k], [from, to, count, flags] = edge;
        let points = [];
        for (let c = 4; c < edge.length; c += 2) points.push([edge[c], edge[c + 1]]);
        const along = points.map((p) => p[this.rankAxis]);
        if (points.length && from >= 0 && to >= 0 && Math.max(...along) - Math.min(...along) < 12) {
            points = this.flatCurve(points, from, to);
        } else if (points.length) {
            const ends = [this.end(k, from, points[0]), this.end(k, to, points.at(-1))];
            if (group.items.some((i) => this.open.has(i))) points = split(points);
            points = points.map((p) => p.map((v, axis) => group.inner[axis] + group.map[axis](v)));
            [points[0], points[points.length - 1]] = ends;
        } else {
            points = this.plainCurve(k, from, to);
        }
        const order = this.items[to < 0 ? k : to].order;
        const middle = middleOf(points);
        const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
        return {
            d: "M" + points[0] + "C" + points.slice(1).join(" "),
            kind: (flags & 1 ? "carried" : "order" + order) + (flags & 2 ? " staged" : ""),
            marker: flags & 1 ? "carried" : "order" + order, head: to >= 0, count, at: middle,
            low: [Math.min(...xs), Math.min(...ys)], high: [Math.max(...xs), Math.max(...ys)],
        };
    }

    /* Between neighbours of a row, which are side by side where they begin. */
    flatCurve(points, from, to) {
        const axis = this.rankAxis, forwards = points[0][1 - axis] < points.at(-1)[1 - axis];
        const [a, b] = [from, to].map((i, last) => {
            const {x, y, w, h} = this.boxes.get(i), low = [x, y], size = [w, h], at = [];
            at[axis] = low[axis] + Math.min(size[axis], HEADER) / 2;
            at[1 - axis] = low[1 - axis] + (forwards === !last ? size[1 - axis] : 0);
            return at;
        });
        const part = (t) => [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t];
        return [a, part(1 / 3), part(2 / 3), b];
    }

    /* Between two items that graphviz did not place: from edge to edge. */
    plainCurve(k, from, to) {
        const group = this.items[k];
        const ends = [from, to].map((i) => {
            if (i >= 0) return this.boxes.get(i);
            const [x, y] = group.ports[i];
            return {x: group.inner[0] + group.map[0](x), y: group.inner[1] + group.map[1](y),
                    w: 0, h: 0};
        });
        return between(ends[0], ends[1]);
    }

    /* --- Drawing -------------------------------------------------------------------------- */

    near(low, high) {
        if (!this.area) return true;
        return high[0] >= this.area[0] && low[0] <= this.area[2] &&
               high[1] >= this.area[1] && low[1] <= this.area[3];
    }

    /* Frames lie below arrows, arrows below boxes and titles, counts on top. */
    paint() {
        const many = this.boxes.size > MANY, {x, y, scale} = this.view;
        const [w, h] = this.window();
        this.area = many ? [(-x - w) / scale, (-y - h) / scale, (2 * w - x) / scale,
                            (2 * h - y) / scale] : null;
        this.painted = scale;
        this.legible = !many || scale * SMALLEST_TEXT > 3.5;
        const [frames, arrows, marks, boxes, counts] = [0, 1, 2, 3, 4].map(() => shape("g"));
        marks.setAttribute("class", "marks");
        this.elements.clear();
        for (const curve of this.curves) {
            if (this.near(curve.low, curve.high)) this.paintCurve(arrows, counts, curve);
        }
        for (const [i, box] of this.boxes) {
            if (this.near([box.x, box.y], [box.x + box.w, box.y + box.h])) {
                this.paintBox(frames, boxes, i, box);
                if (this.legible) this.paintNumbers(counts, i, box);
            }
        }
        this.sheet.replaceChildren(frames, arrows, marks, boxes, counts);
        this.marks = marks;
        this.mark();
        this.move();
    }

    paintCurve(layer, counts, curve) {
        const path = shape("path", {d: curve.d, class: "arrow " + curve.kind});
        if (curve.head) path.setAttribute("marker-end", `url(#${curve.marker})`);
        layer.append(path);
        if (curve.count < 2 || !this.legible) return;
        const [x, y] = curve.at, flat = curve.high[1] - curve.low[1] < curve.high[0] - curve.low[0];
        counts.append(shape("text", {x: flat ? x : x + 4, y: flat ? y - 4 : y + 4,
                                     class: flat ? "count flat" : "count"},
                            "\u00d7" + curve.count));
    }

    /* Who has very many users or operands has no arrows to them, but when it is selected. */
    paintNumbers(layer, i, box) {
        const {users, sources} = this.items[i], x = box.x + 4;
        if (sources) {
            layer.append(shape("text", {x, y: box.y - 4, class: "count"},
                               `\u00d7${sources} \u2192`));
        }
        if (users) {
            layer.append(shape("text", {x, y: box.y + box.h + 13, class: "count"},
                               `\u2192 \u00d7${users}`));
        }
    }

    paintBox(frames, layer, i, box) {
        const item = this.items[i], group = this.isGroup(i);
        const classes = ["box", "order" + item.order];
        for (const name of ["slot", "root", "varies", "sums"]) if (item[name]) classes.push(name);
        if (group) classes.push(box.open ? "frame" : "closed");
        const g = shape("g", {class: classes.join(" "), tabindex: 0, "data-item": i,
                              "data-pane": this.number, role: group ? "button" : "img",
                              "aria-label": item.label.replaceAll("\n", ", ")});
        if (group) g.setAttribute("aria-expanded", box.open);
        const {x, y, w, h} = box, height = box.open ? HEADER : h;
        if (box.open) {
            frames.append(shape("rect", {class: `frame order${item.order}`, x, y, width: w,
                                         height: h, rx: 6}));
        } else if (group) {
            g.append(shape("rect", {class: "behind", x: x + 3, y: y + 3, width: w, height: h,
                                    rx: 4}));
        }
        if (item.root) {
            g.append(shape("rect", {class: "outer", x: x - 3, y: y - 3, width: w + 6,
                                    height: h + 6, rx: item.shape === 2 ? h / 2 + 3 : 6}));
        }
        g.append(shape("rect", {class: "face", x, y, width: w, height,
                                rx: item.shape === 2 ? h / 2 : box.open ? 6 : 4}));
        for (let k = 0; k < item.order; k++) {
            const d = `M${x + 3 + 3 * k} ${y + 4}v${height - 8}`;
            g.append(shape("path", {class: "stripe", d}));
        }
        if (this.legible) this.paintText(g, item, box, group);
        const colour = colourOf(this, i);
        if (colour) {
            g.style.setProperty("--fill", colour[0]);
            g.style.setProperty("--text", colour[1]);
        }
        this.elements.set(i, g);
        layer.append(g);
    }

    /* A group has one line: its name, and beside it, while it is closed, its result. */
    paintText(g, item, box, group) {
        const lines = item.label.split("\n");
        const put = (line, name, place, room) => {
            const text = shape("text", {...place, class: name ? "name" : "under"}, line);
            if (textWidth(line, name) > room) {
                text.setAttribute("textLength", room);
                text.setAttribute("lengthAdjust", "spacingAndGlyphs");
            }
            g.append(text);
        };
        if (group) {
            const y = box.y + (box.open ? 16 : 15);
            const title = (box.open ? "\u2212 " : "+ ") + lines[0];
            const users = item.inner_users && "\u2192 \u00d7" + item.inner_users;
            const right = box.open ? users : lines[1];
            const rest = right ? textWidth(right, false) + 10 : 0;
            put(title, true, {x: box.x + 12, y}, box.w - 20 - rest);
            if (right) put(right, false, {x: box.x + box.w - 8, y}, box.w / 2);
        } else {
            lines.forEach((line, k) => {
                put(line, !k, {x: box.x + box.w / 2, y: box.y + LINE * (k + 1)}, box.w - 8);
            });
        }
        g.append(shape("title", {}, [item.path, item.formula].filter(Boolean).join("\n") ||
                                    item.label));
    }

    /* --- The window ----------------------------------------------------------------------- */

    window() {
        return [Math.max(this.svg.clientWidth, 100), this.svg.clientHeight];
    }

    move() {
        const {x, y, scale} = this.view;
        this.sheet.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
        if (!this.area || this.later) return;
        const [w, h] = this.window();
        const left = -x / scale < this.area[0] || -y / scale < this.area[1] ||
                     (w - x) / scale > this.area[2] || (h - y) / scale > this.area[3];
        if (!left && scale === this.painted) return;
        this.later = setTimeout(() => { this.later = 0; this.paint(); }, 100);
    }

    /* All of it, or where that could not be read, its upper left part. */
    fit() {
        const [w, h] = this.window(), room = 14;
        const whole = Math.min((w - 2 * room) / this.size[0], (h - 2 * room) / this.size[1], 1.4);
        const scale = Math.max(whole, SMALLEST_SHOWN / SMALLEST_TEXT);
        this.view = {
            scale,
            x: Math.max((w - this.size[0] * scale) / 2, room),
            y: Math.max((h - this.size[1] * scale) / 2, room),
        };
        this.move();
    }

    zoom(factor, x, y) {
        const scale = Math.min(Math.max(this.view.scale * factor, 0.02), 8);
        const by = scale / this.view.scale;
        this.view = {scale, x: x - (x - this.view.x) * by, y: y - (y - this.view.y) * by};
        this.move();
    }

    centre(i) {
        const box = this.boxes.get(i), [w, h] = this.window();
        this.view.scale = Math.max(this.view.scale, SMALLEST_SHOWN / SMALLEST_TEXT);
        const {scale} = this.view;
        this.view.x = w / 2 - (box.x + box.w / 2) * scale;
        this.view.y = Math.min(h / 2 - (box.y + box.h / 2) * scale,
                               box.open && box.h * scale > h ? 20 - box.y * scale : Infinity);
        if (box.open && box.h * scale > h) this.view.y = 20 - box.y * scale;
        this.move();
    }

    /* --- Opening -------------------------------------------------------------------------- */

    set(i, open) {
        if (open) this.open.add(i);
        else this.open.delete(i);
    }

    redraw(fixed = -1) {
        const before = this.boxes.get(fixed);
        this.place();
        const after = this.boxes.get(fixed);
        if (before && after) {
            this.view.x += (before.x - after.x) * this.view.scale;
            this.view.y += (before.y - after.y) * this.view.scale;
        }
        this.paint();
    }

    /* The innermost of the item and the groups around it that is visible. */
    visible(i) {
        let shown = i;
        for (let k = this.parent(i); k >= 0; k = this.parent(k)) if (!this.open.has(k)) shown = k;
        return shown;
    }

    reveal(i) {
        for (let k = this.parent(i); k >= 0; k = this.parent(k)) this.open.add(k);
        this.redraw();
        this.centre(i);
    }

    /* --- Marks ---------------------------------------------------------------------------- */

    /* What is selected, with arrows from its operands and to its users; what was found. */
    mark() {
        const found = new Set(finder.hits.filter((hit) => hit.pane === this)
                                         .map((hit) => this.visible(hit.item)));
        for (const [i, g] of this.elements) {
            g.classList.toggle("selected", selection.pane === this && selection.item === i);
            g.classList.toggle("found", found.has(i));
        }
        this.marks.replaceChildren();
        if (selection.pane !== this || !this.boxes.has(selection.item)) return;
        const target = this.boxes.get(selection.item), drawn = new Set();
        for (const {node, into} of this.neighbours(selection.item)) {
            const shown = this.visible(node), box = this.boxes.get(shown), key = shown + " " + into;
            if (shown === selection.item || !box || drawn.has(key)) continue;
            drawn.add(key);
            const points = into ? between(box, target) : between(target, box);
            this.marks.append(shape("path", {
                d: "M" + points[0] + "C" + points.slice(1).join(" "),
                class: into ? "operand" : "user",
                "marker-end": into ? "url(#operand)" : "url(#user)",
            }));
        }
    }

    inside(i, k) {
        while (i >= 0 && i !== k) i = this.parent(i);
        return i === k;
    }

    nodesOf(i) {
        if (!this.isGroup(i)) return [i];
        return this.items[i].items.flatMap((k) => this.nodesOf(k));
    }

    /* Operands and users outside of an item. */
    neighbours(i) {
        const found = [];
        for (const k of this.nodesOf(i)) {
            for (const [from, , operand] of this.items[k].in) {
                if (!this.inside(from, i)) found.push({node: from, into: true, operand});
            }
            for (const [, to] of this.items[k].out) {
                if (!this.inside(to, i)) found.push({node: to, into: false});
            }
        }
        return found;
    }
}

/* The same chain of cubic curves in eighths, which may be mapped one by one (de Casteljau). */
function split(points) {
    const out = [points[0]], mean = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const halve = ([a, b, c, d], depth) => {
        if (!depth) return void out.push(b, c, d);
        const ab = mean(a, b), bc = mean(b, c), cd = mean(c, d);
        const abc = mean(ab, bc), bcd = mean(bc, cd), middle = mean(abc, bcd);
        halve([a, ab, abc, middle], depth - 1);
        halve([middle, bcd, cd, d], depth - 1);
    };
    for (let k = 0; k + 3 < points.length; k += 3) halve(points.slice(k, k + 4), 3);
    return out;
}

/* The point of a chain of cubic curves at half of its pieces. */
function middleOf(points) {
    const pieces = (points.length - 1) / 3, k = 3 * Math.floor(pieces / 2);
    if (pieces % 2 === 0) return points[k];
    return [0, 1].map((axis) => (points[k][axis] + 3 * points[k + 1][axis] +
                                 3 * points[k + 2][axis] + points[k + 3][axis]) / 8);
}

/* From one box to another: down or up where one is below the other, else from side to side. */
function between(a, b) {
    const ax = a.x + a.w / 2, bx = b.x + b.w / 2, ay = a.y + a.h / 2, by = b.y + b.h / 2;
    if (b.y >= a.y + a.h || a.y >= b.y + b.h) {
        const down = b.y >= a.y + a.h, y0 = down ? a.y + a.h : a.y, y1 = down ? b.y : b.y + b.h;
        const bend = (y1 - y0) / 2;
        return [[ax, y0], [ax, y0 + bend], [bx, y1 - bend], [bx, y1]];
    }
    const x0 = bx > ax ? a.x + a.w : a.x, x1 = bx > ax ? b.x : b.x + b.w, bend = (x1 - x0) / 2;
    return [[x0, ay], [x0 + bend, ay], [x1 - bend, by], [x1, by]];
}
