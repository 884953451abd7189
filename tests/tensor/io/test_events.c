/* Event files: what was written is read back by a reader of the tests' own; what cannot be written
 * leaves whole records behind. That TensorBoard itself reads them is tests/reference/events.py's
 * business.
 * Invariant: a file is compared down to its frames; nothing is asked of the writer. */
#include "tests/support/events_support.h"

#define COTAN_PROCESSES

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/stage.h"
#include "tensor/events.h"
#include "tensor/slot.h"

#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zlib.h>

static ct_events *open_events(void) {
    ct_events *events = ct_events_new(folder);
    MADE(events);
    return events;
}

static event_file closed(ct_events *events) {
    ct_events_free(events);
    event_file file = read_events(NULL);
    cr_expect_eq(file.torn, 0);
    return file;
}

/* --- Scalars ---------------------------------------------------------------------------------- */

FOLDER_TEST(events, scalars) {
    ct_events *events = open_events();
    OK(ct_events_scalar(events, "loss", 1, 0.1));
    OK(ct_events_scalar(events, "loss", 1000000000000, (double)NAN));
    OK(ct_events_scalar(events, "r\xc3\xa9sum\xc3\xa9/x", 0, (double)-INFINITY));
    OK(ct_events_scalar(events, "loss", -1, 1e300));
    event_file file = closed(events);
    cr_assert_eq(file.count, 5);
    cr_expect_eq(scalar_of(&file, "loss", 1), (double)0.1f);
    cr_expect(isnan(scalar_of(&file, "loss", 1000000000000)));
    cr_expect_eq(scalar_of(&file, "r\xc3\xa9sum\xc3\xa9/x", 0), (double)-INFINITY);
    cr_expect_eq(file.events[4].step, -1);
    for (int64_t i = 1; i < file.count; i++) {
        cr_expect_geq(file.events[i].wall_time, file.events[i - 1].wall_time);
        cr_expect_geq(file.events[i].wall_time, 1.5e9, "seconds since 1970");
    }
    free_events(&file);
}

FOLDER_TEST(events, folders_and_files_of_their_own) {
    const char *path = in_folder("runs/deep");
    ct_events *one = ct_events_new(path), *two = ct_events_new(in_folder("runs/deep/"));
    MADE(one);
    MADE(two);
    int files = 0;
    DIR *dir = opendir(path);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (*entry->d_name == '.') continue;
        cr_expect(strstr(entry->d_name, "events.out.tfevents.") == entry->d_name);
        unlinkat(dirfd(dir), entry->d_name, 0);
        files++;
    }
    closedir(dir);
    cr_expect_eq(files, 2);
    ct_events_free(one);
    ct_events_free(two);
    cr_expect_eq(rmdir(path), 0);
    cr_expect_eq(rmdir(in_folder("runs")), 0);
}

/* --- Histograms ------------------------------------------------------------------------------- */

/* Each bucket holds the values in [limit before it, its limit); below 0, (.., ..]. */
static double counted(const double *values, int64_t n, double low, double high) {
    double count = 0;
    for (int64_t i = 0; i < n; i++) {
        bool in = high <= 0 ? values[i] > low && values[i] <= high
                            : values[i] >= low && values[i] < high;
        count += low < 0 && high > 0 ? values[i] > low && values[i] < high : in;
    }
    return count;
}

static void expect_histogram(const event_file *file, const char *tag, const double *values,
                             int64_t n) {
    view histogram = field_of(value_of(file, tag, 1), 5, 0).bytes;
    double least = values[0], greatest = values[0], sum = 0, squares = 0, total = 0;
    for (int64_t i = 0; i < n; i++) {
        least = fmin(least, values[i]), greatest = fmax(greatest, values[i]);
        sum += values[i], squares += values[i] * values[i];
    }
    double expected[] = {least, greatest, (double)n, sum, squares};
    for (int k = 0; k < 5; k++) {
        cr_expect_eq(double_of(field_of(histogram, k + 1, 0).bytes), expected[k], "field %d", k);
    }
    view limits = field_of(histogram, 6, 0).bytes, counts = field_of(histogram, 7, 0).bytes;
    cr_assert_eq(limits.length, counts.length);
    double before = -INFINITY;
    for (size_t at = 0; at < limits.length; at += 8) {
        double limit = double_of((view){limits.at + at, 8});
        double count = double_of((view){counts.at + at, 8});
        cr_expect_gt(limit, before);
        cr_expect(at > 0 || (count > 0 && limit >= least), "the first begins at the least");
        if (isfinite(before)) cr_expect_eq(count, counted(values, n, before, limit));
        if (count > 0 && isfinite(before) && before > 0) cr_expect_leq(limit / before, 1.125);
        before = limit, total += count;
    }
    cr_expect_eq(total, (double)n);
}

FOLDER_TEST(events, histograms) {
    enum { N = 4000 };
    static double values[N];
    test_random r = {1};
    for (int i = 0; i < N; i++) {
        values[i] = ldexp(random_real(&r, -1, 1), (int)random_between(&r, -50, 50));
        if (i % 100 == 0) values[i] = i % 200 ? ldexp(1, i / 100 - 20) : -ldexp(1.25, 20 - i / 100);
        if (i % 77 == 0) values[i] = 0;
    }
    double few[] = {0, 1, 2, 2, 255};
    ct_events *events = open_events();
    OK(ct_events_histogram(events, "f64", 1, leaf_from(CT_F64, CT_SHAPE(N), values)));
    OK(ct_events_histogram(events, "u8", 1, leaf_from(CT_U8, CT_SHAPE(5), few)));
    OK(ct_events_histogram(events, "i64", 1, leaf_from(CT_I64, CT_SHAPE(5, 1), few)));
    ct_tensor *computed = ct_offset(leaf_from(CT_F32, CT_SHAPE(5), few), 0.0);
    OK(ct_events_histogram(events, "f32", 1, computed));
    event_file file = closed(events);
    expect_histogram(&file, "f64", values, N);
    expect_histogram(&file, "u8", few, 5);
    expect_histogram(&file, "i64", few, 5);
    expect_histogram(&file, "f32", few, 5);
    cr_expect_eq(count_values(&file, "f64/nonfinite"), 0);
    free_events(&file);
}

FOLDER_TEST(events, what_is_not_finite_is_counted_apart) {
    double mixed[] = {NAN, 1, INFINITY, -INFINITY, 2}, none[] = {NAN, NAN};
    ct_events *events = open_events();
    OK(ct_events_histogram(events, "mixed", 1, leaf_from(CT_F64, CT_SHAPE(5), mixed)));
    OK(ct_events_histogram(events, "none", 1, leaf_from(CT_F32, CT_SHAPE(2), none)));
    OK(ct_events_histogram(events, "empty", 1, ct_full(CT_F32, CT_SHAPE(0), 1)));
    OK(ct_events_histogram(events, "huge", 1, ct_full(CT_F64, CT_SHAPE(2), -1e300)));
    event_file file = closed(events);
    expect_histogram(&file, "mixed", (double[]){1, 2}, 2);
    cr_expect_eq(scalar_of(&file, "mixed/nonfinite", 1), 3);
    cr_expect_eq(scalar_of(&file, "none/nonfinite", 1), 2);
    view none_of = field_of(value_of(&file, "none", 1), 5, 0).bytes;
    cr_expect_eq(double_of(field_of(none_of, 3, 0).bytes), 0);
    cr_expect_eq(field_of(none_of, 7, 0).bytes.length, 0);
    cr_expect_eq(count_values(&file, "empty"), 1);
    cr_expect_eq(count_values(&file, "empty/nonfinite"), 0);
    cr_expect_eq(double_of(field_of(field_of(value_of(&file, "huge", 1), 5, 0).bytes, 1, 0).bytes),
                 -1e300);
    free_events(&file);
}

/* --- Images ----------------------------------------------------------------------------------- */

static uint32_t big_endian(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The PNG is unpacked by zlib, and its CRCs are zlib's. */
static void expect_png(view png, int64_t height, int64_t width, int channels,
                       const uint8_t *pixels) {
    static const char *types[] = {"IHDR", "IDAT", "IEND"};
    size_t row = (size_t)(width * channels), at = 8;
    cr_assert(png.length > 8 && memcmp(png.at, "\x89PNG\r\n\x1a\n", 8) == 0);
    for (int i = 0; i < 3; i++) {
        const unsigned char *chunk = png.at + at;
        uint32_t length = big_endian(chunk);
        cr_assert(memcmp(chunk + 4, types[i], 4) == 0);
        cr_expect_eq(crc32(0, chunk + 4, length + 4), big_endian(chunk + 8 + length));
        if (i == 0) {
            unsigned char rest[] = {8, channels == 1 ? 0 : channels == 3 ? 2 : 6, 0, 0, 0};
            cr_expect(big_endian(chunk + 8) == width && big_endian(chunk + 12) == height);
            cr_expect(length == 13 && memcmp(chunk + 16, rest, 5) == 0);
        } else if (i == 1) {
            uLongf size = (uLongf)(((size_t)height) * (row + 1));
            unsigned char *rows = malloc(size + 1);
            cr_assert_eq(uncompress(rows, &size, chunk + 8, length), Z_OK);
            cr_assert_eq(size, (size_t)height * (row + 1));
            for (size_t y = 0; y < (size_t)height; y++) {
                cr_expect_eq(rows[y * (row + 1)], 0);
                cr_expect(memcmp(rows + y * (row + 1) + 1, pixels + y * row, row) == 0);
            }
            free(rows);
        }
        at += length + 12;
    }
    cr_expect_eq(at, png.length);
}

static void expect_image(const event_file *file, const char *tag, int64_t height, int64_t width,
                         int channels, const uint8_t *pixels) {
    view image = field_of(value_of(file, tag, 1), 4, 0).bytes;
    cr_expect_eq((int64_t)field_of(image, 1, 0).varint, height);
    cr_expect_eq((int64_t)field_of(image, 2, 0).varint, width);
    cr_expect_eq((int)field_of(image, 3, 0).varint, channels);
    expect_png(field_of(image, 4, 0).bytes, height, width, channels, pixels);
}

FOLDER_TEST(events, images) {
    enum { LARGE = 300 * 200 * 4 }; /* more than one stored block */
    static uint8_t bytes[LARGE];
    for (int i = 0; i < LARGE; i++) bytes[i] = (uint8_t)(i * 7 + i / 256);
    double light[] = {0, 1, 0.5, -3, 7, NAN};
    uint8_t shown[] = {0, 255, 128, 0, 255, 0};
    ct_events *events = open_events();
    OK(ct_events_image(events, "rgba", 1, ct_from(CT_U8, CT_SHAPE(300, 200, 4), bytes)));
    OK(ct_events_image(events, "rgb", 1, ct_from(CT_U8, CT_SHAPE(2, 5, 3), bytes)));
    OK(ct_events_image(events, "grey", 1, ct_from(CT_U8, CT_SHAPE(7, 3, 1), bytes)));
    OK(ct_events_image(events, "light", 1, leaf_from(CT_F32, CT_SHAPE(2, 3), light)));
    event_file file = closed(events);
    expect_image(&file, "rgba", 300, 200, 4, bytes);
    expect_image(&file, "rgb", 2, 5, 3, bytes);
    expect_image(&file, "grey", 7, 3, 1, bytes);
    expect_image(&file, "light", 2, 3, 1, shown);
    free_events(&file);
}

/* --- Graphs ----------------------------------------------------------------------------------- */

static view name_at(view graph, int node) {
    return field_of(field_of(graph, 1, node).bytes, 1, 0).bytes;
}

static bool is_node(view graph, view name) {
    int found = 0;
    for (int i = 0; name_at(graph, i).at; i++) {
        view other = name_at(graph, i);
        found += other.length == name.length && !memcmp(other.at, name.at, name.length);
    }
    return found == 1;
}

/* The node with that name; fails the test when there is none. */
static view node_named(view graph, const char *name) {
    for (int i = 0; name_at(graph, i).at; i++) {
        if (text_is(name_at(graph, i), name)) return field_of(graph, 1, i).bytes;
    }
    cr_assert(false, "no node '%s'", name);
    return (view){0};
}

/* A layer with a staged update, and its derivative. */
static void make_graph(ct_slot *w, ct_slot *mean, ct_tensor *roots[2]) {
    ct_tensor *x = ct_name(ct_full(CT_F32, CT_SHAPE(2, 3), 0.5), "x"), *kernel = ct_slot_read(w);
    OK(ct_path_push("net"));
    OK(ct_path_push("den:s\xff"));
    ct_tensor *y = ct_matmul(x, kernel);
    y = ct_stage(y, mean, 0.5, ct_mean(y, CT_AXES(0)));
    ct_path_pop();
    ct_path_pop();
    roots[0] = ct_name(ct_sum_all(ct_square(y)), "loss");
    OK(ct_grad(roots[0], &kernel, 1, &roots[1]));
}

FOLDER_TEST(events, a_graph) {
    ct_slot *w = ct_slot_new("kernel", ct_full(CT_F32, CT_SHAPE(3, 2), 1));
    ct_slot *mean = ct_slot_new("mean", ct_full(CT_F32, CT_SHAPE(2), 0));
    ct_tensor *roots[2];
    make_graph(w, mean, roots);
    ct_events *events = open_events();
    OK(ct_events_graph(events, roots, 2));
    ct_tensor *again[2];
    make_graph(w, mean, again);
    OK(ct_events_graph(events, again, 2));
    event_file file = closed(events);
    view graph = file.events[1].graph;
    cr_assert_not_null(graph.at);
    cr_expect(graph.length == file.events[2].graph.length &&
              !memcmp(graph.at, file.events[2].graph.at, graph.length));
    int nodes = 0, controls = 0, gradients = 0;
    for (; name_at(graph, nodes).at; nodes++) {
        cr_expect(is_node(graph, name_at(graph, nodes)), "names are unique");
        view node = field_of(graph, 1, nodes).bytes, input;
        gradients += !memcmp(name_at(graph, nodes).at, "gradients/", 10);
        for (int k = 0; (input = field_of(node, 3, k).bytes).at; k++) {
            bool control = *input.at == '^';
            controls += control;
            cr_expect(is_node(graph, (view){input.at + control, input.length - control}));
        }
    }
    cr_expect(nodes > 8 && controls == 1 && gradients > 1);
    view product = node_named(graph, "net/den_s_/matmul_2");
    cr_expect(text_is(field_of(product, 2, 0).bytes, "matmul"));
    cr_expect(text_is(field_of(product, 3, 0).bytes, "net/den_s_/x_0"));
    cr_expect(text_is(field_of(product, 3, 1).bytes, "net/den_s_/kernel_1"));
    cr_expect(text_is(field_of(node_named(graph, "net/den_s_/kernel_1"), 2, 0).bytes, "Parameter"));
    view shapes = field_of(field_of(product, 5, 1).bytes, 2, 0).bytes;
    view shape = field_of(field_of(shapes, 1, 0).bytes, 7, 0).bytes;
    cr_expect_eq(field_of(field_of(shape, 2, 1).bytes, 1, 0).varint, 2);
    free_events(&file);
    ct_slot_drop(w);
    ct_slot_drop(mean);
}

/* --- Refusals --------------------------------------------------------------------------------- */

static void expect_refused(ct_status status, ct_status expected, const char *message) {
    cr_expect_eq(status, expected);
    cr_expect_eq(strncmp(ct_error_message(), message, strlen(message)), 0, "said '%s'",
                 ct_error_message());
    ct_error_clear();
}

FOLDER_TEST(events, bad_arguments) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2, 2), 1);
    ct_events *events = open_events();
    expect_refused(ct_events_scalar(NULL, "a", 1, 1), CT_ERR_NULL,
                   "ct_events_scalar: 'events' is NULL");
    expect_refused(ct_events_scalar(events, NULL, 1, 1), CT_ERR_NULL,
                   "ct_events_scalar: 'tag' is NULL");
    expect_refused(ct_events_scalar(events, "", 1, 1), CT_ERR_RANGE,
                   "ct_events_scalar: the tag '' is empty");
    expect_refused(ct_events_image(events, "a\xff", 1, x), CT_ERR_RANGE,
                   "ct_events_image: the tag 'a\\xff' is not UTF-8");
    expect_refused(ct_events_histogram(events, "a", 1, NULL), CT_ERR_NULL,
                   "ct_events_histogram: 'values' is NULL");
    expect_refused(ct_events_image(events, "a", 1, NULL), CT_ERR_NULL,
                   "ct_events_image: 'image' is NULL");
    expect_refused(ct_events_image(events, "a", 1, ct_full(CT_F32, CT_SHAPE(2, 2, 2), 1)),
                   CT_ERR_SHAPE, "ct_events_image: needs [H,W] or [H,W,C]");
    expect_refused(ct_events_image(events, "a", 1, ct_full(CT_F32, CT_SHAPE(0, 2), 1)),
                   CT_ERR_SHAPE, "ct_events_image: needs");
    expect_refused(ct_events_image(events, "a", 1, ct_full(CT_I64, CT_SHAPE(2, 2), 1)),
                   CT_ERR_DTYPE, "ct_events_image: needs u8, f32 or f64, got i64");
    expect_refused(ct_events_graph(events, &x, 0), CT_ERR_RANGE, "ct_events_graph: ");
    expect_refused(ct_events_graph(events, (ct_tensor *[]){NULL}, 1), CT_ERR_NULL,
                   "ct_events_graph: ");
    event_file file = closed(events);
    cr_expect_eq(file.count, 1, "nothing of it was written");
    free_events(&file);
}

FOLDER_TEST(events, folders_that_are_none) {
    put_file(in_folder("file"), "x", 1);
    const struct {
        const char *path;
        ct_status status;
    } bad[] = {{NULL, CT_ERR_NULL},
               {"", CT_ERR_RANGE},
               {in_folder("file"), CT_ERR_IO},
               {in_folder("file/below"), CT_ERR_IO},
               {"/proc/cotan", CT_ERR_IO},
               {"/proc", CT_ERR_IO}};
    int descriptors = open_descriptors();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_null(ct_events_new(bad[i].path));
        expect_refused(ct_error(), bad[i].status, "ct_events_new: ");
    }
    cr_expect_eq(open_descriptors(), descriptors);
}

/* A disk that is full, or takes a part of the record alone. */
FOLDER_TEST(events, a_full_disk) {
    enum { N = 12 };
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(3), 2);
    ct_events *events = open_events();
    for (int i = 0; i < N; i++) {
        OK(ct_events_scalar(events, "before", i, i));
        arm(1, fault_codes[i % FAULT_CODES], false);
        ct_status status = ct_events_histogram(events, "lost", i, x);
        disarm();
        if (fault_codes[i % FAULT_CODES] == SHORT_COUNT || fault_codes[i % FAULT_CODES] == EINTR) {
            cr_expect_eq(status, CT_OK);
        } else expect_refused(status, CT_ERR_IO, "ct_events_histogram: ");
        arm(1, SHORT_COUNT, true);
        status = ct_events_histogram(events, "pieces", i, x);
        disarm();
        cr_expect(status == CT_OK || status == CT_ERR_IO);
        ct_error_clear();
    }
    OK(ct_events_scalar(events, "after", 1, 1));
    event_file file = closed(events);
    cr_expect_eq(count_values(&file, "before"), N);
    cr_expect_eq(count_values(&file, "after"), 1);
    free_events(&file);
}

/* The second half of each record finds no room. */
static int64_t writes;
static ssize_t half_write(int fd, const void *bytes, size_t length) {
    if (++writes % 2) return write(fd, bytes, length / 2);
    errno = ENOSPC;
    return -1;
}

FOLDER_TEST(events, a_torn_record_is_taken_away) {
    ct_events *events = open_events();
    cti_system half = *cti_system_calls();
    half.write = half_write;
    cti_system_replace(&half);
    expect_refused(ct_events_scalar(events, "lost", 1, 1), CT_ERR_IO, "ct_events_scalar: ");
    cti_system_replace(NULL);
    OK(ct_events_scalar(events, "kept", 1, 1));
    event_file file = closed(events);
    cr_expect(file.count == 2 && count_values(&file, "lost") == 0);
    cr_expect_eq(count_values(&file, "kept"), 1);
    free_events(&file);
}

FOLDER_TEST(events, a_process_that_is_killed_leaves_whole_records) {
    int done[2];
    cr_assert_eq(pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        ct_events *events = ct_events_new(folder);
        for (int64_t i = 0;; i++) {
            char byte = ct_events_scalar(events, "loss", i, (double)i) == CT_OK;
            if (write(done[1], &byte, 1) != 1) _exit(1);
        }
    }
    char byte = 0;
    for (int i = 0; i < 100; i++) cr_assert(read(done[0], &byte, 1) == 1 && byte == 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(done[0]), close(done[1]);
    event_file file = read_events(NULL);
    cr_expect_eq(file.torn, 0);
    cr_expect_geq(count_values(&file, "loss"), 100);
    for (int64_t i = 1; i < file.count; i++) {
        cr_expect_eq(scalar_of(&file, "loss", i - 1), (double)(i - 1));
    }
    free_events(&file);
}

/* --- Memory ----------------------------------------------------------------------------------- */

static ct_status write_everything(void) {
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(4, 3), 0.5), *y = ct_exp(x);
    ct_events *events = ct_events_new(folder);
    ct_status status = events ? ct_events_graph(events, &y, 1) : ct_error();
    if (status == CT_OK) status = ct_events_scalar(events, "a", 1, 1);
    if (status == CT_OK) status = ct_events_histogram(events, "b", 1, y);
    if (status == CT_OK) status = ct_events_image(events, "c", 1, x);
    ct_events_free(events);
    ct_scope_close(scope);
    ct_cache_clear();
    return status;
}

FOLDER_TEST(events, without_memory) { cr_expect_gt(memory_sweep(write_everything), 0); }
