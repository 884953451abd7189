/* Pictures into files, in the format that a file's ending names.
 * What is shown and how a format writes it are others' business.
 * Invariant: a picture is complete in memory before a file is touched, so a failure leaves no part
 * of one; where the program `dot` makes none, its text stays. */
#include "autograd/draw/formats.h"
#include "autograd/draw/graphviz.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/io/file.h"
#include "tensor/io/writer.h"
#include "tensor/simplify.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum { FORMATS = sizeof cti_formats / sizeof *cti_formats };

/* The format of an ending, of all or of those that `dot` makes; -1 when there is none. `known`
 * lists them: ".svg, .png or .pdf". */
static int format_named(const char *ending, bool only_drawn, const char *point,
                        char known[16 * FORMATS]) {
    size_t used = 0;
    int last = FORMATS - 1; /* that is listed */
    while (only_drawn && !cti_formats[last].drawn) last--;
    for (int i = 0; i <= last; i++) {
        if (only_drawn && !cti_formats[i].drawn) continue;
        if (ending && strcasecmp(ending, cti_formats[i].ending) == 0) return i;
        const char *between = !used ? "" : i == last ? " or " : ", ";
        used += (size_t)snprintf(known + used, 16 * FORMATS - used, "%s%s%s", between, point,
                                 cti_formats[i].ending);
    }
    return -1;
}

/* The same of a path, with the error recorded. */
static int format_of(const char *function, const char *path, bool only_drawn) {
    char known[16 * FORMATS];
    const char *point = strrchr(path, '.');
    int format = format_named(point ? point + 1 : NULL, only_drawn, ".", known);
    if (format < 0) {
        ct_fail(CT_ERR_RANGE, "%s: '%s' must end in %s", function, cti_show_path(path).text, known);
    }
    return format;
}

static ct_status put(const char *function, const char *path, const cti_writer *text) {
    return cti_file_write(function, path, &(cti_chunk){text->text, text->used}, 1);
}

static ct_status fail_with_text(const char *function, const cti_no_picture *why, const char *where,
                                const char *path) {
    return ct_fail(CT_ERR_IO, "%s: %s; %s %s%s", function, why->reason, where,
                   cti_show_path(path).text, why->hint);
}

/* The text beside the picture that could not be made: graph.svg -> graph.dot. */
static ct_status put_beside(const char *function, const char *path, const cti_writer *text,
                            const cti_no_picture *why, bool again, bool *slow) {
    char *beside = cti_strdup(path);
    if (!beside) return CT_ERR_MEMORY;
    memcpy(strrchr(beside, '.') + 1, "dot", 3);
    ct_status status = again ? CT_OK : put(function, beside, text);
    if (status == CT_OK && why->slow && slow) *slow = true;
    else if (status == CT_OK) status = fail_with_text(function, why, "wrote", beside);
    cti_free(beside);
    return status;
}

/* The picture in a format: `text`, and `drawn` where `dot` makes it of that, in so many seconds.
 * The caller frees both. Where `dot` makes none, *why says so unless an error is on record. */
static ct_status make(const cti_picture *picture, int format, double seconds, cti_writer *text,
                      cti_writer *drawn, cti_no_picture *why) {
    *why->reason = '\0';
    cti_formats[format].write(picture, text);
    if (text->status != CT_OK || !cti_formats[format].drawn) return text->status;
    return cti_graphviz(cti_formats[format].ending, cti_formats[format].limit, text->text,
                        text->used, seconds, drawn, why);
}

ct_status cti_picture_save(const cti_picture *picture, const char *function, const char *path,
                           bool again, bool *slow) {
    if (!path) return ct_fail(CT_ERR_NULL, "%s: 'path' is NULL", function);
    int format = format_of(function, path, false);
    if (format < 0) return CT_ERR_RANGE;
    double seconds = cti_dot_patience / (slow ? 3e3 : 1e3);
    cti_writer text = {0}, drawn = {0};
    cti_no_picture why;
    ct_status status = make(picture, format, seconds, &text, &drawn, &why);
    if (status == CT_OK) status = put(function, path, cti_formats[format].drawn ? &drawn : &text);
    else if (*why.reason) status = put_beside(function, path, &text, &why, again, slow);
    cti_free(text.text);
    cti_free(drawn.text);
    return status;
}

/* To `out`: all of it or, when `dot` makes no picture, nothing. */
static ct_status write_out(const cti_picture *picture, const char *function, FILE *out,
                           int format) {
    cti_writer text = {0}, drawn = {0};
    cti_no_picture why;
    ct_status status = make(picture, format, cti_dot_patience / 1e3, &text, &drawn, &why);
    const cti_writer *made = cti_formats[format].drawn ? &drawn : &text;
    if (status == CT_OK) {
        bool written = fwrite(made->text, 1, made->used, out) == made->used && !fflush(out);
        if (!written) status = ct_fail(CT_ERR_IO, "%s: %s", function, cti_system_error(errno));
    } else if (*why.reason) {
        status = ct_fail(CT_ERR_IO, "%s: %s%s", function, why.reason, why.hint);
    }
    cti_free(text.text);
    cti_free(drawn.text);
    return status;
}

ct_status cti_picture_write(const cti_picture *picture, const char *function, FILE *out) {
    return write_out(picture, function, out, 0);
}

/* Bytes of a title that says what became of a picture, and how far a coarser one is opened. */
enum { SAID = 128, DEPTH = 3 };

/* --- Graphs ------------------------------------------------------------------------------- */

/* What text for people and programs shows of a graph: all of it, in the frames of its modules. */
ct_dot_options cti_text_options(ct_dot_options options) {
    options.clusters = options.unfold = true;
    if (options.max_nodes == 0) options.max_nodes = INT64_MAX;
    return options;
}

static ct_dot_options options_for(int format, ct_dot_options options) {
    return cti_formats[format].options ? cti_formats[format].options(options) : options;
}

static ct_status picture_for(cti_picture *picture, int format, const char *function,
                             ct_tensor *const roots[], int64_t n, ct_dot_options options,
                             cti_terms *terms) {
    options = options_for(format, options);
    return cti_picture_of(picture, function, roots, n, &options, terms);
}

ct_status ct_dot_write(FILE *out, ct_tensor *const roots[], int64_t n, ct_dot_options options) {
    CTI_CALLED;
    static const char function[] = "ct_dot_write";
    if (!out || !roots) {
        return ct_fail(CT_ERR_NULL, "%s: '%s' is NULL", function, out ? "roots" : "out");
    }
    char known[16 * FORMATS];
    int format = options.format ? format_named(options.format, false, "", known) : 0;
    if (format < 0) {
        return ct_fail(CT_ERR_RANGE, "%s: the format '%s' must be %s", function,
                       cti_show_path(options.format).text, known);
    }
    cti_picture picture;
    ct_status status = picture_for(&picture, format, function, roots, n, options, NULL);
    if (status == CT_OK) status = write_out(&picture, function, out, format);
    cti_picture_free(&picture);
    return status;
}

/* What ct_dot_save and ct_dot_save_both were called with. */
typedef struct {
    const char *function, *path;
    ct_tensor *const *roots;
    int64_t n;
    int format;
} call;

/* The same with larger boxes, which are of no term, and a title that says so. */
static void make_coarser(ct_dot_options *o, const char *title, char said[SAID]) {
    bool modules = o->level == CT_DOT_MODULES;
    const char *finer = modules ? "smaller ones" : o->level == CT_DOT_PLAN ? "the plan" : "the ops";
    o->level = CT_DOT_MODULES;
    o->depth = modules ? 0 : DEPTH;
    o->formula = NULL;
    snprintf(said, SAID, "%.60s%s(modules: dot took too long for %s)", title ? title : "",
             title ? " " : "", finer);
    o->title = said;
}

ct_status cti_save_coarser(cti_save *save, void *request, ct_dot_options options) {
    const char *title = options.title;
    char said[SAID];
    for (bool again = false;; again = true) {
        bool slow = false, coarsest = options.level == CT_DOT_MODULES && options.depth == 0;
        ct_status status = save(request, &options, again, coarsest ? NULL : &slow);
        if (status != CT_OK || !slow) return status;
        make_coarser(&options, title, said);
    }
}

static ct_status save(void *context, const ct_dot_options *options, bool again, bool *slow) {
    const call *r = context;
    cti_picture picture;
    ct_status status = picture_for(&picture, r->format, r->function, r->roots, r->n, *options,
                                   NULL);
    if (status == CT_OK) status = cti_picture_save(&picture, r->function, r->path, again, slow);
    cti_picture_free(&picture);
    return status;
}

/* A result that is computed anyway, for another one, keeps its name. */
static void name_results(cti_picture *picture, ct_tensor *const roots[],
                         ct_tensor *const evaluated[], int64_t n) {
    for (int64_t i = 0; i < picture->n_nodes; i++) {
        cti_picture_node *node = &picture->nodes[i];
        for (int64_t r = 0; r < n && !node->name; r++) {
            if (node->value == evaluated[r] && *ct_name_of(roots[r])) {
                node->name = ct_name_of(roots[r]);
            }
        }
    }
}

/* As derived and as evaluated. */
static ct_status make_both(const call *r, const ct_dot_options *options, cti_terms *terms,
                           ct_tensor *evaluated[], cti_picture both[2]) {
    ct_status status = picture_for(&both[0], r->format, r->function, r->roots, r->n, *options,
                                   terms);
    if (status == CT_OK) status = ct_simplify(r->roots, r->n, evaluated);
    if (status != CT_OK) return status;
    ct_dot_options own = options_for(r->format, *options);
    status = cti_picture_of_part(&both[1], r->function, evaluated, r->n, &own, terms);
    if (status != CT_OK) return status;
    name_results(&both[1], r->roots, evaluated, r->n);
    return cti_picture_beside(&both[0], "as derived", &both[1], "as evaluated");
}

static ct_status save_both(void *context, const ct_dot_options *options, bool again, bool *slow) {
    const call *r = context;
    cti_picture both[2] = {{0}, {0}};
    cti_terms terms = {.formula = options->formula};
    ct_tensor **evaluated = cti_alloc((size_t)r->n, sizeof *evaluated);
    ct_status status = evaluated ? make_both(r, options, &terms, evaluated, both) : CT_ERR_MEMORY;
    if (status == CT_OK) status = cti_picture_save(&both[0], r->function, r->path, again, slow);
    cti_picture_free(&both[0]);
    cti_picture_free(&both[1]);
    cti_terms_free(&terms);
    cti_free(evaluated);
    return status;
}

static ct_status save_as(cti_save *how, call *r, ct_dot_options options) {
    if (!r->path || !r->roots) {
        return ct_fail(CT_ERR_NULL, "%s: '%s' is NULL", r->function, r->path ? "roots" : "path");
    }
    if (r->n < 1) return ct_fail(CT_ERR_RANGE, "%s: needs at least one root", r->function);
    r->format = format_of(r->function, r->path, false);
    if (r->format < 0) return CT_ERR_RANGE;
    int64_t scope = ct_scope_open();
    ct_status status = cti_save_coarser(how, r, options);
    ct_scope_close(scope);
    return status;
}

ct_status ct_dot_save(const char *path, ct_tensor *const roots[], int64_t n,
                      ct_dot_options options) {
    CTI_CALLED;
    return save_as(save, &(call){"ct_dot_save", path, roots, n, 0}, options);
}

ct_status ct_dot_save_both(const char *path, ct_tensor *const roots[], int64_t n,
                           ct_dot_options options) {
    CTI_CALLED;
    return save_as(save_both, &(call){"ct_dot_save_both", path, roots, n, 0}, options);
}

ct_status ct_dot_render(const char *dot_path, const char *picture_path) {
    static const char function[] = "ct_dot_render";
    if (!dot_path || !picture_path) {
        return ct_fail(CT_ERR_NULL, "%s: '%s' is NULL", function,
                       dot_path ? "picture_path" : "dot_path");
    }
    int format = format_of(function, picture_path, true);
    if (format < 0) return CT_ERR_RANGE;
    uint8_t *text;
    size_t length;
    ct_status status = cti_file_read(function, dot_path, &text, &length);
    if (status != CT_OK) return status;
    cti_writer drawn = {0};
    cti_no_picture why;
    status = cti_graphviz(cti_formats[format].ending, cti_formats[format].limit, (const char *)text,
                          length, cti_dot_patience / 1e3, &drawn, &why);
    if (status == CT_OK) status = put(function, picture_path, &drawn);
    else if (*why.reason) status = fail_with_text(function, &why, "the text is in", dot_path);
    cti_free(drawn.text);
    cti_free(text);
    return status;
}
