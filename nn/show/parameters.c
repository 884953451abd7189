/* The parameters of a model, each counted in one place: shared ones would be in the sum twice.
 * Which places there are, and which are within others, is the client's business.
 * Invariant: the counts of all places add up to those slots of the model that were met in any. */
#include "nn/show/parameters.h"

#include "tensor/base/alloc.h"

#include <stdio.h>

ct_status cti_parameters_make(cti_parameters *p, ct_module *model) {
    *p = (cti_parameters){0};
    if (ct_module_list(model, &p->slots) != CT_OK) return ct_error();
    p->sizes = cti_alloc((size_t)p->slots.count, sizeof *p->sizes);
    p->places = cti_alloc((size_t)p->slots.count, sizeof *p->places);
    if (!p->sizes || !p->places) return CT_ERR_MEMORY;
    int64_t scope = ct_scope_open();
    ct_status status = CT_OK;
    for (int64_t i = 0; i < p->slots.count && status == CT_OK; i++) {
        ct_tensor *value = ct_slot_read(p->slots.items[i].slot);
        if (!value) status = ct_error();
        p->places[i] = -1;
        p->sizes[i] = ct_dtype_is_float(ct_dtype_of(value)) ? ct_numel(value) : 0;
        p->total += p->sizes[i];
        if (p->slots.items[i].trainable) p->trainable += p->sizes[i];
    }
    ct_scope_close(scope);
    return status;
}

void cti_parameters_free(cti_parameters *p) {
    ct_slot_list_free(&p->slots);
    cti_free(p->sizes);
    cti_free(p->places);
}

static int64_t find(const cti_parameters *p, const ct_slot *slot) {
    int64_t i = 0;
    while (i < p->slots.count && p->slots.items[i].slot != slot) i++;
    return i < p->slots.count ? i : -1;
}

/* Recursion here and below is as deep as modules are nested, which ct_module_list limits. */
void cti_parameters_count(cti_parameters *p, const ct_module *module, bool below, int64_t place) {
    for (int k = 0; k < module->n_slots; k++) {
        int64_t i = find(p, module->slots[k].slot);
        if (i >= 0 && p->places[i] < 0) p->places[i] = place;
    }
    for (int64_t c = 0; c < module->n_children && below; c++) {
        cti_parameters_count(p, module->children[c], below, place);
    }
}

int64_t cti_parameters_between(const cti_parameters *p, int64_t first, int64_t end) {
    int64_t sum = 0;
    for (int64_t i = 0; i < p->slots.count; i++) {
        if (p->places[i] >= first && p->places[i] < end) sum += p->sizes[i];
    }
    return sum;
}

bool cti_parameters_shared(const cti_parameters *p, const ct_module *module, int64_t place) {
    for (int k = 0; k < module->n_slots; k++) {
        int64_t i = find(p, module->slots[k].slot);
        if (i >= 0 && p->sizes[i] > 0 && p->places[i] >= 0 && p->places[i] < place) return true;
    }
    for (int64_t c = 0; c < module->n_children; c++) {
        if (cti_parameters_shared(p, module->children[c], place)) return true;
    }
    return false;
}

cti_count_text cti_count_format(int64_t count) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)count);
    cti_count_text out;
    size_t used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) out.text[used++] = ',';
        out.text[used++] = digits[i];
    }
    out.text[used] = '\0';
    return out;
}
