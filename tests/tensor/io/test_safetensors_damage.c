/* Safetensors files: damaged and hostile ones, bounded memory, and calls that fail.
 * Not a fuzzer: it tries what can be tried in full.
 * Invariant: any bytes give a checked file or a message that begins with the name of the file. */
#include "tensor/base/alloc.h"
#include "tests/support/safetensors_support.h"

/* --- Damage ------------------------------------------------------------------------------- */

/* What was accepted can be read, every part of it. */
static void touch(const ct_safetensors *file) {
    for (int64_t i = 0; i < ct_safetensors_count(file); i++) {
        cr_expect_eq(ct_safetensors_find(file, ct_safetensors_name(file, i)), i);
        /* A changed letter can make F64 into C64, which cotan cannot hold. */
        cr_expect(ct_safetensors_value(file, i) || ct_error() == CT_ERR_DTYPE);
    }
    ct_error_clear();
    ct_safetensors_metadata(file, "format");
}

FOLDER_TEST(safetensors_damage, refuses_every_truncation) {
    for (size_t length = 0; length < sizeof golden_safetensors; length++) {
        uint8_t *exact = malloc(length ? length : 1); /* for the address sanitizer */
        memcpy(exact, golden_safetensors, length);
        cr_expect_null(parse_safetensors(exact, length), "%zu bytes", length);
        free(exact);
    }
}

FOLDER_TEST(safetensors_damage, withstands_every_changed_byte) {
    uint8_t bytes[sizeof golden_safetensors];
    memcpy(bytes, golden_safetensors, sizeof bytes);
    int valid = 0;
    for (size_t at = 0; at < sizeof bytes; at++) {
        for (int value = 0; value < 256; value++) {
            bytes[at] = (uint8_t)value;
            int64_t scope = ct_scope_open();
            ct_safetensors *file = parse_safetensors(bytes, sizeof bytes);
            if (file) {
                valid++;
                touch(file);
                ct_safetensors_free(file);
            }
            ct_scope_close(scope);
        }
        bytes[at] = golden_safetensors[at];
    }
    /* The 49 bytes of data may be anything, and names nearly. */
    cr_expect_geq(valid, 49 * 256);
    cr_expect_lt(valid, 49 * 256 + 20000);
}

/* 3 GB that take no room on the disk: refused by what stands at their beginning. */
FOLDER_TEST(safetensors_damage, a_large_file_is_judged_by_its_first_bytes) {
    static const struct {
        const char *start;
        size_t n;
        const char *message;
    } rows[] = {
        {"no safetensors", 14,
         "not a safetensors file: header length "
         "8387222449776783214 exceeds limit 100000000"},
        {"", 0, "JSON: expected '{', got the end at byte 8"},
        {"\x09\0\0\0\0\0\0\0[\"a\"]", 13, "JSON: expected '{', got '[' at byte 8"},
    };
    for (int i = 0; i < 3; i++) {
        put_file(in_folder("big.st"), rows[i].start, rows[i].n);
        if (truncate(in_folder("big.st"), INT64_C(3) << 30) != 0) return; /* not here */
        ct_error_clear();
        ct_mem_peak_reset();
        int64_t before = ct_mem_read().live_bytes;
        cr_expect_null(ct_safetensors_load(in_folder("big.st")));
        cr_expect_eq(ct_error(), CT_ERR_FORMAT);
        cr_expect_str_eq(strstr(ct_error_message(), ".st: ") + 5, rows[i].message);
        cr_expect_eq(ct_mem_read().peak_bytes, before);
    }
}

/* --- Memory ------------------------------------------------------------------------------- */

/* Many small entries are what costs most per byte of file. */
FOLDER_TEST(safetensors_damage, many_entries_stay_within_the_bound) {
    enum { N = 20000 };
    cti_writer out = {0};
    cti_write_bytes(&out, "12345678{", 9);
    for (int i = 0; i < N; i++) {
        char entry[200];
        snprintf(entry, sizeof entry, "%s" ENTRY("%x", "U8", "[]", "[%d,%d]"), i ? "," : "",
                 (i * 7919) % N, i, i + 1);
        cti_write_text(&out, entry);
    }
    cti_write_bytes(&out, "}", 1);
    size_t header = out.used - 8;
    for (int i = 0; i < 8; i++) out.text[i] = (char)(header >> 8 * i & 255);
    for (int i = 0; i < N; i++) cti_write_bytes(&out, "d", 1);
    ct_safetensors *file = parse_safetensors((const uint8_t *)out.text, out.used);
    cr_assert_not_null(file, "%s", ct_error_message());
    cr_expect_eq(ct_safetensors_count(file), N);
    for (int i = 0; i < N; i += 97) {
        cr_expect_eq(ct_safetensors_find(file, ct_safetensors_name(file, i)), i);
    }
    ct_safetensors_free(file);
    cti_free(out.text);
}

FOLDER_TEST(safetensors_damage, hostile_headers_stay_within_the_bound) {
    static const char *const repeated[] = {"[",       "{", "{\"a\":", "\"\":\"\",",
                                           ":",       ",", "\"",      "\"\":{},",
                                           "\\u0041", " ", "{}",      "\xe2\x82\xac"};
    enum { LENGTH = 1 << 21 };
    uint8_t *bytes = malloc(LENGTH);
    for (size_t r = 0; r < sizeof repeated / sizeof *repeated; r++) {
        for (int inside = 0; inside < 2; inside++) {
            const char *start = inside ? "{\"__metadata__\":{" : "{";
            size_t used = build_safetensors(bytes, start, 0), step = strlen(repeated[r]);
            while (used + step < LENGTH) {
                memcpy(bytes + used, repeated[r], step);
                used += step;
            }
            for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)((used - 8) >> 8 * i & 255);
            cr_expect_null(parse_safetensors(bytes, used));
        }
    }
    free(bytes);
}

FOLDER_TEST(safetensors_damage, refuses_too_many_tensors) {
    cti_writer out = {0};
    cti_write_text(&out, "12345678{");
    for (int i = 0; i <= 1000000; i++) {
        char entry[200];
        snprintf(entry, sizeof entry, ENTRY("%x", "U8", "[0]", "[0,0]") ",", i);
        cti_write_text(&out, entry);
    }
    for (int i = 0; i < 8; i++) out.text[i] = (char)((out.used - 8) >> 8 * i & 255);
    cr_expect_null(parse_safetensors((const uint8_t *)out.text, out.used));
    cr_expect_str_eq(ct_error_message(), "m.st: more than 1000000 tensors");
    cti_free(out.text);
}

/* Sorted in time n log n: equal keys are found at the end of a long list. */
FOLDER_TEST(safetensors_damage, finds_one_double_key_among_many) {
    cti_writer out = {0};
    cti_write_bytes(&out, "12345678{\"__metadata__\":{", 25);
    for (int i = 0; i < 200000; i++) {
        char pair[50];
        snprintf(pair, sizeof pair, "\"k%d\":\"%d\",", i == 199999 ? 5 : i, i);
        cti_write_text(&out, pair);
    }
    out.text[out.used - 1] = '}';
    cti_write_bytes(&out, "}", 1);
    for (int i = 0; i < 8; i++) out.text[i] = (char)((out.used - 8) >> 8 * i & 255);
    cr_expect_null(parse_safetensors((const uint8_t *)out.text, out.used));
    cr_expect_str_eq(ct_error_message(), "m.st: metadata key 'k5' is given twice");
    cti_free(out.text);
}

/* --- Files and faults --------------------------------------------------------------------- */

static const char *target;

static ct_status save_again(void) { return save_golden(target); }

static ct_status load_again(void) {
    ct_safetensors *file = ct_safetensors_load(target);
    ct_status status = file ? CT_OK : ct_error();
    for (int64_t i = 0; i < ct_safetensors_count(file) && status == CT_OK; i++) {
        if (!ct_safetensors_value(file, i)) status = ct_error();
    }
    ct_safetensors_free(file);
    return status;
}

FOLDER_TEST(safetensors_damage, saving_survives_every_fault) {
    cr_expect_gt(
        fault_sweep(save_golden, in_folder("a.st"), golden_safetensors, sizeof golden_safetensors),
        150);
}

FOLDER_TEST(safetensors_damage, loading_survives_every_fault) {
    put_file(in_folder("a.st"), golden_safetensors, sizeof golden_safetensors);
    for (int c = 0; c < FAULT_CODES; c++) {
        for (int64_t at = 1, calls = 1; calls >= at - 1; at++) {
            int descriptors = open_descriptors();
            ct_error_clear();
            arm(at, fault_codes[c], false);
            ct_safetensors *file = ct_safetensors_load(in_folder("a.st"));
            calls = disarm();
            cr_expect_eq(open_descriptors(), descriptors);
            cr_expect_eq(file == NULL,
                         strncmp(ct_error_message(), "ct_safetensors_load: /", 22) == 0);
            ct_safetensors_free(file);
        }
    }
}

static ct_status parse_again(void) {
    ct_safetensors *file = ct_safetensors_parse("m.st", golden_safetensors,
                                                sizeof golden_safetensors);
    ct_safetensors_free(file);
    return file ? CT_OK : ct_error();
}

FOLDER_TEST(safetensors_damage, out_of_memory_is_an_error) {
    static char path[512];
    target = strcpy(path, in_folder("a.st"));
    put_file(target, "old", 3);
    int64_t saves = memory_sweep(save_again), loads = memory_sweep(load_again);
    cr_log_info("%lld and %lld runs", (long long)saves, (long long)loads);
    cr_expect_gt(saves, 40);
    cr_expect_gt(loads, 30);
    cr_expect_gt(memory_sweep(parse_again), 10);
}

FOLDER_TEST(safetensors_damage, refuses_what_is_no_regular_file) {
    const ct_named given = {"a", ct_scalar(CT_F32, 1)};
    ct_error_clear();
    cr_expect_eq(ct_safetensors_save("/dev/full", &given, 1, NULL, 0), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(), "ct_safetensors_save: /dev/full: is a character device, "
                                         "expected a regular file or none");
    ct_error_clear();
    cr_expect_null(ct_safetensors_load("/"));
    cr_expect_str_eq(ct_error_message(),
                     "ct_safetensors_load: /: is a directory, expected a regular file");
    ct_error_clear();
    cr_expect_null(ct_safetensors_load(NULL));
    cr_expect_str_eq(ct_error_message(), "ct_safetensors_load: 'path' is NULL");
}
