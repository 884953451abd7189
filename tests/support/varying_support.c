/* Ranks as threads, beside one process: see the header.
 * Invariant: what ranks compute is what one process computes of the whole batch: exactly in p61,
 * and in f32 with the same bits for any number of ranks. */
#include "tests/support/varying_support.h"

#include "tensor/group.h"
#include "tensor/p61.h"
#include "tensor/runtime.h"
#include "tensor/varying.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void *run_rank(void *argument) {
    rank *me = argument;
    world *w = me->world;
    ct_group *group = ct_group_sockets(me->rank, w->size, w->sockets[me->rank]);
    ct_group_options options = {.grains = w->grains, .timeout = 20};
    ct_threads_set(1);
    int64_t scope = ct_scope_open();
    if (group && ct_group_use(group, options) == CT_OK) w->body(me);
    me->status = ct_error();
    snprintf(me->error, sizeof me->error, "%s", ct_error_message());
    ct_scope_close(scope);
    ct_group_free(group);
    return NULL;
}

world *world_run(int size, int grains, const int64_t rows[], ct_dtype dtype,
                 void (*body)(rank *me)) {
    world *w = calloc(1, sizeof *w);
    *w = (world){.size = size, .grains = grains, .dtype = dtype, .body = body};
    for (int a = 0; a < size; a++) {
        for (int b = 0; b < a; b++) {
            int pair[2];
            REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
            w->sockets[a][b] = pair[0];
            w->sockets[b][a] = pair[1];
        }
    }
    pthread_t threads[WORLD_MOST];
    pthread_attr_t
        attributes; /* a body may have a world of its own, more than musl's stacks hold */
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, (size_t)8 << 20) == 0);
    int64_t first = 0;
    for (int r = 0; r < size; r++) {
        w->ranks[r] = (rank){.world = w, .rank = r, .first = first, .rows = rows[r]};
        first += rows[r];
        REQUIRE(pthread_create(&threads[r], &attributes, run_rank, &w->ranks[r]) == 0);
    }
    pthread_attr_destroy(&attributes);
    for (int r = 0; r < size; r++) pthread_join(threads[r], NULL);
    return w;
}

rank *world_plain(world *w, ct_dtype dtype) {
    *w = (world){.size = 1, .dtype = dtype, .plain = true};
    w->ranks[0] = (rank){.world = w, .rows = WORLD_ROWS};
    return &w->ranks[0];
}

void expect_well(const world *w) {
    for (int r = 0; r < w->size; r++) {
        EXPECT(w->ranks[r].status == CT_OK, "rank %d of %d: %s", r, w->size, w->ranks[r].error);
    }
}

/* --- What a rank computes --------------------------------------------------------------------- */

/* Of f32 the bits are looked at, so their sum has to depend on the order: no fractions of powers of
 * two, whose sums have no rounding. */
static double divisor(const rank *me, double exact) {
    return me->world->dtype == CT_F32 ? exact - 0.7 : exact;
}

/* Rows of a global tensor that differ in all elements. */
ct_tensor *rows_of(const rank *me, int64_t columns, int seed) {
    double data[4096];
    REQUIRE(me->rows * columns <= 4096);
    for (int64_t i = 0; i < me->rows * columns; i++) {
        int64_t at = me->first * columns + i;
        data[i] = (double)((at * at * 7 + at * 5 + seed * 11) % 23 - 9) / divisor(me, 4);
    }
    ct_tensor *t = ct_from(CT_F64, CT_SHAPE(me->rows, columns), data);
    t = ct_cast(t, me->world->dtype);
    return me->world->plain ? t : ct_varying(t, 0);
}

ct_tensor *parameter(const rank *me, ct_shape shape, int seed) {
    double data[256];
    for (int64_t i = 0; i < ct_shape_numel(shape); i++) {
        data[i] = (double)((i * 5 + seed * 3) % 11 - 4) / divisor(me, 8);
    }
    return ct_cast(ct_from(CT_F64, shape, data), me->world->dtype);
}

/* In p61 the residue counts, as whole numbers of less than 2^31. */
void note(rank *me, ct_tensor *t) {
    const void *data = t ? ct_data(t) : NULL;
    if (!data) return;
    for (int64_t i = 0; i < ct_numel(t); i++) {
        if (me->world->dtype == CT_F32) me->results[me->n++] = (double)((const float *)data)[i];
        if (me->world->dtype == CT_F64) me->results[me->n++] = ((const double *)data)[i];
        if (me->world->dtype != CT_P61) continue;
        uint64_t residue = ((const ct_p61 *)data)[i].field;
        EXPECT(residue < CT_P61_PRIME, "number %lld has no value", (long long)me->n);
        me->results[me->n++] = (double)(residue >> 31);
        me->results[me->n++] = (double)(residue & 0x7fffffff);
    }
}

/* Results of varying tensors are the rows of all ranks. */
static void expect_same(const world *a, const world *b, double tolerance) {
    int64_t n = a->ranks[0].n;
    EXPECT(n > 0 && b->ranks[0].n == n, "%lld and %lld numbers", (long long)n,
           (long long)b->ranks[0].n);
    for (int r = 0; r < b->size; r++) {
        for (int64_t i = 0; i < n; i++) {
            double x = a->ranks[0].results[i], y = b->ranks[r].results[i];
            EXPECT(fabs(x - y) <= tolerance, "number %lld on rank %d of %d: %.17g, not %.17g",
                   (long long)i, r, b->size, y, x);
        }
    }
}

/* --- Certificate: the same as one rank -------------------------------------------------------- */

/* All that ranks hold differently comes together in replicated numbers: of a varying t the sums of
 * t times two weights that differ in each element. */
void note_varying(rank *me, ct_tensor *t) {
    int64_t columns = ct_dim(t, 1);
    for (int seed = 5; seed < 7; seed++) {
        note(me, ct_sum(ct_mul(t, rows_of(me, columns, seed)), CT_AXES(0)));
    }
}

static const int64_t whole[] = {8}, halves[] = {4, 4}, quarters[] = {2, 2, 2, 2},
                     unequal[] = {5, 1, 2, 0}, thirds[] = {3, 3, 2};

/* What one process computes of the whole batch by ordinary ops. */
static world *plain(ct_dtype dtype, void (*body)(rank *me)) {
    world *w = calloc(1, sizeof *w);
    body(world_plain(w, dtype));
    EXPECT(ct_error() == CT_OK, "%s", ct_error_message());
    return w;
}

void same_as_one_process(void (*body)(rank *me)) {
    world *one = plain(CT_P61, body);
    struct {
        int size;
        const int64_t *rows;
    } const cases[] = {{1, whole}, {2, halves}, {4, quarters}, {4, unequal}, {3, thirds}};
    for (int k = 0; k < 5; k++) {
        world *many = world_run(cases[k].size, 4, cases[k].rows, CT_P61, body);
        expect_well(many);
        expect_same(one, many, 0);
        free(many);
    }
    free(one);
}

/* Rank r of P has the grains from ceil(G r / P) on, and grain g the rows from ceil(N g / G) on. */
static world *run_by_grains(int size, int grains, void (*body)(rank *me)) {
    int64_t rows[WORLD_MOST], before = 0;
    for (int r = 0; r < size; r++) {
        int64_t end = (grains * (r + 1) + size - 1) / size;
        int64_t rows_end = (WORLD_ROWS * end + grains - 1) / grains;
        rows[r] = rows_end - before;
        before = rows_end;
    }
    world *w = world_run(size, grains, rows, CT_F32, body);
    expect_well(w);
    return w;
}

/* Of one row each, and of one or two. */
void same_bits_for_any_ranks(void (*body)(rank *me)) {
    for (int grains = 8; grains >= 5; grains -= 3) {
        world *one = run_by_grains(1, grains, body);
        for (int size = 2; size <= grains; size += size < 4 ? 1 : grains - 4) {
            world *many = run_by_grains(size, grains, body);
            expect_same(one, many, 0);
            free(many);
        }
        free(one);
    }
}

/* With a group or without, to rounding: varying or not. */
void close_to_one_process(void (*body)(rank *me), double tolerance) {
    world *one = plain(CT_F64, body), *many = world_run(4, 4, unequal, CT_F64, body);
    expect_well(many);
    expect_same(one, many, tolerance);
    world none;
    rank *alone = world_plain(&none, CT_F64);
    none.plain = false;
    body(alone);
    expect_same(one, &none, tolerance);
    free(one);
    free(many);
}

void expect_failed(int64_t rows, void (*body)(rank *me), ct_status status, const char *text) {
    world *w = world_run(2, 4, (int64_t[]){rows, rows}, CT_F64, body);
    for (int r = 0; r < 2; r++) {
        const rank *found = &w->ranks[r];
        EXPECT(found->status == status && strstr(found->error, text),
               "rank %d: no %s with \"%s\" in %s, \"%s\"", r, ct_status_name(status), text,
               ct_status_name(found->status), found->error);
    }
    free(w);
}

void expect_refused(int64_t rows, void (*body)(rank *me), const char *text) {
    expect_failed(rows, body, CT_ERR_STATE, text);
}
