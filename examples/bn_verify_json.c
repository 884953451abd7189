/* The findings as JSON, for other programs.
 * It decides nothing.
 * Invariant: every number is finite or the text "inf", which JSON can hold. */
#include "bn_verify.h"

#include <jansson.h>
#include <math.h>

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_string("inf");
}

static json_t *case_of(test_case of) {
    json_t *dims = json_array(), *out = json_object();
    for (int i = 0; i < of.shape.rank; i++) {
        json_array_append_new(dims, json_integer(of.shape.dims[i]));
    }
    json_object_set_new(out, "shape", dims);
    json_object_set_new(out, "dtype", json_string(ct_dtype_name(of.dtype)));
    json_object_set_new(out, "mean_over_std", number(of.ratio));
    return out;
}

static json_t *comparison_of(const comparison *c) {
    json_t *out = case_of(c->of);
    json_object_set_new(out, "tensor", json_string(gradient_names[c->gradient]));
    json_object_set_new(out, "relative_error", number(c->error));
    json_object_set_new(out, "bound", number(c->bound));
    json_object_set_new(out, "worst_absolute", number(c->absolute));
    json_object_set_new(out, "worst_relative", number(c->relative));
    json_object_set_new(out, "worst_ulp", number(c->ulp));
    json_object_set_new(out, "pass", json_boolean(c->pass));
    return out;
}

static json_t *difference_of(const difference_check *d) {
    json_t *out = case_of(d->of);
    json_object_set_new(out, "order", json_integer(d->order));
    json_object_set_new(out, "compared", json_integer(d->report.compared));
    json_object_set_new(out, "missed", json_integer(d->report.missed));
    json_object_set_new(out, "every_entry", json_boolean(d->report.full));
    json_object_set_new(out, "worst_error", number(d->report.worst.error));
    json_object_set_new(out, "allowed", number(d->report.worst.allowed));
    json_object_set_new(out, "pass", json_boolean(d->report.passed));
    return out;
}

int write_json(const findings *found, const char *path) {
    json_t *root = json_object(), *closed = json_array(), *differences = json_array();
    for (int i = 0; i < found->n_compared; i++) {
        json_array_append_new(closed, comparison_of(&found->compared[i]));
    }
    for (int i = 0; i < found->n_checked; i++) {
        json_array_append_new(differences, difference_of(&found->checked[i]));
    }
    json_object_set_new(root, "runs_on", json_string(ct_info()));
    json_object_set_new(root, "worst_relative_error", number(found->worst));
    json_object_set_new(root, "verdict", json_string(found->pass ? "pass" : "fail"));
    json_object_set_new(root, "closed_form", closed);
    json_object_set_new(root, "finite_differences", differences);
    int result = json_dump_file(root, path, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(root);
    return result;
}
