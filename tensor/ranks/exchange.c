/* Exchanges: the steps of a schedule carried out over a transport, by one machine that never waits.
 * It neither knows what is summed nor how bytes travel.
 * Invariant: a rank that has failed goes through the same steps as one that has not, so all ranks
 * learn of it, and a stream between two ranks stays in step: payload follows only after two heads
 * that were sound, as both sides know. */
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/hash.h"
#include "tensor/base/keys.h"
#include "tensor/base/process.h"
#include "tensor/ranks/group_private.h"

#include <sched.h>

/* --- Faults ----------------------------------------------------------------------------------- */

static cti_fault fault_of(cti_fault_kind kind, ct_status status, int rank) {
    return (cti_fault){kind, status, (int16_t)rank, -1};
}

static void blame(cti_exchange *e, cti_fault fault) {
    bool worse = fault.kind > e->fault.kind;
    if (fault.kind == e->fault.kind) {
        worse = fault.rank != e->fault.rank ? fault.rank < e->fault.rank
                                            : fault.other < e->fault.other;
    }
    if (fault.kind != CTI_SOUND && worse) e->fault = fault;
    if (fault.kind == CTI_LOST) e->unasked |= UINT64_C(1) << fault.rank;
}

/* The transport's error is on record. */
static void lose(ct_group *g, int peer) {
    cti_exchange *e = &g->exchange;
    e->on_record = true;
    blame(e, fault_of(CTI_LOST, CT_ERR_IO, peer));
}

/* The seconds that a step may take. The later, the more, so that who waits for a lost rank gives up
 * before those who wait for him, and tells them which one it was. */
static double limit(const ct_group *g) {
    const cti_exchange *e = &g->exchange;
    double left = (double)(e->steps->n - e->at) / (e->steps->n + 1);
    return g->options.timeout * (e->fault.kind == CTI_LOST ? 0.25 : 1 - 0.25 * left);
}

static ct_status report_difference(ct_group *g) {
    cti_difference d = {.fault = g->exchange.fault};
    if (!g->exchange.over) d = cti_difference_find(g);
    if (d.text[0][0] == 0 || d.text[1][0] == 0) {
        return ct_fail(d.fault.status,
                       "ct_group: rank %d built another graph than rank %d, or made another call",
                       d.fault.rank, d.fault.other);
    }
    if (strcmp(d.text[0], d.text[1]) == 0) {
        return ct_fail(d.fault.status,
                       "ct_group: rank %d built another graph than rank %d: the first difference "
                       "is an attribute, an operand or the value of %s",
                       d.fault.rank, d.fault.other, d.text[0]);
    }
    return ct_fail(d.fault.status,
                   "ct_group: rank %d built another graph than rank %d: the first difference is %s "
                   "in place of %s",
                   d.fault.rank, d.fault.other, d.text[0], d.text[1]);
}

static ct_status report(ct_group *g) {
    const cti_fault *fault = &g->exchange.fault;
    if (fault->kind == CTI_DIFFERENT) return report_difference(g);
    if (fault->kind == CTI_UNLIKE) {
        return ct_fail(fault->status,
                       "ct_group: rank %d has computed another loss or other values of slots than "
                       "rank %d: rows of a rank's own have to vary (ct_varying, ct_batches_new); "
                       "slots, seeds and the kind of processor have to be the same on all",
                       fault->rank, fault->other);
    }
    if (fault->kind == CTI_LOST) {
        return ct_fail(fault->status, "ct_group: rank %d is lost, as another rank found",
                       fault->rank);
    }
    if (fault->kind == CTI_LEFT) {
        return ct_fail(fault->status, "ct_group: rank %d has left the group", fault->rank);
    }
    return ct_fail(fault->status, "ct_group: rank %d failed with %s", fault->rank,
                   ct_status_name(fault->status));
}

/* --- A step ----------------------------------------------------------------------------------- */

static const cti_rank_step *step_of(const cti_exchange *e) { return &e->steps->steps[e->at]; }

static void next(cti_exchange *e) {
    e->at++;
    e->stage = CTI_TURN;
    if (e->at >= e->steps->common && e->fault.kind != CTI_SOUND) e->at = e->steps->n;
}

static char *piece(const cti_exchange *e, char *array, int pieces, cti_range range, size_t *bytes) {
    int64_t first = e->n * range.first / pieces, last = e->n * range.last / pieces;
    *bytes = (size_t)(last - first) * e->size;
    return array + (size_t)first * e->size;
}

static char *node(const cti_exchange *e, int number) {
    return e->nodes + (size_t)number * (size_t)e->n * e->size;
}

static void start(ct_group *g, ct_transfer transfer) {
    cti_exchange *e = &g->exchange;
    g->stats.messages += transfer.n_out > 0;
    g->stats.bytes += (int64_t)transfer.n_out;
    if (g->transport->kind->start(g->transport, &transfer) == CT_OK) return;
    lose(g, transfer.peer);
    next(e);
}

/* The heads of a step, or the sum of two nodes of this rank. */
static void begin_step(ct_group *g) {
    cti_exchange *e = &g->exchange;
    const cti_rank_step *step = step_of(e);
    bool own = step->peer == g->rank;
    if (own && e->fault.kind == CTI_SOUND && e->n > 0) {
        cti_add_of(e->dtype)(node(e, step->take), node(e, step->give), e->n, node(e, step->take));
    }
    if (own || e->unasked >> step->peer & 1) {
        next(e);
        return;
    }
    e->mine.fault = e->fault;
    e->mine.seed[1] = e->drawn;
    e->mine.next = e->next;
    e->mine.found = e->found;
    e->began = cti_now();
    e->stage = CTI_HEADS;
    start(g, (ct_transfer){step->peer, &e->mine, sizeof e->mine, &e->theirs, sizeof e->theirs});
}

static ct_transfer payload_of(ct_group *g) {
    cti_exchange *e = &g->exchange;
    const cti_rank_step *step = step_of(e);
    ct_transfer t = {.peer = step->peer};
    if (step->give >= 0) t.out = piece(e, node(e, step->give), g->size, step->given, &t.n_out);
    if (step->take >= 0) {
        char *into = step->adds ? e->received : node(e, step->take);
        t.in = piece(e, into, g->size, step->taken, &t.n_in);
    }
    return t;
}

/* Of two heads. */
static void compare(cti_exchange *e) {
    const cti_head *mine = &e->mine, *theirs = &e->theirs;
    e->found |= theirs->found;
    if (mine->hash != theirs->hash) e->found |= CTI_APART;
    if (mine->watch != theirs->watch) e->found |= CTI_ELSEWHERE;
    if (mine->draws != theirs->draws) e->found |= CTI_UNEVEN;
    bool same_seed = theirs->seed[0] == mine->seed[0];
    if (same_seed && theirs->seed[1] > e->drawn) e->drawn = theirs->seed[1];
    if (theirs->next > e->next) e->next = theirs->next;
}

static void begin_payload(ct_group *g) {
    cti_exchange *e = &g->exchange;
    const cti_rank_step *step = step_of(e);
    bool sound = e->mine.fault.kind == CTI_SOUND && e->theirs.fault.kind == CTI_SOUND;
    blame(e, e->theirs.fault);
    compare(e);
    bool other_call = e->mine.hash != e->theirs.hash;
    if (sound && (other_call || e->mine.value != e->theirs.value)) {
        int low = g->rank < step->peer ? g->rank : step->peer, high = g->rank + step->peer - low;
        cti_fault_kind kind = other_call ? CTI_DIFFERENT : CTI_UNLIKE;
        blame(e, (cti_fault){kind, CT_ERR_STATE, (int16_t)high, (int16_t)low});
    }
    ct_transfer transfer = {0};
    if (e->fault.kind == CTI_SOUND && e->n > 0) transfer = payload_of(g);
    if (transfer.n_in + transfer.n_out == 0) {
        next(e);
        return;
    }
    e->stage = CTI_PAYLOAD;
    g->stats.payload += (int64_t)transfer.n_out;
    start(g, transfer);
}

static void end_payload(ct_group *g) {
    cti_exchange *e = &g->exchange;
    const cti_rank_step *step = step_of(e);
    if (step->take >= 0 && step->adds) {
        size_t bytes;
        char *sum = piece(e, node(e, step->take), g->size, step->taken, &bytes);
        const char *other = piece(e, e->received, g->size, step->taken, &bytes);
        cti_add_of(e->dtype)(sum, other, (int64_t)(bytes / e->size), sum);
    }
    next(e);
}

/* False while there is nothing to do but wait. */
static bool advance(ct_group *g, double seconds) {
    cti_exchange *e = &g->exchange;
    if (e->stage == CTI_TURN) {
        begin_step(g);
        return true;
    }
    bool done = false;
    double waited = cti_now() - e->began;
    ct_status status = g->transport->kind->poll(g->transport, seconds, &done);
    if (status == CT_OK && !done) {
        if (waited <= limit(g)) return false;
        status = ct_fail(CT_ERR_IO, "ct_group: rank %d does not answer for %.3g s",
                         step_of(e)->peer, waited);
    }
    if (status != CT_OK) {
        lose(g, step_of(e)->peer);
        next(e);
    } else if (e->stage == CTI_HEADS) begin_payload(g);
    else end_payload(g);
    return true;
}

/* --- Exchanges -------------------------------------------------------------------------------- */

/* Whether the last exchange is one of those that are watched, and some rank came to it from
 * elsewhere. */
static bool is_missed(const ct_group *g) {
    return g->watched && !g->comparing && g->stats.exchanges > g->watched_from &&
           g->exchange.found & CTI_APART;
}

static void begin(ct_group *g, cti_entry entry, const cti_steps *steps) {
    cti_exchange *e = &g->exchange;
    const cti_keys *keys = cti_keys_of_thread();
    const cti_exchange before = *e;
    bool over = is_missed(g);
    *e = (cti_exchange){.steps = steps,
                        .waits_since = cti_now(),
                        .parts = entry.parts,
                        .mine.hash = cti_mix(entry.hash, (uint64_t)g->keepers),
                        .mine.value = entry.value,
                        .mine.seed[0] = keys->seed[0],
                        .drawn = keys->seed[1],
                        .mine.draws = keys->draws,
                        .next = keys->next,
                        .mine.watch = g->watched ? g->watch : 0,
                        .found = keys->unsure ? CTI_UNSURE : 0,
                        .on_record = entry.status != CT_OK};
    if (over) {
        e->fault = before.fault;
        e->found = before.found;
        e->over = true;
        e->on_record = ct_error() != CT_OK;
        e->at = steps->n;
        return;
    }
    if (entry.status != CT_OK) blame(e, fault_of(CTI_FAILED, entry.status, g->rank));
    g->stats.exchanges++;
    if (g->gone < 0) return;
    e->at = steps->n;
    if (entry.status != CT_OK) return; /* its own error, which may be that one has gone */
    if (g->transport) {
        blame(e, fault_of(CTI_LEFT, CT_ERR_STATE, g->gone));
        return;
    }
    ct_fail(CT_ERR_IO, "ct_group: rank %d was lost before", g->gone);
    lose(g, g->gone);
}

/* What this rank could not do. */
static void fail(ct_group *g, ct_status status) {
    g->exchange.on_record = true;
    blame(&g->exchange, fault_of(CTI_FAILED, status, g->rank));
}

static void spread_sums(const ct_group *g) {
    const cti_exchange *e = &g->exchange;
    const char *from = e->nodes;
    for (int64_t i = 0; i < e->count && g->size > 1; i++) {
        size_t bytes = (size_t)e->summands[i].n * e->size;
        if (bytes > 0) memcpy(e->summands[i].sum, from, bytes);
        from += bytes;
    }
}

/* After an error, or where a rank is not sure; not after a loss, or when a rank has left: then they
 * no longer draw together. */
static void draw_alike(const cti_exchange *e) {
    cti_keys *keys = cti_keys_of_thread();
    if (e->over || e->fault.kind == CTI_LEFT || e->fault.kind == CTI_LOST) return;
    if (e->fault.kind == CTI_SOUND && !(e->found & CTI_UNSURE)) return;
    keys->unsure = false;
    if (e->drawn > keys->seed[1]) keys->seed[1] = e->drawn;
    if (!(e->found & CTI_UNEVEN)) return;
    keys->next = keys->least = e->next;
    keys->draws = (uint32_t)e->next; /* any number that is the same on all */
    keys->before = cti_next_id();
}

static ct_status end(ct_group *g) {
    cti_exchange *e = &g->exchange;
    if (!g->comparing) draw_alike(e);
    if (e->fault.kind == CTI_SOUND) {
        spread_sums(g);
        return CT_OK;
    }
    if (e->fault.kind == CTI_LEFT) g->gone = e->fault.rank;
    if (e->fault.kind == CTI_LOST && g->gone < 0) {
        g->gone = e->fault.rank;
        if (g->transport) g->transport->kind->close(g->transport, false); /* who waits learns it */
        g->transport = NULL;
    }
    ct_status status = e->fault.status;
    if (!e->on_record && !g->comparing) report(g);
    return status;
}

ct_status cti_sum_poll(ct_group *g, double seconds, bool *done) {
    cti_exchange *e = &g->exchange;
    *done = false;
    while (e->at < e->steps->n) {
        if (!advance(g, seconds)) return CT_OK;
    }
    *done = true;
    return end(g);
}

/* Who waits lets others run between his looks, as there may be more ranks than processors. Peers
 * are hundreds of microseconds apart at most times, and to be woken takes some fifty; who waits
 * longer than SPIN sleeps, the longer the longer nothing comes. */
ct_status cti_sum_carry_on(ct_group *g, bool idle, bool *done) {
    const double SPIN = 1e-3;
    cti_exchange *e = &g->exchange;
    int at = e->at, stage = (int)e->stage;
    if (e->was_busy) e->began = cti_now(); /* nobody is late while this rank has other work */
    e->was_busy = !idle;
    ct_status status = cti_sum_poll(g, idle ? e->patience : 0, done);
    if (*done) return status;
    double now = cti_now();
    if (!idle || e->at != at || (int)e->stage != stage) e->waits_since = now;
    if (now - e->waits_since < SPIN) {
        e->patience = 0;
        if (idle) sched_yield();
    } else {
        e->patience = e->patience < 5e-4 ? 2 * e->patience + 1e-6 : 1e-3;
    }
    return status;
}

static ct_status run(ct_group *g) {
    bool done = false;
    ct_status status = CT_OK;
    while (!done) status = cti_sum_carry_on(g, true, &done);
    return status;
}

ct_status cti_exchange_bytes(ct_group *g, cti_entry entry, const cti_steps *steps, void *nodes,
                             size_t n) {
    begin(g, entry, steps);
    g->exchange.nodes = nodes;
    g->exchange.n = (int64_t)n;
    g->exchange.size = 1;
    return run(g);
}

ct_status cti_spread(ct_group *g, cti_entry entry, void *bytes, size_t n) {
    entry.hash = cti_mix(cti_mix(entry.hash, 1), n);
    return cti_exchange_bytes(g, entry, &g->schedule.spread, bytes, n);
}

ct_status cti_agree(ct_group *g, cti_entry entry) {
    begin(g, entry, &g->schedule.sum); /* of nothing */
    return run(g);
}

static ct_status leave(void *group) {
    ct_group *g = group;
    g->watched = false; /* what failed before, the others know; not that this rank leaves */
    begin(g, (cti_entry){.status = CT_OK}, &g->schedule.sum);
    g->exchange.fault = fault_of(CTI_LEFT, CT_ERR_STATE, g->rank);
    g->exchange.on_record = true;
    g->exchange.found = CTI_APART | CTI_ELSEWHERE;
    return run(g);
}

void cti_leave(ct_group *g) {
    if (g->transport && g->gone < 0 && g->stats.exchanges > 0) cti_try(leave, g);
}

uint64_t cti_call_hash(const char *what) {
    cti_call caller = cti_caller();
    uint64_t place = cti_mix_text((uint64_t)caller.depth, caller.name ? caller.name : "");
    return cti_mix_text(place, what);
}

ct_status cti_agreed_on(ct_status status, uint64_t value) {
    ct_group *group = ct_group_current();
    if (!group) return status;
    cti_entry entry = {.hash = cti_call_hash("agreed"), .status = status, .value = value};
    return cti_agree(group, entry);
}

ct_status cti_agreed(ct_status status) { return cti_agreed_on(status, 0); }

cti_watch cti_watch_begin(void) {
    ct_group *group = cti_group_keep();
    if (!group || group->watched) return (cti_watch){group, false};
    group->watched = true;
    group->watch = (uint32_t)cti_call_hash("watch");
    group->watched_from = group->stats.exchanges;
    return (cti_watch){group, true};
}

static ct_status meet_again(void *group) {
    return cti_agree(group, (cti_entry){.hash = cti_call_hash("meet again")});
}

/* After an exchange that not all came to by the same call, each has gone on by itself, and may have
 * drawn. If all were within the same watched call, they are at its end now. */
void cti_watch_end(cti_watch watch) {
    ct_group *g = watch.group;
    if (watch.outermost) {
        bool missed = is_missed(g);
        g->watched = false;
        if (missed) cti_keys_of_thread()->unsure = true;
        if (missed && !(g->exchange.found & CTI_ELSEWHERE)) cti_try(meet_again, g);
    }
    cti_group_release(g);
}

ct_status ct_group_agree(ct_group *group, ct_status status) {
    CTI_CALLED;
    if (!group) return status;
    return cti_agree(group, (cti_entry){.status = status});
}

ct_status ct_group_broadcast(ct_group *group, void *bytes, size_t n) {
    CTI_CALLED;
    if (!group) return cti_null("ct_group_broadcast: 'group' is NULL");
    ct_status status = CT_OK;
    if (n > 0 && !bytes) status = cti_null("ct_group_broadcast: 'bytes' is NULL");
    return cti_spread(group, (cti_entry){.status = status}, bytes, n);
}

/* --- Sums ------------------------------------------------------------------------------------- */

/* Room for the sums of all own nodes, and for those of a peer. */
static ct_status reserve(ct_group *g) {
    cti_exchange *e = &g->exchange;
    size_t array = (size_t)e->n * e->size, bytes = ((size_t)g->schedule.n_nodes + 1) * array;
    if (g->size == 1) return CT_OK;
    if (bytes > g->capacity) {
        cti_free(g->room);
        g->room = cti_alloc_raw(bytes, 1);
        g->capacity = g->room ? bytes : 0;
        if (!g->room) return CT_ERR_MEMORY;
    }
    e->nodes = g->room;
    e->received = g->room + (size_t)g->schedule.n_nodes * array;
    return CT_OK;
}

void cti_sum_begin(ct_group *g, cti_entry entry, ct_dtype dtype, const cti_summand summands[],
                   int64_t count) {
    cti_exchange *e = &g->exchange;
    begin(g, entry, &g->schedule.sum);
    e->dtype = dtype;
    e->size = ct_dtype_size(dtype);
    e->summands = summands;
    e->count = count;
    for (int64_t i = 0; i < count; i++) e->n += summands[i].n;
    e->mine.hash = cti_mix(cti_mix(cti_mix(e->mine.hash, 2), (uint64_t)dtype), (uint64_t)e->n);
    if (e->fault.kind != CTI_SOUND) return;
    if (!cti_add_of(dtype)) {
        fail(g, ct_fail(CT_ERR_DTYPE, "ct_group: %s has no sum", ct_dtype_name(dtype)));
        return;
    }
    ct_status status = reserve(g);
    if (status != CT_OK) fail(g, status);
}

void cti_sum_local(ct_group *g, int64_t from, int64_t to) {
    const cti_exchange *e = &g->exchange;
    if (e->fault.kind != CTI_SOUND) return;
    int64_t before = 0;
    for (int64_t i = 0; i < e->count && before < to; i++) {
        const cti_summand *s = &e->summands[i];
        int64_t first = from > before ? from - before : 0;
        int64_t last = to - before < s->n ? to - before : s->n;
        const cti_partials partials = {e->dtype, s->partials, g->schedule.grains, s->n};
        for (int k = 0; k < g->schedule.n_nodes && first < last; k++) {
            char *out = g->size > 1 ? node(e, k) + (size_t)before * e->size : s->sum;
            cti_node_sum(&partials, g->schedule.nodes[k], first, last,
                         out + (size_t)first * e->size);
        }
        before += s->n;
    }
}

ct_status cti_all_sum(ct_group *g, cti_entry entry, ct_dtype dtype, const cti_summand summands[],
                      int64_t count) {
    cti_sum_begin(g, entry, dtype, summands, count);
    cti_sum_local(g, 0, g->exchange.n);
    return run(g);
}
