/* The picture of a graph: which nodes are shown, with which texts, arrows and frames.
 * It evaluates nothing and knows no format; those are the back ends of formats.h.
 * Invariant: a picture is a function of the graph's structure and names, never of addresses or ids,
 * and its numbers read the same in every locale. */
#include "autograd/draw/picture.h"
#include "autograd/draw/paths.h"
#include "autograd/draw/words.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/base/hash.h"
#include "tensor/graph/walk.h"
#include "tensor/profile.h"
#include "tensor/varying.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { PASSES_OPEN = 120 }; /* nodes up to which the ops of passes are shown */
#define LEAST_SAID 0.5      /* digits lost in a node, for a word about it */
#define HALF_OF_DIGITS 3.6  /* of f32 */

const char *const cti_derivative_names[4] = {"", ", derivative", ", second derivative",
                                             ", higher derivatives"};

/* A graph on its way into a picture. Arrays go by place in the walk. */
typedef struct {
    cti_picture *p;
    const ct_dot_options *options;
    cti_walk walk;
    bool *root;
    int64_t *target;       /* the node that is drawn in its place; itself unless a collapsed view */
    int *order;            /* of the derivative, up to 3 */
    char *wanted;          /* see below */
    int *term;             /* of the formula, or -1 */
    int64_t *constant;     /* the unnamed number that it is a view of, or -1 */
    int64_t *number;       /* n0, n1, ...; -1 when it is not drawn */
    const char **module;   /* the path of its frame; "" outside of all */
    int64_t *by_id;        /* places in the order of the nodes' construction */
    const char *last_path; /* that a frame was asked for, and what it was */
    int last_order;
    int64_t last_frame;
    bool failed; /* there was no memory for a text */
} drawing;

static bool is_view(const ct_tensor *t) { return t->op && t->op->kind == CT_VIEW; }

/* Not drawn; drawn as a value that comes from outside; drawn. */
enum { UNWANTED, TAKEN, WANTED };

/* A text of the picture, shorter than that. */
static const char *text_of(drawing *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static const char *text_of(drawing *d, const char *format, ...) {
    char line[CTI_WORDS];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    size_t size = strlen(line) + 1;
    char *text = cti_zone_alloc(&d->p->zone, size, 1);
    if (text) memcpy(text, line, size);
    else d->failed = true;
    return text;
}

/* --- What is shown ------------------------------------------------------------------------ */

/* A slot's leaf stands in the module that uses it first: its own path is that of whoever committed
 * it. */
static void choose_modules(drawing *d) {
    for (int64_t i = d->walk.count - 1; i >= 0; i--) {
        const ct_tensor *t = d->walk.items[i];
        if (!t->slot) d->module[i] = t->path;
        else if (!d->module[i]) d->module[i] = "";
        for (int k = 0; k < t->n_inputs; k++) {
            if (t->inputs[k]->slot) d->module[t->inputs[k]->index] = d->module[i];
        }
    }
}

/* A leaf that only derivatives use, such as a cotangent, is theirs. */
static void choose_orders(drawing *d) {
    for (int64_t i = 0; i < d->walk.count; i++) d->order[i] = -1;
    for (int64_t i = d->walk.count - 1; i >= 0; i--) {
        const ct_tensor *t = d->walk.items[i];
        bool unused = d->order[i] < 0;
        if (t->op || unused) d->order[i] = t->order < 3 ? t->order : 3;
        for (int k = 0; k < t->n_inputs; k++) {
            int *used = &d->order[t->inputs[k]->index];
            if (*used < 0 || *used > d->order[i]) *used = d->order[i];
        }
    }
}

/* An unnamed number, or the same number stretched by views. */
static int64_t constant_behind(const drawing *d, const ct_tensor *t) {
    bool view = is_view(t) && t->n_inputs == 1 && !*t->name;
    if (view) return d->constant[t->inputs[0]->index];
    return !t->op && t->numel == 1 && !*t->name && !t->slot ? t->index : -1;
}

/* An unnamed view of all of a value: one that selects elements says something. */
static bool passes_all(const ct_tensor *t) {
    return is_view(t) && !*t->name && t->n_inputs == 1 && t->numel >= t->inputs[0]->numel;
}

/* What depends on a tensor, where one is given. */
static void choose_dependent(drawing *d) {
    for (int64_t i = 0; i < d->walk.count; i++) {
        const ct_tensor *t = d->walk.items[i];
        bool depends = !d->options->from || t == d->options->from;
        for (int k = 0; k < t->n_inputs && !depends; k++) {
            depends = d->wanted[t->inputs[k]->index] == WANTED;
        }
        d->wanted[i] = depends ? WANTED : UNWANTED;
    }
}

/* Everything, or of some orders, one module or one tensor on alone, and of what it takes the
 * values. */
static void choose_wanted(drawing *d) {
    const ct_dot_options *o = d->options;
    choose_dependent(d);
    for (int64_t i = 0; i < d->walk.count; i++) {
        bool wanted = (!o->orders || d->order[i] < o->orders) &&
                      (!o->focus || cti_path_within(d->module[i], o->focus));
        if (!wanted) d->wanted[i] = UNWANTED;
    }
    for (int64_t i = d->walk.count - 1; i >= 0; i--) {
        const ct_tensor *t = d->walk.items[i];
        /* Views that are not drawn hand on that they are taken. */
        bool taken = d->wanted[i] == WANTED || (d->wanted[i] == TAKEN && passes_all(t));
        for (int k = 0; k < t->n_inputs && taken; k++) {
            int64_t in = t->inputs[k]->index;
            if (d->wanted[in] == UNWANTED && !(is_view(t) && k > 0)) d->wanted[in] = TAKEN;
        }
    }
}

/* The number of nodes that are drawn. */
static int64_t choose(drawing *d, ct_tensor *const roots[], int64_t n) {
    int64_t drawn = 0;
    for (int64_t r = 0; r < n; r++) d->root[roots[r]->index] = true;
    choose_wanted(d);
    for (int64_t i = 0; i < d->walk.count; i++) {
        const ct_tensor *t = d->walk.items[i];
        bool passing = !d->root[i] && passes_all(t);
        d->constant[i] = d->options->show_constants || d->root[i] ? -1 : constant_behind(d, t);
        d->target[i] = passing && !d->options->show_views ? d->target[t->inputs[0]->index] : i;
        bool shown = d->constant[i] < 0 && d->target[i] == i && d->wanted[i] != UNWANTED;
        d->number[i] = shown ? drawn++ : -1;
    }
    return drawn;
}

/* --- Origins ------------------------------------------------------------------------------ */

static int by_id(const void *a, const void *b, void *items) {
    uint64_t x = ((ct_tensor *const *)items)[*(const int64_t *)a]->id;
    uint64_t y = ((ct_tensor *const *)items)[*(const int64_t *)b]->id;
    return (x > y) - (x < y);
}

static void sort_by_id(drawing *d) {
    for (int64_t i = 0; i < d->walk.count; i++) d->by_id[i] = i;
    qsort_r(d->by_id, (size_t)d->walk.count, sizeof *d->by_id, by_id, d->walk.items);
}

/* The node in the picture that another was derived from; -1 when that one is not in it. */
static int64_t origin_of(const drawing *d, const ct_tensor *t) {
    int64_t low = 0, high = d->walk.count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (d->walk.items[d->by_id[middle]]->id < t->origin) low = middle + 1;
        else high = middle;
    }
    bool found = low < d->walk.count && d->walk.items[d->by_id[low]]->id == t->origin;
    return found ? d->number[d->target[d->by_id[low]]] : -1;
}

/* --- Frames ------------------------------------------------------------------------------- */

/* A frame of the picture, which may be a new one; names are compared up to `length`. */
static int64_t find_frame(drawing *d, cti_picture_frame own, size_t length) {
    cti_picture *p = d->p;
    own.key = cti_mix(cti_mix((uint64_t)own.parent, (uint64_t)own.order), (uint64_t)own.pass);
    if (own.name) own.key = cti_mix_bytes(own.key, own.name, length);
    for (int64_t f = 0; f < p->n_frames; f++) {
        const cti_picture_frame *known = &p->frames[f];
        if (known->key != own.key) continue;
        if (known->parent == own.parent && known->order == own.order && known->pass == own.pass &&
            (!own.name || (strncmp(known->name, own.name, length) == 0 && !known->name[length]))) {
            return f;
        }
    }
    if (!cti_grow(&p->frames, p->n_frames, sizeof *p->frames)) return d->failed = true, -1;
    if (own.name) own.name = text_of(d, "%.*s", (int)length, own.name);
    if (own.parent >= 0) p->frames[own.parent].opened = true;
    p->frames[p->n_frames++] = own;
    return d->failed ? -1 : p->n_frames - 1;
}

/* The innermost frame of the modules on a path. */
static int64_t frame_at(drawing *d, const char *path, int order) {
    int64_t f = -1;
    while (*path && !d->failed) {
        size_t length = strcspn(path, "/");
        cti_picture_frame own = {.name = path, .order = order, .pass = -1, .parent = f};
        f = find_frame(d, own, length);
        path += length + (path[length] == '/');
    }
    return f;
}

static bool has_passes(const ct_dot_options *o) {
    return (o->profile && !o->clusters) || o->level == CT_DOT_PLAN;
}

/* Neighbours mostly stand in one frame. */
static int64_t frame_of(drawing *d, int64_t i, int64_t pass, double share) {
    const ct_dot_options *o = d->options;
    int order = d->order[i];
    if (has_passes(o)) {
        cti_picture_frame own = {.pass = pass, .share = share, .parent = -1};
        return pass >= 0 ? find_frame(d, own, 0) : -1;
    }
    if (!o->clusters && o->level != CT_DOT_MODULES) return -1;
    if (!d->last_path || d->last_path != d->module[i] || d->last_order != order) {
        d->last_path = d->module[i], d->last_order = order;
        d->last_frame = frame_at(d, d->module[i], order);
    }
    return d->last_frame;
}

/* --- Nodes -------------------------------------------------------------------------------- */

/* (·, 0.5): the numbers among the operands, and a dot for each arrow. */
static const char *operands_of(drawing *d, const ct_tensor *t) {
    enum { MOST_SHOWN = 4 };
    char text[MOST_SHOWN * (sizeof(cti_real_text) + 2) + 2];
    size_t used = 0;
    bool any = false;
    for (int k = 0; k < t->n_inputs; k++) any |= d->constant[t->inputs[k]->index] >= 0;
    if (!any || t->n_inputs > MOST_SHOWN) return NULL;
    for (int k = 0; k < t->n_inputs; k++) {
        int64_t constant = d->constant[t->inputs[k]->index];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", k ? ", " : "(",
                                 constant >= 0 ? cti_number_shown(d->walk.items[constant]).text
                                               : "\xc2\xb7");
    }
    return text_of(d, "%s)", text);
}

static const char *kind_of(drawing *d, const ct_tensor *t) {
    if (t->op) return t->op->name;
    if (*t->name) return NULL;
    if (t->numel == 1) return text_of(d, "%s", cti_number_shown(t).text);
    cti_real_text range = cti_range_shown(t);
    return *range.text ? text_of(d, "%s", range.text) : "data";
}

static void add_words(drawing *d, ct_tensor *t, cti_picture_node *node) {
    char text[CTI_WORDS];
    cti_detail_of(t, text, sizeof text);
    const ct_shadow_entry *lossy = ct_shadow_of(d->options->shadow, t);
    if (lossy && lossy->lost >= LEAST_SAID) {
        node->detail = text_of(d, "%s%s%s digits lost, %s left", text, *text ? ", " : "",
                               cti_real_shown(lossy->lost, 2).text,
                               cti_real_shown(lossy->left, 2).text);
    } else if (*text) {
        node->detail = text_of(d, "%s", text);
    }
    if (d->options->values) cti_values_of(t, text, sizeof text);
    if (!d->options->values || !*text || (!t->op && !*t->name && t->numel == 1))
        return; /* a number is its kind */
    const char *before = node->detail ? node->detail : "";
    node->detail = text_of(d, "%s%s%s", before, *before ? ": " : "", text);
}

static cti_picture_node node_of(drawing *d, int64_t i) {
    ct_tensor *t = d->walk.items[i];
    double share = 0;
    int64_t pass = d->options->profile || has_passes(d->options) ? ct_profile_pass_of(t, &share)
                                                                 : -1;
    const ct_shadow_entry *lossy = ct_shadow_of(d->options->shadow, t);
    cti_picture_node node = {
        .name = *t->name ? t->name : NULL,
        .kind = kind_of(d, t),
        .operands = t->op ? operands_of(d, t) : NULL,
        .path = *d->module[i] ? d->module[i] : NULL,
        .bytes = t->numel * (int64_t)ct_dtype_size(t->dtype),
        .type = text_of(d, "%s", cti_type_shown(t).text),
        .shape = !t->op || d->wanted[i] == TAKEN ? CTI_ELLIPSE
                 : is_view(t)                    ? CTI_SMALL_BOX
                                                 : CTI_BOX,
        .order = d->order[i],
        .term = d->term[i] + 1,
        .root = d->root[i],
        .outside = !*d->module[i],
        .slot = t->slot != 0,
        .varies = ct_varying_axis(t) >= 0,
        .sums = t->op && t->op->sums_grains,
        .share = lossy      ? fmin(lossy->lost / HALF_OF_DIGITS, 1)
                 : pass < 0 ? 0
                            : share,
        .pass = pass,
        .origin = origin_of(d, t),
        .frame = d->wanted[i] == TAKEN ? -1 : frame_of(d, i, pass, share),
        .value = t,
    };
    add_words(d, t, &node);
    return node;
}

/* --- Arrows ------------------------------------------------------------------------------- */

/* Whether it matters which operand is which. */
static bool is_ordered(const drawing *d, const ct_tensor *t) {
    int arrows = 0;
    for (int k = 0; k < t->n_inputs; k++) arrows += d->constant[t->inputs[k]->index] < 0;
    return arrows > 1 && !is_view(t) && !t->op->commutative;
}

/* What a view does not show is not computed with it: a staged update. */
static void add_arrows(drawing *d, const ct_tensor *t) {
    if (d->wanted[t->index] == TAKEN) return;
    bool ordered = is_ordered(d, t);
    for (int k = 0; k < t->n_inputs; k++) {
        const ct_tensor *in = d->walk.items[d->target[t->inputs[k]->index]];
        if (d->number[in->index] < 0) continue;
        d->p->arrows[d->p->n_arrows++] = (cti_picture_arrow){
            .from = d->number[in->index],
            .value = d->number[in->index],
            .to = d->number[t->index],
            .operand = ordered ? k + 1 : 0,
            .staged = is_view(t) && k > 0,
            .carried = d->order[in->index] < d->order[t->index],
            .count = 1,
        };
    }
}

/* --- The whole ---------------------------------------------------------------------------- */

ct_status cti_picture_new(cti_picture *p, int64_t nodes, int64_t arrows) {
    *p = (cti_picture){.joint = ""};
    p->nodes = cti_zone_alloc(&p->zone, (size_t)nodes, sizeof *p->nodes);
    p->arrows = cti_zone_alloc(&p->zone, (size_t)arrows, sizeof *p->arrows);
    return p->nodes && p->arrows ? CT_OK : CT_ERR_MEMORY;
}

static int compare(int64_t x, int64_t y) { return (x > y) - (x < y); }

static int compare_ends(const cti_picture_arrow *x, const cti_picture_arrow *y) {
    int order = compare(x->to, y->to);
    if (!order) order = compare(x->operand, y->operand);
    if (!order) order = compare(x->from, y->from);
    return order ? order
                 : compare(4 * x->again + 2 * x->staged + x->carried,
                           4 * y->again + 2 * y->staged + y->carried);
}

static int by_ends_and_value(const void *a, const void *b) {
    const cti_picture_arrow *x = a, *y = b;
    int order = compare_ends(x, y);
    return order ? order : compare(x->value, y->value);
}

void cti_picture_join_arrows(cti_picture *p) {
    int64_t all = p->n_arrows;
    qsort(p->arrows, (size_t)all, sizeof *p->arrows, by_ends_and_value);
    p->n_arrows = 0;
    for (int64_t k = 0; k < all; k++) {
        cti_picture_arrow *last = p->n_arrows ? &p->arrows[p->n_arrows - 1] : NULL;
        if (!last || compare_ends(last, &p->arrows[k]) != 0) {
            p->arrows[p->n_arrows++] = p->arrows[k];
            continue;
        }
        if (last->value != p->arrows[k].value) last->count += p->arrows[k].count;
        last->side |= p->arrows[k].side;
        last->value = p->arrows[k].value;
    }
}

void cti_picture_mark_frames(cti_picture *p) {
    for (int64_t f = 0; f < p->n_frames; f++) p->frames[f].empty = true, p->frames[f].side = 0;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        for (int64_t f = p->nodes[i].frame; f >= 0; f = p->frames[f].parent) {
            p->frames[f].empty = false;
            p->frames[f].side |= p->nodes[i].side;
        }
    }
}

const char *cti_picture_formula(const cti_picture_node *node, cti_writer *out,
                                char text[CTI_WORDS]) {
    if (!node->value) return NULL;
    if (cti_formula_of(node->value, text, CTI_WORDS) != CT_OK) out->status = CT_ERR_MEMORY;
    return *text ? text : NULL;
}

void cti_picture_free(cti_picture *p) {
    cti_zone_free(&p->zone);
    cti_free(p->frames);
}

static ct_status find_terms(drawing *d, cti_terms *terms) {
    for (int64_t i = 0; i < d->walk.count; i++) d->term[i] = -1;
    if (!d->options->formula) return CT_OK;
    cti_terms own = {.formula = d->options->formula};
    ct_status status = cti_terms_find(terms ? terms : &own, &d->walk, d->term);
    cti_terms_free(&own);
    return status;
}

static ct_status fill(drawing *d, ct_tensor *const roots[], int64_t n, cti_terms *terms) {
    cti_picture *p = d->p;
    int64_t count = d->walk.count, inputs = 0;
    size_t room = (size_t)count;
    for (int64_t i = 0; i < count; i++) inputs += d->walk.items[i]->n_inputs;
    if (cti_picture_new(p, count, inputs) != CT_OK) return CT_ERR_MEMORY;
    d->root = cti_zone_alloc(&p->zone, room, sizeof *d->root);
    d->module = cti_zone_alloc(&p->zone, room, sizeof *d->module);
    int64_t *places = cti_zone_alloc(&p->zone, 4 * room, sizeof *places);
    d->order = cti_zone_alloc(&p->zone, room, sizeof *d->order);
    d->wanted = cti_zone_alloc(&p->zone, room, 1);
    d->term = cti_zone_alloc(&p->zone, room, sizeof *d->term);
    if (!d->root || !d->module || !d->order || !d->wanted || !d->term || !places) {
        return CT_ERR_MEMORY;
    }
    if (find_terms(d, terms) != CT_OK) return CT_ERR_MEMORY;
    choose_modules(d);
    choose_orders(d);
    d->target = places, d->constant = places + count;
    d->number = places + 2 * count, d->by_id = places + 3 * count;
    p->n_nodes = choose(d, roots, n);
    sort_by_id(d);
    for (int64_t i = 0; i < count && !d->failed; i++) {
        if (d->number[i] < 0) continue;
        p->nodes[d->number[i]] = node_of(d, i);
        add_arrows(d, d->walk.items[i]);
    }
    return d->failed ? CT_ERR_MEMORY : CT_OK;
}

/* Passes as boxes, which repeat where steps do, and a title that says so. */
static ct_status close_passes(drawing *d, bool fold) {
    cti_picture *p = d->p;
    const char *title = p->title ? p->title : "";
    p->title = text_of(d, "%.80s%s(passes: more than %d ops)", title, *title ? " " : "",
                       PASSES_OPEN);
    ct_status status = d->failed ? CT_ERR_MEMORY : cti_picture_merge(p, 0);
    if (status == CT_OK && fold) status = cti_picture_fold(p);
    return status == CT_OK ? cti_picture_name_passes(p) : status;
}

/* What is left when everything that can be told in fewer boxes is. */
static ct_status arrange(drawing *d, const char *function) {
    cti_picture *p = d->p;
    const ct_dot_options *options = d->options;
    if (p->n_nodes == 0) return CT_OK;
    bool fold = !options->unfold && !options->shadow && !options->values;
    ct_status status;
    if (has_passes(options) && !options->unfold && p->n_nodes > PASSES_OPEN) {
        status = close_passes(d, fold);
    } else {
        status = fold ? cti_picture_fold(p) : CT_OK;
        bool modules = status == CT_OK && options->level == CT_DOT_MODULES;
        if (modules) status = cti_picture_merge(p, options->depth);
    }
    int64_t most = options->max_nodes ? options->max_nodes : 5000;
    if (status != CT_OK || p->n_nodes <= most) return status;
    return ct_fail(CT_ERR_RANGE,
                   "%s: the picture would have %lld nodes, more than %lld; draw modules, a "
                   "smaller part or raise max_nodes",
                   function, (long long)p->n_nodes, (long long)most);
}

static ct_status check_options(const char *function, const ct_dot_options *o) {
    const struct {
        const char *name;
        int64_t value;
    } counts[] = {{"depth", o->depth}, {"orders", o->orders}, {"max_nodes", o->max_nodes}};
    for (int k = 0; k < 3; k++) {
        if (counts[k].value >= 0) continue;
        return ct_fail(CT_ERR_RANGE, "%s: %s must be >= 0, got %lld", function, counts[k].name,
                       (long long)counts[k].value);
    }
    if ((unsigned)o->level > CT_DOT_PLAN) {
        return ct_fail(CT_ERR_RANGE, "%s: unknown level %d", function, (int)o->level);
    }
    if (o->profile && o->shadow) {
        return ct_fail(CT_ERR_RANGE, "%s: colours are of 'profile' or of 'shadow', not of both",
                       function);
    }
    const ct_formula *f = o->formula;
    if (!f || (f->terms && f->n_terms >= 1 && f->n_terms <= CT_TERMS)) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: a formula has 1 to %d terms, got %lld", function, CT_TERMS,
                   f->terms ? (long long)f->n_terms : 0);
}

ct_status cti_picture_of_part(cti_picture *p, const char *function, ct_tensor *const roots[],
                              int64_t n, const ct_dot_options *options, cti_terms *terms) {
    *p = (cti_picture){0};
    if (check_options(function, options) != CT_OK) return CT_ERR_RANGE;
    if (n < 1) return ct_fail(CT_ERR_RANGE, "%s: needs at least one root", function);
    for (int64_t r = 0; r < n; r++) {
        if (!roots[r]) return cti_null("%s: root %lld is NULL", function, (long long)r);
    }
    drawing d = {.p = p, .options = options};
    if (cti_walk_new(&d.walk, roots, n, cti_walk_whole_graph) != CT_OK) return CT_ERR_MEMORY;
    ct_status status = CT_OK;
    if (options->values) { /* which walks, too */
        status = ct_eval(d.walk.items, d.walk.count);
        cti_walk_resume(&d.walk);
    }
    if (status == CT_OK) status = fill(&d, roots, n, terms);
    cti_walk_free(&d.walk);
    p->title = options->title;
    p->formula = options->formula;
    p->joint = " = ";
    p->left_to_right = options->left_to_right;
    p->timed = options->profile;
    p->shadowed = options->shadow != NULL;
    p->legend = !options->no_legend;
    return status == CT_OK ? arrange(&d, function) : status;
}

ct_status cti_picture_refuse(const char *function, ct_tensor *const roots[], int64_t n,
                             const ct_dot_options *options) {
    if (options->focus) return cti_fail_no_module(function, roots, n, options->focus);
    return ct_fail(CT_ERR_RANGE, "%s: nothing in the graph depends on 'from'", function);
}

ct_status cti_picture_of(cti_picture *p, const char *function, ct_tensor *const roots[], int64_t n,
                         const ct_dot_options *options, cti_terms *terms) {
    ct_status status = cti_picture_of_part(p, function, roots, n, options, terms);
    bool empty = status == CT_OK && p->n_nodes == 0;
    return empty ? cti_picture_refuse(function, roots, n, options) : status;
}
