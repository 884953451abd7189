/* Random chains of ops that move, cut, sum and stretch axes, on ranks of several rows, of one and
 * of none, beside one process. What is refused on one rank is refused on all; whatever is not has
 * the same value and gradient as in one process.
 * Invariant: what a chain does follows from its number and from sizes that all ranks have alike. */
#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/group.h"
#include "tensor/varying.h"
#include "tests/support/test.h"
#include "tests/support/varying_support.h"

#include <math.h>
#include <stdlib.h>

enum { C = 6, STEPS = 6, CHAINS = 60 };

/* Sizes as all ranks know them: along `rows`, if that is an axis, n times so many. */
typedef struct {
    test_random random;
    const rank *me;
    ct_tensor *t, *w;
    ct_shape shape;
    int rows; /* -1: none */
} chain;

static int64_t chain_number; /* of all ranks */

static int any_axis(chain *c) { return (int)random_below(&c->random, c->shape.rank); }

/* What this rank has. */
static ct_shape own(const chain *c, ct_shape shape, int rows) {
    if (rows >= 0) shape.dims[rows] *= c->me->rows;
    return shape;
}

static void become(chain *c, ct_tensor *t, ct_shape shape, int rows) {
    c->t = t;
    c->shape = shape;
    c->rows = rows;
}

static void reshape_to(chain *c, ct_shape shape, int rows) {
    become(c, ct_reshape(c->t, own(c, shape, rows)), shape, rows);
}

/* --- Links ------------------------------------------------------------------------------------ */

static void permuted(chain *c) {
    ct_axes axes = {.count = c->shape.rank};
    ct_shape shape = {.rank = c->shape.rank};
    int rows = -1;
    for (int d = 0; d < axes.count; d++) axes.axis[d] = d;
    for (int d = axes.count - 1; d > 0; d--) {
        int k = (int)random_below(&c->random, d + 1), axis = axes.axis[d];
        axes.axis[d] = axes.axis[k];
        axes.axis[k] = axis;
    }
    for (int d = 0; d < axes.count; d++) {
        shape.dims[d] = c->shape.dims[axes.axis[d]];
        if (axes.axis[d] == c->rows) rows = d;
    }
    become(c, ct_permute(c->t, axes), shape, rows);
}

static void with_one(chain *c) {
    if (c->shape.rank > 4) return;
    int at = (int)random_below(&c->random, c->shape.rank + 1);
    ct_shape shape = {.rank = c->shape.rank + 1};
    for (int d = 0; d < shape.rank; d++) {
        shape.dims[d] = d == at ? 1 : c->shape.dims[d - (d > at)];
    }
    reshape_to(c, shape, c->rows + (c->rows >= at));
}

static void without_axis(chain *c, int at) {
    for (int d = at; d + 1 < c->shape.rank; d++) c->shape.dims[d] = c->shape.dims[d + 1];
    c->shape.rank--;
    if (c->rows == at) c->rows = -1;
    c->rows -= c->rows > at;
}

static void without_one(chain *c) {
    int at = any_axis(c);
    if (c->shape.rank < 2 || c->shape.dims[at] != 1 || c->rows == at) return;
    without_axis(c, at);
    reshape_to(c, c->shape, c->rows);
}

/* An axis of size 1 to another place, by ct_reshape. */
static void one_elsewhere(chain *c) {
    int at = any_axis(c), to = any_axis(c);
    if (c->shape.dims[at] != 1 || c->rows == at) return;
    ct_shape shape = c->shape;
    int rows = c->rows, step = at < to ? 1 : -1;
    for (int d = at; d != to; d += step) {
        shape.dims[d] = shape.dims[d + step];
        if (rows == d + step) rows = d;
    }
    shape.dims[to] = 1;
    reshape_to(c, shape, rows);
}

static void joined(chain *c) {
    int at = any_axis(c);
    if (at + 1 >= c->shape.rank || c->rows == at + 1) return;
    int rows = c->rows == at ? at : c->rows - (c->rows > at);
    ct_shape shape = c->shape;
    shape.dims[at] *= shape.dims[at + 1];
    for (int d = at + 1; d + 1 < shape.rank; d++) shape.dims[d] = shape.dims[d + 1];
    shape.rank--;
    reshape_to(c, shape, rows);
}

static void cut(chain *c) {
    int at = any_axis(c), by = 2 + (int)random_below(&c->random, 2);
    if (c->shape.dims[at] % by || c->shape.rank > 4) return;
    ct_shape shape = {.rank = c->shape.rank + 1};
    for (int d = 0; d < shape.rank; d++) shape.dims[d] = c->shape.dims[d - (d > at)];
    shape.dims[at] /= by;
    shape.dims[at + 1] = by;
    reshape_to(c, shape, c->rows + (c->rows > at));
}

/* -1 in place of some size. */
static void inferred(chain *c) {
    int at = any_axis(c);
    ct_shape shape = own(c, c->shape, c->rows);
    shape.dims[at] = -1;
    c->t = ct_reshape(c->t, shape);
}

/* The same, with the axis behind joined to the one in front. */
static void joined_inferred(chain *c) {
    int at = any_axis(c);
    if (at + 1 >= c->shape.rank || c->rows == at + 1) return;
    ct_tensor *before = c->t;
    joined(c);
    ct_shape shape = own(c, c->shape, c->rows);
    shape.dims[any_axis(c)] = -1;
    c->t = ct_reshape(before, shape);
}

static void summed(chain *c) {
    int at = any_axis(c);
    c->t = ct_sum(c->t, CT_AXES(at));
    without_axis(c, at);
}

static void kept(chain *c, ct_tensor *(*function)(ct_tensor *, ct_axes)) {
    int at = any_axis(c);
    c->t = function(c->t, CT_AXES(at));
    c->shape.dims[at] = 1;
    if (c->rows == at) c->rows = -1;
}

static void sum_kept(chain *c) { kept(c, ct_sum_keep); }
static void largest(chain *c) { kept(c, ct_max_keep); }
static void spread(chain *c) { kept(c, ct_var_keep); }

static void reduced(chain *c, ct_tensor *(*function)(ct_tensor *, ct_axes)) {
    int at = any_axis(c);
    c->t = function(c->t, CT_AXES(at));
    without_axis(c, at);
}

static void largest_alone(chain *c) { reduced(c, ct_max); }
static void spread_alone(chain *c) { reduced(c, ct_var); }

static void log_sum(chain *c) {
    int at = any_axis(c);
    c->t = ct_logsumexp(c->t, at);
    without_axis(c, at);
}

static void shares(chain *c) { c->t = ct_softmax(c->t, any_axis(c)); }

/* What is the same on all ranks, of size 1 along some axes. */
static ct_tensor *beside(chain *c) {
    ct_shape shape = c->shape;
    for (int d = 0; d < shape.rank; d++) {
        if (d == c->rows || random_chance(&c->random, 30)) shape.dims[d] = 1;
    }
    return parameter(c->me, shape, 3);
}

static void weighed(chain *c) {
    ct_tensor *w = ct_mul(c->w, beside(c));
    c->t = random_chance(&c->random, 50) ? ct_mul(c->t, w) : ct_sub(w, c->t);
}

static void to_shape(chain *c) {
    ct_shape shape = c->shape;
    int rows = c->rows;
    for (int d = 0; d < shape.rank; d++) {
        if (random_chance(&c->random, 50)) continue;
        shape.dims[d] = 1;
        if (d == c->rows) rows = -1;
    }
    become(c, ct_sum_to(c->t, own(c, shape, rows)), shape, rows);
}

static void centred(chain *c) { c->t = ct_sub(c->t, ct_mean_keep(c->t, CT_AXES(any_axis(c)))); }

static void stretched(chain *c) {
    int at = any_axis(c);
    if (c->shape.dims[at] != 1 || c->rows == at) return;
    c->shape.dims[at] = 2;
    c->t = ct_broadcast(c->t, own(c, c->shape, c->rows));
}

static void beside_itself(chain *c) {
    int at = any_axis(c);
    if (c->shape.dims[at] > 6) return;
    c->t = CT_CONCAT(at, c->t, ct_scale(c->t, 0.5));
    c->shape.dims[at] *= 2;
}

static void part(chain *c) {
    int at = any_axis(c);
    if (at == c->rows) return;
    int64_t half = (c->shape.dims[at] + 1) / 2;
    c->t = ct_slice(ct_flip(c->t, CT_AXES(at)), at, 0, half, 1);
    c->shape.dims[at] = half;
}

static void multiplied(chain *c) {
    int last = c->shape.rank - 1;
    if (last < 1 || c->shape.dims[last] > 12) return;
    int64_t inner = c->shape.dims[last] * (last == c->rows ? c->me->rows : 1);
    c->t = ct_matmul(c->t, ct_mul(c->w, parameter(c->me, CT_SHAPE(inner, 2), 4)));
    c->shape.dims[last] = 2;
    if (c->rows == last) c->rows = -1;
}

static void chosen(chain *c) {
    ct_tensor *mean = ct_mean_keep(c->t, CT_AXES(any_axis(c)));
    ct_tensor *condition = ct_greater(beside(c), ct_scalar(CT_F64, 0));
    c->t = ct_where(condition, c->t, ct_mul(c->w, mean));
}

static void (*const links[])(chain *c) = {
    permuted,      with_one,        without_one,   one_elsewhere, joined,     cut,
    inferred,      joined_inferred, summed,        sum_kept,      largest,    spread,
    largest_alone, spread_alone,    log_sum,       shares,        weighed,    to_shape,
    centred,       stretched,       beside_itself, part,          multiplied, chosen,
    permuted,      weighed};

/* --- A chain ---------------------------------------------------------------------------------- */

static bool goes_on(chain *c) {
    ct_group *group = ct_group_current();
    ct_status status = c->t ? CT_OK : ct_error();
    if (group) status = ct_group_agree(group, status);
    return status == CT_OK;
}

/* Notes how far it came, and the loss and its gradients if that was the end. */
static void run_chain(rank *me) {
    chain c = {.random = {(uint64_t)chain_number}, .me = me};
    ct_tensor *in[] = {rows_of(me, C, 1), parameter(me, CT_SCALAR, 2)}, *g[2];
    become(&c, in[0], CT_SHAPE(1, C), 0);
    c.w = in[1];
    bool whole = true;
    int steps = 0;
    for (; steps < STEPS && whole && c.shape.rank > 0; steps++) {
        links[random_below(&c.random, sizeof links / sizeof *links)](&c);
        whole = goes_on(&c);
        c.t = whole ? ct_sin(c.t) : NULL;
    }
    me->results[me->n++] = whole ? 0 : steps;
    ct_error_clear();
    if (!whole) return;
    int axis = ct_varying_axis(c.t);
    EXPECT(me->world->plain || axis == c.rows, "chain %lld: axis %d, not %d, on rank %d",
           (long long)chain_number, axis, c.rows, me->rank);
    ct_tensor *loss = ct_sum_all(ct_square(ct_offset(c.t, 0.25)));
    note(me, loss);
    if (ct_grad(loss, in, 2, g) != CT_OK) return;
    note_varying(me, g[0]);
    note(me, g[1]);
}

/* Whether it was refused. */
static bool expect_alike(const world *one, int size, const int64_t rows[]) {
    world *many = world_run(size, 8, rows, CT_F64, run_chain);
    expect_well(many);
    bool refused = many->ranks[0].results[0] != 0;
    for (int r = 0; r < size; r++) {
        const rank *of = &many->ranks[r];
        EXPECT(of->results[0] == many->ranks[0].results[0], "chain %lld", (long long)chain_number);
        EXPECT(of->n == many->ranks[0].n, "chain %lld", (long long)chain_number);
        for (int64_t i = 0; i < of->n && of->results[0] == 0 && one->ranks[0].n == of->n; i++) {
            double x = one->ranks[0].results[i], y = of->results[i];
            EXPECT(fabs(x - y) <= 1e-7 * (1 + fabs(x)), "chain %lld: number %lld is %g, not %g",
                   (long long)chain_number, (long long)i, y, x);
        }
    }
    free(many);
    return refused;
}

TEST(varying_chains, are_those_of_one_process_or_refused_on_all_ranks) {
    const char *text = getenv("COTAN_CASES");
    int64_t n = text ? strtoll(text, NULL, 10) : support_scaled(CHAINS), refused = 0;
    int64_t first = (int64_t)support_seed(1);
    for (chain_number = first; chain_number < first + n; chain_number++) {
        world *one = calloc(1, sizeof *one);
        int64_t scope = ct_scope_open();
        run_chain(world_plain(one, CT_F64));
        ct_scope_close(scope);
        /* Where each rank has one row, nobody sees what others would refuse. */
        bool unseen = expect_alike(one, 4, (int64_t[]){5, 1, 2, 0});
        if (!unseen) EXPECT(!expect_alike(one, 8, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1}));
        refused += unseen;
        free(one);
    }
    printf("%lld chains from seed %lld, %lld refused\n", (long long)n, (long long)first,
           (long long)refused);
}
