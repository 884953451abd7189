/* Weights in files: all slots of a model by path.
 * The format is safetensors.h's business, optimizers are checkpoint.c's.
 * Invariant: loading changes every slot or none. */
#include "nn/layers/keys.h"
#include "nn/options_private.h"
#include "nn/save/slot_file.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/ranks/exchange.h"

static ct_status check_arguments(const char *function, const ct_module *model, const char *path) {
    if (model && path) return CT_OK;
    return cti_null("%s: '%s' is NULL", function, model ? "path" : "model");
}

ct_status ct_weights_save(ct_module *model, const char *path) {
    CTI_CALLED;
    if (check_arguments("ct_weights_save", model, path) != CT_OK) return ct_error();
    cti_slot_group group = {"", {0}};
    if (ct_module_list(model, &group.slots) != CT_OK) return ct_error();
    ct_status status = cti_keys_catch_up(&group.slots);
    if (status == CT_OK) status = cti_slots_save(path, &group, 1, NULL, 0);
    ct_slot_list_free(&group.slots);
    return status;
}

static ct_status check_names(const char *function, const ct_weights_load_options *options) {
    if (cti_check_list(function, "names", options->names, "n_names", options->n_names) != CT_OK) {
        return ct_error();
    }
    for (int64_t i = 0; i < options->n_names; i++) {
        const ct_weights_name *pair = &options->names[i];
        if (pair->model && pair->file) continue;
        return ct_fail(CT_ERR_NULL, "%s: '%s' of name %lld is NULL", function,
                       pair->model ? "file" : "model", (long long)i);
    }
    return CT_OK;
}

static ct_status check_flattened(const char *function, const ct_weights_load_options *options) {
    int64_t n = options->n_flattened;
    if (cti_check_list(function, "flattened", options->flattened, "n_flattened", n) != CT_OK) {
        return ct_error();
    }
    for (int64_t i = 0; i < n; i++) {
        const ct_weights_flattened *image = &options->flattened[i];
        if (!image->kernel) {
            return ct_fail(CT_ERR_NULL, "%s: 'kernel' of flattened[%lld] is NULL", function,
                           (long long)i);
        }
        if (cti_check_size(function, "channels", image->channels) != CT_OK ||
            cti_check_size(function, "height", image->height) != CT_OK ||
            cti_check_size(function, "width", image->width) != CT_OK) {
            return ct_error();
        }
    }
    return CT_OK;
}

static ct_status check_load(const char *function, const ct_module *model, const char *path,
                            const ct_weights_load_options *options) {
    if (check_arguments(function, model, path) != CT_OK) return ct_error();
    if (check_names(function, options) != CT_OK) return ct_error();
    if (check_flattened(function, options) != CT_OK) return ct_error();
    if (!options->form || options->form->place) return CT_OK;
    return ct_fail(CT_ERR_NULL, "%s: the form has no 'place'", function);
}

static ct_status load(const char *function, ct_module *model, const char *path,
                      const ct_weights_load_options *options, ct_weights_report *report) {
    cti_slot_group group = {"", {0}};
    ct_safetensors *file = NULL;
    ct_tensor **prepared = NULL;
    int64_t scope = ct_scope_open();
    ct_status status = check_load(function, model, path, options);
    if (status == CT_OK) status = ct_module_list(model, &group.slots);
    if (status == CT_OK && !(file = ct_safetensors_load(path))) status = ct_error();
    if (file) {
        prepared = cti_slots_prepare_with(function, path, file, &group, 1, options, report);
        if (!prepared) status = ct_error();
    }
    status = cti_agreed(status);
    if (status == CT_OK) cti_slots_swap(&group, 1, prepared);
    cti_free(prepared);
    ct_safetensors_free(file);
    ct_scope_close(scope);
    ct_slot_list_free(&group.slots);
    return status;
}

ct_status ct_weights_load(ct_module *model, const char *path) {
    CTI_CALLED;
    return load("ct_weights_load", model, path, &(ct_weights_load_options){0}, NULL);
}

ct_status ct_weights_load_with(ct_module *model, const char *path, ct_weights_load_options options,
                               ct_weights_report *report) {
    CTI_CALLED;
    if (report) *report = (ct_weights_report){0};
    ct_status status = load("ct_weights_load_with", model, path, &options, report);
    /* Running out of memory leaves half a list. */
    if (status != CT_OK && status != CT_ERR_SHAPE) ct_weights_report_free(report);
    return status;
}

void ct_weights_report_free(ct_weights_report *report) {
    if (!report) return;
    for (int64_t i = 0; i < report->count; i++) {
        cti_free(report->items[i].name);
        cti_free(report->items[i].text);
    }
    cti_free(report->items);
    *report = (ct_weights_report){0};
}
