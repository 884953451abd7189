/* The file funnel, reading: whole regular files, and every system call failing in turn. And how
 * foreign text is shown and read as numbers.
 * Writing is in test_file_write.c.
 * Invariant: an error leaves no memory and no descriptor behind. */
#include "tests/support/io_support.h"

#include "tensor/base/alloc.h"
#include "tensor/base/text.h"
#include "tensor/io/writer.h"

#include <sys/socket.h>
#include <sys/un.h>

static char message[1200];

static const char *said(const char *path, const char *what) {
    snprintf(message, sizeof message, "f: %s: %s", path, what);
    return message;
}

static void expect_refused(const char *path, const char *what) {
    uint8_t *bytes = (uint8_t *)message;
    size_t length = 7;
    int descriptors = open_descriptors();
    ct_error_clear();
    cr_expect_eq(cti_file_read("f", path, &bytes, &length), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(), said(path, what));
    cr_expect_null(bytes);
    cr_expect_eq(length, 0u);
    cr_expect_eq(open_descriptors(), descriptors);
}

/* --- Reading ------------------------------------------------------------------------------ */

FOLDER_TEST(file, reads_what_is_there) {
    static const size_t sizes[] = {0, 1, 4096, 100001};
    char *content = malloc(100001);
    for (size_t i = 0; i < 100001; i++) content[i] = (char)(i * 7);
    for (int i = 0; i < 4; i++) {
        put_file(in_folder("a"), content, sizes[i]);
        uint8_t *bytes;
        size_t length;
        cr_assert_eq(cti_file_read("f", in_folder("a"), &bytes, &length), CT_OK);
        cr_expect_eq(length, sizes[i]);
        cr_expect(memcmp(bytes, content, length) == 0);
        cti_free(bytes);
    }
    free(content);
}

FOLDER_TEST(file, follows_links_when_reading) {
    put_file(in_folder("a"), "xyz", 3);
    cr_assert_eq(symlink("a", in_folder("b")), 0);
    uint8_t *bytes;
    size_t length;
    cr_assert_eq(cti_file_read("f", in_folder("b"), &bytes, &length), CT_OK);
    cr_expect_eq(length, 3u);
    cti_free(bytes);
}

FOLDER_TEST(file, refuses_what_is_no_regular_file) {
    expect_refused(folder, "is a directory, expected a regular file");
    expect_refused(in_folder("none"), "No such file or directory");
    /* Opening it must not wait for a writer. */
    cr_assert_eq(mkfifo(in_folder("fifo"), 0600), 0);
    expect_refused(in_folder("fifo"), "is a FIFO, expected a regular file");
    expect_refused("/dev/null", "is a character device, expected a regular file");
    expect_refused("", "No such file or directory");
    cr_assert_eq(symlink("loop", in_folder("loop")), 0);
    expect_refused(in_folder("loop"), "Too many levels of symbolic links");
}

FOLDER_TEST(file, refuses_a_socket) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in_folder("s"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    expect_refused(in_folder("s"), "No such device or address");
    ct_error_clear();
    cr_expect_eq(cti_file_write("f", in_folder("s"), NULL, 0), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(),
                     said(in_folder("s"), "is a socket, expected a regular file or none"));
    close(fd);
}

FOLDER_TEST(file, refuses_an_unreadable_file) {
    if (geteuid() == 0) {
        /* Permissions do not bind the superuser: let the call itself say no. */
        put_file(in_folder("a"), "x", 1);
        arm(1, EACCES, false);
        expect_refused(in_folder("a"), "Permission denied");
        disarm();
        return;
    }
    put_file(in_folder("a"), "x", 1);
    chmod(in_folder("a"), 0);
    expect_refused(in_folder("a"), "Permission denied");
}

FOLDER_TEST(file, refuses_more_than_the_limit) {
    put_file(in_folder("a"), "x", 1);
    if (truncate(in_folder("a"), CTI_FILE_LIMIT + 1) != 0) return; /* not on this file system */
    int64_t peak = ct_mem_read().peak_bytes;
    expect_refused(in_folder("a"), "has 1099511627777 bytes, at most 1099511627776 are read");
    cr_expect_eq(ct_mem_read().peak_bytes, peak);
}

FOLDER_TEST(file, escapes_paths_in_messages) {
    ct_error_clear();
    uint8_t *bytes;
    size_t length;
    cti_file_read("f", "no/\x1b[31m'\n\\\xc3\xa4", &bytes, &length);
    cr_expect_str_eq(ct_error_message(),
                     "f: no/\\x1b[31m\\x27\\x0a\\x5c\\xc3\\xa4: No such file or directory");
    ct_error_clear();
    cti_file_read("f", NULL, &bytes, &length);
    cr_expect_str_eq(ct_error_message(), "f: 'path' is NULL");
}

/* A file that grows or shrinks between fstat and read. */
static off_t pretended;
static int lying_fstat(int fd, struct stat *out) {
    int result = fstat(fd, out);
    out->st_size = pretended;
    return result;
}

FOLDER_TEST(file, notices_a_change_while_reading) {
    put_file(in_folder("a"), "0123456789", 10);
    cti_system lying = *cti_system_calls();
    lying.fstat = lying_fstat;
    cti_system_replace(&lying);
    pretended = 12;
    expect_refused(in_folder("a"), "gave fewer than its 12 bytes: it changed while being read");
    pretended = 8;
    expect_refused(in_folder("a"), "gave more than its 8 bytes: it changed while being read");
    pretended = -1;
    expect_refused(in_folder("a"), "has -1 bytes, at most 1099511627776 are read");
    cti_system_replace(NULL);
}

FOLDER_TEST(file, reading_survives_every_fault) {
    char content[1000];
    memset(content, 'r', sizeof content);
    put_file(in_folder("a"), content, sizeof content);
    int64_t runs = 0;
    for (int c = 0; c < FAULT_CODES; c++) {
        for (int64_t at = 1, calls = 1; calls >= at - 1; at++, runs++) {
            int descriptors = open_descriptors();
            uint8_t *bytes;
            size_t length;
            ct_error_clear();
            arm(at, fault_codes[c], false);
            ct_status status = cti_file_read("f", in_folder("a"), &bytes, &length);
            calls = disarm();
            cr_expect_eq(open_descriptors(), descriptors);
            if (status == CT_OK) cr_expect(length == 1000 && memcmp(bytes, content, 1000) == 0);
            else cr_expect(bytes == NULL && *ct_error_message());
            bool reading = at != 2; /* the second call is fstat, which nothing interrupts */
            if (fault_codes[c] == SHORT_COUNT || (fault_codes[c] == EINTR && reading)) {
                cr_expect_eq(status, CT_OK);
            }
            cti_free(bytes);
        }
    }
    cr_expect_gt(runs, 20);
}

FOLDER_TEST(file, names_kinds_and_errors) {
    cr_expect_str_eq(cti_file_kind(S_IFBLK), "a block device");
    cr_expect_str_eq(cti_file_kind(0), "no regular file");
    cr_expect_str_eq(cti_system_error(ENOSPC), "No space left on device");
    cr_expect_str_eq(cti_system_error(99999), "unknown system error");
}

/* --- Text --------------------------------------------------------------------------------- */

FOLDER_TEST(file, shows_foreign_text) {
    char longer[100];
    memset(longer, 'a', sizeof longer);
    cr_expect_eq(strlen(cti_show(longer, 64).text), 64u);
    cr_expect_eq(strlen(cti_show(longer, 65).text), 67u);
    memset(longer, 0xff, sizeof longer);
    cr_expect_eq(strlen(cti_show(longer, 100).text), 4 * 64 + 3u);
    cr_expect_str_eq(cti_show("a\0b\x7f", 4).text, "a\\x00b\\x7f");
    char path[300];
    memset(path, '/', sizeof path);
    memcpy(path + 294, "a.npy", 6);
    cr_expect_eq(strlen(cti_show_path(path).text), 203u);
    cr_expect_not_null(strstr(cti_show_path(path).text, "//a.npy"));
    memset(path, 0xff, 299);
    cr_expect_lt(strlen(cti_show_path(path).text), sizeof(cti_shown));
}

FOLDER_TEST(file, reads_plain_numbers) {
    static const char *const wrong[] = {"",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "01",
                                        "00",
                                        "1.0",
                                        "1e3",
                                        "0x1",
                                        "9223372036854775808",
                                        "99999999999999999999"};
    int64_t value = 5;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_expect_not(cti_whole_number(wrong[i], strlen(wrong[i]), &value), "%s", wrong[i]);
    }
    cr_expect_eq(value, 5);
    cr_expect(cti_whole_number("9223372036854775807x", 19, &value) && value == INT64_MAX);
    cr_expect(cti_whole_number("0", 1, &value) && value == 0);
}
