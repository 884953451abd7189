/* Files in memory and in folders of their own.
 * It reads nothing back; that is what the suites try.
 * Invariant: memory is malloc's, so that the library's count is of the library alone. */
#include "tests/support/idx_files.h"

#include <dirent.h>

file_bytes idx_file(uint8_t type, int rank, const uint32_t *counts, const uint8_t *elements,
                    size_t n) {
    size_t header = 4 + 4 * (size_t)rank;
    file_bytes file = {calloc(header + n + 1, 1), header + n};
    file.bytes[2] = type;
    file.bytes[3] = (uint8_t)rank;
    for (int i = 0; i < rank; i++) {
        for (int k = 0; k < 4; k++) {
            file.bytes[4 + 4 * i + k] = (uint8_t)(counts[i] >> (24 - 8 * k));
        }
    }
    if (n && elements) memcpy(file.bytes + header, elements, n);
    return file;
}

file_bytes packed(file_bytes plain) {
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, plain.length);
    file_bytes out = {malloc(room), 0};
    z.next_in = plain.bytes;
    z.avail_in = (uInt)plain.length;
    z.next_out = out.bytes;
    z.avail_out = (uInt)room;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.length = z.total_out;
    deflateEnd(&z);
    return out;
}

file_bytes followed(file_bytes file, const char *text, size_t n) {
    file_bytes out = {malloc(file.length + n), file.length + n};
    memcpy(out.bytes, file.bytes, file.length);
    memcpy(out.bytes + file.length, text, n);
    return out;
}

folder folder_new(void) {
    folder f;
    const char *base = getenv("TMPDIR");
    snprintf(f.path, sizeof f.path, "%s/cotan-test-XXXXXX", base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(f.path));
    return f;
}

void folder_free(folder f) {
    DIR *dir = opendir(f.path);
    cr_assert_not_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] != '.') unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
    cr_assert_eq(rmdir(f.path), 0);
}

file_path folder_path(folder f, const char *name) {
    file_path path;
    snprintf(path.text, sizeof path.text, "%s/%s", f.path, name);
    return path;
}

void folder_write(folder f, const char *name, file_bytes file) {
    FILE *out = fopen(folder_path(f, name).text, "wb");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(file.bytes, 1, file.length, out), file.length);
    cr_assert_eq(fclose(out), 0);
    free(file.bytes);
}
