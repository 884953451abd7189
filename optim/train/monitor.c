/* The monitor of ct_fit: which tensors it looks at, and what it writes of them.
 * Norms and ratios are ops; counting what was read back is tensor/io's, as output.
 * Invariant: it adds roots to a step and changes none of its bits; between the steps that it looks
 * at it holds no tensor. */
#include "optim/monitor.h"

#include "optim/train/train.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/io/append.h"
#include "tensor/io/event_file.h"
#include "tensor/io/json.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct ct_monitor {
    char *only; /* NULL: all */
    int64_t every;
    ct_events *events;
    cti_appended table;
    bool graph_written;
    /* Of the step that is looked at; nothing between two of them. */
    bool looking;
    cti_outputs outputs;
    ct_slot_list parameters; /* those that have a gradient, and match */
    ct_tensor **before;      /* their values before the update */
    int64_t first;           /* in step->also: outputs, gradients, and the norms of all of these */
    cti_histogram histogram;
};

/* --- Making one ------------------------------------------------------------------------------- */

static const char header[] =
    "step,what,path,count,nonfinite,norm,mean,least,p5,p25,p50,p75,p95,greatest,update_ratio\n";

static ct_status open_files(ct_monitor *m, const char *directory) {
    static const char function[] = "ct_monitor_new";
    m->events = ct_events_new(directory);
    if (!m->events) return ct_error();
    if (cti_append_open(function, directory, "layers.csv", false, &m->table) != CT_OK) {
        return ct_error();
    }
    if (m->table.length > 0) return CT_OK; /* goes on in the file of an earlier training */
    cti_writer line = {0};
    cti_write_text(&line, header);
    ct_status status = cti_append(function, &m->table, &line);
    cti_free(line.text);
    return status;
}

ct_monitor *ct_monitor_new(ct_monitor_options options) {
    CTI_CALLED;
    if (!options.directory) return cti_null_in("ct_monitor_new: 'directory' is NULL");
    if (options.every < 0) {
        return ct_fail_null(CT_ERR_RANGE, "ct_monitor_new: every must be >= 0, got %lld",
                            (long long)options.every);
    }
    ct_monitor *m = cti_alloc(1, sizeof *m);
    if (!m) return NULL;
    m->every = options.every ? options.every : 100;
    m->table.fd = -1;
    if (options.only) m->only = cti_strdup(options.only);
    ct_status status = options.only && !m->only ? CT_ERR_MEMORY : open_files(m, options.directory);
    if (status == CT_OK) return m;
    ct_monitor_free(m);
    return NULL;
}

static void look_away(ct_monitor *m) {
    cti_outputs_free(&m->outputs);
    ct_slot_list_free(&m->parameters);
    cti_free(m->before);
    m->before = NULL;
    m->looking = false;
}

void ct_monitor_free(ct_monitor *m) {
    if (!m) return;
    look_away(m);
    ct_events_free(m->events);
    cti_append_close(&m->table);
    cti_free(m->only);
    cti_free(m);
}

/* --- What is looked at ------------------------------------------------------------------------ */

static bool matches(const ct_monitor *m, const char *path) {
    return !m->only || fnmatch(m->only, path, 0) == 0;
}

/* A node's path without the name of the model, as the paths of slots are. */
static const char *below(const ct_module *model, const char *path) {
    size_t length = model->name ? strlen(model->name) : 0;
    bool inside = length > 0 && strncmp(path, model->name, length) == 0 && path[length] == '/';
    return inside ? path + length + 1 : path;
}

static ct_status want(ct_fit_step *step, ct_tensor *t) {
    if (!t) return ct_error();
    if (step->n_also < CT_ALSO) return ct_fit_want(step, t);
    return ct_fail(CT_ERR_RANGE,
                   "ct_fit: the monitor looks at more than %d tensors; its option 'only' chooses",
                   CT_ALSO);
}

static ct_status want_outputs(ct_monitor *m, ct_fit_step *step) {
    ct_status status = cti_outputs_of(step->loss, &m->outputs);
    int64_t kept = 0;
    for (int64_t i = 0; i < m->outputs.count && status == CT_OK; i++) {
        cti_output item = m->outputs.items[i];
        item.path = below(step->model, item.path);
        if (!matches(m, item.path)) continue;
        m->outputs.items[kept++] = item;
        status = want(step, item.value);
    }
    m->outputs.count = kept;
    return status;
}

/* Keeps the parameter for later, or forgets it. */
static ct_status want_gradient(ct_monitor *m, ct_fit_step *step, ct_named_slot item, ct_tensor *g) {
    if (!g || !matches(m, item.path)) {
        cti_free(item.path);
        return CT_OK;
    }
    m->before[m->parameters.count] = ct_slot_read(item.slot);
    m->parameters.items[m->parameters.count++] = item;
    return want(step, g);
}

static ct_status want_gradients(ct_monitor *m, ct_fit_step *step) {
    if (ct_optimizer_parameters(step->optimizer, &m->parameters) != CT_OK) return ct_error();
    int64_t n = m->parameters.count;
    ct_tensor **g = cti_alloc((size_t)n, sizeof *g);
    m->before = cti_alloc((size_t)n, sizeof *m->before);
    ct_status status = g && m->before ? CT_OK : CT_ERR_MEMORY;
    if (status == CT_OK) status = ct_optimizer_gradients(step->optimizer, step->loss, g, n);
    bool derived = status == CT_OK;
    m->parameters.count = derived ? 0 : n;
    for (int64_t i = 0; i < n && derived; i++) {
        ct_status added = want_gradient(m, step, m->parameters.items[i], g[i]);
        if (status == CT_OK) status = added;
    }
    cti_free(g);
    return status;
}

/* n numbers, in any dtype of floats, as one f64 [n]. */
static ct_tensor *side_by_side(ct_tensor *numbers[], int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        numbers[i] = ct_reshape(ct_cast(numbers[i], CT_F64), CT_SHAPE(1));
    }
    return ct_concat(numbers, n, 0);
}

/* Of all that is looked at, in one tensor. */
static ct_status want_norms(const ct_monitor *m, ct_fit_step *step) {
    ct_tensor *norms[CT_ALSO];
    int64_t n = step->n_also - m->first;
    if (n == 0) return CT_OK;
    for (int64_t i = 0; i < n; i++) norms[i] = ct_norm(step->also[m->first + i]);
    return want(step, side_by_side(norms, n));
}

ct_status cti_monitor_want(ct_monitor *m, int64_t number, ct_fit_step *step) {
    look_away(m);
    if ((number - 1) % m->every != 0) return CT_OK;
    m->first = step->n_also;
    ct_status status = want_outputs(m, step);
    if (status == CT_OK) status = want_gradients(m, step);
    if (status == CT_OK && m->only && *m->only && step->n_also == m->first) {
        status = ct_fail(CT_ERR_STATE,
                         "ct_fit: the monitor's option 'only' is '%s', which the path of no layer "
                         "and of no parameter matches; \"\" is none",
                         m->only);
    }
    if (status == CT_OK) status = want_norms(m, step);
    m->looking = status == CT_OK;
    if (!m->looking) look_away(m);
    return status;
}

/* --- What is written -------------------------------------------------------------------------- */

/* "prefix/path", in a block of cti_alloc. Names are the user's: what is not UTF-8 becomes '_'. */
static char *tag_of(const char *prefix, const char *path) {
    char *tag = cti_path_new(prefix, path);
    size_t length = tag ? strlen(tag) : 0;
    for (size_t at = 0; at < length;) {
        size_t sequence = cti_utf8_length(tag + at, length - at);
        if (sequence == 0) tag[at] = '_';
        at += sequence ? sequence : 1;
    }
    return tag;
}

/* A number that was not measured is left out. */
static ct_status put_scalar(ct_monitor *m, const char *prefix, const char *path, int64_t step,
                            double value, bool measured) {
    if (!measured) return CT_OK;
    char *tag = tag_of(prefix, path);
    ct_status status = tag ? ct_events_scalar(m->events, tag, step, value) : CT_ERR_MEMORY;
    cti_free(tag);
    return status;
}

/* RFC 4180. */
static void put_text(cti_writer *out, const char *text) {
    bool plain = !strpbrk(text, ",\"\r\n");
    if (plain) cti_write_text(out, text);
    else cti_write_text(out, "\"");
    for (; *text && !plain; text++) {
        cti_write_bytes(out, text, 1);
        if (*text == '"') cti_write_text(out, "\"");
    }
    if (!plain) cti_write_text(out, "\"");
}

static ct_status put_line(ct_monitor *m, int64_t step, const char *what, const char *path,
                          double norm, double ratio) {
    const cti_histogram *h = &m->histogram;
    static const double quantiles[] = {0.05, 0.25, 0.5, 0.75, 0.95};
    double numbers[10] = {norm, h->sum / (double)h->count, h->least};
    for (int i = 0; i < 5; i++) numbers[3 + i] = cti_histogram_quantile(h, quantiles[i]);
    numbers[8] = h->greatest;
    for (int i = 1; i < 9 && h->count == 0; i++) numbers[i] = (double)NAN; /* of no elements */
    numbers[9] = isfinite(ratio) ? ratio : (double)NAN;                    /* of what is not 0 */
    cti_writer line = {0};
    cti_write_format(&line, "%lld,%s,", (long long)step, what);
    put_text(&line, path);
    cti_write_format(&line, ",%lld,%lld", (long long)h->count, (long long)h->nonfinite);
    for (int i = 0; i < 10; i++) {
        cti_write_text(&line, ",");
        if (!isnan(numbers[i])) cti_write_text(&line, cti_real_shown(numbers[i], 9).text);
    }
    cti_write_text(&line, "\n");
    ct_status status = cti_append("ct_fit", &m->table, &line);
    cti_free(line.text);
    return status;
}

/* Histogram and line of one tensor. */
static ct_status put_tensor(ct_monitor *m, int64_t step, const char *what, const char *path,
                            ct_tensor *value, double norm, double ratio) {
    char prefix[32];
    snprintf(prefix, sizeof prefix, "%ss", what);
    char *tag = tag_of(prefix, path);
    ct_status status = tag ? cti_histogram_of(value, &m->histogram) : CT_ERR_MEMORY;
    if (status == CT_OK) status = cti_events_histogram(m->events, tag, step, &m->histogram);
    if (status == CT_OK) status = put_line(m, step, what, path, norm, ratio);
    cti_free(tag);
    return status;
}

/* |w' - w| / |w| of all parameters that are looked at: one evaluation. NULL on error. */
static const double *update_ratios(const ct_monitor *m) {
    ct_tensor *ratios[CT_ALSO];
    int64_t n = m->parameters.count;
    for (int64_t i = 0; i < n; i++) {
        ct_tensor *now = ct_slot_read(m->parameters.items[i].slot);
        ratios[i] = ct_div(ct_norm(ct_sub(now, m->before[i])), ct_norm(m->before[i]));
    }
    return ct_data_f64(side_by_side(ratios, n));
}

static ct_status put_gradients(ct_monitor *m, int64_t step, ct_tensor *const gradients[],
                               const double *norms) {
    int64_t n = m->parameters.count;
    const double *ratios = n > 0 ? update_ratios(m) : NULL;
    ct_status status = n > 0 && !ratios ? ct_error() : CT_OK;
    for (int64_t i = 0; ratios && i < n && status == CT_OK; i++) {
        const char *path = m->parameters.items[i].path;
        status = put_tensor(m, step, "gradient", path, gradients[i], norms[i], ratios[i]);
        if (status == CT_OK) status = put_scalar(m, "gradient_norm", path, step, norms[i], true);
        if (status != CT_OK) break;
        status = put_scalar(m, "update_ratio", path, step, ratios[i], isfinite(ratios[i]));
    }
    return status;
}

/* Everything was computed by the step, but for the ratios. */
static ct_status put_layers(ct_monitor *m, int64_t number, const ct_fit_step *step) {
    int64_t outputs = m->outputs.count, n = outputs + m->parameters.count;
    ct_tensor *const *seen = step->also + m->first;
    const double *norms = n > 0 ? ct_data_f64(seen[n]) : NULL;
    ct_status status = n > 0 && !norms ? ct_error() : CT_OK;
    for (int64_t i = 0; norms && i < outputs && status == CT_OK; i++) {
        const char *path = m->outputs.items[i].path;
        status = put_tensor(m, number, "activation", path, seen[i], norms[i], (double)NAN);
    }
    if (status == CT_OK && norms) {
        status = put_gradients(m, number, seen + outputs, norms + outputs);
    }
    if (status != CT_OK || m->graph_written) return status;
    m->graph_written = true;
    return ct_events_graph(m->events, &step->loss, 1);
}

static ct_status put_rate(ct_monitor *m, int64_t number, ct_optimizer *optimizer) {
    double rate = ct_optimizer_rate(optimizer);
    return put_scalar(m, "", "rate", number, rate, !isnan(rate));
}

ct_status cti_monitor_step(ct_monitor *m, const ct_step_record *last, const ct_fit_step *step) {
    ct_status status = put_scalar(m, "", "loss", last->step, last->loss, true);
    if (status == CT_OK) {
        bool measured = !isnan(last->accuracy);
        status = put_scalar(m, "", "accuracy", last->step, last->accuracy, measured);
    }
    if (status == CT_OK && m->looking) status = put_rate(m, last->step, step->optimizer);
    if (status == CT_OK && m->looking) status = put_layers(m, last->step, step);
    look_away(m);
    return status;
}

ct_status cti_monitor_epoch(ct_monitor *m, const ct_fit_options *options, int64_t step,
                            const ct_epoch *epoch) {
    const struct {
        const char *name;
        double value;
        const char *metric; /* one of this name has it already */
    } means[] = {{"loss", epoch->loss, NULL},
                 {"accuracy", epoch->accuracy, "accuracy"},
                 {"val_loss", epoch->val_loss, NULL},
                 {"val_accuracy", epoch->val_accuracy, "accuracy"}};
    ct_status status = CT_OK;
    for (size_t i = 0; i < sizeof means / sizeof *means && status == CT_OK; i++) {
        double value = means[i].value;
        const char *metric = means[i].metric;
        if (metric && cti_lists_metric(options->metrics, options->n_metrics, metric)) continue;
        status = put_scalar(m, "epoch", means[i].name, step, value, !isnan(value));
    }
    for (int64_t i = 0; i < options->n_metrics && status == CT_OK; i++) {
        char val_name[160];
        const char *name = options->metrics[i].name;
        double value = epoch->metrics[i], val = epoch->val_metrics[i];
        snprintf(val_name, sizeof val_name, "val_%s", name);
        status = put_scalar(m, "epoch", name, step, value, !isnan(value));
        if (status == CT_OK) status = put_scalar(m, "epoch", val_name, step, val, !isnan(val));
    }
    return status;
}
