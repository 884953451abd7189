/* What a message says when there is no such module in a graph: which there are, the nearest first.
 * It draws nothing.
 * Invariant: the list is a function of the graph's paths and of the path that was asked for. */
#include "autograd/draw/paths.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/graph/walk.h"
#include "tensor/io/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LISTED = 12, LONGEST = 64 }; /* bytes that are compared and shown */

/* The beginning of a node's path: a module around it. */
typedef struct {
    const char *path;
    int length, distance;
    int64_t number; /* in the order of the walk */
} known;

typedef struct {
    known *items;
    int64_t n;
} list;

/* --- How far ------------------------------------------------------------------------------ */

/* Levenshtein's distance of the first LONGEST bytes. */
static int distance_of(const char *a, int n, const char *b, int m) {
    int row[LONGEST + 1];
    if (n > LONGEST) n = LONGEST;
    if (m > LONGEST) m = LONGEST;
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int above = row[j], changed = diagonal + (a[i - 1] != b[j - 1]);
            int added = 1 + (above < row[j - 1] ? above : row[j - 1]);
            row[j] = changed < added ? changed : added;
            diagonal = above;
        }
    }
    return row[m];
}

/* Of the whole path or of its last names: who asks for 'pool' may mean 'cnn/pool'. */
static int distance_to(const char *wanted, const known *k) {
    int n = (int)strlen(wanted), least = distance_of(wanted, n, k->path, k->length);
    for (int at = 1; at < k->length; at++) {
        if (k->path[at - 1] != '/') continue;
        int distance = distance_of(wanted, n, k->path + at, k->length - at);
        if (distance < least) least = distance;
    }
    return least;
}

static int by_distance(const void *a, const void *b) {
    const known *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

/* --- Which there are ---------------------------------------------------------------------- */

static bool is_known(const list *l, const char *path, int length) {
    for (int64_t i = l->n - 1; i >= 0; i--) {
        if (l->items[i].length == length && memcmp(l->items[i].path, path, (size_t)length) == 0) {
            return true;
        }
    }
    return false;
}

/* The module of a node, and those around it, outermost first. */
static ct_status add(list *l, const char *path, const char *wanted) {
    for (int length = 1; *path && length <= (int)strlen(path); length++) {
        if ((path[length] && path[length] != '/') || is_known(l, path, length)) continue;
        if (!cti_grow(&l->items, l->n, sizeof *l->items)) return CT_ERR_MEMORY;
        known *k = &l->items[l->n];
        *k = (known){path, length, 0, l->n};
        k->distance = distance_to(wanted, k);
        l->n++;
    }
    return CT_OK;
}

static ct_status collect(list *l, ct_tensor *const roots[], int64_t n, const char *wanted) {
    cti_walk walk;
    if (cti_walk_new(&walk, roots, n, cti_walk_whole_graph) != CT_OK) return CT_ERR_MEMORY;
    ct_status status = CT_OK;
    const char *last = NULL; /* paths are interned */
    for (int64_t i = 0; i < walk.count && status == CT_OK; i++) {
        const ct_tensor *t = walk.items[i];
        if (t->slot || t->path == last) continue;
        last = t->path;
        status = add(l, t->path, wanted);
    }
    cti_walk_free(&walk);
    return status;
}

ct_status cti_fail_no_module(const char *function, ct_tensor *const roots[], int64_t n,
                             const char *wanted) {
    list l = {0};
    char names[MOST_LISTED * (LONGEST + 8)] = "";
    size_t used = 0;
    ct_status status = collect(&l, roots, n, wanted);
    if (l.n > 0) qsort(l.items, (size_t)l.n, sizeof *l.items, by_distance);
    for (int64_t i = 0; i < l.n && i < MOST_LISTED; i++) {
        cti_shown name = cti_show(l.items[i].path, (size_t)l.items[i].length);
        size_t room = sizeof names - used;
        int put = snprintf(names + used, room, "%s'%s'", i ? ", " : "", name.text);
        used += (size_t)put < room ? (size_t)put : room - 1;
    }
    bool more = l.n > MOST_LISTED;
    cti_free(l.items);
    if (status != CT_OK) return status;
    return ct_fail(CT_ERR_RANGE, "%s: nothing in the graph belongs to module '%s'; %s%s%s",
                   function, cti_show_path(wanted).text,
                   *names ? "there are " : "it has no modules", names, more ? " and others" : "");
}
