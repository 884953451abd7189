/* Simplification: common subexpression elimination, and the rewrites that ops offer. It knows no op
 * and no rule. Invariant: no recursion; every node gets one image, after its inputs have theirs,
 * and nodes that a rewrite built are simplified like the user's. */
#include "tensor/graph/simplify_private.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/base/hash.h"

#include <string.h>

_Thread_local bool cti_simplifies = true;
_Thread_local const ct_rule *cti_rule_alone;
_Thread_local int64_t cti_rules_applied;
const ct_rule cti_rule_equal_nodes = {"equal nodes are one", NULL};

static bool is_wanted(const ct_rule *rule) { return !cti_rule_alone || cti_rule_alone == rule; }

typedef struct {
    ct_tensor *image;   /* what computes the same; NULL: not known yet */
    ct_tensor *forward; /* the result of a rewrite, whose image it will share */
    int left;           /* inputs that were not looked at yet: the first ones */
    bool open;          /* on the path from the root, and waits for what comes after it */
} entry;

typedef struct {
    uint64_t ticket;
    entry *entries; /* by t->index, while t->ticket is ours */
    int64_t n_entries, entries_max;
    ct_tensor **table; /* images that are not leaves; open addressing, at most half full */
    int64_t n_table, table_max;
    int64_t rewrites; /* how many may still happen, which ends rules that undo each other */
} simplification;

static ct_status enter(simplification *s, ct_tensor *t) {
    if (t->ticket == s->ticket) return CT_OK;
    if (!cti_reserve(&s->entries, &s->entries_max, s->n_entries + 1, sizeof *s->entries)) {
        return CT_ERR_MEMORY;
    }
    t->ticket = s->ticket;
    t->index = s->n_entries++;
    s->entries[t->index] = (entry){.left = cti_walk_needed(t)};
    return CT_OK;
}

/* --- Common subexpressions ---------------------------------------------------------------- */

/* Operand k in a canonical order: the same for a + b and b + a. */
static const ct_tensor *operand(const ct_tensor *t, int k) {
    bool turned = t->op->commutative && (uintptr_t)t->inputs[0] > (uintptr_t)t->inputs[1];
    return t->inputs[turned ? 1 - k : k];
}

static uint64_t hash_of(const ct_tensor *t) {
    uint64_t hash = cti_mix((uint64_t)(uintptr_t)t->op, (uint64_t)t->dtype);
    for (int k = 0; k < t->n_inputs; k++) hash = cti_mix(hash, (uint64_t)(uintptr_t)operand(t, k));
    hash = cti_mix_bytes(hash, t->shape.dims, (size_t)t->shape.rank * sizeof *t->shape.dims);
    return cti_mix_bytes(hash, t->attr, t->attr_size);
}

static bool same(const ct_tensor *a, const ct_tensor *b) {
    bool equal = a->op == b->op && a->dtype == b->dtype && a->n_inputs == b->n_inputs &&
                 cti_marks_equal(cti_mark_of(a), cti_mark_of(b)) && a->attr_size == b->attr_size &&
                 ct_shape_equal(a->shape, b->shape) &&
                 (!a->attr_size || memcmp(a->attr, b->attr, a->attr_size) == 0);
    for (int k = 0; k < a->n_inputs && equal; k++) equal = operand(a, k) == operand(b, k);
    return equal;
}

/* The entry of a node equal to t, or the free entry for it. */
static ct_tensor **find(const simplification *s, const ct_tensor *t) {
    uint64_t at = hash_of(t), mask = (uint64_t)s->table_max - 1;
    while (s->table[at & mask] && !same(s->table[at & mask], t)) at++;
    return &s->table[at & mask];
}

static ct_status insert(simplification *s, ct_tensor *t) {
    if (2 * (s->n_table + 1) > s->table_max) {
        simplification larger = *s;
        larger.table_max = s->table_max ? 2 * s->table_max : 256;
        larger.table = cti_alloc((size_t)larger.table_max, sizeof *larger.table);
        if (!larger.table) return CT_ERR_MEMORY;
        for (int64_t k = 0; k < s->table_max; k++) {
            if (s->table[k]) *find(&larger, s->table[k]) = s->table[k];
        }
        cti_free(s->table);
        s->table = larger.table;
        s->table_max = larger.table_max;
    }
    *find(s, t) = t;
    s->n_table++;
    return CT_OK;
}

/* --- One node ----------------------------------------------------------------------------- */

/* An attribute that owns something cannot be in two nodes. */
static bool copyable(const ct_tensor *t) { return !t->op->release; }

/* t with the images of its inputs as inputs; t itself if nothing changes. */
static ct_tensor *rebuilt(const simplification *s, ct_tensor *t) {
    int n = cti_walk_needed(t);
    bool changed = false;
    for (int k = 0; k < n; k++) {
        changed |= s->entries[t->inputs[k]->index].image != t->inputs[k];
    }
    if (!changed || !copyable(t)) return t;
    ct_tensor *copy = cti_node_like(t);
    for (int k = 0; k < n && copy; k++) {
        ct_set(&copy->inputs[k], s->entries[t->inputs[k]->index].image);
    }
    return copy;
}

/* The level from construction is too high once inputs have been evaluated. */
static void refresh_level(ct_tensor *t) {
    t->level = 0;
    for (int k = 0; k < cti_walk_needed(t); k++) {
        if (t->inputs[k]->level > t->level) t->level = t->inputs[k]->level;
    }
    if (!cti_has_value(t)) t->level += t->op->kind == CT_REDUCE || t->op->kind == CT_KERNEL;
}

static ct_tensor *first_rewrite(ct_tensor *y) {
    for (const ct_rule *rule = y->op->simplify; rule->rewrite; rule++) {
        ct_tensor *better = is_wanted(rule) ? rule->rewrite(y) : NULL;
        if (!better) continue;
        cti_rules_applied++;
        return better;
    }
    return NULL;
}

static int64_t errors(void) { return ct_error() == CT_OK ? 0 : 1 + ct_error_count(); }

static ct_status rewrite(simplification *s, ct_tensor *t, ct_tensor *y, ct_tensor **result) {
    *result = NULL;
    if (!y->op->simplify || s->rewrites == 0) return CT_OK;
    cti_node_context *context = cti_context(), saved = *context;
    *context = (cti_node_context){.path = t->path, .order = t->order, .origin = t->origin};
    int64_t before = errors();
    *result = first_rewrite(y);
    *context = saved;
    if (errors() != before) return ct_error();
    if (*result && !cti_marks_equal(cti_mark_of(*result), cti_mark_of(y))) *result = NULL;
    if (!*result) return CT_OK;
    s->rewrites--;
    if ((*result)->dtype == y->dtype && ct_shape_equal((*result)->shape, y->shape)) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: its rewrite is %s %s, the node %s %s", y->op->name,
                   ct_dtype_name((*result)->dtype), ct_shape_format((*result)->shape).text,
                   ct_dtype_name(y->dtype), ct_shape_format(y->shape).text);
}

static ct_status finish(simplification *s, ct_tensor *t, ct_tensor *image) {
    if (enter(s, image) != CT_OK) return CT_ERR_MEMORY;
    s->entries[image->index].image = image;
    s->entries[t->index].image = image;
    return CT_OK;
}

/* Gives t an image, or forwards it to a better node: find_next has found nothing missing. */
static ct_status simplify_node(simplification *s, ct_tensor *t) {
    ct_tensor *forward = s->entries[t->index].forward, *better;
    if (forward) return finish(s, t, s->entries[forward->index].image);
    ct_tensor *y = rebuilt(s, t);
    if (!y) return CT_ERR_MEMORY;
    refresh_level(y);
    if (copyable(y) && s->table_max) {
        ct_tensor *known = *find(s, y);
        if (known && is_wanted(&cti_rule_equal_nodes)) {
            cti_rules_applied += known != y;
            return finish(s, t, known);
        }
    }
    if (rewrite(s, t, y, &better) != CT_OK) return ct_error();
    if (better && better != y) {
        s->entries[t->index].forward = better;
        return enter(s, better);
    }
    if (copyable(y) && insert(s, y) != CT_OK) return CT_ERR_MEMORY;
    return finish(s, t, y);
}

/* What has to have an image before t can: the node that it is forwarded to, or an input; NULL when
 * there is nothing left to wait for. */
static ct_status find_next(simplification *s, const ct_tensor *t, ct_tensor **next) {
    ct_tensor *forward = s->entries[t->index].forward;
    *next = forward && !s->entries[forward->index].image ? forward : NULL;
    while (!forward && !*next && s->entries[t->index].left > 0) {
        ct_tensor *input = t->inputs[--s->entries[t->index].left];
        if (enter(s, input) != CT_OK) return CT_ERR_MEMORY;
        if (!s->entries[input->index].image) *next = input;
    }
    return CT_OK;
}

/* Makes `next` the end of the path. Graphs have no cycles, but a rewrite that takes its own node in
 * would wait for itself. */
static ct_status extend(simplification *s, ct_tensor *t, ct_tensor *next) {
    s->entries[t->index].open = true;
    if (s->entries[next->index].open) {
        return ct_fail(CT_ERR_STATE, "%s: its rewrite contains the node itself", next->op->name);
    }
    next->link = t;
    return CT_OK;
}

/* Depth first; the path from the root is linked through the nodes. */
static ct_status simplify_from(simplification *s, ct_tensor *root) {
    ct_status status = enter(s, root);
    root->link = NULL;
    for (ct_tensor *t = root, *next; t && status == CT_OK;) {
        entry *e = &s->entries[t->index];
        if (e->image) {
            t = t->link;
        } else if (cti_has_value(t)) {
            t->level = 0;
            e->image = t;
        } else if ((status = find_next(s, t, &next)) == CT_OK && next) {
            status = extend(s, t, next);
            t = next;
        } else if (status == CT_OK) {
            status = simplify_node(s, t);
        }
    }
    return status;
}

ct_status cti_simplify(const cti_walk *walk, ct_tensor **images) {
    simplification s = {.ticket = cti_walk_ticket(), .rewrites = 64 + 8 * walk->count};
    bool room = cti_reserve(&s.entries, &s.entries_max, walk->count, sizeof *s.entries);
    ct_status status = room ? CT_OK : CT_ERR_MEMORY;
    for (int64_t i = 0; i < walk->count && status == CT_OK; i++) {
        status = simplify_from(&s, walk->items[i]);
        if (status == CT_OK) images[i] = s.entries[walk->items[i]->index].image;
    }
    cti_free(s.entries);
    cti_free(s.table);
    return status;
}

ct_status ct_simplify(ct_tensor *const roots[], int64_t n, ct_tensor *out[]) {
    CTI_CALLED;
    if (cti_check_roots("ct_simplify", roots, "n", n) != CT_OK ||
        cti_check_array("ct_simplify", "out", out, "n", n) != CT_OK) {
        return ct_error();
    }
    cti_walk walk;
    if (cti_walk_new(&walk, roots, n, cti_walk_needed) != CT_OK) return CT_ERR_MEMORY;
    ct_tensor **images = cti_alloc((size_t)walk.count, sizeof *images);
    int64_t *place = cti_alloc((size_t)n, sizeof *place);
    ct_status status = images && place ? CT_OK : CT_ERR_MEMORY;
    for (int64_t r = 0; r < n && status == CT_OK; r++) place[r] = roots[r]->index;
    if (status == CT_OK) status = cti_simplify(&walk, images);
    for (int64_t r = 0; r < n && status == CT_OK; r++) {
        ct_tensor **image = &images[place[r]], *t = *image;
        /* Users do not get a literal, which is shared: a leaf with its buffer instead. */
        *image = t->literal ? cti_leaf_over(t->buffer, t->dtype, t->shape) : ct_scope_add(t);
        if (!*image) status = CT_ERR_MEMORY;
    }
    for (int64_t r = 0; r < n && status == CT_OK; r++) out[r] = images[place[r]];
    cti_free(images);
    cti_free(place);
    cti_walk_free(&walk);
    return status;
}
