/* For tests of files: a folder of its own, system calls that fail at a chosen index, and counts of
 * what must not stay behind. */
#ifndef COTAN_TESTS_IO_SUPPORT_H
#define COTAN_TESTS_IO_SUPPORT_H

#include "tensor/error.h"
#include "tensor/io/file.h"
#include "tensor/mem.h"
#include "tensor/op.h"
#include "tensor/runtime.h"
#include "tests/support/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- The folder, and what is left over ---------------------------------------------------- */

extern char folder[256]; /* of the running test */
void fixture_open(void);
const char *in_folder(const char *name);

/* Counts the entries; with `wipe` it deletes them too. */
int entries(bool wipe);
void fixture_close(void);

/* A test with a folder of its own, and the system's own calls behind it. */
#define FOLDER_TEST(suite, name) TEST_WITH(suite, name, fixture_open, fixture_close)
int open_descriptors(void);

/* --- Values ---------------------------------------------------------------------------- */

void expect_value(ct_tensor *t, ct_dtype dtype, ct_shape shape, const void *elements);
ct_tensor *enormous(void);

/* --- Plain files, past the code under test ------------------------------------------------ */

void put_file(const char *path, const void *bytes, size_t length);

/* True when the file holds exactly these bytes. */
bool file_is(const char *path, const void *bytes, size_t length);

/* --- Faults ------------------------------------------------------------------------------- */

enum { SHORT_COUNT = -1 }; /* in place of an errno value: read and write do less than asked */

enum { FAULT_CODES = 5 };
extern const int fault_codes[FAULT_CODES];

/* From now on system call number `fail_at` fails, with `persistent` all later ones too. */

void arm(int64_t fail_at, int code, bool persistent);

/* Back to the real calls; how many there were. */
int64_t disarm(void);

/* Runs `save` (which writes `path`) with each fault at each system call, over a previous file and
 * over none. Whatever happens: CT_OK means the new bytes, an error means the old state and says
 * so, no second file stays, no descriptor stays. With a lasting fault nothing can be removed or
 * put back: then the file is one of the two, whole. Returns how many runs there were. */
int64_t fault_sweep(ct_status (*save)(const char *path), const char *path, const void *new_bytes,
                    size_t length);

/* Runs `action` with the k-th allocation failing, for every k, once and for good. It must say
 * CT_ERR_MEMORY and hold nothing more than before. Returns the number of runs. */
int64_t memory_sweep(ct_status (*action)(void));

#endif
