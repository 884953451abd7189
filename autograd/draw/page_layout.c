/* Where everything on a page stands: each group is laid out with all groups in it closed, by the
 * program `dot`, which gets all of them at once.
 * It writes no page; opening a group moves things apart, and is the page's own business.
 * Invariant: each item of each group has a place, and no two overlap: where `dot` is missing, fails
 * or takes too long, items stand in rows, each below what it needs. */
#include "autograd/draw/graphviz.h"
#include "autograd/draw/page.h"
#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/process.h"
#include "tensor/io/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In points, as page.css has them: a character of the largest text, a line, what is around. */
enum { CHARACTER = 7, LINE = 14, AROUND_X = 18, AROUND_Y = 8, LEAST_WIDTH = 44 };
/* Of rows: between neighbours, and most of a row. */
enum { BETWEEN_X = 16, BETWEEN_Y = 30, ROW = 1200 };
/* Of the program `dot` on one page, before it is left alone. */
enum { MOST_FAILURES = 8 };

/* --- Labels ------------------------------------------------------------------------------- */

/* A line, which ends the ones before: at most CTI_PAGE_COLUMNS characters, then an ellipsis. */
static void put_line(cti_writer *out, const char *first, const char *second) {
    const char *parts[] = {first, second};
    int columns = 0;
    if (out->used) cti_write_text(out, "\n");
    for (int k = 0; k < 2; k++) {
        for (const char *c = parts[k]; c && *c && columns <= CTI_PAGE_COLUMNS; columns++) {
            size_t length = cti_utf8_length(c, strnlen(c, 4));
            if (columns == CTI_PAGE_COLUMNS) cti_write_text(out, "\xe2\x80\xa6");
            else if (*c == '\n') cti_write_text(out, " ");
            else cti_write_bytes(out, c, length ? length : 1);
            c += length ? length : 1;
        }
    }
}

/* A type may have a second line. */
static void put_type(cti_writer *out, const char *type) {
    if (type && out->used) cti_write_text(out, "\n");
    if (type) cti_write_text(out, type);
}

static void put_node_label(cti_writer *out, const cti_picture_node *node) {
    char kind[2 * CTI_PAGE_COLUMNS * 4];
    if (node->name) put_line(out, node->name, NULL);
    if (node->kind) {
        snprintf(kind, sizeof kind, "%s%s", node->name ? "= " : "", node->kind);
        put_line(out, kind, node->operands);
    }
    if (node->detail) put_line(out, node->detail, NULL);
    put_type(out, node->type);
}

/* The value alone: a box of several ops says after it what is in that box, and not in the group. */
static void put_value(cti_writer *out, const char *type) {
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(type, "\n"), type);
    char *rest = strstr(text, ", ");
    if (rest) *rest = 0;
    if (*text == '[') put_line(out, text, NULL);
}

/* "relu, derivative" and "[32] f32", which a closed group shows in one line. */
static void put_group_label(cti_writer *out, const cti_page *page, int64_t g) {
    const cti_page_group *group = &page->groups[g];
    const cti_picture_node *value = group->value >= 0 ? &page->picture->nodes[group->value] : NULL;
    char text[64];
    if (group->high) {
        snprintf(text, sizeof text, "nodes %lld-%lld", (long long)group->low,
                 (long long)group->high);
        put_line(out, text, NULL);
    } else {
        const char *name = group->name ? group->name : !value ? NULL : value->name;
        if (!name && value) name = value->kind;
        int order = page->items[page->picture->n_nodes + g].order;
        put_line(out, name ? name : "ops", cti_derivative_names[order]);
    }
    if (value && value->type) put_value(out, value->type);
}

static ct_status label_item(cti_page *page, int64_t item) {
    int64_t n = page->picture->n_nodes;
    if (item >= n && page->groups[item - n].n_items == 0) return CT_OK;
    cti_writer out = {0};
    if (item < n) put_node_label(&out, &page->picture->nodes[item]);
    else put_group_label(&out, page, item - n);
    cti_write_bytes(&out, "", 1);
    char *label = out.status == CT_OK ? cti_zone_alloc(&page->zone, out.used, 1) : NULL;
    if (label) memcpy(label, out.text, out.used);
    cti_free(out.text);
    if (!label) return CT_ERR_MEMORY;
    int lines = 1, columns = 0, most = 0, all = 0;
    for (const char *c = label; *c; c++) {
        if (*c == '\n') lines++;
        all += (*c & 0xc0) != 0x80;
        columns = *c == '\n' ? 0 : columns + ((*c & 0xc0) != 0x80);
        if (columns > most) most = columns;
    }
    if (item >= n) lines = 1, most = all + 4; /* a mark, and room between */
    int width = most * CHARACTER + AROUND_X;
    page->items[item].label = label;
    page->items[item].width = width > LEAST_WIDTH ? width : LEAST_WIDTH;
    page->items[item].height = lines * LINE + AROUND_Y;
    return CT_OK;
}

/* --- The text for `dot` ------------------------------------------------------------------- */

static const char *name_of(int64_t item, char name[24]) {
    snprintf(name, 24, item >= 0 ? "i%lld" : item == CTI_PAGE_TOP ? "t" : "b", (long long)item);
    return name;
}

/* Inches with a point in any locale. */
static void put_inches(cti_writer *out, const char *name, int points) {
    int mils = points * 1000 / 72;
    cti_write_format(out, "%s=%d.%03d", name, mils / 1000, mils % 1000);
}

/* The derivative of an item stands beside it: one of each order. */
static void put_beside(cti_writer *out, const cti_page *page, int64_t g) {
    int64_t n = page->picture->n_nodes;
    for (int64_t i = page->groups[g].first; i >= 0; i = page->items[i].next) {
        if (i < n || page->groups[i - n].frame < 0 || page->items[i].order == 0) continue;
        const cti_picture_frame *frames = page->picture->frames;
        const cti_picture_frame *own = &frames[page->groups[i - n].frame];
        for (int64_t k = page->groups[g].first; k >= 0; k = page->items[k].next) {
            if (k < n || page->groups[k - n].frame < 0) continue;
            const cti_picture_frame *other = &frames[page->groups[k - n].frame];
            if (other->order != own->order - 1 || strcmp(other->name, own->name) != 0) continue;
            cti_write_format(out, "{rank=same; i%lld; i%lld}\n", (long long)k, (long long)i);
            break;
        }
    }
}

static void put_edge(cti_writer *out, const cti_page_edge *edge) {
    char tail[24], head[24];
    cti_write_format(out, "%s -> %s", name_of(edge->turned ? edge->to : edge->from, tail),
                     name_of(edge->turned ? edge->from : edge->to, head));
    cti_write_text(out, edge->carried ? " [constraint=false]\n" : "\n");
}

static void put_group(cti_writer *out, const cti_page *page, int64_t g) {
    const cti_page_group *group = &page->groups[g];
    bool bundles = false; /* which have counts beside them */
    for (int64_t k = 0; k < group->n_edges; k++) {
        bundles |= page->edges[group->edges + k].count > 1;
    }
    cti_write_format(out,
                     "digraph {\ngraph [rankdir=%s, ranksep=0.24, nodesep=%s, nslimit=1, "
                     "nslimit1=1]\nnode [shape=box, fixedsize=true, label=\"\"]\nedge [dir=none]\n",
                     page->picture->left_to_right ? "LR" : "TB", bundles ? "0.4" : "0.2");
    static const char *const ranks[] = {"source", "sink"};
    for (int side = 0; side < 2; side++) {
        char name[24];
        if (!group->has_port[side]) continue;
        cti_write_format(out, "{rank=%s; %s [width=0.02, height=0.02]}\n", ranks[side],
                         name_of(-1 - side, name));
    }
    for (int64_t i = group->first; i >= 0; i = page->items[i].next) {
        cti_write_format(out, "i%lld [", (long long)i);
        put_inches(out, "width", page->items[i].width);
        put_inches(out, ", height", page->items[i].height);
        cti_write_text(out, "]\n");
    }
    put_beside(out, page, g);
    for (int64_t k = 0; k < group->n_edges; k++) put_edge(out, &page->edges[group->edges + k]);
    cti_write_text(out, "}\n");
}

/* --- What `dot` answers ------------------------------------------------------------------- */

/* A number with a point, whatever the locale has; skips blanks before it. */
static double take_number(const char **at) {
    while (**at == ' ') ++*at;
    bool negative = **at == '-';
    if (negative) ++*at;
    double value = 0, scale = 1;
    for (bool fraction = false; (**at >= '0' && **at <= '9') || **at == '.'; ++*at) {
        if (**at == '.') fraction = true;
        else value = value * 10 + (**at - '0'), scale *= fraction ? 10 : 1;
    }
    value /= scale;
    if (**at == 'e') {
        ++*at;
        value *= pow(10, (double)strtol(*at, (char **)at, 10));
    }
    return negative ? -value : value;
}

/* Nothing that overflows, whatever stands there. */
static int take_points(const char **at) {
    double points = take_number(at) * 72;
    return points > -1e6 && points < 1e6 ? (int)lround(points) : 0;
}

/* i12, t, b */
static int64_t take_item(const char **at) {
    while (**at == ' ') ++*at;
    char kind = *(*at)++;
    return kind == 't'   ? CTI_PAGE_TOP
           : kind == 'b' ? CTI_PAGE_BOTTOM
                         : strtoll(*at, (char **)at, 10);
}

/* Whether it was one of the group's items. */
static bool read_node(cti_page *page, int64_t g, const char *at) {
    cti_page_group *group = &page->groups[g];
    int64_t item = take_item(&at);
    int x = take_points(&at), y = group->height - take_points(&at);
    if (item < 0) {
        group->port[-1 - item][0] = x, group->port[-1 - item][1] = y;
    } else if (item < page->picture->n_nodes + page->n_groups && page->items[item].group == g) {
        page->items[item].x = x, page->items[item].y = y;
        return true;
    }
    return false;
}

static cti_page_edge *find_edge(cti_page *page, const cti_page_group *group, int64_t tail,
                                int64_t head) {
    for (int64_t k = group->edges; k < group->edges + group->n_edges; k++) {
        cti_page_edge *edge = &page->edges[k];
        if (edge->n_points) continue;
        if (edge->turned ? edge->from == head && edge->to == tail
                         : edge->from == tail && edge->to == head) {
            return edge;
        }
    }
    return NULL;
}

static ct_status read_edge(cti_page *page, const cti_page_group *group, const char *at) {
    int64_t tail = take_item(&at), head = take_item(&at), n = (int64_t)take_number(&at);
    cti_page_edge *edge = find_edge(page, group, tail, head);
    if (!edge || n < 2 || n > (int64_t)strcspn(at, "\n")) return CT_OK;
    if (!cti_reserve(&page->points, &page->point_room, page->n_points + 2 * n, sizeof(int))) {
        return CT_ERR_MEMORY;
    }
    edge->points = page->n_points;
    edge->n_points = n;
    for (int64_t k = 0; k < n; k++) {
        int64_t place = page->n_points + 2 * (edge->turned ? n - 1 - k : k);
        page->points[place] = take_points(&at);
        page->points[place + 1] = group->height - take_points(&at);
    }
    page->n_points += 2 * n;
    return CT_OK;
}

/* The first group from g on that holds something; n_groups: there is none. */
static int64_t next_group(const cti_page *page, int64_t g) {
    while (g < page->n_groups && page->groups[g].n_items == 0) g++;
    return g;
}

/* One group out of lines "graph ...", "node ...", "edge ..."; it is laid out when all of its items
 * were there. */
static ct_status read_group(cti_page *page, int64_t g, const char *text, const char *end) {
    cti_page_group *group = &page->groups[g];
    ct_status status = CT_OK;
    int64_t placed = 0;
    for (const char *line = text; line < end && status == CT_OK;) {
        const char *at = line + 5;
        if (strncmp(line, "graph ", 6) == 0) {
            take_number(&at);
            group->width = take_points(&at);
            group->height = take_points(&at);
        } else if (strncmp(line, "node ", 5) == 0) {
            placed += read_node(page, g, at);
        } else if (strncmp(line, "edge ", 5) == 0) {
            status = read_edge(page, group, at);
        }
        line = strchr(line, '\n') + 1;
    }
    group->laid = placed == group->n_items;
    return status;
}

/* As many groups as there are, from g on; the last ones may be missing. */
static ct_status read_answer(cti_page *page, int64_t g, const char *text) {
    static const char stop[] = "\nstop\n";
    ct_status status = CT_OK;
    for (; g < page->n_groups && status == CT_OK; g = next_group(page, g + 1)) {
        const char *end = strstr(text, stop);
        if (!end) break;
        status = read_group(page, g, text, end);
        text = end + strlen(stop);
    }
    return status;
}

/* --- Rows --------------------------------------------------------------------------------- */

/* Rows by the longest way from an item without an edge to it; of a circle they are anything. */
static void choose_rows(const cti_page *page, const cti_page_group *group, int64_t row[]) {
    bool moved = true;
    for (int64_t round = 0; round < group->n_items && moved; round++) {
        moved = false;
        for (int64_t k = group->edges; k < group->edges + group->n_edges; k++) {
            const cti_page_edge *edge = &page->edges[k];
            if (edge->from < 0 || edge->to < 0 || edge->carried) continue;
            int64_t above = edge->turned ? edge->to : edge->from;
            int64_t below = edge->turned ? edge->from : edge->to;
            if (row[below] > row[above] || row[above] >= group->n_items) continue;
            row[below] = row[above] + 1;
            moved = true;
        }
    }
}

/* The items of one row, from x = 0 on; a row that would be too wide is broken. */
static void place_row(cti_page *page, cti_page_group *group, const int64_t row[], int64_t r) {
    int x = 0, height = 0;
    for (int64_t i = group->first; i >= 0; i = page->items[i].next) {
        cti_page_item *item = &page->items[i];
        if (row[i] != r) continue;
        if (x > 0 && x + item->width > ROW) {
            group->height += height + BETWEEN_Y;
            x = height = 0;
        }
        item->x = x + item->width / 2;
        item->y = group->height + item->height / 2;
        x += item->width + BETWEEN_X;
        if (item->height > height) height = item->height;
        if (x - BETWEEN_X > group->width) group->width = x - BETWEEN_X;
    }
    if (height) group->height += height + BETWEEN_Y;
}

static ct_status lay_plainly(cti_page *page) {
    size_t items = (size_t)(page->picture->n_nodes + page->n_groups);
    int64_t *row = NULL;
    for (int64_t g = 0; g < page->n_groups; g++) {
        cti_page_group *group = &page->groups[g];
        if (group->laid || group->n_items == 0) continue;
        if (!row) row = cti_zone_alloc(&page->zone, items, sizeof *row);
        if (!row) return CT_ERR_MEMORY;
        page->plain = true;
        for (int64_t k = group->edges; k < group->edges + group->n_edges; k++) {
            page->edges[k].n_points = 0;
        }
        group->width = 0;
        group->height = group->has_port[0] ? BETWEEN_Y : 0;
        choose_rows(page, group, row);
        for (int64_t r = 0; r <= group->n_items; r++) place_row(page, group, row, r);
        if (!group->has_port[1]) group->height -= BETWEEN_Y;
        for (int side = 0; side < 2; side++) {
            group->port[side][0] = group->width / 2;
            group->port[side][1] = side * group->height;
        }
    }
    return CT_OK;
}

/* --- The whole ---------------------------------------------------------------------------- */

/* Has `dot` lay out the groups from g on. */
static ct_status run_dot(cti_page *page, int64_t g) {
    cti_writer text = {0}, answer = {0};
    cti_no_picture why = {.hint = ""};
    for (int64_t k = g; k < page->n_groups; k = next_group(page, k + 1)) put_group(&text, page, k);
    ct_status status = text.status;
    if (status == CT_OK)
        status = cti_graphviz("plain", NULL, text.text, text.used, cti_dot_patience / 1e3, &answer,
                              &why);
    if (status == CT_OK || *why.reason) {
        snprintf(page->why_plain, sizeof page->why_plain, "%s%s",
                 *why.reason ? why.reason : "dot gave no places", why.hint);
        cti_write_bytes(&answer, "", 1);
        status = answer.status == CT_OK ? read_answer(page, g, answer.text) : answer.status;
    }
    cti_free(text.text);
    cti_free(answer.text);
    return status;
}

/* Graphviz 2.43 crashes at times after some dozens of graphs, each of which it can lay out: it is
 * started again where it ended, and what it ends at twice is left out. */
static ct_status lay_by_dot(cti_page *page) {
    double deadline = cti_now() + cti_dot_patience / 1e3;
    ct_status status = CT_OK;
    int64_t g = next_group(page, 0);
    for (int failures = 0; g < page->n_groups && failures < MOST_FAILURES;) {
        status = run_dot(page, g);
        if (status != CT_OK || cti_now() > deadline) break;
        failures += !page->groups[g].laid;
        g = next_group(page, g + 1);
        while (g < page->n_groups && page->groups[g].laid) g = next_group(page, g + 1);
    }
    return status;
}

static void find_ports(cti_page *page) {
    for (int64_t k = 0; k < page->n_edges; k++) {
        const cti_page_edge *edge = &page->edges[k];
        cti_page_group *group = &page->groups[edge->group];
        if (edge->from < 0) group->has_port[-1 - edge->from] = true;
        if (edge->to < 0) group->has_port[-1 - edge->to] = true;
    }
}

ct_status cti_page_lay_out(cti_page *page) {
    int64_t items = page->picture->n_nodes + page->n_groups;
    for (int64_t i = 0; i < items; i++) {
        if (label_item(page, i) != CT_OK) return CT_ERR_MEMORY;
    }
    find_ports(page);
    ct_status status = lay_by_dot(page);
    return status == CT_OK ? lay_plainly(page) : status;
}
