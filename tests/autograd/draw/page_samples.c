/* Writes the pages that page.py looks at in a browser, into a folder.
 *
 *     page_samples FOLDER
 *
 * It tests nothing.
 * Invariant: what it writes depends on nothing but this file and the library. */
#include <cotan/cotan.h>

#include <stdio.h>
#include <string.h>

static const char *folder;

static const char *in_folder(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static ct_tensor *vector(const char *name) {
    return ct_name(ct_full(CT_F32, CT_SHAPE(8), 1), name);
}

/* 6000 ops that belong to no module. */
static ct_status many(void) {
    ct_tensor *x = vector("x"), *y = x, *z = vector("z");
    for (int i = 0; i < 3000; i++) {
        ct_tensor *next = ct_add(y, z);
        z = ct_mul(z, i % 7 ? y : x);
        y = next;
    }
    ct_tensor *roots[] = {ct_name(y, "y"), ct_name(z, "z_end")};
    return ct_dot_save(in_folder("many.html"), roots, 2, (ct_dot_options){.title = "6000 nodes"});
}

/* Modules within modules, with the derivative, and names that hold anything. */
static ct_status nested_in(const char *file, bool left_to_right) {
    ct_tensor *x = vector("x"), *y = x;
    static const char *const inner[] = {"first", "second \"\\<b>", "third"};
    for (int block = 0; block < 3; block++) {
        char name[32];
        snprintf(name, sizeof name, "block%d", block);
        ct_path_push(name);
        for (int k = 0; k < 3; k++) {
            ct_path_push(inner[k]);
            ct_path_push("deep");
            y = ct_name(ct_tanh(ct_mul(y, ct_exp(y))),
                        k == 1 ? "a\xff\xe2\x80\xa8<i>" : "</script><script>alert(1)");
            ct_path_pop();
            y = ct_add(y, x);
            ct_path_pop();
        }
        ct_path_pop();
    }
    y = ct_name(ct_sum_all(y), "loss");
    ct_tensor *dx, *roots[2] = {y};
    ct_status status = ct_grad(y, &x, 1, &dx);
    if (status != CT_OK) return status;
    roots[1] = ct_name(dx, "dx");
    return ct_dot_save(in_folder(file), roots, 2,
                       (ct_dot_options){.title = "nested </title><script>alert(2)</script>",
                                        .left_to_right = left_to_right});
}

static ct_status nested(void) { return nested_in("nested.html", false); }
static ct_status across(void) { return nested_in("across.html", true); }

/* The network of the study, as it trains and as it is used. */
static ct_status pair(void) {
    ct_module *model = ct_digits_cnn_new((ct_digits_cnn_options){0});
    if (!model) return ct_error();
    ct_tensor *images = ct_name(ct_full(CT_F32, CT_SHAPE(32, 28, 28, 1), 1), "images");
    ct_tensor *trained = ct_name(ct_forward(model, images, CT_TRAINING), "probabilities");
    ct_tensor *used = ct_name(ct_forward(model, images, CT_INFERENCE), "probabilities");
    const ct_page_picture pictures[] = {{"training", &trained, 1}, {"inference", &used, 1}};
    ct_status status = ct_page_save(in_folder("pair.html"), pictures, 2,
                                    (ct_dot_options){.title = "training and inference"});
    ct_module_free(model);
    return status;
}

/* A gradient of which it is known where the time went. */
static ct_status timed(void) {
    ct_tensor *x[] = {ct_name(ct_full(CT_F32, CT_SHAPE(64, 512), 1), "x"),
                      ct_name(ct_full(CT_F32, CT_SHAPE(512, 512), 1), "w")};
    ct_path_push("dense");
    ct_tensor *y = ct_tanh(ct_matmul(x[0], x[1]));
    ct_path_pop();
    ct_tensor *loss = ct_name(ct_mean_all(ct_mul(y, y)), "loss"), *roots[3] = {loss};
    ct_status status = ct_grad(loss, x, 2, roots + 1);
    ct_profile_start();
    if (status == CT_OK) status = ct_eval(roots, 3);
    ct_profile_stop();
    if (status != CT_OK) return status;
    return ct_dot_save(in_folder("timed.html"), roots, 3,
                       (ct_dot_options){.title = "timed", .profile = true});
}

/* A variance in one pass, of which it is known where digits get lost. */
static ct_status shadowed(void) {
    ct_tensor *x = ct_name(ct_offset(ct_sin(ct_arange(CT_F32, 0, 500, 1)), 1000), "x");
    ct_path_push("norm");
    ct_tensor *variance = ct_sub(ct_mean_all(ct_square(x)), ct_square(ct_mean_all(x)));
    ct_path_pop();
    ct_tensor *y = ct_mul(x, ct_rsqrt(ct_offset(variance, 1e-3)));
    ct_shadow_report report;
    ct_status status = ct_shadow(&y, 1, &report);
    if (status != CT_OK) return status;
    status = ct_dot_save(in_folder("shadowed.html"), &y, 1,
                         (ct_dot_options){.title = "shadowed", .shadow = &report});
    ct_shadow_free(&report);
    return status;
}

int main(int argc, char *argv[]) {
    if (argc != 2) return 2;
    folder = argv[1];
    static ct_status (*const samples[])(void) = {many, nested, across, pair, timed, shadowed};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        int64_t scope = ct_scope_open();
        if (samples[i]() != CT_OK) {
            fprintf(stderr, "page_samples: %s\n", ct_error_message());
            return 1;
        }
        ct_scope_close(scope);
    }
    return 0;
}
