/* Weights in files: all slots of a model by path.
 * The format is safetensors.h's business, optimizers are checkpoint.c's.
 * Invariant: loading changes every slot or none. */
#include "nn/slot_file.h"
#include "tensor/mem.h"

static ct_status check_arguments(const char *function, const ct_module *model, const char *path) {
    if (model && path) return CT_OK;
    if (ct_error() != CT_OK) return ct_error();
    return ct_fail(CT_ERR_NULL, "%s: '%s' is NULL", function, model ? "path" : "model");
}

ct_status ct_weights_save(ct_module *model, const char *path) {
    if (check_arguments("ct_weights_save", model, path) != CT_OK) return ct_error();
    cti_slot_group group = {"", {0}};
    if (ct_module_list(model, &group.slots) != CT_OK) return ct_error();
    ct_status status = cti_slots_save(path, &group, 1, NULL, 0);
    ct_slot_list_free(&group.slots);
    return status;
}

ct_status ct_weights_load(ct_module *model, const char *path) {
    if (check_arguments("ct_weights_load", model, path) != CT_OK) return ct_error();
    cti_slot_group group = {"", {0}};
    if (ct_module_list(model, &group.slots) != CT_OK) return ct_error();
    int64_t scope = ct_scope_open();
    ct_safetensors *file = ct_safetensors_load(path);
    ct_tensor **prepared =
        file ? cti_slots_prepare("ct_weights_load", path, file, &group, 1) : NULL;
    if (prepared) cti_slots_swap(&group, 1, prepared);
    ct_status status = prepared ? CT_OK : ct_error();
    cti_free(prepared);
    ct_safetensors_free(file);
    ct_scope_close(scope);
    ct_slot_list_free(&group.slots);
    return status;
}
