/* Groups: what they are made of, and which one is a thread's current one.
 * What ranks do together is in exchange.c, how bytes travel in the transports.
 * Invariant: a group's schedule fits its options, also after a ct_group_use that failed. */
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/hash.h"
#include "tensor/ranks/group_private.h"

#include <math.h>

static _Thread_local ct_group *current;
/* ct_group_use failed, and nothing was chosen before or since. */
static _Thread_local bool failed_to_join;

static const ct_group_options standard = {.grains = 8, .timeout = 300};

static ct_group *group_of(int rank, int size) {
    ct_group *group = cti_alloc(1, sizeof *group);
    if (!group) return NULL;
    group->rank = rank;
    group->size = size;
    group->gone = -1;
    group->options = standard;
    if (size > standard.grains) group->options.grains = size;
    cti_schedule_make(&group->schedule, rank, size, group->options.grains);
    return group;
}

ct_group *ct_group_alone(void) {
    CTI_CALLED;
    return group_of(0, 1);
}

ct_group *ct_group_new(ct_transport *transport) {
    CTI_CALLED;
    if (!transport) return cti_null_in("ct_group_new: 'transport' is NULL");
    int rank = transport->rank, size = transport->size;
    ct_group *group = NULL;
    if (size < 1 || size > CT_GROUP_MOST || rank < 0 || rank >= size) {
        ct_fail(CT_ERR_RANGE, "ct_group_new: rank %d of %d; a group has 1 to %d ranks", rank, size,
                CT_GROUP_MOST);
    } else {
        group = group_of(rank, size);
    }
    if (group) group->transport = transport;
    else transport->kind->close(transport, true);
    return group;
}

static void free_unless_kept(ct_group *group) {
    if (group->keepers > 0 || !group->left) return;
    cti_free(group->room);
    cti_free(group);
}

void ct_group_free(ct_group *group) {
    if (!group) return;
    if (current == group) current = NULL;
    cti_leave(group);
    if (group->transport) group->transport->kind->close(group->transport, true);
    group->transport = NULL;
    group->left = true;
    free_unless_kept(group);
}

ct_group *cti_group_keep(void) {
    if (current) current->keepers++;
    return current;
}

ct_status cti_group_kept(ct_group *group, ct_status status) {
    if (current == group) return status;
    bool left = group && group->left;
    if (!left) current = group;
    if (current) failed_to_join = false;
    if (status != CT_OK) return status;
    return ct_fail(CT_ERR_STATE, left ? "ct_group: a callback has freed the current group"
                                      : "ct_group: a callback has chosen another current group, or "
                                        "none; it stays the one before");
}

void cti_group_release(ct_group *group) {
    if (!group) return;
    group->keepers--;
    free_unless_kept(group);
}

/* --- Use -------------------------------------------------------------------------------------- */

static ct_status check_options(const ct_group *group, ct_group_options options) {
    if (options.grains < group->size || options.grains > CT_GROUP_MOST) {
        return ct_fail(CT_ERR_RANGE,
                       "ct_group_use: grains must be from %d, the number of ranks, to "
                       "%d, got %d",
                       group->size, CT_GROUP_MOST, options.grains);
    }
    if (!(options.timeout > 0) || isinf(options.timeout)) {
        return ct_fail(CT_ERR_RANGE, "ct_group_use: timeout must be above 0 s, got %g",
                       options.timeout);
    }
    return CT_OK;
}

/* All have as many, or an error on each. */
static ct_status check_grains(ct_group *group, int grains) {
    int first = grains;
    ct_status status = cti_spread(group, (cti_entry){.hash = cti_call_hash("grains")}, &first,
                                  sizeof first);
    if (status == CT_OK && first != grains) {
        status = ct_fail(CT_ERR_STATE, "ct_group_use: rank %d has %d grains, rank 0 %d",
                         group->rank, grains, first);
    }
    return cti_agree(group, (cti_entry){.hash = cti_call_hash("grains"), .status = status});
}

static ct_status join(ct_group *group, ct_group_options options) {
    if (options.grains == 0) options.grains = standard.grains;
    if (options.timeout == 0) options.timeout = standard.timeout;
    ct_group_options before = group->options;
    ct_status status = check_options(group, options);
    if (status == CT_OK) group->options.timeout = options.timeout;
    status = cti_agree(group, (cti_entry){.hash = cti_call_hash("use"), .status = status});
    if (status == CT_OK) status = check_grains(group, options.grains);
    if (status != CT_OK) {
        group->options = before;
        return status;
    }
    group->options = options;
    cti_schedule_make(&group->schedule, group->rank, group->size, options.grains);
    return CT_OK;
}

ct_status ct_group_use(ct_group *group, ct_group_options options) {
    CTI_CALLED;
    ct_status status = group ? join(group, options) : cti_null("ct_group_use: 'group' is NULL");
    if (status == CT_OK) current = group;
    failed_to_join = !current;
    return status;
}

void ct_group_use_none(void) {
    current = NULL;
    failed_to_join = false;
}

ct_status cti_check_joined(const char *function) {
    if (!failed_to_join) return CT_OK;
    return ct_fail(CT_ERR_STATE,
                   "%s: ct_group_use failed, so this process would go on without the others; "
                   "ct_group_use_none() if that is meant",
                   function);
}

ct_group *ct_group_current(void) { return current; }

int ct_group_rank(const ct_group *group) { return group ? group->rank : 0; }

int ct_group_size(const ct_group *group) { return group ? group->size : 1; }

void ct_group_grains(const ct_group *group, int *first, int *last, int *total) {
    *first = group ? group->schedule.grains.first : 0;
    *last = group ? group->schedule.grains.last : 1;
    *total = group ? group->options.grains : 1;
}

ct_group_stats ct_group_stats_read(const ct_group *group) {
    return group ? group->stats : (ct_group_stats){0};
}
