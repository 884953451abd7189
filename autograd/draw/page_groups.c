/* A picture's nodes in groups that open one by one: what stands in which, and which arrows that
 * makes between the items of each.
 * It places nothing and knows no format.
 * Invariant: every node stands in one group, every arrow is counted once in the innermost group
 * around both of its ends, and no group has more than 200 items. */
#include "autograd/draw/page.h"
#include "tensor/base/alloc.h"
#include "tensor/base/array.h"

#include <stdlib.h>
#include <string.h>

/* Of a group, and of one that nodes are put into because more stand in theirs. */
enum { MOST_ITEMS = 200, RUN = 50, FEWEST_OUTSIDE = 3 };
/* Items that one has arrows to, or from: beyond, they would be all that one sees. */
enum { MOST_NEIGHBOURS = 16 };

static int64_t item_of(const cti_page *page, int64_t group) {
    return page->picture->n_nodes + group;
}

/* -1: the item is a node. */
static int64_t group_at(const cti_page *page, int64_t item) {
    return item < page->picture->n_nodes ? -1 : item - page->picture->n_nodes;
}

static int64_t add_group(cti_page *page, int64_t parent, int64_t frame, int order) {
    int64_t g = page->n_groups++;
    page->groups[g] = (cti_page_group){.frame = frame, .first = -1, .last = -1, .value = -1};
    page->items[item_of(page, g)] = (cti_page_item){.group = parent, .next = -1, .order = order};
    return g;
}

static void append(cti_page *page, int64_t g, int64_t item) {
    cti_page_group *group = &page->groups[g];
    page->items[item].group = g;
    page->items[item].next = -1;
    if (group->last < 0) group->first = item;
    else page->items[group->last].next = item;
    group->last = item;
    group->n_items++;
}

/* --- Who stands where --------------------------------------------------------------------- */

/* Frames are groups 1, 2, ...; of a picture that has some, so are ops outside of them. leader:
 * cti_picture_leaders; members: how many each leads; led: their groups. */
static void choose(cti_page *page, const int64_t leader[], int64_t members[], int64_t led[]) {
    const cti_picture *p = page->picture;
    add_group(page, -1, -1, 0);
    for (int64_t f = 0; f < p->n_frames; f++) {
        int64_t g = add_group(page, p->frames[f].parent + 1, f, p->frames[f].order);
        page->groups[g].name = p->frames[f].name;
    }
    for (int64_t i = 0; i < p->n_nodes; i++) {
        if (leader[i] >= 0) members[leader[i]]++;
    }
    for (int64_t i = 0; i < p->n_nodes; i++) {
        int64_t first = leader[i];
        page->items[i] = (cti_page_item){
            .group = p->nodes[i].frame + 1, .next = -1, .order = p->nodes[i].order};
        if (first < 0 || p->nodes[i].frame >= 0 || p->n_frames == 0) continue;
        if (members[first] < FEWEST_OUTSIDE) continue;
        if (first == i) led[i] = add_group(page, 0, -1, p->nodes[i].order);
        page->items[i].group = led[first];
    }
}

/* Each node, and each group when its first node comes, is appended to what it stands in. */
static void order_items(cti_page *page) {
    for (int64_t i = 0; i < page->picture->n_nodes; i++) {
        for (int64_t item = i; item >= 0;) {
            int64_t g = page->items[item].group;
            bool known = g >= 0 && page->groups[g].first >= 0;
            if (g < 0) break;
            append(page, g, item);
            if (known) break;
            item = item_of(page, g);
        }
        for (int64_t item = i; page->items[item].group >= 0;) {
            int64_t g = page->items[item].group;
            page->groups[g].n_nodes++;
            item = item_of(page, g);
        }
    }
}

/* --- Runs --------------------------------------------------------------------------------- */

/* Puts neighbours into groups of 50: nodes, or `all` items. */
static void cut(cti_page *page, int64_t g, bool all) {
    int64_t item = page->groups[g].first, run = -1, nodes = 0;
    page->groups[g].first = page->groups[g].last = -1;
    page->groups[g].n_items = 0;
    while (item >= 0) {
        int64_t next = page->items[item].next, inner = group_at(page, item);
        if (inner >= 0 && !all) {
            append(page, g, item);
            run = -1;
        } else {
            if (run < 0 || page->groups[run].n_items == RUN) {
                run = add_group(page, g, -1, page->items[item].order);
                page->groups[run].low = nodes + 1;
                append(page, g, item_of(page, run));
            }
            append(page, run, item);
            int64_t n = inner < 0 ? 1 : page->groups[inner].n_nodes;
            page->groups[run].n_nodes += n;
            nodes += n;
            page->groups[run].high = nodes;
        }
        item = next;
    }
}

static void cut_all(cti_page *page) {
    int64_t before = page->n_groups;
    for (int64_t g = 0; g < before; g++) {
        if (page->groups[g].n_items > MOST_ITEMS) cut(page, g, false);
        while (page->groups[g].n_items > MOST_ITEMS) cut(page, g, true);
    }
}

/* A run may stand in one that was made after it. */
static void measure_depths(cti_page *page) {
    for (int64_t i = 0; i < page->picture->n_nodes; i++) {
        int64_t depth = 0;
        for (int64_t k = i; page->items[k].group >= 0; depth++) {
            k = item_of(page, page->items[k].group);
        }
        for (int64_t k = i; page->items[k].group >= 0; depth--) {
            page->items[k].depth = depth;
            k = item_of(page, page->items[k].group);
        }
    }
}

/* --- Arrows ------------------------------------------------------------------------------- */

static ct_status add_edge(cti_page *page, int64_t from, int64_t to, int64_t group,
                          const cti_picture_arrow *arrow) {
    if (!cti_reserve(&page->edges, &page->edge_room, page->n_edges + 1, sizeof *page->edges)) {
        return CT_ERR_MEMORY;
    }
    int order = page->items[from >= 0 ? from : to].order;
    int other = to >= 0 && from >= 0 ? page->items[to].order
                                     : page->items[item_of(page, group)].order;
    page->edges[page->n_edges++] = (cti_page_edge){
        .group = group,
        .from = from,
        .to = to,
        .count = arrow->count,
        .carried = arrow->carried,
        .staged = arrow->staged,
        .turned = order > 0 && order == other,
    };
    return CT_OK;
}

/* The side of a group where values come in; the other one is where they go out. */
static int64_t entrance(const cti_page *page, int64_t g) {
    return page->items[item_of(page, g)].order > 0 ? CTI_PAGE_BOTTOM : CTI_PAGE_TOP;
}

static int64_t way_out(const cti_page *page, int64_t g) {
    return entrance(page, g) == CTI_PAGE_TOP ? CTI_PAGE_BOTTOM : CTI_PAGE_TOP;
}

/* From its end up to the innermost group around both ends; there it joins two items. What is
 * carried into a derivative has no way through the groups: there would be too many. */
static ct_status add_arrow(cti_page *page, const cti_picture_arrow *arrow) {
    int64_t a = arrow->from, b = arrow->to;
    ct_status status = CT_OK;
    while (page->items[a].group != page->items[b].group && status == CT_OK) {
        bool leaves = page->items[a].depth >= page->items[b].depth;
        int64_t *end = leaves ? &a : &b, g = page->items[*end].group;
        if (leaves && !arrow->staged && page->groups[g].value < arrow->from) {
            page->groups[g].value = arrow->from;
        }
        if (!arrow->carried) {
            status = leaves ? add_edge(page, a, way_out(page, g), g, arrow)
                            : add_edge(page, entrance(page, g), b, g, arrow);
        }
        *end = item_of(page, g);
    }
    return status == CT_OK ? add_edge(page, a, b, page->items[a].group, arrow) : status;
}

static int by_ends(const void *a, const void *b) {
    const cti_page_edge *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

/* Arrows between the same two items become one. */
static void bundle(cti_page *page) {
    qsort(page->edges, (size_t)page->n_edges, sizeof *page->edges, by_ends);
    int64_t kept = 0;
    for (int64_t k = 0; k < page->n_edges; k++) {
        cti_page_edge *edge = &page->edges[k], *before = kept ? &page->edges[kept - 1] : NULL;
        if (before && by_ends(before, edge) == 0) {
            before->count += edge->count;
            before->carried &= edge->carried;
            before->staged &= edge->staged;
            continue;
        }
        page->edges[kept++] = *edge;
    }
    page->n_edges = kept;
}

/* Edges to an item from very many others become a number. */
static void thin_out_operands(cti_page *page) {
    for (int64_t k = 0; k < page->n_edges; k++) {
        if (page->edges[k].to >= 0) page->items[page->edges[k].to].sources++;
    }
    int64_t kept = 0;
    for (int64_t k = 0; k < page->n_edges; k++) {
        int64_t to = page->edges[k].to;
        if (to >= 0 && page->items[to].sources > MOST_NEIGHBOURS) continue;
        page->edges[kept++] = page->edges[k];
    }
    page->n_edges = kept;
    for (int64_t i = 0; i < page->picture->n_nodes + page->n_groups; i++) {
        if (page->items[i].sources <= MOST_NEIGHBOURS) page->items[i].sources = 0;
    }
}

/* So do those from an item, or from outside, to very many others. */
static void thin_out_users(cti_page *page) {
    int64_t kept = 0, next;
    for (int64_t k = 0; k < page->n_edges; k = next) {
        const cti_page_edge first = page->edges[k];
        for (next = k + 1; next < page->n_edges; next++) {
            const cti_page_edge *other = &page->edges[next];
            if (other->group != first.group || other->from != first.from) break;
        }
        cti_page_group *group = &page->groups[first.group];
        if (next - k > MOST_NEIGHBOURS) {
            *(first.from >= 0 ? &page->items[first.from].users : &group->users) = next - k;
            continue;
        }
        if (group->n_edges == 0) group->edges = kept;
        group->n_edges += next - k;
        memmove(&page->edges[kept], &page->edges[k], (size_t)(next - k) * sizeof first);
        kept += next - k;
    }
    page->n_edges = kept;
}

static ct_status add_arrows(cti_page *page) {
    const cti_picture *p = page->picture;
    for (int64_t k = 0; k < p->n_arrows; k++) {
        if (add_arrow(page, &p->arrows[k]) != CT_OK) return CT_ERR_MEMORY;
    }
    if (page->n_edges) {
        bundle(page);
        thin_out_operands(page);
        thin_out_users(page);
    }
    for (int64_t i = 0; i < p->n_nodes; i++) {
        for (int64_t g = page->items[i].group; g >= 0 && p->nodes[i].root;) {
            /* A derivative hands on a cotangent, and gradients besides. */
            if (p->nodes[i].order == 0 || page->groups[g].value < 0) page->groups[g].value = i;
            page->groups[g].gradients += p->nodes[i].order > 0;
            g = page->items[item_of(page, g)].group;
        }
    }
    return CT_OK;
}

/* --- The whole ---------------------------------------------------------------------------- */

/* At most as many groups as frames and nodes: every other one has two items. */
ct_status cti_page_of(cti_page *page, const cti_picture *p) {
    *page = (cti_page){.picture = p};
    size_t n = (size_t)p->n_nodes, groups = n + (size_t)p->n_frames + 1;
    page->items = cti_zone_alloc(&page->zone, n + groups, sizeof *page->items);
    page->groups = cti_zone_alloc(&page->zone, groups, sizeof *page->groups);
    int64_t *numbers = cti_zone_alloc(&page->zone, 3 * n, sizeof *numbers);
    if (!page->items || !page->groups || !numbers) return CT_ERR_MEMORY;
    cti_picture_leaders(p, numbers);
    choose(page, numbers, numbers + n, numbers + 2 * n);
    order_items(page);
    cut_all(page);
    measure_depths(page);
    return add_arrows(page);
}

void cti_page_free(cti_page *page) {
    cti_zone_free(&page->zone);
    cti_free(page->edges);
    cti_free(page->points);
}
